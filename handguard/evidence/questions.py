"""Which events, of which runs, between which times; and what people said of them.

An event is named `RUN:NUMBER`: the folder of its run and the number of its record in the book.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handguard.errors import ConfigError, RecordingError, mismatch
from handguard.evidence.index import runs_in
from handguard.evidence.indexing import KINDS
from handguard.evidence.notes import BOOK, Note, NoteAction, read_notes
from handguard.evidence.reading import record_at
from handguard.evidence.schema import Record

DAMAGED_NOTES = "notes damaged"  # instead of a verdict; `events verify` says where
_VERDICTS = {NoteAction.NUISANCE, NoteAction.GENUINE}


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; what is empty is not asked. Times as the book writes them, end excluded."""

    kinds: tuple[str, ...] = ()
    since_utc: str = ""
    until_utc: str = ""
    zone: str = ""
    cause: str = ""  # a part of it
    newest: int = 0  # only so many of the newest; 0: all

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise ConfigError(mismatch("kind", f"one of {', '.join(KINDS)}", kind))


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """One event, with what people said of it. `None` where the record says nothing."""

    run: str
    seq: int
    wall_time_utc: str
    kind: str
    what: str
    at_ns: int
    frame_seq: int | None
    zone: str | None
    cause: str | None
    score: float | None
    response_ms: float | None  # of a trip: capture → OFF on the wire
    verdict: str = ""  # nuisance, genuine, nothing, or `DAMAGED_NOTES`
    held: bool = False

    @property
    def name(self) -> str:
        """`RUN:NUMBER`."""
        return f"{self.run}:{self.seq}"


_COLUMNS = "run, seq, wall_time_utc, kind, what, at_ns, frame_seq, zone, cause, score, response_ms"


def find_events(base: sqlite3.Connection, folder: Path, query: Query) -> list[FoundEvent]:
    """Oldest first. `base` is the open index of the folder."""
    wheres = {
        "wall_time_utc >= ?": query.since_utc,
        "wall_time_utc < ?": query.until_utc,
        "zone = ?": query.zone,
        "instr(cause, ?)": query.cause,
    }
    asked = {words: value for words, value in wheres.items() if value}
    if query.kinds:
        asked[f"kind IN ({', '.join('?' * len(query.kinds))})"] = ""
    values = [value for value in asked.values() if value] + list(query.kinds)
    where = " AND ".join(asked) or "1"
    limit = query.newest or -1
    rows = base.execute(
        f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY wall_time_utc DESC, run DESC, seq DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    said = {run: _said(path) for run, path in runs_in(folder).items() if any(row["run"] == run for row in rows)}
    return [_found(row, said) for row in reversed(rows)]


def damages(base: sqlite3.Connection) -> list[str]:
    """What could not be read, one line for each run."""
    return [row["damage"] for row in base.execute("SELECT damage FROM runs WHERE damage != '' ORDER BY run")]


@dataclass(frozen=True, slots=True)
class Named:
    """One event of one book, found by its name."""

    run: Path
    record: Record
    decision: Record | None  # the newest before it

    @property
    def at_ns(self) -> int:
        """The moment it speaks of."""
        return int(self.record["at_ns"] if "at_ns" in self.record else self.record["monotonic_ns"])


def find_named(folder: Path, name: str) -> Named:
    """The event called `RUN:NUMBER`. Raises `RecordingError` if there is none."""
    run, _, number = name.rpartition(":")
    runs = runs_in(folder)
    if run not in runs or not number.isdecimal():
        expected = f"RUN:NUMBER with a run of {folder}, such as {next(reversed(runs))}:12"
        raise RecordingError(mismatch("event", expected, repr(name)))
    record, decision = record_at(runs[run] / BOOK, int(number))
    return Named(runs[run], record, decision)


def clips_showing(base: sqlite3.Connection, run: str, at_ns: int) -> list[Record]:
    """Records of the films that show a moment of a run."""
    rows = base.execute("SELECT record FROM events WHERE run = ? AND kind = 'clip'", (run,))
    clips: list[Record] = [json.loads(row["record"]) for row in rows]
    return [clip for clip in clips if _shows(clip, at_ns)]


def _shows(clip: Record, at_ns: int) -> bool:
    times = [clip["first_ns"], clip["last_ns"], *(trip["at_ns"] for trip in clip["trips"])]
    return bool(min(times) <= at_ns <= max(times))


def _said(run: Path) -> dict[int, list[Note]] | None:
    """Notes by the number of the record they speak of; None if they are not as they were written."""
    said: dict[int, list[Note]] = {}
    try:
        for note in read_notes(run):
            said.setdefault(note.event_seq, []).append(note)
    except RecordingError:
        return None
    return said


def _found(row: sqlite3.Row, said: dict[str, dict[int, list[Note]] | None]) -> FoundEvent:
    fields: dict[str, Any] = dict(row)
    by_event = said[row["run"]]
    if by_event is None:
        return FoundEvent(**fields, verdict=DAMAGED_NOTES)
    notes = by_event.get(row["seq"], [])
    return FoundEvent(**fields, verdict=verdict_of(notes), held=is_held_by(notes))


def verdict_of(notes: Iterable[Note]) -> str:
    """The newest of nuisance and genuine; empty if nobody said."""
    return next((note.action.value for note in reversed(list(notes)) if note.action in _VERDICTS), "")


def is_held_by(notes: Iterable[Note]) -> bool:
    """True if the newest of hold and release is hold."""
    holds = [n.action for n in notes if n.action in {NoteAction.HOLD, NoteAction.RELEASE}]
    return bool(holds) and holds[-1] is NoteAction.HOLD
