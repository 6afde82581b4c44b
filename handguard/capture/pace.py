"""When the packets of a stream came, for a reader that does not always wait for them.

A reader that was held up finds packets waiting in the socket, and stamping those
on arrival would make old pictures look fresh. So only a packet that had to be
waited for is stamped with the time it came. One that was waiting already is
stamped one period after the frame before it: under a backlog stamps fall behind
the clock, the frames are seen to be old, and the machine stops.

Fetching a packet that lies ready may take milliseconds too, where other programs
want the core. So a wait of a quarter of a period counts (8 ms at most, for the stated period
may be too long), and while packets must lie there, one for each period in which nobody
asked, only a wait of a whole one.

The period is measured and not taken from what the stream states: MJPEG over HTTP always
states 25 frames a second, and at 30 a backlog would grow unseen. The moment at which a
packet came is known only of those that were waited for; between two of them lie so many
packets in so much time, however many came unseen meanwhile. Of means over a second each
the shortest counts, because a period taken too long would let a backlog pass for fresh.
A packet that the network held up makes one mean longer and the next one shorter by as
much, so of two in a row the longer is taken. Until the period is known, and where nobody
told it either, a waiting packet is as old as the one before.
"""

from __future__ import annotations

WINDOW_NS = 1_000_000_000
FETCH_NS = 2_000_000  # of a packet that lies ready, at most, where the core is free
SURELY_WAITED_NS = 8_000_000


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


class Stamps:
    """The time of each packet. Pure; one thread."""

    def __init__(self, opening_ns: int, opened_ns: int, stated_fps: float, told_fps: float | None = None) -> None:
        """`opening_ns`, `opened_ns`: before the stream was opened, and after; `told_fps` is a person's word."""
        self._stamped_ns, self._fetched_ns = opening_ns, opened_ns
        self._stated_ns = round(1e9 / stated_fps)
        self._told_ns = round(1e9 / told_fps) if told_fps else None
        self._pace, self._fetched = Pace(), 0
        self._waiting = 0  # packets that came while nobody asked

    @property
    def period_ns(self) -> int | None:
        """Measured, or else told by a person; None while neither is known."""
        return self._pace.period_ns or self._told_ns

    def of(self, asked_ns: int, now_ns: int) -> int:
        """When the packet came that was asked for at `asked_ns` and is here now. Times rise."""
        known_ns = self.period_ns
        period_ns = min(self._stated_ns, known_ns or self._stated_ns)
        self._waiting += (asked_ns - self._fetched_ns) // period_ns
        enough_ns = period_ns if self._waiting else min(period_ns // 4, SURELY_WAITED_NS)
        waited = now_ns - asked_ns >= max(enough_ns, FETCH_NS)
        self._waiting = 0 if waited else max(0, self._waiting - 1)
        self._stamped_ns = now_ns if waited else min(now_ns, self._stamped_ns + (known_ns or 1))
        self._fetched_ns, self._fetched = now_ns, self._fetched + 1
        if waited:
            self._pace.came(now_ns, self._fetched)
        return self._stamped_ns
