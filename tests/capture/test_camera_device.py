"""Without a camera here, the errors are real and the driver's tricks are played by a recording."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from handguard.capture.camera_device import CameraDevice, CameraWish, capture_time_ns
from handguard.errors import DeviceError, DeviceMissing

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="devices have paths on Linux only")
_MS = 1_000_000
_NOW_NS = 500_000 * _MS


class Driver:
    """Plays a V4L2 driver: a given size, given ages, and an end."""

    def __init__(self, ages_ms=(), size_px=(96, 64), fps=30.0, clock=None, opens=True, images=None):
        self.ages_ms, self.size_px, self.fps, self.opens = list(ages_ms), size_px, fps, opens
        self.clock, self.images = clock, images
        self.asked: list[int] = []
        self.released = 0
        self._grabbed = -1

    def isOpened(self) -> bool:
        return self.opens

    def set(self, prop: int, value: float) -> bool:
        self.asked.append(prop)
        return True

    def get(self, prop: int) -> float:
        return {
            cv2.CAP_PROP_FRAME_WIDTH: float(self.size_px[0]),
            cv2.CAP_PROP_FRAME_HEIGHT: float(self.size_px[1]),
            cv2.CAP_PROP_FPS: self.fps,
            cv2.CAP_PROP_POS_MSEC: self._position_ms(),
        }[prop]

    def _position_ms(self) -> float:
        return self.clock.now_ns() / 1e6 - self.ages_ms[self._grabbed] if self.clock else 0.0

    def grab(self) -> bool:
        self._grabbed += 1
        return self._grabbed < len(self.ages_ms)

    def retrieve(self):
        if self.images is not None:
            return True, self.images[self._grabbed]
        return True, np.zeros((self.size_px[1], self.size_px[0], 3), np.uint8)

    def release(self) -> None:
        self.released += 1


@linux
def test_a_missing_camera_is_named_with_the_cameras_that_are_there():
    with pytest.raises(
        DeviceMissing, match=r"/dev/video97: expected a camera, found no such device; cameras"
    ):
        CameraDevice(97)


@linux
def test_a_file_is_no_camera(tmp_path: Path):
    (tmp_path / "video0").touch()
    with pytest.raises(DeviceMissing, match="expected a camera, found something that is not a device"):
        CameraDevice(str(tmp_path / "video0"))


@linux
def test_a_device_that_is_no_camera_is_refused():
    with pytest.raises(DeviceMissing, match="/dev/null: expected a free camera"):
        CameraDevice("/dev/null")


def test_a_busy_camera_is_released_and_refused():
    driver = Driver(opens=False)
    with pytest.raises(DeviceMissing, match="expected a free camera, found one in use"):
        CameraDevice("cam", open_capture=lambda _: driver)
    assert driver.released == 1


def test_old_buffers_are_stamped_with_the_drivers_time(manual_clock):
    manual_clock.time_ns = _NOW_NS
    driver = Driver(ages_ms=[5, 337, 4], clock=manual_clock)
    source = CameraDevice("cam", clock=manual_clock, open_capture=lambda _: driver)
    ages_ms = []
    for _ in range(3):
        manual_clock.time_ns += 400 * _MS
        ages_ms.append((manual_clock.now_ns() - source.read().captured_ns) / _MS)
    assert ages_ms == pytest.approx([5, 337, 4], abs=0.01)


@pytest.mark.parametrize(
    ("driver_ms", "age_ms"),
    [
        (500_000 - 40, 40),
        (500_000, 0),
        (500_000 + 27, 0),  # stamped ahead of time: believed, but never later than now
        (500_000 - 30_000, 30_000),
        (500_000 - 30_001, 0),  # too old to be on this clock
        (500_000 + 101, 0),
        (0.0, 0),
        (-1.0, 0),
        (66.7, 0),  # counted from the start of the stream
        (float("nan"), 0),
        (float("inf"), 0),
    ],
)
def test_the_drivers_time_is_believed_only_where_it_can_be_true(driver_ms: float, age_ms: float):
    assert _NOW_NS - capture_time_ns(_NOW_NS, driver_ms) == pytest.approx(age_ms * _MS, abs=1000)


def test_times_rise_even_when_the_driver_repeats_one(manual_clock):
    driver = Driver(ages_ms=[10, 10, 10], clock=manual_clock)
    source = CameraDevice("cam", clock=manual_clock, open_capture=lambda _: driver)
    times_ns = [source.read().captured_ns for _ in range(3)]
    assert times_ns[0] < times_ns[1] < times_ns[2]


def test_the_codec_is_asked_for_before_the_size():
    driver = Driver()
    CameraDevice("cam", CameraWish(96, 64, 30.0), open_capture=lambda _: driver)
    assert driver.asked == [
        cv2.CAP_PROP_FOURCC,
        cv2.CAP_PROP_FRAME_WIDTH,
        cv2.CAP_PROP_FRAME_HEIGHT,
        cv2.CAP_PROP_FPS,
        cv2.CAP_PROP_BUFFERSIZE,
    ]


def test_a_camera_that_gives_another_size_than_asked_for_is_refused():
    driver = Driver(size_px=(640, 480))
    with pytest.raises(DeviceMissing, match="cam: expected 1280x720 pixels, found 640x480"):
        CameraDevice("cam", CameraWish(1280, 720), open_capture=lambda _: driver)
    assert driver.released == 1


def test_a_picture_of_another_size_in_mid_stream_is_a_failure():
    images = [np.zeros((64, 96, 3), np.uint8), np.zeros((48, 96, 3), np.uint8)]
    source = CameraDevice("cam", open_capture=lambda _: Driver(ages_ms=[0, 0], images=images))
    source.read()
    with pytest.raises(DeviceError, match=r"expected pictures of \(64, 96, 3\) uint8, found \(48, 96, 3\)"):
        source.read()


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan")])
def test_a_camera_that_does_not_state_its_rate_is_taken_for_thirty(fps: float):
    assert CameraDevice("cam", open_capture=lambda _: Driver(fps=fps)).format.fps == 30.0


def test_no_picture_is_a_failure_and_closing_twice_is_fine():
    driver = Driver(ages_ms=[0])
    source = CameraDevice("cam", open_capture=lambda _: driver)
    source.read()
    with pytest.raises(DeviceError, match="unplugged, or silent"):
        source.read()
    source.close()
    source.close()
    with pytest.raises(DeviceError, match="closed"):
        source.read()


def test_opencvs_own_capture_fits_the_part_we_use(make_video, number_on):
    path = str(make_video(frames=4))
    source = CameraDevice(path, open_capture=cv2.VideoCapture)
    assert [number_on(source.read().image) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(DeviceError, match="no picture came"):
        source.read()
    source.close()


def test_half_a_size_or_a_long_codec_is_refused():
    with pytest.raises(ValueError, match="both"):
        CameraWish(width_px=640)
    with pytest.raises(ValueError, match="four letters"):
        CameraWish(fourcc="MJPEG")


def test_what_opencv_throws_while_opening_is_a_camera_that_is_not_there():
    def broken(_: int | str) -> None:
        raise cv2.error("select() timeout")

    with pytest.raises(DeviceMissing, match="select"):
        CameraDevice(0, open_capture=broken)


@pytest.mark.parametrize("name", ["/dev/null/video0", "/dev/\0"])
def test_a_path_that_cannot_be_asked_for_is_a_camera_that_is_not_there(name: str):
    with pytest.raises(DeviceMissing, match="expected a camera"):
        CameraDevice(name)
