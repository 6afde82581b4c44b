from __future__ import annotations

import itertools

import numpy as np
import pytest

from handguard.capture.camera import Backoff, CameraThread
from handguard.capture.faulty import (
    Blur,
    Covered,
    Dark,
    Drop,
    Fault,
    FaultySource,
    Freeze,
    Jitter,
    Shift,
    Stall,
    Unplugged,
)
from handguard.capture.mailbox import Mailbox
from handguard.errors import DeviceError

_MS = 1_000_000


@pytest.fixture
def struck(cards, read_all):
    def run(*faults: Fault, frames: int = 8):
        return read_all(FaultySource(cards(frames), faults, wait_s=None))

    return run


def test_freeze_repeats_the_picture_under_fresh_numbers_and_times(struck, number_on):
    frames = struck(Freeze(first_frame=3, last_frame=5))
    assert [number_on(f.image) for f in frames] == [0, 1, 2, 2, 2, 2, 6, 7]
    assert [f.seq for f in frames] == list(range(8))
    assert [f.captured_ns for f in frames] == [n * 40 * _MS for n in range(8)]


def test_dropped_frames_leave_a_gap_in_the_numbering(struck):
    assert [f.seq for f in struck(Drop(first_frame=2, last_frame=4))] == [0, 1, 5, 6, 7]


def test_jitter_is_bounded_in_order_and_the_same_every_time(struck):
    once, again = (struck(Jitter(most_ms=60.0, seed=4)) for _ in range(2))
    times_ns = [f.captured_ns for f in once]
    assert times_ns == [f.captured_ns for f in again]
    assert times_ns != [f.captured_ns for f in struck(Jitter(most_ms=60.0, seed=5))]
    assert all(b > a for a, b in itertools.pairwise(times_ns))
    assert all(0 <= t - n * 40 * _MS <= 60 * _MS for n, t in enumerate(times_ns))


def test_a_stall_delivers_an_old_frame_late(cards, read_all):
    waits_s: list[float] = []
    frames = read_all(FaultySource(cards(4), [Stall(first_frame=2, last_frame=2)], wait_s=waits_s.append))
    assert waits_s == [0.5]
    assert [f.captured_ns for f in frames] == [n * 40 * _MS for n in range(4)]


def test_dark_blur_shift_and_cover_change_the_picture_as_they_say(struck, corners):
    whole = struck()[0].image
    assert struck(Dark(gain=0.1))[0].image.mean() == pytest.approx(whole.mean() * 0.1, abs=1)
    assert np.abs(np.diff(struck(Blur())[0].image.astype(int), axis=1)).max() < 20
    shifted = struck(Shift(right_px=10, down_px=-4))[0].image
    assert np.array_equal(shifted[:-4, 10:], whole[4:, :-10])
    assert not shifted[:, :10].any()
    assert not shifted[-4:].any()
    covered = struck(Covered(part=0.5))[0].image
    assert (covered[:, :48] == 90).all()
    assert np.array_equal(covered[:, 48:], whole[:, 48:])


def test_faults_do_not_write_into_the_source_picture(struck, cards):
    source = cards(1)
    kept = (frame := source.read()).image.copy()
    for fault in (Dark(), Blur(), Shift(), Covered()):
        fault.apply(frame, None)
    assert np.array_equal(frame.image, kept)


def test_an_unplugged_camera_fails_reads_and_the_thread_goes_on_trying(cards):
    box = Mailbox()
    opened = iter([FaultySource(cards(2), [])])
    faulty = FaultySource(cards(9), [Unplugged(first_frame=4)])
    camera = CameraThread(faulty, box, reopen=opened.__next__, backoff=Backoff(0.005, 0.01))
    with camera:
        while not box.finished:
            box.take(0.1)
    assert box.failures_seen == 1
    assert next(opened, None) is None


def test_unplugged_names_itself(cards):
    with pytest.raises(DeviceError, match="unplugged"):
        FaultySource(cards(1), [Unplugged()]).read()


def test_faults_combine_in_the_order_given(struck, number_on):
    frames = struck(Freeze(first_frame=2), Drop(first_frame=4, last_frame=4))
    assert [(f.seq, number_on(f.image)) for f in frames] == [
        (0, 0),
        (1, 1),
        (2, 1),
        (3, 1),
        (5, 1),
        (6, 1),
        (7, 1),
    ]
