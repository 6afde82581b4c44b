"""The window, on a real screen without a monitor: it shows the picture that is fed, and only looks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from handguard.desk.feed import FeedWriter
from handguard.desk.snapshot import Chronicle
from handguard.types import (
    Decision,
    Detections,
    KeeperReport,
    Output,
    StageTimes,
    State,
    ZoneRole,
    ZoneStatus,
)

ROOT = Path(__file__).parents[2]
GREEN = (20, 200, 40)  # BGR, of the picture that is fed


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Path]:
    """A virtual screen; its pixels lie in the file that is given."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-fbdir", str(tmp_path)]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as told:
        os.environ["DISPLAY"] = f":{told.readline().strip()}"
    yield tmp_path / "Xvfb_screen0"
    del os.environ["DISPLAY"]
    server.terminate()
    server.wait()


def green_pixels(screen: Path) -> int:
    pixels = np.frombuffer(screen.read_bytes()[-800 * 600 * 4 :], np.uint8).reshape(600, 800, 4)
    return int((np.abs(pixels[..., :3].astype(int) - GREEN) < 12).all(axis=2).sum())


@pytest.mark.needs_program("Xvfb")
def test_the_window_shows_the_picture_and_ends_with_the_monitor(screen: Path):
    times = StageTimes(1, 2, 3, 4)
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), 0, 1)
    zones = (ZoneStatus("blades", ZoneRole.STOP, False),)
    decision = Decision(0, times, nothing, zones, State.RUN, Output.ON, "free")
    picture = np.full((240, 320, 3), GREEN, np.uint8)
    drawn = json.dumps([["blades", "stop", [[250, 200], [310, 200], [310, 230]]]])
    feed = FeedWriter(320, 240)
    try:
        command = [sys.executable, "-m", "handguard.desk.window", feed.name, drawn]
        window = subprocess.Popen(command, cwd=ROOT)
        report, chronicle = KeeperReport(0, Output.ON, 0, None), Chronicle()
        give_up = time.monotonic() + 60
        while green_pixels(screen) < 20_000 and time.monotonic() < give_up and window.poll() is None:
            feed.publish(chronicle.snapshot(decision, report, 0, frozenset()), picture)
            time.sleep(0.05)
        assert window.poll() is None
        assert green_pixels(screen) >= 20_000
    finally:
        feed.close()
    assert window.wait(30) == 0
