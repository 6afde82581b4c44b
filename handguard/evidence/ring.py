"""The last seconds of pictures, each encoded once, and which of them make a clip.

A `Still` is one judged frame: its picture as JPEG and what was decided on it. Inside the
JPEG stands a comment with the frame's number and the time of its capture, so a picture
cut out of any clip still says which record of the book it belongs to.

JPEG, because a ring is written all day and read at a trip: at 1280 × 720 one picture
costs 1.6 ms of one core, half of the fastest H.264, and can be opened without its neighbors.
Ten seconds take some 20 to 50 MB.

The `Cutter` keeps the ring and decides: a trip takes the ring as it is (pre-roll) and
all that follows until `post_s` after the last trip, but no more than `longest_s` in one
clip. Pure: no clock, no file, no thread.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.evidence.notices import TripMark
from handguard.types import Decision

QUALITY = 85
_COMMENT = re.compile(rb"handguard frame=(-?\d+) captured_ns=(\d+)")
_HEAD_BYTES = 256  # the comment stands in the first of these


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """One judged frame. Immutable."""

    turn: int  # of the feed; a gap was never seen here
    decision: Decision
    jpeg: bytes  # (H, W, 3) BGR once decoded; of the whole frame

    @property
    def frame_seq(self) -> int:
        """The frame's number, as in the book."""
        return self.decision.frame_seq

    @property
    def captured_ns(self) -> int:
        """When it was grabbed, monotonic, as in the book."""
        return self.decision.times.captured_ns


def still_of(turn: int, decision: Decision, image: NDArray[np.uint8]) -> Still:
    """Encode one frame, (H, W, 3) BGR. Raises `ValueError` if it has no JPEG."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"no JPEG of a picture {image.shape}")
    note = b"handguard frame=%d captured_ns=%d" % (decision.frame_seq, decision.times.captured_ns)
    return Still(turn, decision, _with_comment(data.tobytes(), note))


def numbered(jpeg: bytes) -> tuple[int, int] | None:
    """`(frame_seq, captured_ns)` from the comment in a picture; None where there is none."""
    found = _COMMENT.search(jpeg[:_HEAD_BYTES])
    return (int(found[1]), int(found[2])) if found else None


def _with_comment(jpeg: bytes, note: bytes) -> bytes:
    """Put a COM segment (ISO 10918-1, B.2.4.5) after SOI and, where there is one, the JFIF header."""
    at = 2
    if jpeg[2:4] == b"\xff\xe0":
        at += 2 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:at] + b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note + jpeg[at:]


@dataclass(frozen=True, slots=True)
class Spans:
    """How much of the time around a trip is kept."""

    pre_s: float = 10.0
    post_s: float = 5.0
    longest_s: float = 60.0
    ring_bytes: int = 512 << 20  # a picture too large for this shortens the pre-roll


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """The pictures of one clip, oldest first, and the trips in it (at least one)."""

    trips: tuple[TripMark, ...]
    stills: tuple[Still, ...]  # may be empty: a trip without any picture
    cut_short: str = ""  # why the post-roll is not whole; empty if it is

    @property
    def name(self) -> str:
        """`trip-0001`."""
        return self.trips[0].name

    @property
    def lost_views(self) -> int:
        """Turns of the feed between the first and the last picture that were not seen here."""
        if not self.stills:
            return 0
        return self.stills[-1].turn - self.stills[0].turn + 1 - len(self.stills)


@dataclass(slots=True)
class _Open:
    begin_ns: int
    until_ns: int
    stills: list[Still]
    trips: list[TripMark] = field(default_factory=list)


class Cutter:
    """Keeps the ring and cuts takes from it. Used by one thread."""

    def __init__(self, spans: Spans, seen_trips: int = 0) -> None:
        """`seen_trips`: how many trips of this run are on disk already."""
        self._spans, self._seen = spans, seen_trips
        self._ring: deque[Still] = deque()
        self._ring_bytes = 0
        self._open: _Open | None = None

    def see(self, still: Still) -> None:
        """Keep one picture; one that is not newer than the last is left out."""
        if self._ring and still.captured_ns <= self._ring[-1].captured_ns:
            return
        self._ring.append(still)
        self._ring_bytes += len(still.jpeg)
        oldest_ns = still.captured_ns - round(self._spans.pre_s * 1e9)
        while self._ring[0].captured_ns < oldest_ns or self._is_too_heavy():
            self._ring_bytes -= len(self._ring.popleft().jpeg)
        if self._open:
            self._open.stills.append(still)

    def _is_too_heavy(self) -> bool:
        return self._ring_bytes > self._spans.ring_bytes and len(self._ring) > 1

    def trip(self, mark: TripMark) -> None:
        """Begin a take with this trip, or add it to the one that is open. A known one changes nothing."""
        if mark.number <= self._seen:
            return
        self._seen = mark.number
        post_ns, longest_ns = round(self._spans.post_s * 1e9), round(self._spans.longest_s * 1e9)
        if self._open is None:
            self._open = _Open(mark.at_ns, 0, list(self._ring))
        self._open.trips.append(mark)
        self._open.until_ns = min(mark.at_ns + post_ns, self._open.begin_ns + longest_ns)

    def cut(self, now_ns: int, why: str = "") -> Take | None:
        """The take that is complete by now, or, with `why`, the one that must end now."""
        current = self._open
        if current is None or (now_ns < current.until_ns and not why):
            return None
        self._open = None
        return Take(tuple(current.trips), tuple(current.stills), why if now_ns < current.until_ns else "")
