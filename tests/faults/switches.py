"""Switches between the parts of a stand, thrown while it runs: on the camera, in the network, at the button.

Until one is thrown everything passes through unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handguard.capture.faulty import Fault as CameraFault
from handguard.capture.faulty import FaultySource
from handguard.capture.sources import open_source
from handguard.detection.detector import HandDetector
from handguard.errors import DeviceError
from handguard.ports import Detector
from handguard.types import Button, Detections, Frame, PictureFormat
from tests.faults import precedence

Floats = NDArray[np.float32]


class Switch(CameraFault):  # frozen, and without slots of its own
    """One of the product's faults, which one may be changed while a reader is inside it."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "now", CameraFault())

    def turn_to(self, fault: CameraFault) -> None:
        object.__setattr__(self, "now", fault)

    def delay_ns(self, seq: int) -> int:
        return self.now.delay_ns(seq)  # type: ignore[attr-defined]

    def apply(self, frame: Frame, previous: Frame | None) -> Frame | None:
        return self.now.apply(frame, previous)  # type: ignore[attr-defined]


class Camera:
    """A paced, endless recording behind the product's own camera faults. Opened again, the fault is still there."""

    def __init__(self, folder: Path, fps: float) -> None:
        self._folder, self._fps = folder, fps
        self._switch, self._has_precedence = Switch(), False
        self.bend: Callable[[Frame], Frame] = lambda frame: frame
        self._open()

    @property
    def name(self) -> str:
        return "recorded table"

    @property
    def format(self) -> PictureFormat:
        return self._picture

    def read(self) -> Frame:
        if not self._has_precedence:
            precedence.take()
            self._has_precedence = True
        return self.bend(self._struck.read())

    def strike(self, fault: CameraFault) -> None:
        """This fault from the next frame on."""
        self._switch.turn_to(fault)

    def mend(self) -> None:
        self.bend = lambda frame: frame
        self.strike(CameraFault())

    def reopen(self) -> Camera:
        self.close()
        self._open()
        return self

    def interrupt(self) -> None:
        self._source.interrupt()  # type: ignore[attr-defined]

    def close(self) -> None:
        self._source.close()

    def _open(self) -> None:
        self._source = open_source(str(self._folder), live=True, fps=self._fps, loop=True)
        self._picture = self._source.format
        self._struck = FaultySource(self._source, [self._switch])


class Truth:
    """A detector that knows the one picture with a hand, and where that hand is. It costs nothing."""

    description = "the truth of the simulated scene"

    def __init__(self, picture: NDArray[np.uint8], box_px: tuple[float, float, float, float]) -> None:
        self._sample, self._box_px = picture[::8, ::8] | 1, box_px

    def detect(self, frame: Frame) -> Detections:
        there = int(np.array_equal(frame.image[::8, ::8] | 1, self._sample))
        boxes = np.array([self._box_px] * there, np.float32).reshape(-1, 4)
        return Detections(
            boxes, np.ones(there, np.float32), np.zeros(there, np.int64), frame.seq, frame.captured_ns
        )


class Network:
    """A detector whose answers can be bent; of the real one also what its engine computes."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.description = detector.description
        if isinstance(detector, HandDetector):
            self._engine, detector.engine = detector.engine, self  # before everything that judges its output
            self.priors, self.canvas = self._engine.priors, self._engine.canvas
        self.mend()

    def mend(self) -> None:
        self.bend: Callable[[Floats, Floats], tuple[Floats, Floats]] = lambda logits, offsets: (logits, offsets)
        self.answer: Callable[[Detections], object] = lambda found: found

    def infer(self) -> tuple[Floats, Floats]:
        logits, offsets = self._engine.infer()
        return self.bend(logits.copy(), offsets.copy())

    def detect(self, frame: Frame) -> Detections:
        return self.answer(self._detector.detect(frame))  # type: ignore[return-value]

    def release(self) -> None:
        """Let the next stand have the detector."""
        if isinstance(self._detector, HandDetector):
            self._detector.engine = self._engine


class Finger:
    """On the reset button, which stamps its edges as a GPIO line does. `read` may be made to fail."""

    def __init__(self) -> None:
        self.let_go()

    def hold(self) -> None:
        self._become(True)

    def let_go(self) -> None:
        self._become(False)

    def bounce(self, every_ns: int) -> None:
        """Make and break, for ever."""
        self.read = lambda: Button(time.monotonic_ns() // every_ns % 2 == 1, time.monotonic_ns() // every_ns * every_ns)

    def break_off(self) -> None:
        """The wires of the button are gone."""

        def fail() -> Button:
            raise DeviceError("the reset button: no such line")

        self.read = fail

    def _become(self, down: bool) -> None:
        level = Button(down, time.monotonic_ns())
        self.read: Callable[[], Button] = lambda: level
