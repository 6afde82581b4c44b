"""The programs that only look: panel, window and recorder, each a process of its own behind the feed.

They end when the feed closes. The monitor starts them and never waits for what
they do: one that is slow, stopped or dead costs it nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from handguard.config import Settings
from handguard.desk.recording import Book, Recording
from handguard.types import Zone

ROOT = Path(__file__).parents[1]
PATIENCE_S = 2.0  # for a viewer to end by itself


class Onlookers:
    """Starts what looks at one feed; the stack ends it."""

    def __init__(self, settings: Settings, feed: str, zones: Sequence[Zone], stack: ExitStack) -> None:
        self._settings, self._feed, self._stack = settings, feed, stack
        self._drawn = json.dumps([[zone.name, zone.role.value, zone.polygon_px] for zone in zones])

    def look_on(self, *, panel: bool, window: bool) -> None:
        """Start the viewers that are wanted."""
        if panel:
            bell = [] if self._settings.warning.bell else ["--no-bell"]
            self._start("handguard.desk.panel", self._feed, *bell)
        if window:
            self._start("handguard.desk.window", self._feed, self._drawn)

    def record(self, book: Book, out: Path) -> tuple[Recording, ...]:
        """Start the recorder of clips, where clips are wanted; what it says goes into the book."""
        wanted = self._settings.evidence.clips
        if not wanted.enabled:
            return ()
        arguments = [self._feed, "--clips", str(out.resolve() / "clips")]
        arguments += ["--runs", str(Path(self._settings.evidence.dir).resolve()), "--zones", self._drawn]
        arguments += ["--pre-s", str(wanted.pre_s), "--post-s", str(wanted.post_s)]
        arguments += ["--quota-bytes", str(round(wanted.quota_gb * 1e9))]
        recording = Recording(arguments, book, out / "recorder.log")
        self._stack.callback(recording.close)
        return (recording,)

    def _start(self, *program: str) -> None:
        viewer = subprocess.Popen([sys.executable, "-m", *program], stdin=subprocess.DEVNULL, cwd=ROOT)
        self._stack.callback(_ended, viewer)


def _ended(viewer: subprocess.Popen[bytes]) -> None:
    try:
        viewer.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        viewer.kill()
        viewer.wait()
