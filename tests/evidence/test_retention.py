"""Room for clips: oldest first, held never, doubt is a hold."""

from __future__ import annotations

import json
import os
import time

import pytest

from handguard.evidence.notes import Note, NoteAction, add_note
from handguard.evidence.retention import NoRoom, Shelf, clear_leftovers, make_room, stored_clips
from handguard.evidence.writer import EvidenceWriter

CLIP_BYTES = 10_000


class Runs:
    """A folder of runs with clips in them; clip n of a run shows the moments from 1000 n to 1000 n + 500."""

    def __init__(self, folder, genesis, key):
        self.folder, self.genesis, self.key, self._age = folder, genesis, key, 0

    def add(self, run, number):
        if not (self.folder / run).exists():
            EvidenceWriter.open(self.folder / run / "evidence", self.genesis, self.key).close()
        clips = self.folder / run / "clips"
        clips.mkdir(exist_ok=True)
        frames = [{"captured_ns": number * 1000}, {"captured_ns": number * 1000 + 400}]
        trips = [{"at_ns": number * 1000 + 500}]
        index = json.dumps({"schema": 1, "frames": frames, "trips": trips}).encode()
        name = clips / f"trip-{number:04d}"
        name.with_suffix(".json").write_bytes(index)
        name.with_suffix(".mp4").write_bytes(bytes(CLIP_BYTES - len(index) - 1000))
        (clips / f"{name.name}-overlay.mp4").write_bytes(bytes(1000))
        self._age += 1
        for path in clips.glob(f"{name.name}*"):
            os.utime(path, (self._age, self._age))

    def hold(self, run, at_ns, action=NoteAction.HOLD):
        add_note(self.folder / run, Note(action, at_ns, at_ns, "anna", "", ""), self.key)

    def names(self):
        return [f"{path.parts[-3]}/{path.stem}" for path in sorted(self.folder.glob("*/clips/trip-????.mp4"))]

    def shelf(self, clips, keep_free_bytes=0):
        own = self.folder / "b" / "clips"
        return Shelf(self.folder, own, round(clips * CLIP_BYTES), keep_free_bytes)


@pytest.fixture
def runs(tmp_path, genesis, key):
    runs = Runs(tmp_path / "runs", genesis, key)
    for run, number in (("a", 1), ("a", 2), ("b", 1), ("b", 2)):
        runs.add(run, number)
    return runs


def room(runs, clips, needed=1.0, **more):
    told = []
    try:
        make_room(runs.shelf(clips, **more), round(needed * CLIP_BYTES), told.append)
    finally:
        told = [f"{clip.run.name}/{clip.name}" for clip in told]
    return told


def test_nothing_goes_while_there_is_room(runs):
    assert room(runs, clips=5) == []
    assert len(runs.names()) == 4


def test_the_oldest_go_first_whole_and_are_told(runs):
    assert room(runs, clips=3) == ["a/trip-0001", "a/trip-0002"]
    assert runs.names() == ["b/trip-0001", "b/trip-0002"]
    assert not [*(runs.folder / "a" / "clips").iterdir()]


def test_the_bound_is_the_quota_itself(runs):
    assert room(runs, clips=4, needed=0.0) == []
    assert room(runs, clips=4, needed=0.0001) == ["a/trip-0001"]


@pytest.mark.parametrize("at_ns", [1000, 1250, 1500])
def test_a_clip_that_shows_a_held_event_stays(runs, at_ns):
    runs.hold("a", at_ns)
    assert room(runs, clips=3) == ["a/trip-0002", "b/trip-0001"]
    assert runs.names() == ["a/trip-0001", "b/trip-0002"]


@pytest.mark.parametrize("at_ns", [999, 1501])
def test_a_held_event_beside_a_clip_does_not_hold_it(runs, at_ns):
    runs.hold("a", at_ns)
    assert room(runs, clips=4) == ["a/trip-0001"]


def test_a_released_clip_goes_again(runs):
    runs.hold("a", 1250)
    runs.hold("a", 1250, NoteAction.RELEASE)
    assert room(runs, clips=4) == ["a/trip-0001"]


def test_when_all_is_held_the_new_clip_is_refused_and_nothing_goes(runs):
    for run in "ab":
        for at_ns in (1000, 2000):
            runs.hold(run, at_ns)
    with pytest.raises(NoRoom, match=r"goes over the quota of 0\.0 MB, also without"):
        room(runs, clips=4)
    assert len(runs.names()) == 4


def test_a_clip_larger_than_the_quota_is_refused(runs):
    with pytest.raises(NoRoom, match="goes over the quota"):
        room(runs, clips=2, needed=3)


def test_damaged_notes_hold_every_clip_of_their_run(runs):
    runs.hold("a", 1250)
    (runs.folder / "a" / "notes.jsonl").write_bytes(b"x" * 100 + b"\n")
    assert room(runs, clips=4) == ["b/trip-0001"]


@pytest.mark.parametrize("index", [b"{", b'{"schema": 1, "frames": [], "trips": []}'], ids=["torn", "without times"])
def test_an_index_that_cannot_be_read_is_held_where_anything_is(runs, index):
    (runs.folder / "a/clips/trip-0001.json").write_bytes(index)
    runs.hold("a", 2000)
    assert room(runs, clips=4) == ["b/trip-0001"]


def test_the_disk_keeps_what_the_book_needs(runs):
    with pytest.raises(NoRoom, match="of the disk must stay free"):
        room(runs, clips=100, keep_free_bytes=1 << 60)
    assert len(runs.names()) == 4  # nothing was deleted in vain


def test_only_clips_are_ever_touched(runs):
    mine = runs.folder / "a" / "clips" / "trip-0001 copy.mp4"
    mine.write_bytes(bytes(CLIP_BYTES))
    room(runs, clips=1)
    assert mine.exists()
    assert (runs.folder / "a" / "evidence" / "segment-000001.jsonl").exists()


def test_our_own_folder_counts_wherever_it_is(runs, tmp_path):
    elsewhere = Shelf(tmp_path / "nowhere", runs.folder / "b" / "clips", 10 * CLIP_BYTES, 0)
    assert [clip.name for clip in stored_clips(elsewhere)] == ["trip-0001", "trip-0002"]


def test_half_written_files_of_dead_recorders_are_cleared(runs):
    ours, fresh, old = (
        runs.folder / run / "clips" / f".trip-0003.mp4.{name}" for run, name in (("b", "1"), ("a", "2"), ("a", "3"))
    )
    for path in (ours, fresh, old):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    clear_leftovers(runs.shelf(1))
    assert [path.exists() for path in (ours, fresh, old)] == [False, True, False]
