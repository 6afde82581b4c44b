"""What if: the same recording judged twice, and what the second judgment would have cost or saved.

A is what runs now, B what somebody would like to run. Each trip of A is looked up in B:

    same      B trips on the same frame
    earlier   B had tripped already, is still off, and sees the hand too: a cost
    held      B had not been started again since an earlier stop, and sees the hand too: a cost
    later     B keeps the machine running past A's trip, or sees the hand later: FAILS
    lost      B never stops it, or is off by chance and never sees the hand: FAILS

A hand is only answered by a hand: being off for another reason is luck, not
protection, and so is a false alarm that happens to last. B sees the hand of a trip if it
tells of one from that frame on, before A starts again. The lines tell that a hand is
there, not whose it is. So a hand that B told of only before the trip does not count, and
one that it tells of only after it counts as later, unless B saw one before the trip and
has not called the field free since. Whoever is blind or locked out tells of no hand.

Trips of B that answer none of A's are extra: a cost, because people switch off what
cries wolf. B that never lets the machine run protects nothing worth protecting: where A
ran, that fails as vacuous.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any

from handguard.errors import RecordingError, mismatch
from handguard.evidence.decisions import DecisionLine
from handguard.types import Output

_HAND, _FREE = "intruded", "free"


class Fate(Enum):
    """What became of a trip of A in B."""

    SAME = "same"
    EARLIER = "earlier"
    HELD = "held"
    LATER = "later"
    LOST = "lost"

    @property
    def fails(self) -> bool:
        """True where B protects less than A."""
        return self in (Fate.LATER, Fate.LOST)


@dataclass(frozen=True, slots=True)
class Trip:
    """The output left ON in this line."""

    index: int  # of the line, from 0
    frame: int
    t_ms: float
    cause: str

    @property
    def by_hand(self) -> bool:
        """False for blindness and faults."""
        return self.cause.startswith(_HAND)


@dataclass(frozen=True, slots=True)
class Answered:
    """One trip of A and what B made of it."""

    trip: Trip
    fate: Fate
    frame: int | None  # on which B answered; None: never
    late_ms: float  # after A; negative where B was earlier, 0 where it never answered


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both judgments of one recording, held against each other."""

    frames: int
    trips: tuple[Answered, ...]  # every trip of A, in order
    extra: tuple[Trip, ...]  # of B alone
    b_trips: int  # all of B, those that answer one of A and the extra ones
    ran_ms: tuple[float, float]  # how long the machine could run under A, and under B
    box_shift_px: float | None  # the largest, where both found equally many hands in a frame; None: no such frame
    frames_with_other_hands: int  # where they did not

    @property
    def vacuous(self) -> bool:
        """True if B never lets the machine run although A does."""
        return self.ran_ms[0] > 0 and self.ran_ms[1] == 0

    @property
    def fails(self) -> bool:
        """True where B protects less than A, or proves nothing."""
        return self.vacuous or any(each.fate.fails for each in self.trips)

    @property
    def counts(self) -> dict[str, int]:
        """How many trips of each fate, and how many extra."""
        found = Counter(each.fate for each in self.trips)
        return {fate.value: found[fate] for fate in Fate} | {"extra": len(self.extra)}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "fails": self.fails,
            "vacuous": self.vacuous,
            "frames": self.frames,
            "counts": self.counts,
            "ran_ms": list(self.ran_ms),
            "box_shift_px": self.box_shift_px,
            "frames_with_other_hands": self.frames_with_other_hands,
            "trips": [
                {"frame": each.trip.frame, "t_ms": each.trip.t_ms, "cause": each.trip.cause}
                | {"fate": each.fate.value, "b_frame": each.frame, "late_ms": each.late_ms}
                for each in self.trips
            ],
            "extra": [{"frame": trip.frame, "t_ms": trip.t_ms, "cause": trip.cause} for trip in self.extra],
        }


def compare(a: Sequence[DecisionLine], b: Sequence[DecisionLine]) -> Comparison:
    """Hold two judgments of the same frames against each other.

    Raises `RecordingError` if they are not of the same frames.
    """
    _require_same_frames(a, b)
    a_trips, b_trips = trips_of(a), trips_of(b)
    answered = [_answered(trip, a, b) for trip in a_trips]
    used = {answer_at for _, answer_at in answered}
    return Comparison(
        frames=len(a),
        trips=tuple(found for found, _ in answered),
        extra=tuple(trip for trip in b_trips if trip.index not in used),
        b_trips=len(b_trips),
        ran_ms=(ran_ms(a), ran_ms(b)),
        box_shift_px=_box_shift_px(a, b),
        frames_with_other_hands=sum(_hand_count(one) != _hand_count(other) for one, other in zip(a, b, strict=True)),
    )


def trips_of(lines: Sequence[DecisionLine]) -> list[Trip]:
    """Every line in which the output left ON."""
    return [
        Trip(index, line.frame, line.t_ms, line.cause)
        for index, (before, line) in enumerate(pairwise(lines), start=1)
        if before.output is Output.ON and line.output is Output.OFF
    ]


def ran_ms(lines: Sequence[DecisionLine]) -> float:
    """How long the output was ON, from each line to the next."""
    total_ms = sum(line.t_ms - before.t_ms for before, line in pairwise(lines) if before.output is Output.ON)
    return round(total_ms, 3)


def _answered(trip: Trip, a: Sequence[DecisionLine], b: Sequence[DecisionLine]) -> tuple[Answered, int]:
    """The fate of one trip, and the index of B's trip that answers it (-1: none)."""
    at = trip.index
    began, end = _stretch_start(a, at - 1), _next(a, at, Output.ON)  # A's run before the trip; its next one
    stopped_at = _stretch_start(b, at) if b[at].output is Output.OFF else _next(b, at, Output.OFF)
    seen_at = _seen(b, max(stopped_at, began), at, end) if trip.by_hand else stopped_at
    if seen_at is None or stopped_at >= end:
        return Answered(trip, Fate.LOST, None, 0.0), -1
    fate = _fate(at, began, stopped_at, seen_at)
    answered_at = stopped_at if fate is Fate.EARLIER else seen_at
    answers = max(began, 1) <= stopped_at and not stopped_at < at < seen_at  # else it stopped for something else
    late_ms = round(b[answered_at].t_ms - trip.t_ms, 3)
    return Answered(trip, fate, b[answered_at].frame, late_ms), stopped_at if answers else -1


def _fate(at: int, began: int, stopped_at: int, seen_at: int) -> Fate:
    if max(seen_at, stopped_at) > at:
        return Fate.LATER
    if stopped_at == at:
        return Fate.SAME
    return Fate.EARLIER if stopped_at >= max(began, 1) else Fate.HELD


def _seen(lines: Sequence[DecisionLine], start: int, at: int, end: int) -> int | None:
    """From which line of a stretch on the hand in a stop zone is seen that is there at `at`; None: never.

    One that is told of before `at` is the same one, unless the field was called free in between.
    """
    found = next((i for i in range(max(start, at), end) if _tells_of_hand(lines[i])), None)
    if found is None:
        return None
    for i in range(found - 1, start - 1, -1):
        if lines[i].output is Output.ON or lines[i].cause.startswith(_FREE):
            break
        found = i if _tells_of_hand(lines[i]) else found
    return found


def _tells_of_hand(line: DecisionLine) -> bool:
    return line.cause.startswith(_HAND)


def _next(lines: Sequence[DecisionLine], start: int, output: Output) -> int:
    """The first line from `start` on with this output; one past the last if there is none."""
    return next((i for i in range(start, len(lines)) if lines[i].output is output), len(lines))


def _stretch_start(lines: Sequence[DecisionLine], index: int) -> int:
    """Where the stretch of equal output that holds this line begins."""
    while index > 0 and lines[index - 1].output is lines[index].output:
        index -= 1
    return index


def _hand_count(line: DecisionLine) -> int:
    return -1 if line.hands is None else len(line.hands)


def _box_shift_px(a: Sequence[DecisionLine], b: Sequence[DecisionLine]) -> float | None:
    """The largest difference of a box side, hands in the order of their place in the picture."""
    shifts = [
        abs(x - y)
        for one, other in zip(a, b, strict=True)
        if one.hands and other.hands and len(one.hands) == len(other.hands)
        for box, shifted in zip(_boxes(one), _boxes(other), strict=True)
        for x, y in zip(box, shifted, strict=True)
    ]
    return round(max(shifts), 2) if shifts else None


def _boxes(line: DecisionLine) -> list[tuple[float, float, float, float]]:
    return sorted(hand.box_px for hand in line.hands or ())


def _require_same_frames(a: Sequence[DecisionLine], b: Sequence[DecisionLine]) -> None:
    if len(a) != len(b):
        raise RecordingError(mismatch("comparison", f"{len(a)} frames in both", f"{len(b)} in the second"))
    for one, other in zip(a, b, strict=True):
        if (one.frame, one.t_ms) != (other.frame, other.t_ms):
            expected = f"frame {one.frame} at {one.t_ms:g} ms"
            raise RecordingError(mismatch("comparison", expected, f"frame {other.frame} at {other.t_ms:g} ms"))
