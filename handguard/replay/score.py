"""What one recording, and what all of them together, say about the monitor.

Per recording: trips, warnings, and, where the truth is known, which approaches were
missed, how long each stop took after a hand came into the picture, and how often
the machine stopped where nobody reached. Together: a miss rate and a nuisance rate,
each with the interval that so few or so many cases allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from handguard.evidence.decisions import DecisionLine
from handguard.evidence.summary import percentiles
from handguard.replay.approaches import MARGIN_FRAMES, Approach, Report, judge_approaches
from handguard.replay.compare import ran_ms, trips_of
from handguard.replay.expects import MEASURES, Expectation, Wanted
from handguard.replay.interval import rate_95, share_95

MS_PER_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class Score:
    """One recording, counted. What needs a truth is None without one."""

    frames: int
    judged: int
    hands: int  # frames with a hand in them
    trips: int
    warnings: int
    lasted_ms: float
    ran_ms: float  # with the output ON
    approaches: int | None
    missed: int | None
    latencies_ms: tuple[float, ...]  # from a hand in the picture to the stop, of each approach not missed
    nuisance: int | None  # stops where nobody reaches; neighboring frames count once
    free_ms: float  # where nobody reaches; 0 without a truth
    expected: int  # how many expectations there are
    unmet: tuple[str, ...] = ()  # those that do not hold, with what was found

    @property
    def vacuous(self) -> str | None:
        """Why this recording proves nothing; None if it does prove something."""
        if not (self.expected or self.approaches or self.trips):
            return "no approach in it, no trip, and nothing was expected of it"
        if self.judged == 0:
            return "no frame was judged"
        if self.ran_ms == 0 and self.hands == 0:
            return "the machine never ran, and no hand was the reason"
        return None

    @property
    def failures(self) -> tuple[str, ...]:
        """Everything that makes the audit fail, in words; empty when all is well."""
        found = [f"expected {each}" for each in self.unmet]
        if self.missed:
            found.append(f"{self.missed} of {self.approaches} approaches missed")
        if self.vacuous:
            found.append(f"vacuous: {self.vacuous}")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "vacuous": self.vacuous, "failures": list(self.failures)}


@dataclass(frozen=True, slots=True)
class Totals:
    """Every scored recording together."""

    recordings: int
    lasted_ms: float
    trips: int
    approaches: int
    missed: int
    latencies_ms: tuple[float, ...]
    nuisance: int
    free_ms: float

    def to_json(self) -> dict[str, Any]:
        """Counts, rates and their intervals; a rate of nothing is null."""
        free_h = self.free_ms / MS_PER_HOUR
        nuisance_95 = [round(end, 4) for end in rate_95(self.nuisance, free_h)] if free_h else None
        return {
            "recordings": self.recordings,
            "lasted_s": round(self.lasted_ms / 1000, 3),
            "trips": self.trips,
            "approaches": self.approaches,
            "missed": self.missed,
            "miss_rate": self.missed / self.approaches if self.approaches else None,
            "miss_rate_95": [round(end, 6) for end in share_95(self.missed, self.approaches)],
            "latency_ms": percentiles(self.latencies_ms),
            "nuisance": self.nuisance,
            "free_h": round(free_h, 6),
            "nuisance_per_h": self.nuisance / free_h if free_h else None,
            "nuisance_per_h_95": nuisance_95,
            "intervals": "exact 95 %: Clopper-Pearson for the miss rate, Garwood for the nuisance rate",
        }


def score(
    lines: Sequence[DecisionLine], approaches: Sequence[Approach] | None, wanted: Wanted, warnings: int
) -> Score:
    """Count one recording. `approaches` is None where the truth is not known, empty where nobody reaches."""
    report = None if approaches is None else judge_approaches(approaches, lines)
    counted = Score(
        frames=len(lines),
        judged=sum(line.hands is not None for line in lines),
        hands=sum(bool(line.hands) for line in lines),
        trips=len(trips_of(lines)),
        warnings=warnings,
        lasted_ms=_lasted_ms(lines),
        ran_ms=ran_ms(lines),
        approaches=None if report is None else len(report.answers),
        missed=None if report is None else len(report.missed),
        latencies_ms=() if report is None else tuple(_latencies_ms(report, lines)),
        nuisance=None if report is None else episodes(report.nuisance_frames),
        free_ms=0.0 if approaches is None else _free_ms(lines, approaches),
        expected=len(wanted.expects),
    )
    return _held_to(counted, wanted.expects)


def together(scores: Iterable[Score]) -> Totals:
    """Add up recordings."""
    found = list(scores)
    return Totals(
        recordings=len(found),
        lasted_ms=sum(each.lasted_ms for each in found),
        trips=sum(each.trips for each in found),
        approaches=sum(each.approaches or 0 for each in found),
        missed=sum(each.missed or 0 for each in found),
        latencies_ms=tuple(sorted(ms for each in found for ms in each.latencies_ms)),
        nuisance=sum(each.nuisance or 0 for each in found),
        free_ms=sum(each.free_ms for each in found),
    )


def episodes(frames: Sequence[int]) -> int:
    """How many runs of frames, those closer than the margin taken together."""
    return sum(1 for i, frame in enumerate(frames) if i == 0 or frame - frames[i - 1] > MARGIN_FRAMES)


def _held_to(counted: Score, expects: Sequence[Expectation]) -> Score:
    values = {name: getattr(counted, name) for name in MEASURES}
    unmet = (f"{each}, found {_told(values[each.measure])}" for each in expects if not each.met_by(values))
    return replace(counted, unmet=tuple(unmet))


def _told(value: int | None) -> str:
    return "no truth to tell" if value is None else str(value)


def _latencies_ms(report: Report, lines: Sequence[DecisionLine]) -> Iterable[float]:
    at_ms = {line.frame: line.t_ms for line in lines}
    for answer in report.answers:
        entered = at_ms.get(answer.approach.first_frame)
        if answer.stopped_frame is not None and entered is not None:
            yield round(at_ms[answer.stopped_frame] - entered, 3)


def _lasted_ms(lines: Sequence[DecisionLine]) -> float:
    return round(lines[-1].t_ms - lines[0].t_ms, 3) if lines else 0.0


def _free_ms(lines: Sequence[DecisionLine], approaches: Sequence[Approach]) -> float:
    free = (
        line.t_ms - before.t_ms
        for before, line in pairwise(lines)
        if not any(approach.holds(line.frame, MARGIN_FRAMES) for approach in approaches)
    )
    return round(sum(free), 3)
