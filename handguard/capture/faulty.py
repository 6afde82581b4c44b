"""A source with faults on purpose: what cameras do wrong in the field, on demand.

Wrap any source and list the faults; the same wrapping serves audits, the fault
tests and a demonstration. Each fault holds from one frame to another (of the
source's own numbering, both included) and is the same every time it is run.

The nastiest is `Freeze`: fresh number, fresh time, old picture. It is what an
unplugged USB camera looks like behind some drivers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.errors import DeviceError
from handguard.ports import FrameSource
from handguard.types import Frame, PictureFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Holds from `first_frame` to `last_frame`; None: for ever. By itself it does nothing."""

    first_frame: int = 0
    last_frame: int | None = None

    def holds(self, seq: int) -> bool:
        """Whether frame `seq` is struck."""
        return self.first_frame <= seq and (self.last_frame is None or seq <= self.last_frame)

    def delay_ns(self, seq: int) -> int:
        """How much later than it should frame `seq` is delivered."""
        return 0

    def apply(self, frame: Frame, previous: Frame | None) -> Frame | None:
        """The frame as the fault leaves it; None swallows it. `previous` was delivered last.

        Raises `DeviceError` where the fault is that reading fails.
        """
        return frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze(Fault):
    """The last good picture again and again, with fresh number and time."""

    def apply(self, frame: Frame, previous: Frame | None) -> Frame | None:
        return frame if previous is None else replace(frame, image=previous.image)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop(Fault):
    """Frames are lost on the way; the numbering shows it."""

    def apply(self, frame: Frame, previous: Frame | None) -> Frame | None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter(Fault):
    """Frames are taken and delivered up to `most_ms` late, by chance with a seed."""

    most_ms: float = 20.0
    seed: int = 0

    def delay_ns(self, seq: int) -> int:
        return round(np.random.default_rng((self.seed, seq)).uniform(0.0, self.most_ms) * 1e6)

    def apply(self, frame: Frame, previous: Frame | None) -> Frame | None:
        return replace(frame, captured_ns=frame.captured_ns + self.delay_ns(frame.seq))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall(Fault):
    """Frames are delivered `by_ms` after they were taken, as after a blocked bus."""

    by_ms: float = 500.0

    def delay_ns(self, seq: int) -> int:
        return round(self.by_ms * 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplugged(Fault):
    """Reading fails while it holds, the way a pulled USB cable does."""

    def apply(self, frame: Frame, previous: Frame | None) -> Frame | None:
        raise DeviceError(f"frame {frame.seq}: no such device (unplugged)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dark(Fault):
    """The light goes: brightness times `gain`."""

    gain: float = 0.05

    def apply(self, frame: Frame, previous: Frame | None) -> Frame | None:
        return replace(frame, image=_uint8(cv2.convertScaleAbs(frame.image, alpha=self.gain)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur(Fault):
    """The lens is greasy or out of focus: a Gaussian of `sigma_px`."""

    sigma_px: float = 8.0

    def apply(self, frame: Frame, previous: Frame | None) -> Frame | None:
        return replace(frame, image=_uint8(cv2.GaussianBlur(frame.image, (0, 0), self.sigma_px)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift(Fault):
    """The camera was knocked: the scene stands `right_px` and `down_px` off; black comes in."""

    right_px: int = 20
    down_px: int = 0

    def apply(self, frame: Frame, previous: Frame | None) -> Frame | None:
        height_px, width_px = frame.image.shape[:2]
        move = np.array([[1, 0, self.right_px], [0, 1, self.down_px]], np.float32)
        return replace(frame, image=_uint8(cv2.warpAffine(frame.image, move, (width_px, height_px))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered(Fault):
    """Something flat hangs before the lens: the left `part` of the picture is one gray."""

    part: float = 1.0
    gray: int = 90

    def apply(self, frame: Frame, previous: Frame | None) -> Frame | None:
        image = frame.image.copy()
        image[:, : round(image.shape[1] * self.part)] = self.gray
        return replace(frame, image=image)


class FaultySource:
    """`FrameSource` that reads `source` and does `faults` to it, in the order given.

    `wait_s` serves the delays; None delays nothing, for replay, where only the
    times on the frames count. It reads on through dropped frames.

    Synchronization: as the source's: one thread reads and closes.
    """

    def __init__(
        self,
        source: FrameSource,
        faults: Sequence[Fault],
        *,
        wait_s: Callable[[float], object] | None = time.sleep,
    ) -> None:
        self._source = source
        self._faults = tuple(faults)
        self._wait_s = wait_s
        self._previous: Frame | None = None
        self._dropped = 0

    @property
    def name(self) -> str:
        """The source's name; a fault does not announce itself."""
        return self._source.name

    @property
    def format(self) -> PictureFormat:
        """The source's format."""
        return self._source.format

    @property
    def dropped(self) -> int:
        """Frames swallowed so far."""
        return self._dropped

    def read(self) -> Frame:
        """The next frame that survives. Raises what the source raises, and what the faults do."""
        while True:
            struck = self._struck(self._source.read())
            if struck is not None:
                self._previous = struck
                return struck
            self._dropped += 1

    def close(self) -> None:
        """Release the source. Safe to call twice."""
        self._source.close()

    def _struck(self, frame: Frame) -> Frame | None:
        current: Frame | None = frame
        for fault in self._faults:
            if current is None or not fault.holds(frame.seq):
                continue
            if self._wait_s is not None and (delay_ns := fault.delay_ns(frame.seq)):
                self._wait_s(delay_ns / 1e9)
            current = fault.apply(current, self._previous)
        return None if current is None else self._later(current)

    def _later(self, frame: Frame) -> Frame:
        """Jitter may not put two frames in the wrong order."""
        if self._previous is None or frame.captured_ns > self._previous.captured_ns:
            return frame
        return replace(frame, captured_ns=self._previous.captured_ns + 1)


def _uint8(image: object) -> NDArray[np.uint8]:
    return np.asarray(image, np.uint8)
