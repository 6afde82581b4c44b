"""One book, read on from where it was left, into rows.

A decision is passed over by a look at its bytes, for there are thirty a second;
it is taken apart only around a trip, for the time of its frame, and after it, until the
keeper has said that OFF was written. The place to go on from is remembered with the
hash of the last line read, so a book that is no longer the same is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from handguard.errors import RecordingError, mismatch
from handguard.evidence.chain import split_line
from handguard.evidence.migrations import schema_of, told_today
from handguard.evidence.schema import SCHEMA, Record
from handguard.evidence.store import MAX_LINE_BYTES, read_lines, segment_name, segment_numbers

_DECISION = b'"kind":"decision"'  # inside a text it would stand with backslashes
_NOT_JUDGED = b'"hands":null'
_NO_ANSWER_NS = 10_000_000_000  # a keeper that says nothing for so long has not answered
EVENT_KINDS = {
    "tripped": "trip",
    "warning_raised": "warning",
    "warning_cleared": "cleared",
    "state_changed": "state",
    "reset_stuck": "fault",
    "reset_freed": "cleared",
}
OTHER_KINDS = {
    "genesis": "start", "operator": "operator", "fault": "fault", "close": "stop", "clip": "clip",
    "clip_removed": "removed", "caution": "caution",
}  # fmt: skip
KINDS = (*EVENT_KINDS.values(), *OTHER_KINDS.values())

Row = dict[str, Any]


@dataclass(slots=True)
class Place:
    """How far a book was read, and what is still open there."""

    segment: int = 1
    offset: int = 0
    last_line_bytes: int = 0
    last_hash: str = ""
    decision: str = ""  # the newest decision, as it stands in the book: the next record may be its trip
    waiting: list[list[int]] = field(default_factory=list)  # [seq, permit_seq, captured_ns] of unanswered trips
    schema: int = SCHEMA  # of the book, once its genesis is read
    genesis: Row = field(default_factory=dict)
    frames: int = 0
    records: int = 0
    lost: int = 0
    closed: bool = False
    last_utc: str = ""


class RunReader:
    """Reads one book once, from a place to its present end."""

    def __init__(self, run: str, book: Path, place: Place) -> None:
        self._run, self._book, self._place = run, book, place
        self.answers: list[tuple[int, float]] = []  # (seq of a trip, response in ms), known once read
        self.damage = ""  # why reading stopped before the end

    @classmethod
    def fresh(cls, run: str, book: Path) -> RunReader:
        """From the first record."""
        return cls(run, book, Place())

    @classmethod
    def resumed(cls, run: str, book: Path, place: Row) -> RunReader | None:
        """From a place remembered by `summary`; None if the book is not the one it was read from."""
        here = Place(**place)
        return cls(run, book, here) if _still_there(book, here) else None

    def events(self) -> Iterator[Row]:
        """The rows of all records that are new, up to the first that cannot be read (`damage`)."""
        try:
            for number in segment_numbers(self._book):
                if number >= self._place.segment:
                    yield from self._segment(number)
        except RecordingError as error:
            self.damage = str(error)
        except (KeyError, TypeError, ValueError) as error:
            self.damage = mismatch(f"{self._book}, record {self._place.records}", "its usual fields", repr(error))

    def summary(self) -> Row:
        """The run's own row, with the place to go on from."""
        place = self._place
        return {
            "run": self._run,
            **place.genesis,
            "last_utc": place.last_utc,
            "frames": place.frames,
            "records": place.records,
            "lost": place.lost,
            "closed": int(place.closed),
            "damage": self.damage,
            "place": json.dumps(asdict(place)),
        }

    def _segment(self, number: int) -> Iterator[Row]:
        place = self._place
        if number > place.segment:
            place.segment, place.offset = number, 0
        path = self._book / segment_name(number)
        for line in _lines_from(path, place.offset):
            if not line.endswith(b"\n"):
                return  # torn, or being written
            yield from self._line(line, f"{path}, byte {place.offset}")
            place.offset += len(line)
            place.last_line_bytes, place.last_hash = len(line), line[9:73].decode("ascii", "replace")

    def _line(self, line: bytes, where: str) -> Iterator[Row]:
        place = self._place
        place.records += 1
        if _DECISION in line:
            place.frames += _NOT_JUDGED not in line
            place.decision = line.decode("ascii", "replace")
            if place.waiting:
                self._hear(told_today(_record(line, where), place.schema))
            return
        record = told_today(_record(line, where), place.schema)
        place.last_utc = str(record.get("wall_time_utc", ""))
        kind = EVENT_KINDS.get(record.get("event", ""), OTHER_KINDS.get(record.get("kind", "")))
        if kind is not None:
            self._note(kind, record, where)
            yield self._row(kind, record)

    def _note(self, kind: str, record: Record, where: str) -> None:
        """What a record changes for the whole run."""
        place = self._place
        if kind == "start":
            place.schema = schema_of(record, where)
            names = ("machine_id", "software_version", "config_hash", "model_hash", "boot_id")
            place.genesis = {name: str(record.get(name, "")) for name in names} | {"began_utc": place.last_utc}
        elif kind == "fault":
            place.lost += int(record.get("lost_records", 0))
        elif kind == "trip" and place.decision:
            before = told_today(_record(place.decision.encode(), where), place.schema)
            place.waiting.append([record["seq"], before["permit_seq"], before["captured_ns"]])
        place.closed |= kind == "stop"

    def _hear(self, decision: Record) -> None:
        """Did the keeper answer a trip? As in `summary.Summary.heard`."""
        too_old_ns = decision["judged_ns"] - _NO_ANSWER_NS
        self._place.waiting = [trip for trip in self._place.waiting if trip[2] > too_old_ns]
        keeper = decision.get("keeper") or {}
        if keeper.get("output") != "off":
            return
        for trip in list(self._place.waiting):
            seq, permit_seq, captured_ns = trip
            if keeper["permit_seq"] >= permit_seq and keeper["written_ns"] >= captured_ns:
                self.answers.append((seq, round((keeper["written_ns"] - captured_ns) / 1e6, 3)))
                self._place.waiting.remove(trip)

    def _row(self, kind: str, record: Record) -> Row:
        return {
            "run": self._run,
            "seq": record["seq"],
            "wall_time_utc": record["wall_time_utc"],
            "kind": kind,
            "what": _words(kind, record),
            "at_ns": record.get("at_ns", record["monotonic_ns"]),
            "frame_seq": record.get("frame_seq"),
            "zone": record.get("zone"),
            "cause": record.get("cause"),
            "score": record.get("score"),
            "record": json.dumps(record),
        }


def _words(kind: str, record: Record) -> str:
    """One record in a few words for a list."""
    if record.get("event") in ("reset_stuck", "reset_freed"):
        return str(record["event"]).replace("_", "-")
    words = {
        "state": ("before", "after"),
        "operator": ("action", "who", "detail"),
        "fault": ("name", "detail"),
        "clip": ("file",),
        "removed": ("run", "name", "why"),
        "stop": ("reason",),
        "caution": ("words",),
        "start": ("software_version",),
    }.get(kind, ("zone",))
    return " ".join(str(record[name]) for name in words if record.get(name))


def _record(line: bytes, where: str) -> Record:
    parts = split_line(line)
    try:
        record = None if parts is None else json.loads(parts[1])
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or not isinstance(record.get("seq"), int):
        raise RecordingError(mismatch(where, "a record", repr(line[:80])))
    return record


def _lines_from(path: Path, offset: int) -> Iterator[bytes]:
    if offset == 0:
        yield from read_lines(path)
        return
    with path.open("rb") as file:
        file.seek(offset)
        yield from iter(lambda: file.readline(MAX_LINE_BYTES), b"")


def _still_there(book: Path, place: Place) -> bool:
    """True if the last line read stands where it stood."""
    try:
        with (book / segment_name(place.segment)).open("rb") as file:
            file.seek(place.offset - place.last_line_bytes)
            line = file.read(place.last_line_bytes)
    except (OSError, ValueError):
        return False
    return bool(line) and line[9:73].decode("ascii", "replace") == place.last_hash
