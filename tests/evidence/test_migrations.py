"""Books of other times: told in today's words, or refused by the number of their schema."""

from __future__ import annotations

import pytest

from handguard.errors import RecordingError
from handguard.evidence import migrations
from handguard.evidence.index import open_index
from handguard.evidence.migrations import STEPS, schema_of, told_today
from handguard.evidence.questions import Query, find_events
from handguard.evidence.reading import read_records
from handguard.evidence.schema import SCHEMA
from handguard.evidence.verify import verify
from handguard.evidence.writer import EvidenceWriter


def test_there_is_one_step_for_every_schema_before_todays():
    assert sorted(STEPS) == list(range(1, SCHEMA))


def test_a_newer_schema_is_refused_by_its_number():
    genesis = {"kind": "genesis", "schema": SCHEMA + 1}
    with pytest.raises(RecordingError, match=rf"seg:1: schema: expected {SCHEMA} or older .*, found {SCHEMA + 1}"):
        schema_of(genesis, "seg:1")


def test_todays_record_is_left_as_it_is():
    record = {"kind": "fault", "name": "x"}
    assert told_today(record, SCHEMA) is record


@pytest.fixture
def old_book(tmp_path, genesis, key, judge, trip, monkeypatch):
    """A book of today, seen by a program one schema further that writes a trip's zone in capitals."""
    with EvidenceWriter.open(tmp_path / "runs" / "r1" / "evidence", genesis, key) as writer:
        writer.record(*judge(0))
        writer.record(*trip(1))

    def step(record):
        return {**record, "zone": record["zone"].upper()} if record.get("event") == "tripped" else record

    monkeypatch.setattr(migrations, "SCHEMA", SCHEMA + 1)
    monkeypatch.setitem(STEPS, SCHEMA, step)
    return tmp_path / "runs" / "r1" / "evidence"


def test_an_old_book_is_read_in_todays_words_and_proven_as_it_was_written(old_book):
    (tripped,) = [record for record in read_records(old_book) if record.get("event") == "tripped"]
    assert tripped["zone"] == "INTAKE"
    verify(old_book).raise_if_damaged()


def test_the_index_of_an_old_book_is_in_todays_words_too(old_book):
    runs = old_book.parent.parent
    with open_index(runs) as base:
        (tripped,) = find_events(base, runs, Query(kinds=("trip",)))
    assert tripped.zone == "INTAKE"
