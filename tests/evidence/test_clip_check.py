"""Films against the book: as recorded, removed with a word, or bad."""

from __future__ import annotations

import json
import sqlite3

import pytest

from handguard.errors import RecordingError
from handguard.evidence.chain import Link, extend, split_line
from handguard.evidence.clip_check import check_clips, film_states
from handguard.evidence.clips import Drawing, save
from handguard.evidence.index import open_index
from handguard.evidence.notices import ClipRemoved, TripMark
from handguard.evidence.questions import clips_showing
from handguard.evidence.ring import Take, still_of
from handguard.evidence.signing import SigningKey
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify
from handguard.evidence.writer import EvidenceWriter
from tests.desk.feeding import decided


@pytest.fixture
def runs(tmp_path, genesis, key):
    """One run with one clip in its book."""
    import numpy as np

    folder = tmp_path / "runs"
    decisions = [decided(n) for n in range(5)]
    stills = tuple(still_of(n, each, np.full((64, 64, 3), n, np.uint8)) for n, each in enumerate(decisions))
    mark = TripMark(1, stills[2].captured_ns, 2, "intruded", "intake")
    with EvidenceWriter.open(folder / "r1" / "evidence", genesis, key) as writer:
        save(Take((mark,), stills), folder / "r1" / "clips", Drawing(()), writer.notice)
    return folder


def change(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def check(runs):
    with open_index(runs) as base:
        return check_clips(runs / "r1", base)


def test_films_that_are_as_recorded_are_good(runs):
    result = check(runs)
    assert (result.good, result.removed, result.problems) == (2, 0, ())
    result.raise_if_damaged()


@pytest.mark.parametrize("name", ["trip-0001.mp4", "trip-0001-overlay.mp4", "trip-0001.json"])
def test_a_changed_byte_is_found(runs, name):
    change(runs / "r1" / "clips" / name)
    with pytest.raises(RecordingError, match=f"{name}: was changed"):
        check(runs).raise_if_damaged()


def test_a_film_that_is_gone_without_a_word_is_bad(runs):
    (runs / "r1" / "clips" / "trip-0001.mp4").unlink()
    (problem,) = check(runs).problems
    assert "no book says it was removed" in problem


def test_a_film_that_a_later_run_removed_is_not_bad(runs, genesis, key):
    for path in (runs / "r1" / "clips").iterdir():
        path.unlink()
    with EvidenceWriter.open(runs / "r2" / "evidence", genesis, key) as writer:
        writer.notice(ClipRemoved("r1", "trip-0001", 5, "oldest"))
    result = check(runs)
    assert (result.good, result.removed, result.problems) == (0, 2, ())


def test_a_changed_film_is_bad_also_where_a_book_says_it_was_removed(runs, genesis, key):
    change(runs / "r1" / "clips" / "trip-0001.mp4")
    with EvidenceWriter.open(runs / "r2" / "evidence", genesis, key) as writer:
        writer.notice(ClipRemoved("r1", "trip-0001", 5, "oldest"))
    (problem,) = check(runs).problems
    assert "trip-0001.mp4: was changed" in problem


def test_the_index_is_asked_where_to_look_and_not_believed(runs):
    (runs / "r1" / "clips" / "trip-0001.mp4").unlink()
    check(runs)
    with sqlite3.connect(runs / "index.sqlite") as base:
        told = json.dumps({"run": "r1", "name": "trip-0001"})
        base.execute("INSERT INTO events (run, seq, kind, record) VALUES ('r1', 999, 'removed', ?)", (told,))
    (problem,) = check(runs).problems
    assert "no book says it was removed" in problem


@pytest.mark.parametrize("forge", ["key", "edit", "hash"])
def test_a_removal_counts_only_in_a_sound_book_with_the_key_of_the_run(runs, genesis, key, forge):
    for path in (runs / "r1" / "clips").iterdir():
        path.unlink()
    signs = SigningKey.generate() if forge == "key" else key
    with EvidenceWriter.open(runs / "r2" / "evidence", genesis, signs) as writer:
        writer.notice(ClipRemoved("r1", "trip-0007", 5, "oldest"))
        writer.notice(ClipRemoved("r1", "trip-0001", 5, "oldest"))
    (segment,) = (runs / "r2" / "evidence").glob("segment-*")
    if forge == "edit":
        segment.write_bytes(segment.read_bytes().replace(b"trip-0007", b"trip-0008"))
    if forge == "hash":
        segment.write_bytes(segment.read_bytes().replace(b'{"hash":"', b'{"hash":"0', 1))
    assert len(check(runs).problems) == 2


def test_a_word_that_nobody_signed_excuses_nothing(runs, genesis, key):
    """Without any key a record can be added to the book of a run that was killed: only its hash has to fit."""
    for path in (runs / "r1" / "clips").iterdir():
        path.unlink()
    with EvidenceWriter.open(runs / "r2" / "evidence", genesis, key) as writer:
        writer.notice(ClipRemoved("r1", "trip-0007", 5, "oldest"))
    (segment,) = (runs / "r2" / "evidence").glob("segment-*")
    lines = segment.read_bytes().splitlines(keepends=True)
    signed = next(i for i, line in enumerate(lines) if b"trip-0007" in line) + 1  # the signature that covers it
    hash_, raw = split_line(lines[signed])
    last = json.loads(raw)
    body = ClipRemoved("r1", "trip-0001", 5, "oldest").record(last["monotonic_ns"])
    times = {name: last[name] for name in ("monotonic_ns", "wall_time_utc")}
    _, forged = extend(Link(last["seq"], hash_), body | times)
    segment.write_bytes(b"".join([*lines[: signed + 1], forged]))
    assert verify(runs / "r2" / "evidence", key.public).verdict is Verdict.UNCLOSED
    assert len(check(runs).problems) == 2


def test_films_of_a_killed_monitor_that_its_book_does_not_name_are_told_by_name(runs):
    clips = runs / "r1" / "clips"
    for name in ("trip-0002.mp4", "trip-0002.json"):
        (clips / name).write_bytes((clips / name.replace("2", "1")).read_bytes())
    result = check(runs)
    assert result.unnamed == (str(clips / "trip-0002.json"), str(clips / "trip-0002.mp4"))
    assert f"not in the book, so unproven: {clips / 'trip-0002.mp4'}" in result.text()
    assert (result.good, result.problems) == (2, ())
    result.raise_if_damaged()


def test_a_run_without_films_has_none_to_tell_of(runs, genesis, key):
    with EvidenceWriter.open(runs / "r2" / "evidence", genesis, key):
        pass
    with open_index(runs) as base:
        assert check_clips(runs / "r2", base).text() == "clips: 0 as recorded, 0 removed to make room"


def test_a_moment_is_shown_by_the_films_around_it(runs):
    with open_index(runs) as base:
        clip = clips_showing(base, "r1", 0)
        assert clip == []
        (record,) = base.execute("SELECT record FROM events WHERE kind = 'clip' LIMIT 1").fetchone()
        clips = clips_showing(base, "r1", json.loads(record)["first_ns"])
    assert [clip["version"] for clip in clips] == ["raw", "overlay"]
    assert [line.rpartition("  ")[2] for line in film_states(runs / "r1", clips)] == ["as recorded"] * 2
