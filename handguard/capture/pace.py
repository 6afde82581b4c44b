"""How long a stream's pictures are apart, measured: what a stream states of itself need not be so.

The moment at which a packet came is known only of those that were waited for; between
two of them lie so many packets in so much time, however many came unseen meanwhile. Of
means over a second each the shortest counts, because a period taken too long would let a
growing backlog pass for fresh. A packet that the network held up makes one mean longer
and the next one shorter by as much, so of two in a row the longer is taken.
"""

from __future__ import annotations

WINDOW_NS = 1_000_000_000


class Pace:
    """The shortest period seen so far. Pure; one thread."""

    def __init__(self) -> None:
        self._begin: tuple[int, int] | None = None  # when a packet that was waited for came, and its number
        self._mean_ns: int | None = None  # of the window before
        self._shortest_ns: int | None = None

    @property
    def period_ns(self) -> int | None:
        """None until two windows were measured."""
        return self._shortest_ns

    def came(self, at_ns: int, number: int) -> None:
        """A packet that was waited for came; packets are numbered in order, waited for or not."""
        if self._begin is None:
            self._begin = at_ns, number
        began_ns, first = self._begin
        if at_ns - began_ns >= WINDOW_NS:
            self._measure((at_ns - began_ns) // (number - first))
            self._begin = at_ns, number

    def _measure(self, mean_ns: int) -> None:
        if self._mean_ns is not None:
            longer_ns = max(mean_ns, self._mean_ns)
            self._shortest_ns = longer_ns if self._shortest_ns is None else min(self._shortest_ns, longer_ns)
        self._mean_ns = mean_ns
