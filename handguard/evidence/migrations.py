"""Books of other times: which schemas are read, and how an older record is told in today's words.

`schema.SCHEMA` is what is written today. `STEPS[n]` turns a record of schema n into
one of schema n + 1, and there is one for every n from 1 up to today's; a record goes
through all that lie between. The bytes of a book never change, and `verify` proves
them as they were written: only readers see the newer words.

    1    the first, and today's: no step yet. What was added to it since may be missing
         from an early book, and whoever needs it says so: `settings` and `picture`
         in the genesis, `sensed` in a decision, without which a run cannot be stepped again.

A book of a newer schema is refused: an old program would misread it.
"""

from __future__ import annotations

from collections.abc import Callable

from handguard.errors import RecordingError, mismatch
from handguard.evidence.schema import SCHEMA, Kind, Record

STEPS: dict[int, Callable[[Record], Record]] = {}


def schema_of(genesis: Record, where: str) -> int:
    """The schema of a book, from its first record. Raises `RecordingError` for one that cannot be read."""
    schema = genesis.get("schema")
    if genesis.get("kind") != Kind.GENESIS.value or type(schema) is not int:
        expected = "a genesis record with a schema number"
        raise RecordingError(mismatch(where, expected, repr(genesis.get("kind"))))
    if schema > SCHEMA:
        raise RecordingError(mismatch(f"{where}: schema", f"{SCHEMA} or older (update handguard)", schema))
    if schema < 1:
        raise RecordingError(mismatch(f"{where}: schema", f"1 to {SCHEMA}", schema))
    return schema


def told_today(record: Record, schema: int) -> Record:
    """A record of that schema in the words of today's."""
    for old in range(schema, SCHEMA):
        record = STEPS[old](record)
    return record
