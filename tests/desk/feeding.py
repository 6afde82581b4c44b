"""A monitor's side of the desk: snapshots and pictures as the live loop feeds them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np

from handguard.desk.feed import FeedWriter
from handguard.desk.snapshot import Chronicle
from handguard.types import (
    Decision,
    Detections,
    KeeperReport,
    Output,
    StageTimes,
    State,
    Tripped,
    ZoneRole,
    ZoneStatus,
)

WAIT_S = 90.0
REPORT = KeeperReport(-1, Output.OFF, 0, None)


class Camera:
    """Publishes judged frames as the monitor does; each picture is its number in gray."""

    def __init__(self, feed: FeedWriter, shape: tuple[int, int] = (240, 320)) -> None:
        self.feed, self.shape, self.frame_seq = feed, shape, -1
        self._chronicle = Chronicle()

    def shoot(self, *, trip: bool = False, picture: bool = True) -> Decision:
        """One frame, now."""
        self.frame_seq += 1
        decision = decided(self.frame_seq, trip=trip)
        image = np.full((*self.shape, 3), gray_of(self.frame_seq), np.uint8) if picture else None
        self.feed.publish(self._chronicle.snapshot(decision, REPORT, 0, frozenset()), image)
        return decision

    def shoot_for(self, seconds: float, fps: float = 50.0) -> None:
        """Frames at that rate, for that long."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.shoot()
            time.sleep(1 / fps)


def gray_of(frame_seq: int) -> int:
    return frame_seq * 11 % 256


def decided(frame_seq: int, *, trip: bool = False) -> Decision:
    now_ns = time.monotonic_ns()
    times = StageTimes(now_ns - 3_000_000, now_ns - 2_000_000, now_ns - 1_000_000, now_ns)
    box = np.array([[10 + frame_seq % 100, 20, 60 + frame_seq % 100, 90]], np.float32)
    found = Detections(box, np.array([0.9], np.float32), np.array([1], np.int64), frame_seq, times.captured_ns)
    zones = (ZoneStatus("intake", ZoneRole.STOP, trip, 0.9 if trip else 0.0),)
    events = (Tripped(now_ns, frame_seq, "intruded", "intake", 0.9),) if trip else ()
    state, output = (State.TRIPPED, Output.OFF) if trip else (State.RUN, Output.ON)
    cause = "intruded: intake" if trip else "free"
    return Decision(frame_seq, times, found, zones, state, output, cause, events)


def wait_for(condition: Callable[[], object], meanwhile: Callable[[], object] = lambda: None) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        meanwhile()
        time.sleep(0.02)


def cpu_s(pid: int) -> float:
    """User and system time of a process, with all its threads."""
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
