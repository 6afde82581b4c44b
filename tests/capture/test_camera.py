from __future__ import annotations

import threading
import time

import pytest

from handguard.capture.camera import Backoff, CameraThread
from handguard.capture.mailbox import Mailbox
from handguard.errors import DeviceError, DeviceMissing
from handguard.types import Frame, PictureFormat

_LONG_S = 20.0
_QUICK = Backoff(first_s=0.005, longest_s=0.02)


class Reader:
    """Takes everything a mailbox gives until it is finished, final, or enough."""

    def __init__(self, box: Mailbox) -> None:
        self.box, self.frames, self.failures = box, [], []

    def take_until(self, done) -> None:
        deadline = time.monotonic() + _LONG_S
        while not done() and time.monotonic() < deadline:
            frame = self.box.take(0.2)
            if frame is not None:
                self.frames.append(frame)
            elif self.box.failure is not None:
                self.failures.append(str(self.box.failure))
        assert done()


class Lockstep(Mailbox):
    """A mailbox that keeps every frame, for tests about numbering."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Frame] = []

    def put(self, frame: Frame) -> None:
        self.kept.append(frame)
        super().put(frame)


def wait_for(done) -> None:
    deadline = time.monotonic() + _LONG_S
    while not done() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert done()


def has_ended(camera: CameraThread) -> bool:
    """Whether its thread came to an end by itself."""
    return f"camera {camera.name}" not in {thread.name for thread in threading.enumerate()}


def test_a_file_ends_cleanly_and_the_source_is_released(cards):
    source, box = cards(7), Lockstep()
    camera = CameraThread(source, box)
    camera.start()
    wait_for(lambda: has_ended(camera))
    assert camera.finished
    assert box.finished
    assert [f.seq for f in box.kept] == list(range(7))
    assert box.failure is None
    assert box.failures_seen == 0
    assert source.closed == 1
    assert camera.stop()


def test_a_failing_device_is_named_and_reopened_and_numbering_goes_on(cards):
    rounds = [
        cards([0, 1, 2, DeviceError("cards: unplugged")]),
        cards([0, 1, DeviceError("cards: silent")]),
        cards([0, 1]),
    ]
    box, reader = Lockstep(), None
    camera = CameraThread(rounds[0], box, reopen=iter(rounds[1:]).__next__, backoff=_QUICK)
    reader = Reader(box)
    with camera:
        reader.take_until(lambda: box.finished)
    assert [f.seq for f in box.kept] == [0, 1, 2, 4, 5, 7, 8]  # a number is missing where nobody looked
    assert box.failures_seen == 2
    assert [r.closed for r in rounds] == [1, 1, 1]


def test_a_device_that_stays_away_is_tried_again_until_it_is_back(cards):
    tries = []

    def reopen():
        tries.append(time.monotonic())
        if len(tries) < 4:
            raise DeviceMissing("cards: no such device")
        return cards([0])

    box = Lockstep()
    with CameraThread(cards([DeviceError("cards: gone")]), box, reopen=reopen, backoff=_QUICK):
        wait_for(lambda: box.finished)
    assert len(tries) == 4
    assert box.failures_seen == 4
    assert len(box.kept) == 1


def test_the_failure_is_visible_while_the_device_is_away(cards):
    box = Mailbox()

    def reopen():
        raise DeviceMissing("cards: no such device")

    with CameraThread(cards([DeviceError("cards: unplugged")]), box, reopen=reopen, backoff=_QUICK):
        wait_for(lambda: str(box.failure) == "cards: no such device")
        assert box.take(0.05) is None
        assert not box.finished


def test_pauses_grow_to_a_limit_and_never_overflow():
    backoff = Backoff(0.25, 4.0)
    assert [backoff.pause_s(n) for n in (1, 2, 3, 4, 5, 6)] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]
    assert backoff.pause_s(10**9) == 4.0


@pytest.mark.parametrize(
    "pauses_s", [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, float("inf")), (float("nan"), 1.0)]
)
def test_senseless_pauses_are_refused(pauses_s):
    with pytest.raises(ValueError, match="first_s"):
        Backoff(*pauses_s)


def test_another_picture_size_after_reopening_is_a_failure_not_a_picture(cards):
    class Larger(cards):
        format = PictureFormat(192, 128, 25.0)

    opened = [Larger([0]), cards([0])]
    box = Lockstep()
    with CameraThread(cards([DeviceError("x")]), box, reopen=iter(opened).__next__, backoff=_QUICK):
        wait_for(lambda: box.finished)
    assert box.failures_seen == 2
    assert len(box.kept) == 1
    assert opened[0].closed == 1


def test_without_a_way_to_reopen_the_first_failure_is_final(cards):
    box = Mailbox()
    camera = CameraThread(cards([0, DeviceError("cards: gone")]), box)
    camera.start()
    wait_for(lambda: has_ended(camera))
    assert str(box.failure) == "cards: gone"
    assert not camera.finished


def test_stop_gives_up_on_a_driver_that_does_not_come_back(cards, caplog):
    release = threading.Event()

    class Hanging(cards):
        def read(self) -> Frame:
            release.wait(_LONG_S)
            return super().read()

    box = Lockstep()
    camera = CameraThread(Hanging(3), box)
    camera.start()
    started = time.monotonic()
    assert camera.stop(timeout_s=0.1) is False
    assert time.monotonic() - started < _LONG_S / 2
    assert "still inside the driver" in caplog.text
    release.set()
    assert camera.stop(timeout_s=_LONG_S)
    assert box.kept == []  # nothing arrives after stop


def test_stop_ends_a_pause_between_two_tries(cards):
    camera = CameraThread(
        cards([DeviceError("x")]), box := Mailbox(), reopen=lambda: cards(1), backoff=Backoff(600.0, 600.0)
    )
    camera.start()
    wait_for(lambda: box.failure is not None)
    assert camera.stop(timeout_s=_LONG_S)


def test_stop_before_start_still_releases_the_device(cards):
    source = cards(1)
    assert CameraThread(source, Mailbox()).stop()
    assert source.closed == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_in_a_driver_is_reported_and_not_swallowed(cards):
    class Broken(cards):
        def read(self) -> Frame:
            raise ZeroDivisionError("driver")

    source, box = Broken(1), Mailbox()
    camera = CameraThread(source, box)
    camera.start()
    wait_for(lambda: has_ended(camera))
    assert "the camera thread broke: ZeroDivisionError('driver')" in str(box.failure)
    assert source.closed == 1
