"""A simulated operator: presses reset once the machine has asked for it long enough.

A recording has no button in it, and a demo has nobody to press one. Both use this
operator, which lives by the clock it is told and nothing else, so that equal runs
press at equal times. It looks at the state as a person looks at the lamp, presses
briefly, lets go, and tries again if nothing came of it. When the lamp goes out
under its finger (a hand came back) it lets go at once.

No person looks at the machine here: never on a real one.
"""

from __future__ import annotations

from handguard.types import Button, State

HELD_NS = 300_000_000  # a person's short press; the interlock accepts 0.1 to 3 s


class SimulatedOperator:
    """`ports.ResetInput` that presses `after_free_s` after the state became AWAIT_RESET.

    Synchronization: one thread looks and asks.
    """

    def __init__(self, after_free_s: float) -> None:
        self.after_free_s = after_free_s
        self._waiting_since_ns: int | None = None
        self._pressed_at_ns: int | None = None

    def look(self, state: State, now_ns: int) -> None:
        """See the state at a time that never goes back; presses or lets go accordingly."""
        if state is not State.AWAIT_RESET:
            self._waiting_since_ns = self._pressed_at_ns = None
        elif self._waiting_since_ns is None:
            self._waiting_since_ns = now_ns
        elif self._pressed_at_ns is None:
            if now_ns - self._waiting_since_ns >= self.after_free_s * 1e9:
                self._pressed_at_ns = now_ns
        elif now_ns - self._pressed_at_ns >= HELD_NS:
            self._waiting_since_ns, self._pressed_at_ns = now_ns, None

    def read(self) -> Button:
        """Down while it presses."""
        return Button(self._pressed_at_ns is not None)
