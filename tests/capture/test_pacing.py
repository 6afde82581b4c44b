from __future__ import annotations

import itertools
import threading
import time

import pytest

from handguard.capture.camera import CameraThread
from handguard.capture.mailbox import Mailbox
from handguard.capture.pacing import Paced
from handguard.capture.video_file import VideoFile
from handguard.errors import DeviceError, EndOfVideo
from handguard.types import Frame

_MS = 1_000_000


def test_frames_come_when_due_and_carry_the_live_time(cards, manual_clock):
    source = Paced(cards(5), manual_clock, wait_s=manual_clock.wait_s)
    started_ns = manual_clock.now_ns()
    frames = [source.read() for _ in range(5)]
    assert [f.captured_ns - started_ns for f in frames] == [n * 40 * _MS for n in range(5)]
    with pytest.raises(EndOfVideo):
        source.read()


def test_the_first_frame_is_due_at_the_first_read_not_at_construction(cards, manual_clock):
    source = Paced(cards(3), manual_clock, wait_s=manual_clock.wait_s)
    manual_clock.time_ns += 60_000 * _MS
    asked_ns = manual_clock.now_ns()
    assert [source.read().captured_ns - asked_ns for _ in range(3)] == [0, 40 * _MS, 80 * _MS]
    assert source.skipped == 0


def test_time_spent_between_reads_is_not_added_to_the_wait(cards, manual_clock):
    source = Paced(cards(20), manual_clock, wait_s=manual_clock.wait_s)
    started_ns = manual_clock.now_ns()
    for n in range(20):
        assert source.read().captured_ns - started_ns == n * 40 * _MS
        manual_clock.time_ns += 13 * _MS


def test_a_wait_that_oversleeps_does_not_add_up(cards, manual_clock):
    def oversleep(seconds: float) -> None:
        manual_clock.wait_s(seconds + 0.003)

    source = Paced(cards(20), manual_clock, wait_s=oversleep)
    started_ns = manual_clock.now_ns()
    late_ns = [source.read().captured_ns - started_ns - n * 40 * _MS for n in range(20)]
    assert late_ns == [0] + [3 * _MS] * 19


def test_a_stalled_reader_gets_the_frame_of_the_moment_and_no_burst(cards, manual_clock):
    source = Paced(cards(40), manual_clock, wait_s=manual_clock.wait_s)
    started_ns = manual_clock.now_ns()
    source.read()
    manual_clock.time_ns += 410 * _MS
    late, following = source.read(), source.read()
    assert (late.seq, following.seq) == (10, 11)
    assert late.captured_ns - started_ns == 410 * _MS  # stamped when shown, not when due
    assert following.captured_ns - started_ns == 440 * _MS  # back on the schedule
    assert source.skipped == 9


def test_the_last_frame_before_a_long_gap_is_late_rather_than_lost(manual_clock, cards):
    class Gapped(cards):
        def read(self) -> Frame:
            frame = super().read()
            return frame if frame.seq < 2 else Frame(frame.seq, 5_000 * _MS, frame.image)

    source = Paced(Gapped(3), manual_clock, wait_s=manual_clock.wait_s)
    source.read()
    manual_clock.time_ns += 3_000 * _MS
    assert source.read().seq == 1


def test_a_decoder_slower_than_real_time_still_delivers_steadily(cards, manual_clock):
    class Slow(cards):
        def read(self) -> Frame:
            manual_clock.time_ns += 90 * _MS  # for pictures 40 ms apart
            return super().read()

    source = Paced(Slow(200), manual_clock, wait_s=manual_clock.wait_s)
    times_ns = [source.read().captured_ns for _ in range(40)]
    gaps_ms = [(b - a) / _MS for a, b in itertools.pairwise(times_ns)]
    assert max(gaps_ms) <= 4 * 90


def test_looping_goes_on_in_number_and_time(cards, manual_clock):
    opened = []

    def reopen():
        opened.append(cards(3))
        return opened[-1]

    source = Paced(reopen(), manual_clock, reopen=reopen, wait_s=manual_clock.wait_s)
    frames = [source.read() for _ in range(8)]
    assert [f.seq for f in frames] == list(range(8))
    assert {b.captured_ns - a.captured_ns for a, b in itertools.pairwise(frames)} == {40 * _MS}
    assert [o.closed for o in opened[:2]] == [1, 1]


def test_a_failure_comes_in_its_turn_not_one_frame_early(cards, manual_clock):
    source = Paced(cards([0, 1, DeviceError("torn")]), manual_clock, wait_s=manual_clock.wait_s)
    assert [source.read().seq, source.read().seq] == [0, 1]
    with pytest.raises(DeviceError, match="torn"):
        source.read()


def test_interrupt_ends_a_wait_from_another_thread(cards):
    source = Paced(cards(3, period_ns=60_000 * _MS))
    source.read()
    threading.Timer(0.05, source.interrupt).start()
    started = time.monotonic()
    with pytest.raises(DeviceError, match="closed"):
        source.read()
    assert time.monotonic() - started < 20


def test_stopping_a_camera_thread_does_not_wait_for_the_next_frame(cards):
    camera = CameraThread(Paced(cards(3, period_ns=60_000 * _MS)), Mailbox())
    camera.start()
    assert camera.stop(timeout_s=20.0)


def test_a_real_file_takes_as_long_as_it_lasts(make_video, read_all):
    paced = Paced(VideoFile(make_video(frames=25, fps=50)))
    began_ns = time.monotonic_ns()
    lasted_ns = read_all(paced)[-1].captured_ns - began_ns  # the first frame, too, may be late
    assert 480 * _MS <= lasted_ns <= 2_500 * _MS  # never early; late only as the machine is
