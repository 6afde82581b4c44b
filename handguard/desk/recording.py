"""The monitor's end of the recorder: starts it, puts what it says into the book, starts it again.

One thread waits on the recorder's standard output, so the stop path never does. A
line that is no notice, and a recorder that dies, are faults in the book; the
next recorder comes after a pause that grows while it keeps dying.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from handguard.errors import RecordingError
from handguard.evidence.notices import LONGEST_BYTES, ClipLost, Notice, from_line

ROOT = Path(__file__).parents[2]
NICE = 5  # of the recorder: behind the monitor
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
WELL_AFTER_S = 60.0  # a recorder that lived this long starts the pauses anew
FAULT = "recorder"
CLIP_LOST = "clip-lost"
NO_FEED = 2  # the exit code of a recorder that found none


class Book(Protocol):
    """What is needed of the evidence writer. Both return at once and never raise."""

    def notice(self, notice: Notice) -> None:
        """Remember what the recorder said."""

    def fault(self, name: str, detail: str) -> None:
        """Remember that it failed."""


class Recording:
    """Keeps one recorder running. `close` may be called from any thread, once or twice."""

    def __init__(self, arguments: Sequence[str], book: Book, log: Path) -> None:
        """`arguments` of `handguard.desk.recorder`; what it writes on standard error goes to `log`."""
        self._command = [sys.executable, "-m", "handguard.desk.recorder", *arguments]
        self._book, self._log = book, log
        self._closing = threading.Event()
        self._gave_up = False
        self._is_away = self._has_lost = False
        self._process = self._started()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Of the recorder that runs now, or ran last."""
        return self._process.pid

    @property
    def faults(self) -> frozenset[str]:
        """What people must see: no recorder now, or a clip of this run that was lost. Any thread."""
        signs = {FAULT: self._is_away, CLIP_LOST: self._has_lost}
        return frozenset(name for name, shown in signs.items() if shown)

    def close(self, timeout_s: float = 12.0) -> None:
        """Wait for the last clip, after the feed was closed; a recorder that takes longer is killed."""
        self._closing.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._book.fault(FAULT, f"killed: its last clip was not done after {timeout_s:g} s")
            self._gave_up = True
            self._process.kill()
            self._thread.join(5.0)

    def _started(self) -> subprocess.Popen[bytes]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=ROOT
            )
        with suppress(OSError):  # it has ended already, which is noticed elsewhere
            behind = max(NICE, os.getpriority(os.PRIO_PROCESS, 0))
            os.setpriority(os.PRIO_PROCESS, process.pid, behind)  # already while it starts
        return process

    # The rest runs in the thread.

    def _run(self) -> None:
        deaths = 0
        while True:
            began_s = time.monotonic()
            assert self._process.stdout is not None
            with self._process.stdout as said:
                self._listen(said)
            code = self._process.wait()
            late = code == NO_FEED and self._closing.is_set()  # it was started while the feed ended
            if code == 0 or late or self._gave_up:
                return
            self._is_away = True
            self._book.fault(FAULT, f"ended with {code}; no clips until it is back")
            deaths = 1 if time.monotonic() - began_s > WELL_AFTER_S else deaths + 1
            if self._closing.wait(PAUSES_S[min(deaths, len(PAUSES_S)) - 1]) or not self._restarted():
                return

    def _restarted(self) -> bool:
        try:
            self._process = self._started()
        except OSError as error:
            self._book.fault(FAULT, f"cannot be started: {error}; no clips any more")
            return False
        self._is_away = False
        return True

    def _listen(self, said: IO[bytes]) -> None:
        """Until the recorder ends."""
        for line in iter(lambda: said.readline(LONGEST_BYTES + 1), b""):
            try:
                notice = from_line(line)
                self._has_lost |= isinstance(notice, ClipLost)
                self._book.notice(notice)
            except RecordingError as error:
                self._book.fault(FAULT, str(error))
