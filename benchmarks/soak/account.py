"""What a soak amounts to: the monitor's own records held against the contacts, and numbers over time.

Two questions are asked of the records, which are testimony of the accused: did the
contacts open soon after every tick that said OFF (if not: a wrong state), and where
a hand was seen late, had the network seen it (then it is a wrong state too) or not
(then it is the network's miss, counted apart).
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.soak.observer import DEAD_LIMIT_NS, Observer, Wrong
from handguard.errors import RecordingError
from handguard.evidence.summary import percentiles
from handguard.evidence.verify import verify

WINDOW_S = 300.0
STOP_ZONE = "intake"


@dataclass(slots=True)
class Records:
    """The decisions of all runs of a soak, in columns."""

    judged_ns: list[int] = field(default_factory=list)  # of every tick
    is_on: list[bool] = field(default_factory=list)
    intruded: list[bool] = field(default_factory=list)
    delays: list[tuple[int, float]] = field(default_factory=list)  # judged frames: when, ms since capture
    seen_ns: list[int] = field(default_factory=list)  # capture of each frame whose hand stopped the machine
    trips: Counter[str] = field(default_factory=Counter)  # by cause
    faults: Counter[str] = field(default_factory=Counter)  # as recorded
    kinds: Counter[str] = field(default_factory=Counter)


def read_runs(runs: Path) -> Records:
    """Every whole line of every run under `runs`; a run that was killed ends in a torn one."""
    found = Records()
    for segment in sorted(runs.glob("*/evidence/segment-*.jsonl")):
        was_on = False
        for record in _lines(segment):
            found.kinds[record["kind"]] += 1
            if record["kind"] == "decision":
                was_on = _decision(found, record, was_on)
            elif record["kind"] == "fault":
                found.faults[record["name"]] += 1
            elif record.get("event") == "tripped":
                found.trips[record["cause"]] += 1
    return found


def _lines(segment: Path) -> Iterator[dict[str, Any]]:
    with segment.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)["record"]


def _decision(found: Records, record: dict[str, Any], was_on: bool) -> bool:
    is_on = record["output"] == "on"
    found.judged_ns.append(record["judged_ns"])
    found.is_on.append(is_on)
    found.intruded.append(record["zones"].get(STOP_ZONE, {}).get("intruded", False))
    if record["hands"] is not None:
        found.delays.append((record["judged_ns"], (record["judged_ns"] - record["captured_ns"]) / 1e6))
    if was_on and not is_on and record["cause"].startswith("intruded"):
        found.seen_ns.append(record["captured_ns"])
    return is_on


def disobeyed(records: Records, closed: list[tuple[int, int]]) -> list[Wrong]:
    """Every stretch in which the record says OFF and the contacts stayed closed past the limit."""
    begins = [begin for begin, _ in closed]
    found: dict[int, Wrong] = {}
    for i, judged_ns in enumerate(records.judged_ns):
        due_ns = judged_ns + DEAD_LIMIT_NS
        at = bisect_right(begins, due_ns) - 1
        if records.is_on[i] or at < 0 or not (begins[at] < judged_ns and due_ns < closed[at][1]):
            continue
        until = bisect_right(records.judged_ns, due_ns)
        if not any(records.is_on[i:until]):
            found.setdefault(at, Wrong("the record says OFF", judged_ns, due_ns))
    return list(found.values())


def seen_in_time(records: Records, late: Wrong) -> bool:
    """Had the network seen this hand so early that the contacts should have been open?"""
    first = bisect_left(records.judged_ns, late.since_ns)
    last = bisect_right(records.judged_ns, late.at_ns - DEAD_LIMIT_NS)
    return any(records.intruded[first:last])


def responses(records: Records, observer: Observer) -> list[tuple[int, float]]:
    """For each stop by a hand: when, and ms from the frame's capture to the first open contact."""
    ends = [end for _, end in observer.closed]
    found = []
    for captured_ns in records.seen_ns:
        at = bisect_left(ends, captured_ns)
        if at < len(ends) and ends[at] - captured_ns < 1_000_000_000:
            found.append((captured_ns, (ends[at] - captured_ns) / 1e6))
    return found


def verdicts(runs: Path) -> dict[str, int]:
    """How many runs' books verify as what; a run that was killed is unclosed, none may be damaged."""
    books = sorted(runs.glob("*/evidence"))
    return dict(Counter(_verdict(book) for book in books).most_common())


def _verdict(book: Path) -> str:
    """A start that was refused because the disk was full leaves an empty file."""
    if not any(segment.stat().st_size for segment in book.glob("segment-*.jsonl")):
        return "never begun"
    try:
        return verify(book).verdict.value
    except RecordingError as error:
        return f"unreadable: {error}"


def windows(series: list[tuple[int, float]], begin_ns: int) -> list[dict[str, Any]]:
    """`percentiles` for each five minutes that have anything."""
    found: dict[int, list[float]] = {}
    for at_ns, value in series:
        found.setdefault(int((at_ns - begin_ns) / 1e9 / WINDOW_S), []).append(value)
    return [{"minute": number * WINDOW_S / 60, **percentiles(found[number])} for number in sorted(found)]


def summary(observer: Observer, records: Records, begin_ns: int, end_ns: int) -> dict[str, Any]:
    """The counts and times; wrong states first."""
    overlooked = [late for late in observer.late if seen_in_time(records, late)]
    wrong = [*observer.wrong, *overlooked, *disobeyed(records, observer.closed)]
    delays, stops = records.delays, responses(records, observer)
    hand_to_open = [(stop.open_ns - stop.hand_ns) / 1e6 for stop in observer.stops]
    closed_s = sum(end - begin for begin, end in observer.closed) / 1e9
    return {
        "wrong_states": len(wrong),
        "wrong": [{"reason": one.reason, "s": (one.at_ns - begin_ns) / 1e9, "detail": one.detail} for one in wrong],
        "hours": round((end_ns - begin_ns) / 3.6e12, 3),
        "frames_sent": observer.frames,
        "frames_judged": len(delays),
        "approaches": observer.approaches,
        "stops_by_hand": len(stops),
        "hands_seen_late_by_the_network": len(observer.late) - len(overlooked),
        "machine_could_run_s": round(closed_s, 1),
        "resets_pressed": observer.presses,
        "machine_switched_on": observer.closings,
        "machine_switched_off": observer.openings,
        "trips": dict(records.trips.most_common()),
        "faults_recorded": dict(records.faults.most_common()),
        "capture_to_open_ms": percentiles([ms for _, ms in stops]),
        "hand_to_open_ms": percentiles(hand_to_open),
        "capture_to_judged_ms": percentiles([ms for _, ms in delays]),
        "per_five_minutes": {
            "capture_to_open_ms": windows(stops, begin_ns),
            "capture_to_judged_ms": windows(delays, begin_ns),
        },
    }
