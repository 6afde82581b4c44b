"""The feed between real processes: never torn, never waited for, never left behind."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from handguard.desk import feed as feed_module
from handguard.desk.feed import SNAPSHOT_BYTES, FeedReader, FeedWriter
from handguard.errors import DeviceMissing

WIDTH_PX, HEIGHT_PX = 321, 243  # odd on purpose: the sum must reach the last byte
HAMMER = """
import sys, numpy as np
from handguard.desk.feed import FeedWriter
width_px, height_px = int(sys.argv[1]), int(sys.argv[2])
writer = FeedWriter(width_px, height_px)
print(writer.name, flush=True)
n = 0
while True:
    n += 1
    shape = (height_px - n % 3, width_px - n % 5, 3)  # another size each time
    writer.publish({"n": n, "pad": "x" * (n % 4000)}, np.full(shape, n % 251, np.uint8))
"""
STOPPED_READER = """
import sys, time
from handguard.desk.feed import FeedReader
reader, turn = FeedReader(sys.argv[1]), 0
print("reading", flush=True)
while True:
    view = reader.newest(turn)
    turn = view.turn if view else turn
"""


@contextmanager
def running(program: str, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A real process, and the first line it said."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(30)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def picture(value: int) -> np.ndarray:
    return np.full((HEIGHT_PX, WIDTH_PX, 3), value, np.uint8)


@pytest.fixture
def writer() -> Iterator[FeedWriter]:
    writer = FeedWriter(WIDTH_PX, HEIGHT_PX)
    yield writer
    writer.close()


@pytest.fixture
def reader(writer: FeedWriter) -> Iterator[FeedReader]:
    reader = FeedReader(writer.name)
    yield reader
    reader.close()


def test_the_newest_view_is_read_once(writer, reader):
    assert reader.newest() is None
    writer.publish({"n": 1}, picture(7))
    writer.publish({"n": 2}, picture(8))
    view = reader.newest()
    assert (view.turn, view.snapshot) == (2, {"n": 2})
    assert np.array_equal(view.image, picture(8))
    assert reader.newest(view.turn) is None


def test_a_view_is_a_copy_that_later_views_do_not_touch(writer, reader):
    writer.publish({}, picture(1))
    view = reader.newest()
    for value in (2, 3, 4):
        writer.publish({}, picture(value))
    assert np.array_equal(view.image, picture(1))


def test_a_tick_without_a_picture_has_none(writer, reader):
    writer.publish({"n": 1}, picture(9))
    writer.publish({"n": 2})
    assert reader.newest().image is None


def test_a_reader_of_words_alone_gets_no_picture(writer, reader):
    writer.publish({"n": 1}, picture(9))
    assert reader.newest(picture=False).image is None


@pytest.mark.parametrize(
    "strange",
    [
        np.zeros((HEIGHT_PX + 1, WIDTH_PX, 3), np.uint8),
        np.zeros((HEIGHT_PX, WIDTH_PX), np.uint8),
        np.zeros((0, WIDTH_PX, 3), np.uint8),
    ],
    ids=["too large", "gray", "empty"],
)
def test_a_picture_that_does_not_fit_is_left_out_and_the_words_arrive(writer, reader, strange):
    writer.publish({"n": 1}, strange)
    view = reader.newest()
    assert view.snapshot == {"n": 1} and view.image is None


def test_words_that_do_not_fit_are_left_out_whole(writer, reader):
    writer.publish({"n": 1})
    writer.publish({"n": "x" * SNAPSHOT_BYTES})
    assert reader.newest().snapshot == {"n": 1}


def test_a_torn_view_is_never_returned():
    """A writer that never rests and changes size each time; a reader that checks every byte."""
    with running(HAMMER, WIDTH_PX, HEIGHT_PX) as (_, name):
        reader, turn, whole = FeedReader(name), 0, 0
        ends = time.monotonic() + 6
        while time.monotonic() < ends:
            view = reader.newest(turn)
            if view is None:
                continue
            assert view.turn > turn
            turn, whole = view.turn, whole + 1
            n = view.snapshot["n"]
            assert n == turn and view.snapshot["pad"] == "x" * (n % 4000)
            assert view.image.shape == (HEIGHT_PX - n % 3, WIDTH_PX - n % 5, 3)
            assert (view.image == n % 251).all(), f"turn {turn} is torn"
        reader.close()
    assert whole > 20, "the reader must have had something to check"
    assert turn > whole, "the writer must have overtaken the reader, or nothing was shown"


def test_a_sum_refuses_what_turns_alone_would_let_through(writer, reader):
    """As on a processor that shows the turn before the picture."""
    writer.publish({"n": 1}, picture(1))
    start = feed_module._slot_start(1, WIDTH_PX * HEIGHT_PX * 3) + feed_module._LINE
    writer._buffer[start + SNAPSHOT_BYTES + 5_000] = 2
    assert reader.newest() is None
    assert reader.newest(picture=False).snapshot == {"n": 1}
    writer._buffer[start + 2] = ord("m")
    assert reader.newest(picture=False) is None


def test_a_writer_killed_in_the_middle_leaves_the_view_before(writer, reader):
    writer.publish({"n": 1}, picture(1))
    writer._words[feed_module._slot_start(0, WIDTH_PX * HEIGHT_PX * 3) // 8] = 0  # began turn 2
    assert reader.newest().snapshot == {"n": 1}


def test_nothing_is_left_behind_when_the_monitor_is_killed():
    """No name in shared memory, no helper process, no warning; and its viewers notice."""
    before = set(Path("/dev/shm").iterdir())
    with running(HAMMER, WIDTH_PX, HEIGHT_PX) as (monitor, name):
        reader = FeedReader(name)
        assert not reader.closed
        assert children_of(monitor.pid) == ""
        monitor.kill()
        monitor.wait(30)
        assert monitor.stderr is not None
        assert monitor.stderr.read() == ""
    assert reader.closed
    assert set(Path("/dev/shm").iterdir()) <= before
    with pytest.raises(DeviceMissing, match="expected a running monitor"):
        FeedReader(name)
    reader.close()


def children_of(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_reader_takes_nothing_with_it(writer, ending):
    writer.publish({"n": 1}, picture(1))
    with running(STOPPED_READER, writer.name) as (process, said):
        assert said == "reading"
        process.send_signal(ending)
        process.wait(30)
        assert process.stderr is not None
        assert "resource_tracker" not in process.stderr.read()
    reader = FeedReader(writer.name)
    assert reader.newest().snapshot == {"n": 1}
    reader.close()


def test_both_ends_close_without_a_warning():
    program = """
from handguard.desk.feed import FeedReader, FeedWriter
import numpy as np
writer = FeedWriter(64, 48)
reader = FeedReader(writer.name)
writer.publish({}, np.zeros((48, 64, 3), np.uint8))
view = reader.newest()
for end in (reader, reader, writer, writer):
    end.close()
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_feed_says_so_and_takes_no_more(writer, reader):
    writer.publish({"n": 1})
    writer.close()
    writer.publish({"n": 2})
    assert reader.closed
    assert reader.newest().snapshot == {"n": 1}


def test_a_reader_cannot_harm_the_monitor(writer, reader):
    with pytest.raises(TypeError, match="read-only"):
        reader._buffer[0] = 1
    fd = os.open(writer.name, os.O_RDWR)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)  # would be a SIGBUS in the monitor
    os.close(fd)


@pytest.mark.parametrize("content", [b"", b"short", bytes(200_000)])
def test_a_stranger_is_not_taken_for_a_feed(tmp_path, content):
    (tmp_path / "stranger").write_bytes(content)
    with pytest.raises(DeviceMissing, match=r"feed .*stranger: expected a"):
        FeedReader(str(tmp_path / "stranger"))


def test_a_stopped_reader_does_not_slow_the_monitor(capsys):
    """Medians, because the machine is shared; the bound is kind for the same reason."""
    writer = FeedWriter(1280, 720)
    alone_us = published_us(writer)
    with running(STOPPED_READER, writer.name) as (process, _):
        process.send_signal(signal.SIGSTOP)
        stopped_us = published_us(writer)
        process.send_signal(signal.SIGCONT)
    writer.close()
    with capsys.disabled():
        print(f"\npublish 1280x720 µs: alone {told(alone_us)}, beside a stopped reader {told(stopped_us)}")
    assert np.median(stopped_us) < 3 * np.median(alone_us) + 500


def published_us(writer: FeedWriter, times: int = 300) -> list[float]:
    image = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)
    snapshot = json.loads(json.dumps({"hands": [{"box_px": [1.5, 2.5, 3.5, 4.5]}] * 4}))
    gc.collect()
    taken = []
    for _ in range(times):
        began_ns = time.perf_counter_ns()
        writer.publish(snapshot, image)
        taken.append((time.perf_counter_ns() - began_ns) / 1e3)
    return taken


def told(values_us: list[float]) -> str:
    return f"p50 {np.percentile(values_us, 50):.0f} p99 {np.percentile(values_us, 99):.0f}"
