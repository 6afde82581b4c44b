"""What people say about a run: signed, chained to that run, and believed only when whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

from handguard.errors import RecordingError
from handguard.evidence.notes import Note, NoteAction, add_note, held_moments_ns, read_notes
from handguard.evidence.signing import SigningKey
from handguard.evidence.writer import EvidenceWriter


def note(action=NoteAction.NUISANCE, event_seq=5, at_ns=100, why="sleeve"):
    return Note(action, event_seq, at_ns, "anna", why, "2025-01-31T12:00:00.000000Z")


def new_run(folder, genesis, key):
    EvidenceWriter.open(folder / "evidence", genesis, key).close()
    return folder


@pytest.fixture
def run(tmp_path, genesis, key):
    return new_run(tmp_path / "run", genesis, key)


def test_a_run_nobody_spoke_of_has_no_notes(run):
    assert read_notes(run) == ()
    assert held_moments_ns(run) == frozenset()


def test_notes_are_read_as_they_were_written(run, key):
    said = [note(), note(NoteAction.COMMENT, 7, 200, "why? “naïve” ☂"), note(NoteAction.GENUINE)]
    for each in said:
        add_note(run, each, key)
    assert list(read_notes(run)) == said


def test_a_hold_lasts_until_it_is_released(run, key):
    add_note(run, note(NoteAction.HOLD, 5, 100), key)
    add_note(run, note(NoteAction.HOLD, 6, 200), key)
    add_note(run, note(NoteAction.HOLD, 5, 100), key)
    assert held_moments_ns(run) == {100, 200}
    add_note(run, note(NoteAction.RELEASE, 5, 100), key)
    assert held_moments_ns(run) == {200}


def test_a_disk_that_takes_half_a_note_takes_none_and_says_so(run, key, limit_file_size):
    """Linux writes what fits, and calls that no error."""
    add_note(run, note(), key)
    whole = (run / "notes.jsonl").read_bytes()
    limit_file_size(len(whole) + 100)
    with pytest.raises(RecordingError, match=r"notes\.jsonl: expected notes that can be written.*No space left"):
        add_note(run, note(NoteAction.HOLD), key)
    limit_file_size(None)
    assert (run / "notes.jsonl").read_bytes() == whole
    add_note(run, note(NoteAction.HOLD), key)
    assert held_moments_ns(run) == {100}


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0].replace(b"sleeve", b"sleepy"), *lines[1:]],
        lambda lines: lines[1:],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], *lines],
        lambda lines: [*lines, b"hello\n"],
    ],
    ids=["edited", "first deleted", "reordered", "repeated", "strange"],
)
def test_notes_that_are_not_as_written_are_refused_whole(run, key, damage):
    for action in (NoteAction.NUISANCE, NoteAction.HOLD, NoteAction.RELEASE):
        add_note(run, note(action), key)
    path = run / "notes.jsonl"
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(RecordingError, match=r"notes\.jsonl:\d: expected a note as it was written"):
        read_notes(run)
    with pytest.raises(RecordingError):
        add_note(run, note(), key)


def test_notes_do_not_fit_another_run_of_the_same_machine(run, tmp_path, genesis, key):
    other = new_run(tmp_path / "other", genesis, key)
    add_note(run, note(), key)
    (other / "notes.jsonl").write_bytes((run / "notes.jsonl").read_bytes())
    with pytest.raises(RecordingError, match="does not follow"):
        read_notes(other)


def test_a_forged_note_with_a_good_hash_has_no_signature(run, key):
    stranger = SigningKey.generate()
    with pytest.raises(RecordingError, match="expected the key of the run"):
        add_note(run, note(), stranger)
    assert read_notes(run) == ()


def test_a_torn_line_is_left_out_and_written_over(run, key):
    add_note(run, note(), key)
    path = run / "notes.jsonl"
    path.write_bytes(path.read_bytes() + b'{"hash":"12')
    assert len(read_notes(run)) == 1
    add_note(run, note(NoteAction.HOLD), key)
    assert [each.action for each in read_notes(run)] == [NoteAction.NUISANCE, NoteAction.HOLD]


def test_notes_of_several_programs_at_once_all_stand(tmp_path, genesis):
    key = SigningKey.load_or_create(tmp_path / "key.pem")
    run = new_run(tmp_path / "run", genesis, key)
    program = """
import sys
from pathlib import Path
from handguard.evidence.notes import Note, NoteAction, add_note
from handguard.evidence.signing import SigningKey
key = SigningKey.load_or_create(Path(sys.argv[2]))
for n in range(10):
    add_note(Path(sys.argv[1]), Note(NoteAction.COMMENT, n, n, sys.argv[3], "", ""), key)
"""
    command = [sys.executable, "-c", program, str(run), str(tmp_path / "key.pem")]
    writers = [subprocess.Popen([*command, f"writer {n}"]) for n in range(3)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    assert len(read_notes(run)) == 30
