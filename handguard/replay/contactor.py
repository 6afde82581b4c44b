"""The machine of a recording: a contactor that obeys.

A video does not show the contactor, and the feedback check must run all the same.
So this one follows every command after the time a small contactor needs.
"""

from __future__ import annotations

from handguard.types import Output

FOLLOWS_AFTER_NS = 20_000_000  # data sheets of small contactors: 10 to 25 ms


class ObedientContactor:
    """Open at first; takes the commanded position a fixed time after the command changed."""

    def __init__(self, follows_after_ns: int = FOLLOWS_AFTER_NS) -> None:
        self._follows_after_ns = follows_after_ns
        self._commanded = Output.OFF
        self._changed_at_ns = -follows_after_ns

    def command(self, output: Output, now_ns: int) -> None:
        """Hear what the relay is told now."""
        if output is not self._commanded:
            self._commanded, self._changed_at_ns = output, now_ns

    def is_open(self, now_ns: int) -> bool:
        """The feedback: True once the contact has dropped."""
        has_followed = now_ns - self._changed_at_ns >= self._follows_after_ns
        return (self._commanded is Output.OFF) == has_followed
