"""The recorder as its own program behind a real feed: kills, stops, full disks, and exact alignment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from handguard.desk import recorder as recorder_module
from handguard.desk.feed import FeedWriter, View
from handguard.desk.recorder import CuttingRoom, Recorder, follow
from handguard.desk.recording import Recording
from handguard.desk.snapshot import Chronicle
from handguard.digest import sha256_of
from handguard.evidence.clips import read_index
from handguard.evidence.ledger import WritePolicy
from handguard.evidence.notices import ClipLost, ClipRemoved, ClipSaved, TripMark, from_line, to_line
from handguard.evidence.reading import read_records
from handguard.evidence.retention import Shelf
from handguard.evidence.ring import Spans, Take, numbered
from handguard.evidence.schema import Genesis
from handguard.evidence.signing import SigningKey
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify
from handguard.evidence.writer import EvidenceWriter
from handguard.types import Output, Permit
from tests.desk.feeding import REPORT, Camera, cpu_s, decided, gray_of, wait_for

SHORT = ["--pre-s", "1", "--post-s", "0.5", "--keep-free-bytes", "0"]
ZONES = '[["intake", "stop", [[10, 10], [100, 10], [100, 80]]]]'


@pytest.fixture
def feed() -> Iterator[FeedWriter]:
    feed = FeedWriter(320, 240)
    yield feed
    feed.close()


class Listener:
    """A book that only remembers."""

    def __init__(self):
        self.notices, self.faults = [], []

    def notice(self, notice):
        self.notices.append(notice)

    def fault(self, name, detail):
        self.faults.append(f"{name}: {detail}")

    def saved(self, version="overlay"):
        return [n for n in self.notices if isinstance(n, ClipSaved) and n.version == version]


@pytest.fixture
def book() -> Listener:
    return Listener()


@pytest.fixture
def record(feed, tmp_path) -> Iterator:
    """`record(book, …)` starts a recorder as the monitor does, and waits until it looks."""
    runs = tmp_path / "runs"
    recordings = []

    def start(book, *more, clips=runs / "run" / "clips"):
        arguments = [feed.name, "--clips", str(clips), "--runs", str(runs), "--zones", ZONES, *SHORT, *more]
        recording = Recording(arguments, book, tmp_path / "recorder.log")
        recordings.append(recording)
        wait_for(lambda: looks(recording.pid))
        return recording

    yield start
    feed.close()
    for recording in recordings:
        recording.close()
    assert (tmp_path / "recorder.log").read_text() == ""


def looks(pid: int) -> bool:
    """True once the process has mapped a feed."""
    try:
        return "memfd:handguard-feed" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def clips_of(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "run" / "clips"


def test_a_trip_becomes_two_films_that_fit_the_record(feed, record, book, tmp_path):
    """From the picture in shared memory to the picture in the film, frame by frame."""
    recording = record(book)
    camera = Camera(feed)
    camera.shoot_for(1.2)
    tripped = camera.shoot(trip=True)
    wait_for(lambda: book.saved(), camera.shoot)
    feed.close()
    recording.close()
    raw, overlay = book.notices
    assert book.faults == []
    assert raw.first_frame < tripped.frame_seq < raw.last_frame
    assert tripped.times.captured_ns - raw.first_ns <= 1_000_000_000
    assert raw.trips[0].frame_seq == tripped.frame_seq and raw.trips[0].zone == "intake"
    folder = clips_of(tmp_path)
    assert [sha256_of(folder / n.file) for n in (raw, overlay)] == [raw.sha256, overlay.sha256]
    frames = read_index(folder / "trip-0001.json")["frames"]
    with av.open(str(folder / "trip-0001.mp4")) as film:
        for packet, frame in zip((p for p in film.demux(video=0) if p.size), frames, strict=True):
            assert numbered(bytes(packet)) == (frame["frame_seq"], frame["captured_ns"])
    with av.open(str(folder / "trip-0001.mp4")) as film:
        for picture, frame in zip(film.decode(video=0), frames, strict=True):
            gray = picture.to_ndarray(format="bgr24").mean()
            assert abs(gray - gray_of(frame["frame_seq"])) < 3
            assert picture.pts == frame["pts"]


def test_a_trip_without_a_picture_is_recorded_too(feed, record, book):
    """A blind camera trips on a tick that has no picture."""
    record(book)
    camera = Camera(feed)
    camera.shoot_for(0.3)
    camera.shoot(trip=True, picture=False)
    wait_for(lambda: book.saved())
    assert book.saved()[0].frames > 3


def test_the_end_of_the_run_cuts_what_is_open(feed, record, book):
    recording = record(book, "--post-s", "60")
    camera = Camera(feed)
    camera.shoot_for(0.5)
    camera.shoot(trip=True)
    camera.shoot_for(0.2)
    feed.close()
    recording.close()
    assert [n.cut_short for n in book.notices] == ["the run ended"] * 2
    assert book.faults == []


def test_a_killed_recorder_comes_back_and_is_a_fault(feed, record, book, tmp_path):
    recording = record(book, "--post-s", "2")
    camera = Camera(feed)
    camera.shoot(trip=True)
    wait_for(lambda: book.saved(), camera.shoot)
    camera.shoot(trip=True)
    camera.shoot_for(0.3)
    first = recording.pid
    (clips_of(tmp_path) / ".trip-0002.mp4.dead").write_bytes(b"half")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: book.faults and recording.pid != first and looks(recording.pid), camera.shoot)
    assert book.faults == ["recorder: ended with -9; no clips until it is back"]
    wait_for(lambda: len(book.saved()) == 2, camera.shoot)
    assert [n.name for n in book.saved()] == ["trip-0001", "trip-0002"]  # cut from what was left of it
    assert not list(clips_of(tmp_path).glob(".trip*"))


def test_a_recorder_that_was_told_to_go_comes_back_too(feed, record, book):
    recording = record(book)
    first = recording.pid
    os.kill(first, signal.SIGTERM)
    wait_for(lambda: recording.pid != first and looks(recording.pid))
    assert book.faults == ["recorder: ended with 143; no clips until it is back"]


def test_ctrl_c_is_left_to_the_monitor(feed, record, book):
    recording = record(book)
    os.kill(recording.pid, signal.SIGINT)
    camera = Camera(feed)
    camera.shoot(trip=True)
    wait_for(lambda: book.saved(), camera.shoot)
    assert book.faults == []


def test_a_stopped_recorder_loses_frames_and_nothing_else(feed, record, book):
    """SIGSTOP for a while in the pre-roll; the clip says how many judged frames it lacks."""
    recording = record(book, "--pre-s", "20")
    camera = Camera(feed)
    camera.shoot_for(0.3)
    os.kill(recording.pid, signal.SIGSTOP)
    slowest_s = 0.0
    for _ in range(40):
        began = time.perf_counter()
        camera.shoot()
        slowest_s = max(slowest_s, time.perf_counter() - began)
        time.sleep(0.01)
    os.kill(recording.pid, signal.SIGCONT)
    camera.shoot_for(0.2)
    camera.shoot(trip=True)
    wait_for(lambda: book.saved(), camera.shoot)
    clip = book.saved()[0]
    assert clip.lost_views >= 35
    assert clip.frames + clip.lost_views == clip.last_frame - clip.first_frame + 1
    assert slowest_s < 1.0


@pytest.mark.parametrize("name", ["old", "20261127-120000Z (Kopie, äöü)"])
def test_the_quota_removes_the_oldest_and_says_so(feed, record, book, tmp_path, name):
    """Whatever its folder is called: somebody may have copied a run in a file manager."""
    old = tmp_path / "runs" / name / "clips"
    old.mkdir(parents=True)
    (old / "trip-0007.mp4").write_bytes(bytes(1_000_000))
    os.utime(old / "trip-0007.mp4", (1, 1))
    record(book, "--quota-bytes", "1000000")
    camera = Camera(feed)
    camera.shoot(trip=True)
    wait_for(lambda: book.saved(), camera.shoot)
    removed = [n for n in book.notices if isinstance(n, ClipRemoved)]
    assert [(n.run, n.name, n.bytes) for n in removed] == [(name, "trip-0007", 1_000_000)]
    assert not (old / "trip-0007.mp4").exists()
    assert book.faults == []


def test_a_clip_that_does_not_fit_is_said_to_be_lost(feed, record, book):
    record(book, "--quota-bytes", "1000")
    camera = Camera(feed)
    camera.shoot(trip=True)
    wait_for(lambda: book.notices, camera.shoot)
    (lost,) = book.notices
    assert isinstance(lost, ClipLost) and "goes over the quota" in lost.why


@pytest.fixture
def small_disk(mounted_disk):
    return mounted_disk("40k")


def test_a_full_disk_loses_the_clip_and_not_the_recorder(feed, record, book, small_disk):
    recording = record(book, clips=small_disk / "clips")
    pid = recording.pid
    camera = Camera(feed)
    camera.shoot_for(1.0)
    (small_disk / "ballast").write_bytes(bytes(20_000))
    camera.shoot(trip=True)
    wait_for(lambda: book.notices, camera.shoot)
    assert "No space left" in book.notices[0].why or "does not fit" in book.notices[0].why
    assert not list((small_disk / "clips").iterdir())
    assert recording.pid == pid and book.faults == []


MONITOR = """
import sys, time
from pathlib import Path
from handguard.desk.feed import FeedWriter
from handguard.desk.recording import Recording
from tests.desk.feeding import Camera
from tests.desk.test_recorder import SHORT, Listener
feed = FeedWriter(320, 240)
clips = Path(sys.argv[1])
arguments = [feed.name, "--clips", str(clips), "--runs", str(clips.parents[1]), *SHORT, "--post-s", "30"]
recording = Recording(arguments, Listener(), clips.parent / "log")
camera = Camera(feed)
print(recording.pid, flush=True)
while True:
    camera.shoot(trip=camera.frame_seq == 100)
    time.sleep(0.02)
"""


def test_a_killed_monitor_leaves_a_recorder_that_finishes_and_ends(tmp_path):
    clips = clips_of(tmp_path)
    monitor = subprocess.Popen([sys.executable, "-c", MONITOR, str(clips)], stdout=subprocess.PIPE, text=True)
    assert monitor.stdout is not None
    recorder = int(monitor.stdout.readline())
    wait_for(lambda: looks(recorder))
    time.sleep(4)
    monitor.kill()
    monitor.wait(30)
    monitor.stdout.close()
    wait_for(lambda: not Path(f"/proc/{recorder}/maps").exists() or not looks(recorder))
    index = read_index(clips / "trip-0001.json")
    assert index["cut_short"] == "the run ended"
    assert {path.name for path in clips.iterdir()} == {f"trip-0001{end}" for end in (".json", ".mp4", "-overlay.mp4")}


def test_the_clip_is_in_the_signed_book_of_the_run(feed, record, tmp_path):
    """The real writer: decisions and clip side by side, frame for frame, and the book verifies."""
    key = SigningKey.generate()
    folder = tmp_path / "runs" / "run" / "evidence"
    policy = WritePolicy(min_free_bytes=1)
    with EvidenceWriter.open(folder, Genesis("m", "0", "c", "h", "b"), key, policy) as writer:
        recording = record(writer)
        camera = Camera(feed)

        def tick(trip=False):
            decision = camera.shoot(trip=trip)
            times = decision.times
            permit = Permit(1, decision.frame_seq, times.captured_ns, times.judged_ns, Output.ON)
            writer.record(decision, permit, REPORT)

        for _ in range(30):
            tick()
            time.sleep(0.02)
        tick(trip=True)
        overlay = clips_of(tmp_path) / "trip-0001-overlay.mp4"
        wait_for(overlay.exists, tick)
        feed.close()
        recording.close()
    verification = verify(folder, key.public)
    assert verification.verdict is Verdict.INTACT, verification.text()
    records = list(read_records(folder))
    clips = [r for r in records if r["kind"] == "clip"]
    assert [(r["version"], r["sha256"]) for r in clips] == [
        ("raw", sha256_of(clips_of(tmp_path) / "trip-0001.mp4")),
        ("overlay", sha256_of(overlay)),
    ]
    captured = {r["frame_seq"]: r["captured_ns"] for r in records if r["kind"] == "decision"}
    frames = read_index(clips_of(tmp_path) / "trip-0001.json")["frames"]
    assert len(frames) > 20
    assert all(captured[frame["frame_seq"]] == frame["captured_ns"] for frame in frames)


def test_a_recorder_without_a_feed_says_so(tmp_path):
    command = [sys.executable, "-m", "handguard.desk.recorder", "/proc/1/fd/no", "--clips", "c", "--runs", "r"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "recorder: feed /proc/1/fd/no: expected a running monitor, found" in done.stderr


class Busy:
    """A feed that always has something newer, as on a computer that is too slow for it."""

    closed = False

    def __init__(self):
        self._turn, self._chronicle = 0, Chronicle()

    def newest(self, _after):
        time.sleep(0.005)
        self._turn += 1
        snapshot = self._chronicle.snapshot(decided(self._turn, trip=self._turn == 1), REPORT, 0, frozenset())
        return View(self._turn, snapshot, np.zeros((16, 16, 3), np.uint8))


class Room:
    """A cutting room that only takes."""

    is_broken = False

    def __init__(self):
        self.takes = []

    def take(self, take, _origin_ns):
        self.takes.append(take)


def test_a_recorder_that_falls_behind_cuts_at_its_time():
    room, stopping = Room(), threading.Event()
    ending = threading.Timer(1.5, stopping.set)
    ending.start()
    follow(Busy(), Recorder(Spans(pre_s=0.2, post_s=0.1), room, 0), stopping)
    ending.join()
    (take,) = room.takes
    assert take.cut_short == ""
    assert take.stills[-1].captured_ns - take.trips[0].at_ns < 1_000_000_000


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # a room that breaks
def test_a_cutting_room_that_breaks_ends_the_recorder_so_that_it_comes_back(feed, tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "save", lambda *_: 1 // 0)
    clips = clips_of(tmp_path)
    camera, ended = Camera(feed), threading.Event()

    def shoot():
        while not ended.is_set():
            camera.shoot(trip=camera.frame_seq % 10 == 0)
            time.sleep(0.02)

    shooting = threading.Thread(target=shoot)
    shooting.start()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        arguments = [feed.name, "--clips", str(clips), "--runs", str(clips.parents[1]), "--keep-free-bytes", "0"]
        assert recorder_module.main([*arguments, "--pre-s", "0.1", "--post-s", "0.1"]) == recorder_module.BROKEN
    finally:
        ended.set()
        shooting.join()
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # a room that breaks
def test_a_broken_room_with_a_full_queue_can_be_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(CuttingRoom, "_write", lambda *_: 1 // 0)
    room = CuttingRoom(Shelf(tmp_path, tmp_path, 1 << 30), ())
    for number in range(1, 5):
        room.take(Take((TripMark(number, 1, 1, "intruded", "intake"),), ()), 0)
    room.close()
    assert room.is_broken


def test_a_line_that_is_no_notice_is_a_fault(tmp_path, monkeypatch):
    book = Listener()
    monkeypatch.setattr(sys, "executable", "/bin/echo")  # says its arguments, and ends
    recording = Recording(["x"], book, tmp_path / "log")
    recording.close()
    assert len(book.faults) == 1 and "recorder: expected a notice" in book.faults[0]


def test_a_recorder_that_is_away_is_a_fault_that_people_see_until_it_is_back(tmp_path, monkeypatch):
    monkeypatch.setattr("handguard.desk.recording.PAUSES_S", (0.5,))
    feed = FeedWriter(64, 48)
    arguments = [feed.name, "--clips", str(tmp_path / "clips"), "--runs", str(tmp_path)]
    recording = Recording(arguments, Listener(), tmp_path / "log")
    wait_for(lambda: looks(recording.pid))
    assert recording.faults == frozenset()
    os.kill(first := recording.pid, signal.SIGKILL)
    wait_for(lambda: recording.faults == {"recorder"})
    wait_for(lambda: recording.pid != first and not recording.faults)
    feed.close()
    recording.close()


def test_a_clip_that_was_lost_is_a_fault_that_people_go_on_seeing(tmp_path, monkeypatch):
    says = tmp_path / "says"
    says.write_bytes(b"#!/bin/sh\necho '" + to_line(ClipLost("trip-0001", "the disk is full")).strip() + b"'\n")
    says.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(says))
    recording = Recording([], Listener(), tmp_path / "log")
    recording.close()
    assert recording.faults == {"clip-lost"}


def test_recording_720p_at_30_costs_little(tmp_path, capsys):
    feed = FeedWriter(1280, 720)
    arguments = [feed.name, "--clips", str(tmp_path / "clips"), "--runs", str(tmp_path)]
    recording = Recording(arguments, Listener(), tmp_path / "log")
    wait_for(lambda: looks(recording.pid))
    camera = Camera(feed, (720, 1280))
    began_s, frames = cpu_s(recording.pid), camera.frame_seq
    camera.shoot_for(4.0, fps=30)
    cost_ms = (cpu_s(recording.pid) - began_s) / (camera.frame_seq - frames) * 1e3
    feed.close()
    recording.close()
    with capsys.disabled():
        print(f"\nrecorder: {cost_ms:.1f} ms of CPU per frame of 1280x720")
    assert cost_ms < 15


@pytest.mark.parametrize("line", [b"", b"\xff\xfe\n"])
def test_bytes_that_are_no_text_are_refused(line):
    with pytest.raises(Exception, match="notice"):
        from_line(line)


def test_gray_survives_the_ring():
    """The tests' own ruler: neighbors differ by more than JPEG can blur."""
    grays = np.array([gray_of(n) for n in range(200)])
    assert np.abs(np.diff(grays)).min() > 6
