"""Rings, takes and films: which pictures, at which time, and proof that they are those of the book."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, replace

import av
import cv2
import numpy as np
import pytest

from handguard.digest import sha256_of
from handguard.errors import RecordingError
from handguard.evidence.clips import Drawing, read_index, save
from handguard.evidence.film import pts_of
from handguard.evidence.notices import ClipLost, ClipRemoved, ClipSaved, TripMark, from_line, to_line
from handguard.evidence.reading import read_records
from handguard.evidence.ring import Cutter, Spans, Still, Take, numbered, still_of
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify
from handguard.evidence.writer import EvidenceWriter
from handguard.types import Zone, ZoneRole

S = 1_000_000_000
BEGIN_NS = 5 * S  # of the judge's clock; frames come each 33 ms
ZONES = (Zone("intake", ZoneRole.STOP, ((10.0, 10.0), (100.0, 10.0), (100.0, 80.0))),)


def picture(value, shape=(121, 161, 3)):
    return np.full(shape, value % 256, np.uint8)


def mark(number, frame_seq, zone="intake"):
    return TripMark(number, BEGIN_NS + frame_seq * 33_000_000, frame_seq, "intruded", zone)


@pytest.fixture
def stills(judge):
    return [still_of(n + 1, judge(n)[0], picture(n * 20)) for n in range(60)]


def test_every_picture_says_which_frame_it_is(stills):
    assert numbered(stills[7].jpeg) == (7, stills[7].captured_ns)
    assert numbered(stills[7].jpeg[:2]) is None
    image = cv2.imdecode(np.frombuffer(stills[7].jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(image.astype(int) - 140).max() <= 2


def cut_at(cutter, stills, trips, until_ns=None):
    """Feed stills and trips as they come; returns the takes."""
    takes = []
    for still in stills:
        cutter.see(still)
        for trip in trips:
            if trip.frame_seq == still.frame_seq:
                cutter.trip(trip)
        takes.append(cutter.cut(still.captured_ns))
    takes.append(cutter.cut(until_ns or stills[-1].captured_ns, "the run ended"))
    return [take for take in takes if take]


def numbers(take):
    return take.stills[0].frame_seq, take.stills[-1].frame_seq


def test_a_take_holds_the_time_before_and_after_the_trip(stills):
    (take,) = cut_at(Cutter(Spans(0.33, 0.66)), stills, [mark(1, 30)])
    assert (take.name, numbers(take), take.cut_short) == ("trip-0001", (20, 50), "")


def test_a_second_trip_makes_the_take_longer_and_not_two(stills):
    (take,) = cut_at(Cutter(Spans(0.33, 0.66)), stills, [mark(1, 20), mark(2, 30)])
    assert (numbers(take), [trip.number for trip in take.trips]) == ((10, 50), [1, 2])


def test_no_take_is_longer_than_the_longest(stills):
    trips = [mark(n + 1, frame_seq) for n, frame_seq in enumerate(range(10, 50, 5))]
    takes = cut_at(Cutter(Spans(0.33, 0.66, longest_s=0.99)), stills, trips)
    assert [(numbers(take), take.name) for take in takes] == [((0, 40), "trip-0001"), ((35, 59), "trip-0008")]


def test_a_run_that_ends_in_the_post_roll_says_so(stills):
    (take,) = cut_at(Cutter(Spans(0.33, 9.0)), stills, [mark(1, 50)])
    assert (numbers(take), take.cut_short) == ((40, 59), "the run ended")


def test_a_trip_that_is_known_begins_nothing(stills):
    assert cut_at(Cutter(Spans(), seen_trips=1), stills, [mark(1, 30)]) == []


def test_the_ring_forgets_and_stays_within_its_bytes(stills):
    size = len(stills[0].jpeg)
    cutter = Cutter(Spans(pre_s=60, post_s=0.0, ring_bytes=size * 5 + 200))
    (take,) = cut_at(cutter, stills, [mark(1, 59)])
    assert len(take.stills) == 5


def test_an_old_or_repeated_picture_is_left_out(stills):
    cutter = Cutter(Spans(60, 0))
    for still in (stills[3], stills[3], stills[1], stills[4]):
        cutter.see(still)
    cutter.trip(mark(1, 4))
    assert [still.frame_seq for still in cutter.cut(BEGIN_NS * 2).stills] == [3, 4]


def test_views_that_were_never_seen_are_counted(stills):
    take = Take((mark(1, 5),), (stills[1], stills[2], stills[6]))
    assert take.lost_views == 3


@pytest.fixture
def saved(tmp_path, stills):
    take = Take((mark(1, 30),), tuple(stills))
    told: list[ClipSaved] = []
    save(take, tmp_path / "clips", Drawing(ZONES), told.append)
    return take, tmp_path / "clips", told


def packets(path):
    with av.open(str(path)) as film:
        return [(packet.pts, bytes(packet)) for packet in film.demux(video=0) if packet.size]


def test_the_raw_film_is_the_pictures_of_the_ring_bit_for_bit(saved):
    take, folder, _ = saved
    found = packets(folder / "trip-0001.mp4")
    assert [jpeg for _, jpeg in found] == [still.jpeg for still in take.stills]
    assert [numbered(jpeg)[0] for _, jpeg in found] == [still.frame_seq for still in take.stills]


def test_both_films_and_the_index_give_one_frame_one_time(saved):
    take, folder, _ = saved
    index = read_index(folder / "trip-0001.json")
    origin_ns = take.stills[0].captured_ns
    wanted = [(still.frame_seq, pts_of(still.captured_ns, origin_ns)) for still in take.stills]
    assert [(frame["frame_seq"], frame["pts"]) for frame in index["frames"]] == wanted
    assert [pts for pts, _ in packets(folder / "trip-0001.mp4")] == [pts for _, pts in wanted]
    with av.open(str(folder / "trip-0001-overlay.mp4")) as film:
        assert [frame.pts for frame in film.decode(video=0)] == [pts for _, pts in wanted]


def test_the_overlay_shows_the_frame_it_was_drawn_on(saved):
    """Behind the ink each picture keeps its own gray, so one frame more or less would show."""
    take, folder, _ = saved
    with av.open(str(folder / "trip-0001-overlay.mp4")) as film:
        grays = [frame.to_ndarray(format="bgr24")[100:120, 120:160].mean() for frame in film.decode(video=0)]
    assert np.abs(np.array(grays) - [still.frame_seq * 20 % 256 for still in take.stills]).max() < 6


def test_the_notices_hold_the_hashes_of_what_stands_there(saved):
    _, folder, told = saved
    assert [notice.version for notice in told] == ["raw", "overlay"]
    for notice in told:
        assert notice.sha256 == sha256_of(folder / notice.file)
        assert notice.index_sha256 == sha256_of(folder / "trip-0001.json")
        assert (notice.first_frame, notice.last_frame, notice.frames) == (0, 59, 60)
    index = read_index(folder / "trip-0001.json")
    jpegs = [jpeg for _, jpeg in packets(folder / "trip-0001.mp4")]
    assert [frame["sha256"] for frame in index["frames"]] == [hashlib.sha256(j).hexdigest() for j in jpegs]


def test_frames_closer_than_a_step_of_time_keep_their_order(tmp_path, stills):
    times = replace(stills[0].decision.times, captured_ns=stills[0].captured_ns + 5)
    second = replace(stills[1], decision=replace(stills[1].decision, times=times))
    save(Take((mark(1, 1),), (stills[0], second, stills[2])), tmp_path, Drawing(()), lambda _: None)
    assert [frame["pts"] for frame in read_index(tmp_path / "trip-0001.json")["frames"]] == [0, 1, 5940]


def test_no_time_for_the_overlay_leaves_the_raw_film(tmp_path, stills):
    asked = iter([True] * 10 + [False])
    told: list[ClipSaved] = []
    with pytest.raises(InterruptedError, match="no time was left"):
        save(Take((mark(1, 30),), tuple(stills)), tmp_path, Drawing(ZONES, 0, lambda: next(asked)), told.append)
    assert sorted(os.listdir(tmp_path)) == ["trip-0001.json", "trip-0001.mp4"]
    assert [notice.version for notice in told] == ["raw"]


@pytest.fixture
def small_disk(mounted_disk):
    return mounted_disk("60k")


@pytest.mark.parametrize("ballast_bytes", [58_000, 0], ids=["in the raw film", "in the overlay"])
def test_a_full_disk_is_an_error_and_leaves_nothing_half(small_disk, judge, ballast_bytes):
    (small_disk / "ballast").write_bytes(bytes(ballast_bytes))
    noise = np.random.default_rng(0)
    few = [still_of(n, judge(n)[0], picture(0)) for n in range(400)] if not ballast_bytes else []
    loud = [still_of(n, judge(n)[0], noise.integers(0, 255, (240, 320, 3), np.uint8)) for n in range(400)]
    stills = loud if ballast_bytes else [replace_picture(still, n) for n, still in enumerate(few)][:60]
    told: list[ClipSaved] = []
    with pytest.raises(OSError, match="No space left"):
        save(Take((mark(1, 30),), tuple(stills)), small_disk / "clips", Drawing(ZONES), told.append)
    hidden = [name for name in os.listdir(small_disk / "clips") if name.startswith(".")]
    assert hidden == []
    for notice in told:
        assert notice.sha256 == sha256_of(small_disk / "clips" / notice.file)


def replace_picture(still: Still, n: int) -> Still:
    """So small as JPEG, so hard to encode as film, that only the overlay does not fit."""
    return replace(still, jpeg=still_of(n, still.decision, picture(n * 97, (64, 64, 3))).jpeg)


def test_notices_survive_the_way_through_a_pipe(saved):
    _, _, told = saved
    others = [ClipRemoved("20250131-120000Z", "trip-0002", 5, "oldest"), ClipLost("trip-0003", "disk")]
    for notice in (*told, *others):
        assert from_line(to_line(notice)) == notice


BAD_LINES = {
    "no JSON": b"hello\n",
    "not a notice": b'{"notice":"permit"}\n',
    "no object": b"[1]\n",
    "a path": b'{"notice":"clip_lost","name":"../../etc","why":""}\n',
    "another type": b'{"notice":"clip_removed","run":"a","name":"trip-0001","bytes":"5","why":""}\n',
    "a boolean for a number": b'{"notice":"clip_removed","run":"a","name":"trip-0001","bytes":true,"why":""}\n',
    "too much": b'{"notice":"clip_lost","name":"trip-0001","why":"x","more":1}\n',
    "too little": b'{"notice":"clip_lost"}\n',
    "too long": b'{"notice":"clip_lost","name":"trip-0001","why":"%s"}\n' % (b"x" * 70_000),
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_that_is_no_notice_is_refused_in_words(line):
    with pytest.raises(RecordingError, match=r"expected|notice"):
        from_line(line)


def test_a_clip_stands_in_the_book_and_the_book_verifies(tmp_path, genesis, key, saved):
    _, _, told = saved
    with EvidenceWriter.open(tmp_path / "book", genesis, key) as writer:
        writer.notice(told[0])
        writer.notice(ClipRemoved("old run", "trip-0009", 7, "oldest"))
        writer.notice(ClipLost("trip-0002", "disk full"))
    verification = verify(tmp_path / "book", key.public)
    assert verification.verdict is Verdict.INTACT, verification.text()
    records = list(read_records(tmp_path / "book"))
    clip, removed, lost = records[2:5]
    assert (clip["kind"], clip["sha256"]) == ("clip", told[0].sha256)
    assert clip["trips"] == [asdict(trip) for trip in told[0].trips]
    assert (removed["kind"], removed["run"]) == ("clip_removed", "old run")
    assert (lost["kind"], lost["name"], lost["detail"]) == ("fault", "clip-lost", "trip-0002: disk full")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema": 99, "frames": []}', b"[" * 100_000])
def test_an_index_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "trip-0001.json").write_bytes(content)
    with pytest.raises(RecordingError, match=r"trip-0001\.json: expected the index of a clip"):
        read_index(tmp_path / "trip-0001.json")
