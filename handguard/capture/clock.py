"""The live clock. Replay needs none of its own: it reads the time from the recording."""

from __future__ import annotations

import time


class MonotonicClock:
    """`ports.Clock` on the computer's monotonic clock.

    On Linux this is CLOCK_MONOTONIC: the same for every process on the machine
    and for the time V4L2 drivers put on their frames. Any thread may ask.
    """

    def now_ns(self) -> int:
        """Nanoseconds since boot or thereabouts; never goes back."""
        return time.monotonic_ns()
