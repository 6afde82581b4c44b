"""Clocks at the joints of a live run: round its detector, its network and its permit line.

    captured → taken      mailbox       the camera's thread hands the frame to the loop
    taken → asked         trust         senses read, the picture looked at: alive, lit?
    asked → fed           preprocess    crop, resize, letterbox
    fed → answered        network       the compiled network's own execution
    answered → detected   decode        scores, boxes, suppression, back to the frame's pixels
    detected → judged     zones         overlap and sweep
    judged → sent         permit        interlock, decision, permit in the keeper's pipe
    sent → OFF bytes      keeper        the keeper's process, the port, the board's side of the pty

A detector that does the whole path on a device hands over the crop alone: resize, letterbox,
scores, boxes and suppression are then between fed and answered.

Each clock costs about 0.1 µs. Rows go into an array made beforehand.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from handguard.detection.backends.engine import Engine
from handguard.detection.detector import HandDetector
from handguard.detection.postprocess import Found, Thresholds
from handguard.detection.preprocess import Placement
from handguard.ports import PermitLine
from handguard.types import Decision, Detections, Frame, KeeperReport, Permit, State, Tripped

JOINTS = ("captured", "taken", "asked", "fed", "answered", "detected", "judged", "sent")
STAGES = ("mailbox", "trust", "preprocess", "network", "decode", "zones", "permit")
WEIGHED_EVERY = 30  # frames between two looks at the memory in use
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@runtime_checkable
class WholePath(Engine, Protocol):
    """An engine that goes from a crop to its hands by itself. Told by what it can, for to import one is to
    import torch, whose memory would be measured too."""

    def look(self, crop: NDArray[np.uint8], placement: Placement, limits: Thresholds) -> Found:
        """The hands of one crop."""


@runtime_checkable
class Relieved(Protocol):
    """A detector that is two: the first choice, and the one that takes over when its device is lost."""

    @property
    def both(self) -> tuple[HandDetector, HandDetector]:
        """In that order."""


@dataclass(slots=True)
class NetworkClock:
    """When the network was asked last, and when it answered; whichever of a detector's networks that was."""

    fed_ns: int = 0
    answered_ns: int = 0


class TimedEngine:
    """An `Engine` that notes when it was asked and when it answered."""

    def __init__(self, engine: Engine, clock: NetworkClock) -> None:
        self._engine, self._clock = engine, clock
        self.canvas, self.priors, self.description = engine.canvas, engine.priors, engine.description

    def infer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self._clock.fed_ns = time.monotonic_ns()
        raw = self._engine.infer()
        self._clock.answered_ns = time.monotonic_ns()
        return raw


class TimedPath(TimedEngine):
    """The same of one that does the whole path."""

    def __init__(self, engine: WholePath, clock: NetworkClock) -> None:
        super().__init__(engine, clock)
        self._path = engine

    def look(self, crop: NDArray[np.uint8], placement: Placement, limits: Thresholds) -> Found:
        self._clock.fed_ns = time.monotonic_ns()
        hands = self._path.look(crop, placement, limits)
        self._clock.answered_ns = time.monotonic_ns()
        return hands


class TimedDetector:
    """`ports.Detector` that notes when it was asked, round one whose network, or networks, are timed as well."""

    def __init__(self, detector: HandDetector) -> None:
        self._detector = detector
        self.network = NetworkClock()
        self.asked_ns = 0
        parts = detector.both if isinstance(detector, Relieved) else (detector,)
        self.whole_path = isinstance(parts[0].engine, WholePath)  # the first choice does it all on its device
        for part in parts:
            part.engine = _timed(part.engine, self.network)

    @property
    def description(self) -> str:
        """As the detector has it now: a standby that took over says so."""
        return self._detector.description

    def detect(self, frame: Frame) -> Detections:
        self.asked_ns = time.monotonic_ns()
        return self._detector.detect(frame)


def _timed(engine: Engine, clock: NetworkClock) -> TimedEngine:
    return TimedPath(engine, clock) if isinstance(engine, WholePath) else TimedEngine(engine, clock)


class TimedLine:
    """`ports.PermitLine` that notes when a permit was in the pipe."""

    def __init__(self, line: PermitLine) -> None:
        self._line = line
        self.sent_ns = 0

    def send(self, permit: Permit) -> None:
        self._line.send(permit)
        self.sent_ns = time.monotonic_ns()

    def report(self) -> KeeperReport:
        return self._line.report()


class Stopwatch:
    """An `EventSink` that turns every judged frame into a row of joints. One thread.

    `label` is written beside each row, for measurements in turns; it may be changed at any time.
    """

    faults: frozenset[str] = frozenset()

    def __init__(self, detector: TimedDetector, line: TimedLine, frames: int) -> None:
        self._detector, self._line = detector, line
        self._rows = np.zeros((frames, len(JOINTS)), np.int64)
        self._labels = np.zeros(frames, np.int64)
        self._page_faults = np.zeros(frames, np.int64)
        self._count = 0
        self.label = 0
        self.trips: list[tuple[int, int]] = []  # captured_ns, sent_ns
        self.resident_bytes: list[int] = []
        self.locked_out_by = ""  # the cause of the first tick in lockout

    @property
    def rows_ns(self) -> NDArray[np.int64]:
        """(N, 8), one column for each of `JOINTS`."""
        return self._rows[: self._count]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,)"""
        return self._labels[: self._count]

    @property
    def page_faults(self) -> NDArray[np.int64]:
        """(N - 1,) of the loop's thread from frame to frame: memory touched for the first time."""
        return np.diff(self._page_faults[: self._count])

    def record(self, decision: Decision, permit: Permit, report: KeeperReport | None = None) -> None:
        """Note one tick; those without a judged frame, and those beyond the last row, are left out."""
        if decision.state is State.LOCKOUT and not self.locked_out_by:
            self.locked_out_by = decision.cause
        if decision.detections is None or self._count == len(self._rows):
            return
        times, network = decision.times, self._detector.network
        self._rows[self._count] = (
            times.captured_ns, times.taken_ns, self._detector.asked_ns, network.fed_ns,
            network.answered_ns, times.detected_ns, times.judged_ns, self._line.sent_ns,
        )  # fmt: skip
        self._labels[self._count] = self.label
        self._page_faults[self._count] = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        self._count += 1
        if any(isinstance(event, Tripped) and event.zone for event in decision.events):
            self.trips.append((times.captured_ns, self._line.sent_ns))
        if self._count % WEIGHED_EVERY == 0:
            self.resident_bytes.append(resident_bytes())


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES
