"""A camera over a shredder that does not exist, for demo, replay and tests.

`SimulatedScene` is a `FrameSource` like any other. With `live` it is paced by
the monotonic clock and loses frames when the machine is too slow, as a camera
does; otherwise it runs in its own virtual time, as fast as it is read. Unlike a
camera it can be asked what was true: which hands were where, and when they
crossed a zone. The picture of frame k depends on the seed and on k alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from handguard.capture.clock import MonotonicClock
from handguard.capture.scene.play import Play
from handguard.capture.scene.truth import Approach, HandTruth, approaches, hands_at
from handguard.errors import ConfigError, DeviceError, EndOfVideo, mismatch
from handguard.ports import Clock
from handguard.types import Frame, PictureFormat, Zone

_ASPECT, _ASPECT_SLACK = 16 / 9, 0.01
_LEAST_WIDTH_PX = 320


def _checked(seed: int, width_px: int, height_px: int) -> None:
    if seed < 0:
        raise ConfigError(mismatch("simulated scene: seed", "0 or more", seed))
    if width_px < _LEAST_WIDTH_PX or abs(width_px / height_px - _ASPECT) > _ASPECT_SLACK:
        wanted = f"a 16:9 picture at least {_LEAST_WIDTH_PX} px wide"
        raise ConfigError(mismatch("simulated scene: size", wanted, f"{width_px}x{height_px}"))


class SimulatedScene:
    """An operator feeding a shredder, seen from above; endless unless `duration_s` is given.

    Construction prerenders the scene: about four seconds of one core at 1280x720.
    `clock` and `wait_s` replace the machine's in tests. Raises `ConfigError` for
    a picture that is not 16:9 or a negative seed.

    Synchronization: `read` belongs to one thread; everything else from any.
    """

    def __init__(
        self,
        seed: int = 0,
        width_px: int = 1280,
        height_px: int = 720,
        fps: float = 30.0,
        duration_s: float | None = None,
        *,
        live: bool = False,
        clock: Clock | None = None,
        wait_s: Callable[[float], object] | None = None,
    ) -> None:
        self._format = PictureFormat(width_px, height_px, fps)
        _checked(seed, width_px, height_px)
        self._interrupted = threading.Event()
        self._clock: Clock = clock if clock is not None else MonotonicClock()
        self._wait_s = wait_s if wait_s is not None else self._interrupted.wait
        self._seed, self._live = seed, live
        self._last_frame = None if duration_s is None else round(duration_s * fps) - 1
        self._next = 0
        self._started_ns: int | None = None
        self._play = Play(seed, width_px, height_px)

    @property
    def format(self) -> PictureFormat:
        """Size and nominal rate."""
        return self._format

    @property
    def name(self) -> str:
        """`simulated scene, seed 7`."""
        return f"simulated scene, seed {self._seed}"

    @property
    def started_ns(self) -> int | None:
        """Scene time 0 on the clock of the stamps; None before the first frame. Truth counts from here."""
        return self._started_ns

    def read(self) -> Frame:
        """The next frame, stamped the moment it is handed out.

        Live, the picture is drawn ahead and handed out when it is due; frames
        whose successor is due as well are lost, and `seq` shows the gap. Raises
        `EndOfVideo` after `duration_s`, `DeviceError` once interrupted.
        """
        if self._started_ns is None:
            self._started_ns = self._clock.now_ns() if self._live else 0
        index = self._next + self._lost()
        self._refuse_if_interrupted()
        if self._last_frame is not None and index > self._last_frame:
            raise EndOfVideo(f"{self.name}: ended after {self._last_frame + 1} frames")
        image = self._play.picture(self._time_s(index), index)
        self._next = index + 1
        return Frame(index, self._stamp(index), image)

    def interrupt(self) -> None:
        """End a wait in progress: `read` raises `DeviceError` from now on."""
        self._interrupted.set()

    def close(self) -> None:
        """End the scene. Safe to call twice."""
        self.interrupt()

    def hands(self, seq: int) -> tuple[HandTruth, ...]:
        """Every hand truly in frame `seq`; empty when the table is."""
        return hands_at(self._play, self._time_s(seq), (self._format.width_px, self._format.height_px))

    def approaches(self, zones: Sequence[Zone], until_s: float | None = None) -> tuple[Approach, ...]:
        """Every approach begun so far (or before `until_s`), judged against `zones`, which may be empty."""
        end_s = self._time_s(self._next) if until_s is None else until_s
        return approaches(self._play, zones, self._format.fps, end_s)

    def _refuse_if_interrupted(self) -> None:
        if self._interrupted.is_set():
            raise DeviceError(f"{self.name}: closed")

    def _time_s(self, index: int) -> float:
        return index / self._format.fps

    def _due_ns(self, index: int) -> int:
        return (self._started_ns or 0) + round(self._time_s(index) * 1e9)

    def _lost(self) -> int:
        """How many frames, counted from the next, have a successor that is due already."""
        if not self._live:
            return 0
        behind_ns = self._clock.now_ns() - self._due_ns(self._next)
        return max(0, behind_ns // self._format.period_ns)

    def _stamp(self, index: int) -> int:
        """Wait until the frame is due; returns the time of its capture."""
        due_ns = self._due_ns(index)
        if not self._live:
            return due_ns
        while (left_ns := due_ns - self._clock.now_ns()) > 0:
            self._wait_s(left_ns / 1e9)
            self._refuse_if_interrupted()
        return self._clock.now_ns()
