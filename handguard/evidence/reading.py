"""Read the records of a book without proving them; `verify` does that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from handguard.errors import RecordingError, mismatch
from handguard.evidence.chain import split_line
from handguard.evidence.migrations import schema_of, told_today
from handguard.evidence.schema import Record
from handguard.evidence.store import read_lines, segment_name, segment_numbers


def read_records(directory: Path) -> Iterator[Record]:
    """Every record from genesis on; a torn last line of a segment is left out.

    Raises `RecordingError` for a folder without a recording, a line that cannot
    be read, and a schema this program does not know.
    """
    schema: int | None = None
    for number in segment_numbers(directory):
        path = directory / segment_name(number)
        for line_number, line in enumerate(read_lines(path), start=1):
            where = f"{path}:{line_number}"
            if line.endswith(b"\n"):
                record = _record(line, where)
                schema = schema_of(record, where) if schema is None else schema
                yield told_today(record, schema)


def record_at(directory: Path, seq: int) -> tuple[Record, Record | None]:
    """The record of that number and the newest decision before it. Raises `RecordingError` if there is none."""
    decision, mark = b"", b'"seq":%d,' % seq
    for number in segment_numbers(directory):
        path = directory / segment_name(number)
        for line_number, line in enumerate(read_lines(path), start=1):
            where = f"{path}:{line_number}"
            if mark in line and line.endswith(b"\n") and (record := _record(line, where))["seq"] == seq:
                return record, _record(decision, where) if decision else None
            if b'"kind":"decision"' in line:
                decision = line
    raise RecordingError(mismatch(str(directory), f"a record {seq}", "none of that number"))


def _record(line: bytes, where: str) -> Record:
    parts = split_line(line)
    try:
        if parts is None:
            raise ValueError("another form of line")
        record: Record = json.loads(parts[1])
    except (ValueError, RecursionError) as error:
        raise RecordingError(mismatch(where, "a record", error)) from error
    return record
