"""The time of a recording: it moves when the next frame is taken, and at no other moment.

Judging takes a fixed time here. Frames are as fresh as on a live machine, and two
replays, on a fast computer and on a slow one, see equal times.
"""

from __future__ import annotations

from handguard.errors import RecordingError, mismatch

JUDGING_NS = 10_000_000  # less than the strictest limit on a frame's age (20 ms)


class RecordingClock:
    """`ports.Clock` that stands `judging_ns` after the moment the tick began."""

    def __init__(self, judging_ns: int = JUDGING_NS) -> None:
        self.judging_ns = judging_ns
        self._now_ns = 0

    def begin(self, taken_ns: int) -> None:
        """A tick begins at this time of the recording. Raises `RecordingError` if time goes back."""
        if taken_ns + self.judging_ns < self._now_ns:
            last_ms, found_ms = (self._now_ns - self.judging_ns) / 1e6, taken_ns / 1e6
            raise RecordingError(mismatch("time of a frame", f"{last_ms:g} ms or later", f"{found_ms:g} ms"))
        self._now_ns = taken_ns + self.judging_ns

    def now_ns(self) -> int:
        """When the tick that is going on is judged."""
        return self._now_ns
