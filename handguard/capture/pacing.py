"""A recording shown as if it were live: each frame at its time, none early.

A camera does not wait for whoever looks at it, and neither does this. Frames are
due at their recorded times counted from the first `read`, on an absolute
schedule, so waiting never adds up to drift. The next frame is decoded before the
wait, so that decoding is not added to it.

When the reader, the decoder or the machine was slow, frames whose successor is
due as well are skipped, as a camera's would be lost: they leave a gap in `seq`
and are never delivered in a burst. If even skipping does not catch up, because
the decoder is slower than real time, the rest of the schedule moves back.

`captured_ns` is stamped anew at delivery, on the live clock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from handguard.capture.clock import MonotonicClock
from handguard.errors import DeviceError, EndOfVideo
from handguard.ports import Clock, FrameSource
from handguard.types import Frame, PictureFormat


class Paced:
    """`FrameSource` that delivers a finite source's frames when they are due.

    `reopen` starts the recording over at its end, for ever; numbering and time go
    on. `wait_s` sleeps; a test passes one that moves its own clock.

    Synchronization: one thread reads; `interrupt` from any thread.
    """

    def __init__(
        self,
        source: FrameSource,
        clock: Clock | None = None,
        *,
        reopen: Callable[[], FrameSource] | None = None,
        wait_s: Callable[[float], object] | None = None,
    ) -> None:
        self._source = source
        self._clock = clock if clock is not None else MonotonicClock()
        self._reopen = reopen
        self._interrupted = threading.Event()
        self._wait_s = wait_s if wait_s is not None else self._interrupted.wait
        self._first_seq = 0  # of the current round
        self._first_ns = 0  # where the current round begins, in recorded time
        self._origin_ns: int | None = None  # when recorded time 0 is due, on the clock
        self._skipped = 0
        self._following: Frame | DeviceError = self._decode()

    @property
    def name(self) -> str:
        """The recording's name."""
        return self._source.name

    @property
    def format(self) -> PictureFormat:
        """The recording's format."""
        return self._source.format

    @property
    def skipped(self) -> int:
        """Frames left out because their time had passed."""
        return self._skipped

    def read(self) -> Frame:
        """Wait until the next frame is due. Raises what the source raises, after its last frame."""
        asked_ns = self._clock.now_ns()
        frame = self._following
        if isinstance(frame, DeviceError):
            raise frame
        if self._origin_ns is None:
            self._origin_ns = asked_ns - frame.captured_ns
        frame = self._skip_to(frame, asked_ns)
        self._wait_until(frame.captured_ns + self._origin_ns)
        return replace(frame, captured_ns=self._stamp(frame))

    def interrupt(self) -> None:
        """End a wait in progress: `read` raises `DeviceError` from now on."""
        self._interrupted.set()

    def close(self) -> None:
        """Release the recording. Safe to call twice."""
        self.interrupt()
        self._source.close()

    def _skip_to(self, frame: Frame, asked_ns: int) -> Frame:
        """The frame to show at `asked_ns`, with its follower decoded."""
        assert self._origin_ns is not None
        self._following = self._decode()
        passed_ns = asked_ns - self._origin_ns
        while isinstance(self._following, Frame) and self._following.captured_ns <= passed_ns:
            frame = self._following
            self._skipped += 1
            self._following = self._decode()
        return frame

    def _wait_until(self, due_ns: int) -> None:
        while (left_ns := due_ns - self._clock.now_ns()) > 0 and not self._interrupted.is_set():
            self._wait_s(left_ns / 1e9)
        if self._interrupted.is_set():
            raise DeviceError(f"{self.name}: closed")

    def _stamp(self, frame: Frame) -> int:
        """Now. Moves the schedule if this frame is later than a whole period."""
        assert self._origin_ns is not None
        now_ns = self._clock.now_ns()
        if now_ns - (frame.captured_ns + self._origin_ns) > self.format.period_ns:
            self._origin_ns = now_ns - frame.captured_ns
        return now_ns

    def _decode(self) -> Frame | DeviceError:
        """The next frame in recorded time, over all rounds; an end or a failure is kept for its turn."""
        try:
            frame = self._read_on()
        except DeviceError as error:
            return error
        seq, at_ns = frame.seq + self._first_seq, frame.captured_ns + self._first_ns
        self._next_seq, self._next_ns = seq + 1, at_ns + self.format.period_ns
        return replace(frame, seq=seq, captured_ns=at_ns)

    def _read_on(self) -> Frame:
        try:
            return self._source.read()
        except EndOfVideo:
            if self._reopen is None:
                raise
        self._source.close()
        self._source = self._reopen()
        self._first_seq, self._first_ns = self._next_seq, self._next_ns
        return self._source.read()
