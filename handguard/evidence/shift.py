"""A shift or a day on one page: warnings, trips by cause, nuisance, response times, what failed.

Counts are of what the books say between two moments of wall time. A rate per hour is
over the hours that were watched in that time, not over the hours on the clock. Trips
that a hand caused have a response time, capture → OFF on the wire; other trips are
counted by their cause. Percentiles are nearest-rank, of measured values only.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from handguard.evidence.moments import moment_of, utc_text
from handguard.evidence.questions import FoundEvent, Query, damages, find_events
from handguard.evidence.summary import percentiles

COLUMNS = ("what", "of", "value")


@dataclass(frozen=True, slots=True)
class Period:
    """From one moment to another, the end excluded; both with their zone."""

    title: str
    begin: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.begin.tzinfo is None or self.end.tzinfo is None or self.begin >= self.end:
            raise ValueError(f"a period needs zones and a begin before its end, got {self.begin}, {self.end}")

    @property
    def bounds_utc(self) -> tuple[str, str]:
        """As the book writes times."""
        return utc_text(self.begin), utc_text(self.end)


@dataclass(frozen=True, slots=True)
class ShiftReport:
    """The page, as values."""

    title: str
    begin_utc: str
    end_utc: str
    runs: int
    runs_without_end: int  # crashed, cut, or still running
    watched_hours: float
    warnings: int
    warnings_by_zone: dict[str, int]
    trips: int
    trips_by_cause: dict[str, int]
    trips_by_zone: dict[str, int]
    nuisance: int
    genuine: int
    unmarked: int
    nuisance_per_hour: float | None  # None: nothing was watched
    response_ms: dict[str, float | int | None]
    without_response: int  # trips by a hand for which no keeper's answer is in the book
    faults: dict[str, int]
    cautions: dict[str, int]  # what people were told at the starts
    operator: dict[str, int]
    lost_records: int
    damages: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def rows(self) -> list[dict[str, Any]]:
        """One number a row, under `COLUMNS`, for programs that calculate; what does not exist is left empty."""
        rows: list[dict[str, Any]] = []
        for name, value in self.to_json().items():
            parts: dict[Any, Any] = value if isinstance(value, dict) else {"": value}
            parts = dict(enumerate(value, 1)) if isinstance(value, tuple) else parts
            rows += [{"what": name.replace("_", " "), "of": str(of), "value": one} for of, one in parts.items()]
        return rows

    def lines(self) -> list[tuple[str, str]]:
        """Label and words, for a page."""
        response = self.response_ms
        per_hour = "" if self.nuisance_per_hour is None else f", {self.nuisance_per_hour:.2f} per hour"
        return [
            ("from", self.begin_utc),
            ("to", self.end_utc),
            ("runs", f"{self.runs}, without an end {self.runs_without_end}"),
            ("watched", f"{self.watched_hours:.2f} h"),
            ("warnings", f"{self.warnings}{_told(self.warnings_by_zone)}"),
            ("trips", f"{self.trips}{_told(self.trips_by_cause)}"),
            ("  by zone", _told(self.trips_by_zone).strip(" ()") or "none"),
            ("  marked", f"nuisance {self.nuisance}{per_hour}; genuine {self.genuine}; unmarked {self.unmarked}"),
            ("response", f"{_ms(response)}; trips by hand without an answer {self.without_response}"),
            ("faults", _told(self.faults).strip(" ()") or "none"),
            ("cautions", _told(self.cautions).strip(" ()") or "none"),
            ("operator", _told(self.operator).strip(" ()") or "none"),
            ("lost records", str(self.lost_records)),
            *(("DAMAGED", words) for words in self.damages),
        ]


def shift_report(base: sqlite3.Connection, folder: Path, period: Period) -> ShiftReport:
    """Count one period. `base` is the open index of the folder."""
    begin_utc, end_utc = period.bounds_utc
    events = find_events(base, folder, Query(since_utc=begin_utc, until_utc=end_utc))
    runs = _runs(base, begin_utc, end_utc)
    hours = sum(_watched_hours(run, period) for run in runs)
    trips = [event for event in events if event.kind == "trip"]
    warnings = [event for event in events if event.kind == "warning"]
    by_hand = [trip for trip in trips if trip.zone]
    times_ms = [trip.response_ms for trip in by_hand if trip.response_ms is not None]
    verdicts = Counter(trip.verdict for trip in trips)
    return ShiftReport(
        title=period.title,
        begin_utc=begin_utc,
        end_utc=end_utc,
        runs=len(runs),
        runs_without_end=sum(not run["closed"] for run in runs),
        watched_hours=hours,
        warnings=len(warnings),
        warnings_by_zone=_counted(warning.zone for warning in warnings),
        trips=len(trips),
        trips_by_cause=_counted(trip.cause for trip in trips),
        trips_by_zone=_counted(trip.zone for trip in by_hand),
        nuisance=verdicts["nuisance"],
        genuine=verdicts["genuine"],
        unmarked=len(trips) - verdicts["nuisance"] - verdicts["genuine"],
        nuisance_per_hour=verdicts["nuisance"] / hours if hours else None,
        response_ms=percentiles(times_ms),
        without_response=len(by_hand) - len(times_ms),
        faults=_counted(_first_word(event) for event in events if event.kind == "fault"),
        cautions=_counted(event.what for event in events if event.kind == "caution"),
        operator=_counted(_first_word(event) for event in events if event.kind == "operator"),
        lost_records=sum(run["lost"] for run in runs),
        damages=tuple(damages(base)),
    )


def _runs(base: sqlite3.Connection, begin_utc: str, end_utc: str) -> Sequence[sqlite3.Row]:
    """Runs that were going on in the period."""
    asked = "SELECT * FROM runs WHERE began_utc < ? AND last_utc >= ? ORDER BY began_utc"
    return base.execute(asked, (end_utc, begin_utc)).fetchall()


def _watched_hours(run: sqlite3.Row, period: Period) -> float:
    begin = max(moment_of(run["began_utc"]), period.begin)
    end = min(moment_of(run["last_utc"]), period.end)
    return max(0.0, (end - begin).total_seconds() / 3600)


def _counted(names: Iterable[str | None]) -> dict[str, int]:
    """How often each, the most frequent first."""
    return dict(Counter(name or "unnamed" for name in names).most_common())


def _first_word(event: FoundEvent) -> str:
    return event.what.partition(" ")[0]


def _told(counts: dict[str, int]) -> str:
    return f" ({', '.join(f'{name} {count}' for name, count in counts.items())})" if counts else ""


def _ms(response: dict[str, float | int | None]) -> str:
    if not response["count"]:
        return "no trip by hand was answered"
    return ", ".join(f"{name} {response[name]:.1f} ms" for name in ("p50", "p99", "max"))
