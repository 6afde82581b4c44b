"""The index: quick, resumable, disposable, and never the truth."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from handguard.errors import ConfigError, RecordingError
from handguard.evidence.index import INDEX, open_index
from handguard.evidence.ledger import WritePolicy
from handguard.evidence.notes import Note, NoteAction, add_note
from handguard.evidence.questions import DAMAGED_NOTES, Query, damages, find_events, find_named
from handguard.evidence.schema import OperatorAction
from handguard.evidence.shift import Period, shift_report
from handguard.evidence.writer import EvidenceWriter
from handguard.types import KeeperReport, Output, State, WarningCleared, WarningRaised

MS = 1_000_000
UTC = timezone.utc


def warned(judge, frame_seq):
    raised = WarningRaised(5_000 * MS + frame_seq * 33 * MS, frame_seq, "belt", 0.8)
    cleared = WarningCleared(raised.at_ns + 1, frame_seq, "belt")
    return judge(frame_seq, events=(raised, cleared))


def answered(frame_seq, permit_seq, after_ms):
    """What the keeper says once OFF of that frame's permit is on the wire."""
    return KeeperReport(permit_seq, Output.OFF, 5_000 * MS + frame_seq * 33 * MS + round(after_ms * MS), True)


def write_run(folder, genesis, key, judge, trip, *, policy=None, close=True):
    """Twenty frames: a warning at 2, a trip at 5 answered after 21.5 ms, a trip at 15 never answered."""
    writer = EvidenceWriter.open(folder / "evidence", genesis, key, policy)
    for n in range(20):
        if n in (5, 15):
            writer.record(*trip(n))
        elif n == 2:
            writer.record(*warned(judge, n))
        elif n == 7:
            writer.record(*judge(n, state=State.TRIPPED), answered(5, 105, 21.5))
        else:
            writer.record(*judge(n))
    writer.operator(OperatorAction.RESET, "anna", "key switch")
    writer.fault("camera", "unplugged")
    if close:
        writer.close()
    return writer


@pytest.fixture
def runs(tmp_path, genesis, key, judge, trip):
    folder = tmp_path / "runs"
    for run in ("r1", "r2"):
        write_run(folder / run, genesis, key, judge, trip)
    return folder


def found(folder, **asked):
    with open_index(folder) as base:
        return find_events(base, folder, Query(**asked))


def test_every_kind_is_found_in_the_order_of_the_book(runs):
    kinds = [event.kind for event in found(runs) if event.run == "r1"]
    assert kinds == [
        "start", "warning", "cleared", "state", "trip", "state", "trip", "operator", "fault", "stop",
    ]  # fmt: skip


def test_a_trip_tells_its_zone_cause_and_how_long_it_took(runs):
    first, second = (event for event in found(runs, kinds=("trip",)) if event.run == "r1")
    assert (first.frame_seq, first.zone, first.cause, first.score) == (5, "intake", "intruded", 0.97)
    assert (first.response_ms, second.response_ms) == (21.5, None)


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"zone": "belt"}, 4),
        ({"zone": "nowhere"}, 0),
        ({"cause": "intruded", "kinds": ("trip",)}, 4),
        ({"cause": "blind"}, 0),
        ({"kinds": ("operator", "fault")}, 4),
        ({"newest": 3}, 3),
        ({"since_utc": "2000"}, 20),
        ({"until_utc": "2000"}, 0),
    ],
)
def test_a_question_finds_what_it_asks_for(runs, asked, count):
    assert len(found(runs, **asked)) == count


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"kind: expected one of trip, .*found trips"):
        Query(("trips",))


def test_the_newest_are_the_newest_and_still_in_order(runs):
    everything = found(runs)
    assert found(runs, newest=4) == everything[-4:]


def test_an_index_made_anew_is_the_same(runs):
    before = found(runs)
    with open_index(runs, afresh=True) as base:
        assert find_events(base, runs, Query()) == before


def test_a_growing_book_is_read_on_and_not_again(tmp_path, genesis, key, judge, trip):
    """The answer to a trip comes after the first look at it."""
    folder = tmp_path / "runs"
    policy = WritePolicy(segment_records=12, sync_every_s=0.01)  # several segments
    writer = EvidenceWriter.open(folder / "r1" / "evidence", genesis, key, policy)
    for n in range(6):
        writer.record(*(trip if n == 5 else judge)(n))
    wait_for(lambda: writer.synced_seq >= 8)
    (seen,) = found(folder, kinds=("trip",))
    assert seen.response_ms is None
    for n in range(6, 30):
        writer.record(*judge(n, state=State.TRIPPED), answered(5, 105, 33.25))
    writer.close()
    with open_index(folder) as base:
        (seen,) = find_events(base, folder, Query(("trip",)))
        grown = dict(base.execute("SELECT * FROM runs").fetchone())
    assert seen.response_ms == 33.25
    assert (grown["frames"], grown["closed"]) == (30, 1)
    with open_index(folder, afresh=True) as base:
        assert dict(base.execute("SELECT * FROM runs").fetchone()) == grown


def wait_for(condition):
    import time

    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_book_cut_back_is_read_anew(runs):
    assert len(found(runs, kinds=("trip",))) == 4
    path = runs / "r1" / "evidence" / "segment-000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines[:8]))
    assert [event.run for event in found(runs, kinds=("trip",))] == ["r2", "r2"]


def test_a_run_that_is_gone_is_forgotten(runs):
    found(runs)
    (runs / "r1").rename(runs.parent / "r1")
    assert {event.run for event in found(runs)} == {"r2"}


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100], ids=["empty", "garbage"])
def test_a_damaged_index_is_thrown_away(runs, content):
    before = found(runs)
    (runs / INDEX).write_bytes(content)
    assert found(runs) == before


@pytest.mark.parametrize("begin", [100, 4096, 3 * 4096])
def test_an_index_damaged_past_its_head_is_thrown_away(runs, begin):
    before = found(runs)
    whole = (runs / INDEX).read_bytes()
    (runs / INDEX).write_bytes(whole[:begin] + bytes([0xAA]) * (len(whole) - begin))
    assert found(runs) == before
    assert found(runs) == before


def test_an_index_whose_rows_are_damaged_is_made_again(runs):
    before = found(runs)
    with sqlite3.connect(runs / INDEX) as base:
        base.execute("UPDATE runs SET place = '{'")
    assert found(runs) == before


def test_a_disk_without_room_for_the_index_leaves_it_in_memory(runs, limit_file_size):
    before = found(runs)
    (runs / INDEX).unlink()
    limit_file_size(9000)
    assert found(runs) == before
    limit_file_size(None)
    assert found(runs) == before


def test_an_index_of_another_version_is_thrown_away(runs):
    before = found(runs)
    base = sqlite3.connect(runs / INDEX)
    base.execute("PRAGMA user_version = 99")
    base.execute("DELETE FROM events")
    base.commit()
    base.close()
    assert found(runs) == before


def test_where_no_index_can_be_written_memory_does(runs):
    before = found(runs)
    (runs / INDEX).unlink()
    (runs / INDEX).mkdir()
    assert found(runs) == before


def test_a_line_that_cannot_be_read_is_told_and_the_other_runs_are_still_found(runs):
    path = runs / "r1" / "evidence" / "segment-000001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b"garbage\n", *lines[4:]]))
    with open_index(runs) as base:
        assert len(find_events(base, runs, Query(("trip",)))) == 2
        (damage,) = damages(base)
    assert "segment-000001.jsonl, byte" in damage and "expected a record" in damage


def test_a_single_run_can_be_asked_without_leaving_a_file(runs):
    for folder in (runs / "r1", runs / "r1" / "evidence"):
        assert {event.run for event in found(folder)} == {"r1"}
    assert not list(runs.glob("**/index.sqlite*"))


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="expected a run, or a folder of runs"):
        found(tmp_path)


def test_a_folder_that_may_not_be_read_is_said_so(runs, monkeypatch):
    """Root may read everything, so the kernel's answer is played."""

    def forbidden(_path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("handguard.evidence.index.Path.is_dir", forbidden)
    with pytest.raises(RecordingError, match="expected a folder that may be read, found Permission denied"):
        found(runs)


def test_programs_that_ask_at_once_take_turns(runs):
    program = """
import sys
from pathlib import Path
from handguard.evidence.index import open_index
with open_index(Path(sys.argv[1])) as base:
    print(base.execute("SELECT count(*) FROM events").fetchone()[0])
"""
    command = [sys.executable, "-c", program, str(runs)]
    asking = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert {process.communicate(timeout=120)[0].strip() for process in asking} == {"20"}


def test_an_event_is_found_by_its_name_with_its_decision(runs):
    trip = found(runs, kinds=("trip",))[0]
    named = find_named(runs, trip.name)
    assert named.record["event"] == "tripped" and named.at_ns == trip.at_ns
    assert named.decision["frame_seq"] == 5


@pytest.mark.parametrize("name", ["", "r1", "r1:", "r1:x", "r9:1", "r1:99999"])
def test_a_name_of_nothing_is_refused(runs, name):
    with pytest.raises(RecordingError, match="expected"):
        find_named(runs, name)


def marked(folder, key, event, action):
    add_note(folder / event.run, Note(action, event.seq, event.at_ns, "anna", "", ""), key)


def test_what_people_said_stands_beside_the_event(runs, key):
    first, second, *_ = found(runs, kinds=("trip",))
    marked(runs, key, first, NoteAction.GENUINE)
    marked(runs, key, first, NoteAction.NUISANCE)
    marked(runs, key, second, NoteAction.HOLD)
    said = [(event.verdict, event.held) for event in found(runs, kinds=("trip",))]
    assert said == [("nuisance", False), ("", True), ("", False), ("", False)]


def test_damaged_notes_are_said_so_and_hide_nothing(runs, key):
    marked(runs, key, found(runs, kinds=("trip",))[0], NoteAction.NUISANCE)
    (runs / "r1" / "notes.jsonl").write_bytes(b"x\n")
    events = found(runs, kinds=("trip",))
    assert [event.verdict for event in events] == [DAMAGED_NOTES] * 2 + [""] * 2


def today(**shifted):
    now = datetime.now(UTC)
    begin = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(**shifted)
    return Period("today", begin - timedelta(hours=1), begin + timedelta(hours=25))


def test_a_day_counts_what_happened(runs, key):
    for event, action in zip(
        found(runs, kinds=("trip",)), [NoteAction.NUISANCE, NoteAction.NUISANCE, NoteAction.GENUINE], strict=False
    ):
        marked(runs, key, event, action)
    with open_index(runs) as base:
        page = shift_report(base, runs, today())
    assert (page.runs, page.runs_without_end, page.warnings, page.trips) == (2, 0, 2, 4)
    assert (page.nuisance, page.genuine, page.unmarked) == (2, 1, 1)
    assert page.trips_by_cause == {"intruded": 4} and page.trips_by_zone == {"intake": 4}
    assert page.response_ms == {"count": 2, "p50": 21.5, "p99": 21.5, "p999": 21.5, "max": 21.5}
    told = {(row["what"], row["of"]): row["value"] for row in page.rows()}
    assert told["response ms", "p50"] == 21.5
    assert told["trips", ""] == page.trips
    assert {of: n for (what, of), n in told.items() if what == "trips by cause"} == page.trips_by_cause
    assert page.without_response == 2
    assert page.faults == {"camera": 2} and page.operator == {"reset": 2}
    assert page.nuisance_per_hour == pytest.approx(2 / page.watched_hours)


def test_what_people_were_told_at_the_starts_is_found_and_counted(tmp_path, genesis, key):
    for run in ("r1", "r2"):
        with EvidenceWriter.open(tmp_path / run / "evidence", genesis, key) as writer:
            writer.caution("the reset is simulated")
    assert [event.what for event in found(tmp_path, kinds=("caution",))] == ["the reset is simulated"] * 2
    with open_index(tmp_path) as base:
        page = shift_report(base, tmp_path, today())
    assert page.cautions == {"the reset is simulated": 2}
    assert dict(page.lines())["cautions"] == "the reset is simulated 2"


def test_another_day_is_empty_and_divides_by_nothing(runs):
    with open_index(runs) as base:
        page = shift_report(base, runs, today(days=30))
    assert (page.runs, page.trips, page.watched_hours, page.nuisance_per_hour) == (0, 0, 0.0, None)
    assert dict(page.lines())["response"].startswith("no trip by hand was answered")


def test_a_run_without_an_end_is_counted_as_such(tmp_path, genesis, key, judge, trip):
    folder = tmp_path / "runs"
    writer = write_run(folder / "r1", genesis, key, judge, trip, close=False)
    wait_for(lambda: writer.synced_seq >= 30)
    with open_index(folder) as base:
        assert shift_report(base, folder, today()).runs_without_end == 1
    writer.close()


@pytest.mark.parametrize(
    "times", [(datetime(2025, 1, 2, tzinfo=UTC),) * 2, (datetime(2025, 1, 1), datetime(2025, 1, 2))]  # noqa: DTZ001
)
def test_a_period_needs_a_length_and_zones(times):
    with pytest.raises(ValueError, match="a period needs"):
        Period("", *times)
