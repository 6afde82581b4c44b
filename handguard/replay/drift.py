"""One network computed in two ways: how far may the answers lie apart?

Floating-point sums depend on processor, precision and library, so boxes and scores
drift a little between back ends. What is decided may not: state, output, cause and
zones must be equal in every tick. Drift within stated limits is tolerated and told;
beyond them, or with one decision that differs, the second back end fails.

A hand whose score lies at the threshold may be found by one and not by the other;
how far it lies above the threshold is then its drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from handguard.assembly import card_of
from handguard.config import Settings
from handguard.evidence.decisions import DecisionLine, HandLine

Box = tuple[float, float, float, float]
Pair = tuple[HandLine, HandLine]


@dataclass(frozen=True, slots=True)
class Limits:
    """How far two back ends may lie apart. Raises `ValueError` for what limits nothing."""

    box_px: float = 12.0  # of any side of a box, in pixels of the recording
    score: float = 0.02

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}: expected a finite number from 0 on, found {value:g}")


@dataclass(frozen=True, slots=True)
class Drift:
    """What lies between two back ends over one recording."""

    limits: Limits
    frames: int
    box_px: float  # the largest difference of a box side
    score: float  # the largest difference of a score, or of a lone hand's score from the threshold
    lone_hands: int  # found by one of the two
    other_decisions: int  # frames in which state, output, cause or zones differ
    first_other: int | None  # the first of them

    @property
    def fails(self) -> bool:
        """True if a decision differs, or a number lies outside of its limit."""
        return bool(self.other_decisions) or self.box_px > self.limits.box_px or self.score > self.limits.score

    @property
    def words(self) -> str:
        """One sentence for a person."""
        if self.other_decisions:
            return f"back ends decide otherwise in {self.other_decisions} frames, first in frame {self.first_other}"
        found = (
            f"boxes differ by up to {self.box_px:g} px (tolerated {self.limits.box_px:g}),"
            f" scores by up to {self.score:g} (tolerated {self.limits.score:g})"
        )
        return f"back ends: every decision is equal; {found}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"fails": self.fails, **asdict(self)}


def between(
    a: Settings, b: Settings, a_lines: Sequence[DecisionLine], b_lines: Sequence[DecisionLine], limits: Limits
) -> Drift | None:
    """The drift, where the settings only compute the same network in two ways; else None. Raises `ModelError`."""
    ways = {(each.detector.backend, each.detector.precision) for each in (a, b)}
    if len(ways) < 2 or _without_way(a) != _without_way(b):
        return None
    return drift(a_lines, b_lines, _threshold(a), limits)


def drift(a: Sequence[DecisionLine], b: Sequence[DecisionLine], min_score: float, limits: Limits) -> Drift:
    """Hold two judgments of equally many frames against each other."""
    pairs: list[Pair] = []
    lone: list[HandLine] = []
    for one, other in zip(a, b, strict=True):
        found, left = _paired(one.hands or (), other.hands or ())
        pairs += found
        lone += left
    shifts = [abs(x - y) for one, other in pairs for x, y in zip(one.box_px, other.box_px, strict=True)]
    scores = [abs(one.score - other.score) for one, other in pairs] + [hand.score - min_score for hand in lone]
    differ = [one.frame for one, other in zip(a, b, strict=True) if _decided(one) != _decided(other)]
    worst_px, worst_score = max(shifts, default=0.0), max(scores, default=0.0)
    first = differ[0] if differ else None
    return Drift(limits, len(a), round(worst_px, 2), round(worst_score, 4), len(lone), len(differ), first)


def _threshold(settings: Settings) -> float:
    """The score from which a detection counts."""
    return card_of(settings).counts_from(settings.detector.min_score)


def _without_way(settings: Settings) -> dict[str, Any]:
    values = settings.model_dump(mode="json")
    detector = {name: value for name, value in values["detector"].items() if name not in ("backend", "precision")}
    return {**values, "detector": detector}


def _decided(line: DecisionLine) -> tuple[object, ...]:
    """What must be equal."""
    return line.frame, line.t_ms, line.state, line.output, line.cause, line.zones, line.hands is None


def _paired(one: Sequence[HandLine], other: Sequence[HandLine]) -> tuple[list[Pair], list[HandLine]]:
    """Hands that lie closest together, and those of either side that are left alone."""
    free = list(other)
    pairs: list[Pair] = []
    lone: list[HandLine] = []
    for hand in one:
        near = min(free, key=lambda each: _apart_px(hand.box_px, each.box_px), default=None)
        if near is None or not _touch(hand.box_px, near.box_px):
            lone.append(hand)
            continue
        free.remove(near)
        pairs.append((hand, near))
    return pairs, lone + free


def _apart_px(a: Box, b: Box) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def _touch(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
