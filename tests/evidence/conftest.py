"""Decisions, keys and whole recordings for the tests of this room."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from handguard.evidence.ledger import Stamp
from handguard.evidence.schema import Genesis
from handguard.evidence.signing import SigningKey
from handguard.evidence.writer import EvidenceWriter
from handguard.types import (
    Decision,
    Detections,
    Event,
    Output,
    Permit,
    StageTimes,
    State,
    StateChanged,
    Tripped,
    ZoneRole,
    ZoneStatus,
)

MS = 1_000_000
Judge = Callable[..., tuple[Decision, Permit]]


class HandClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.ns = 1_000_000_000
        self.wall_s = 0

    def __call__(self) -> Stamp:
        minutes, seconds = divmod(self.wall_s, 60)
        return Stamp(self.ns, f"2025-01-31T12:{minutes:02d}:{seconds:02d}.000000Z")

    def advance(self, seconds: int) -> None:
        self.ns += seconds * 1_000_000_000
        self.wall_s += seconds


def _judge(frame_seq=0, *, boxes=((10.5, 20.25, 60.125, 90.0),), intruded=False, state=State.RUN, events=()):
    captured_ns = 5_000 * MS + frame_seq * 33 * MS
    times = StageTimes(captured_ns, captured_ns + 2 * MS, captured_ns + 9 * MS, captured_ns + 10 * MS)
    found = Detections(
        boxes_px=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.linspace(0.9731, 0.6, len(boxes), dtype=np.float32),
        labels=np.arange(len(boxes), dtype=np.int64) % 2,
        frame_seq=frame_seq,
        captured_ns=captured_ns,
    )
    zones = (
        ZoneStatus("intake", ZoneRole.STOP, intruded, 0.97 if intruded else 0.0, 0.25 if intruded else None),
    )
    output = Output.ON if state is State.RUN else Output.OFF
    cause = "intruded: intake" if intruded else "free"
    decision = Decision(frame_seq, times, found, zones, state, output, cause, tuple(events))
    return decision, Permit(frame_seq + 100, frame_seq, captured_ns, times.judged_ns, output)


def _trip(frame_seq=0):
    at_ns = 5_010 * MS + frame_seq * 33 * MS
    events: tuple[Event, ...] = (
        StateChanged(at_ns, frame_seq, State.RUN, State.TRIPPED, "intruded: intake"),
        Tripped(at_ns, frame_seq, "intruded", "intake", 0.97),
    )
    return _judge(frame_seq, intruded=True, state=State.TRIPPED, events=events)


@pytest.fixture
def judge() -> Judge:
    """A judged frame and its permit: `judge(frame_seq, boxes=…, intruded=…, state=…, events=…)`."""
    return _judge


@pytest.fixture
def trip() -> Judge:
    """A judged frame in which a hand trips the machine: `trip(frame_seq)`."""
    return _trip


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def genesis() -> Genesis:
    return Genesis("machine", "0.1.0", "c0ffee", "beef", "boot")


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey.generate()


@pytest.fixture
def small_recording(tmp_path: Path, genesis: Genesis, key: SigningKey) -> Path:
    """A closed run with six decisions and one trip, signed at genesis, trip and end."""
    directory = tmp_path / "small"
    with EvidenceWriter.open(directory, genesis, key) as writer:
        for frame_seq in range(6):
            writer.record(*(_trip if frame_seq == 3 else _judge)(frame_seq))
    return directory


@pytest.fixture
def limit_file_size():
    """Sets RLIMIT_FSIZE of this process: a write is cut short at an exact byte, as by a filling disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, old_handler)
