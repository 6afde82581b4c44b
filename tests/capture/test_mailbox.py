from __future__ import annotations

import threading
import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from handguard.capture.mailbox import Mailbox
from handguard.errors import DeviceError
from handguard.types import Frame

_PIXEL = np.zeros((1, 1, 3), np.uint8)
_LONG_S = 20.0  # never waited out unless something is broken


def frame(seq: int) -> Frame:
    return Frame(seq, seq, _PIXEL)


def test_newest_frame_replaces_the_unread_one_and_is_counted():
    box = Mailbox()
    for seq in range(5):
        box.put(frame(seq))
    taken = box.take(0)
    assert taken is not None
    assert taken.seq == 4
    assert box.dropped == 4


def test_a_frame_is_taken_once():
    box = Mailbox()
    box.put(frame(0))
    assert box.take(0) is not None
    assert box.take(0) is None
    assert box.dropped == 0


def test_an_empty_mailbox_gives_up_when_the_time_is_over():
    started = time.monotonic()
    assert Mailbox().take(0.05) is None
    assert time.monotonic() - started >= 0.045


def test_a_failure_wakes_the_reader_at_once_and_only_once():
    box = Mailbox()
    threading.Timer(0.02, box.fail, [DeviceError("gone")]).start()
    started = time.monotonic()
    assert box.take(_LONG_S) is None
    assert time.monotonic() - started < _LONG_S / 2
    assert str(box.failure) == "gone"
    started = time.monotonic()
    assert box.take(0.05) is None  # told already: the time is waited out, no spinning
    assert time.monotonic() - started >= 0.045


def test_a_failure_stands_until_a_frame_comes_and_stays_counted():
    box = Mailbox()
    box.fail(DeviceError("gone"))
    assert box.failure is not None
    box.put(frame(0))
    assert box.failure is None
    assert box.failures_seen == 1


def test_a_frame_put_before_the_failure_can_still_be_taken():
    box = Mailbox()
    box.put(frame(3))
    box.fail(DeviceError("gone"))
    taken = box.take(0)
    assert taken is not None
    assert taken.seq == 3
    assert box.failure is not None


def test_the_end_wakes_the_reader_after_the_last_frame():
    box = Mailbox()
    box.put(frame(9))
    box.finish()
    assert box.finished
    assert box.take(_LONG_S) is not None
    assert box.take(_LONG_S) is None


@settings(max_examples=25, deadline=None)
@given(pauses=st.lists(st.sampled_from([0.0, 0.0, 0.0002, 0.001]), min_size=1, max_size=60))
def test_no_frame_is_lost_uncounted_none_seen_twice_and_order_holds(pauses: list[float]):
    box, seen = Mailbox(), []

    def write() -> None:
        for seq, pause_s in enumerate(pauses):
            box.put(frame(seq))
            time.sleep(pause_s)
        box.finish()

    writer = threading.Thread(target=write)
    writer.start()
    while not box.finished or len(seen) + box.dropped < len(pauses):
        taken = box.take(_LONG_S)
        if taken is not None:
            seen.append(taken.seq)
    writer.join()
    assert seen == sorted(set(seen))
    assert seen[-1] == len(pauses) - 1  # the newest is never the one dropped
    assert len(seen) + box.dropped == len(pauses)


def test_the_writer_is_never_held_up_by_a_reader_that_does_not_come():
    box = Mailbox()
    longest_s = 0.0
    for seq in range(2000):
        started = time.perf_counter()
        box.put(frame(seq))
        longest_s = max(longest_s, time.perf_counter() - started)
    assert longest_s < 0.5
    assert box.dropped == 1999


def test_a_waiting_reader_has_the_frame_within_milliseconds():
    box, delays_s = Mailbox(), []
    for seq in range(100):
        threading.Timer(0.002, lambda seq=seq: box.put(Frame(seq, time.monotonic_ns(), _PIXEL))).start()
        taken = box.take(_LONG_S)
        assert taken is not None
        delays_s.append((time.monotonic_ns() - taken.captured_ns) / 1e9)
    assert sorted(delays_s)[50] < 0.02
