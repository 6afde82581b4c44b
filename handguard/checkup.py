"""When the running detector is asked whether it is still itself, and what follows when it is not.

The question takes about as long as judging a frame. It is put right after a permit has
gone out, when the next frame is still on its way: at 30 frames/s a good 20 ms are free
there. A frame that waits already goes first, but not for ever: after `PATIENCE_S` the
question is put all the same, for a machine too slow to be asked is too slow to be
trusted. Whatever it costs, no permit is renewed by it: a check that takes too long
ends in the keeper's deadline like anything else that holds up the loop.

A check that failed once has failed for this run: the fault goes to the interlock with
every tick from then on, and that means OFF and lockout.
"""

from __future__ import annotations

from collections.abc import Callable

from handguard.ports import Clock, SelfCheck

DIFFERS = "detector self-check"  # the fault
PATIENCE_S = 5.0


class Checkup:
    """Asks every `every_s`. One thread, the loop's.

    `on_failure` is told once, in words, how the detector differs; it must return at once.
    """

    def __init__(
        self, check: SelfCheck, every_s: float, clock: Clock, on_failure: Callable[[str], None]
    ) -> None:
        self._check, self._clock, self._on_failure = check, clock, on_failure
        self._every_ns = round(every_s * 1e9)
        self._due_ns = clock.now_ns() + self._every_ns
        self.faults: frozenset[str] = frozenset()
        self.asked = 0
        self.longest_ms = 0.0

    def look(self, frame_waits: bool) -> bool:
        """Ask if it is time; True if the detector failed just now, so that OFF must be said at once."""
        now_ns = self._clock.now_ns()
        due_ns = self._due_ns + (round(PATIENCE_S * 1e9) if frame_waits else 0)
        if self.faults or now_ns < due_ns:
            return False
        failure = self._check.failure()
        ended_ns = self._clock.now_ns()
        self.asked += 1
        self.longest_ms = max(self.longest_ms, (ended_ns - now_ns) / 1e6)
        self._due_ns = ended_ns + self._every_ns
        if failure is None:
            return False
        self.faults = frozenset({DIFFERS})
        self._on_failure(failure)
        return True
