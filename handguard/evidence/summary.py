"""One run or replay in one small file: how many frames, warnings and trips, and how fast.

`summary.json` holds

    frames, judged, dropped   delivered by the source; given a verdict; never looked at
    warnings                  how often a hand entered a warning zone
    trips                     [{frame, time, cause, zone, response_ms}]; time is the frame's
                              capture, in s since the first frame's; zone null when no hand did it
    response_ms               {count, p50, p99, p999, max}: from the capture of the frame that saw the
                              hand to OFF on the wire, of trips that a hand caused
    judged_ms                 the same numbers for capture → verdict, of every judged frame
    states_visited            by name, in the order of the first visit

Percentiles are nearest-rank: p99 is the smallest measured value that at least
99 % of the values do not exceed. No value is ever made up between two; of
nothing, every percentile is null.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from handguard.atomic import write_atomically
from handguard.errors import RecordingError, mismatch
from handguard.types import Decision, KeeperReport, Output, Permit, StateChanged, Tripped, WarningRaised

_PERCENTS = {"p50": 50.0, "p99": 99.0, "p999": 99.9, "max": 100.0}


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Nearest rank of values in rising order; `percent` in (0, 100]; None if there are no values."""
    return ordered[_rank(len(ordered), percent) - 1] if ordered else None


def _rank(count: int, percent: float) -> int:
    """From 1; rounded: 99.9 % of 1000 is 999, not 1000."""
    return max(1, math.ceil(round(count * percent / 100, 9)))


def percentiles(values: Sequence[float]) -> dict[str, float | int | None]:
    """`{count, p50, p99, p999, max}` of values in any order, to three decimals."""
    return percentiles_of_counts(Counter(round(value, 3) for value in values))


def percentiles_of_counts(counts: Mapping[float, int]) -> dict[str, float | int | None]:
    """The same, of how often each value was found."""
    ordered = sorted(counts)
    up_to = list(accumulate(counts[value] for value in ordered))
    count = up_to[-1] if up_to else 0
    ranks = {name: _rank(count, share) for name, share in _PERCENTS.items()}
    found = {name: ordered[bisect_left(up_to, rank)] if count else None for name, rank in ranks.items()}
    return {"count": count} | found


@dataclass(slots=True)
class _Trip:
    event: Tripped
    captured_ns: int
    permit_seq: int | None
    response_ms: float | None = None


class Summary:
    """Adds up decisions; the same for a live run and a replay.

    Synchronization: used by one thread.
    """

    def __init__(self) -> None:
        self._first_captured_ns: int | None = None
        self._last_frame = -1
        self._frames_seen = self._judged = self._warnings = 0
        self._source: tuple[int, int] | None = None
        self._trips: list[_Trip] = []
        self._judged_ms: Counter[float] = Counter()  # to a microsecond: a list would grow by 80 MB a day
        self._states: dict[str, None] = {}  # an ordered set

    def add(
        self, decision: Decision, permit: Permit | None = None, report: KeeperReport | None = None
    ) -> None:
        """Count one tick, in order. Without permit and report no response time is known."""
        self._count_frame(decision)
        for event in decision.events:
            self._warnings += isinstance(event, WarningRaised)
            if isinstance(event, StateChanged):
                self._states.setdefault(event.before.name)
            if isinstance(event, Tripped):
                permit_seq = None if permit is None else permit.seq
                self._trips.append(_Trip(event, decision.times.captured_ns, permit_seq))
        self._states.setdefault(decision.state.name)
        if report is not None:
            self.heard(report)

    def heard(self, report: KeeperReport) -> None:
        """Take the keeper's word for when the newest trip reached the wire; the first word counts."""
        trip = self._trips[-1] if self._trips else None
        if trip is None or trip.permit_seq is None or trip.response_ms is not None:
            return
        answered = report.output is Output.OFF and report.permit_seq >= trip.permit_seq
        if answered and report.written_ns >= trip.captured_ns:
            trip.response_ms = round((report.written_ns - trip.captured_ns) / 1e6, 3)

    def count_source(self, frames: int, dropped: int) -> None:
        """Use the source's own counts, where it has them, instead of the gaps in the numbers."""
        self._source = (frames, dropped)

    def count_dropped(self, dropped: int) -> None:
        """Use the mailbox's count of frames that came but were never judged."""
        self.count_source(self._frames_seen + dropped, dropped)

    @property
    def tripped_frames_ns(self) -> list[int]:
        """Capture time of every frame in which a hand tripped the machine."""
        return [trip.captured_ns for trip in self._trips if trip.event.zone]

    def to_json(self) -> dict[str, Any]:
        """The whole summary as plain values."""
        frames, dropped = self._source or (self._last_frame + 1, self._last_frame + 1 - self._frames_seen)
        by_hand = [
            trip.response_ms for trip in self._trips if trip.event.zone and trip.response_ms is not None
        ]
        return {
            "frames": frames,
            "judged": self._judged,
            "dropped": dropped,
            "warnings": self._warnings,
            "trips": [self._trip_json(trip) for trip in self._trips],
            "response_ms": percentiles(by_hand),
            "judged_ms": percentiles_of_counts(self._judged_ms),
            "states_visited": list(self._states),
        }

    def write(self, path: Path, **more: Any) -> None:
        """Save as JSON, whole or not at all, with `more` keys after ours. Raises `RecordingError`."""
        text = json.dumps({**self.to_json(), **more}, indent=2, allow_nan=False) + "\n"
        try:
            write_atomically(path, text.encode())
        except OSError as error:
            raise RecordingError(mismatch(str(path), "a place to write the summary", error)) from error

    def _count_frame(self, decision: Decision) -> None:
        times = decision.times
        if decision.frame_seq < 0:
            return
        if self._first_captured_ns is None:
            self._first_captured_ns = times.captured_ns
        is_new = decision.frame_seq > self._last_frame
        self._frames_seen += is_new
        self._last_frame = max(self._last_frame, decision.frame_seq)
        if is_new and decision.detections is not None:
            self._judged += 1
            self._judged_ms[round((times.judged_ns - times.captured_ns) / 1e6, 3)] += 1

    def _trip_json(self, trip: _Trip) -> dict[str, Any]:
        seen_ns = trip.captured_ns if trip.event.frame_seq >= 0 else trip.event.at_ns
        origin_ns = seen_ns if self._first_captured_ns is None else self._first_captured_ns
        return {
            "frame": trip.event.frame_seq,
            "time": round((seen_ns - origin_ns) / 1e9, 3),
            "cause": trip.event.cause,
            "zone": trip.event.zone,
            "response_ms": trip.response_ms,
        }
