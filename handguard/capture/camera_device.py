"""A camera at this computer: `0`, `/dev/video0`, or a link under `/dev/v4l/by-id/`.

OpenCV reads it; on Linux through V4L2. Three traps are dealt with here.

* A camera that falls silent blocks OpenCV for 10 s unless told otherwise. The
  limit is an environment variable that OpenCV reads at its first wait, so it is
  set below, before any camera is opened.
* The driver keeps a few buffers. After a stall the first reads return pictures
  hundreds of milliseconds old without a word. The driver's own time on the buffer
  (`CAP_PROP_POS_MSEC`, monotonic on V4L2) shows it, so it is what we stamp with.
* A camera may quietly give another size than asked for. Zones are drawn in
  pixels, so that is refused.

Not every freeze shows here: a stream that repeats its last picture has to be
judged by its content.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.capture.clock import MonotonicClock
from handguard.errors import DeviceError, DeviceMissing, mismatch
from handguard.ports import Clock
from handguard.types import Frame, PictureFormat

os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")  # whole seconds

_OLDEST_PLAUSIBLE_NS = 30_000_000_000  # an older stamp is on another clock
_FUTURE_PLAUSIBLE_NS = 100_000_000  # some drivers stamp the end of the exposure ahead of time
_UNKNOWN_RATE_FPS = 30.0  # what nearly every USB camera does when it does not say


class GrabbingCapture(Protocol):
    """The part of `cv2.VideoCapture` that is used here."""

    def isOpened(self) -> bool: ...

    def grab(self) -> bool: ...

    def retrieve(self) -> tuple[bool, Any]: ...

    def get(self, propId: int, /) -> float: ...

    def set(self, propId: int, value: float, /) -> bool: ...

    def release(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CameraWish:
    """What to ask the camera for; None leaves its default. Size comes in pairs."""

    width_px: int | None = None
    height_px: int | None = None
    fps: float | None = None
    fourcc: str = "MJPG"  # raw YUYV does not fit 720p at 30 fps through USB 2

    def __post_init__(self) -> None:
        if (self.width_px is None) != (self.height_px is None):
            raise ValueError("a wished size needs both width_px and height_px")
        if len(self.fourcc) != 4:
            raise ValueError(f"fourcc must be four letters, got {self.fourcc!r}")


class CameraDevice:
    """`FrameSource` over a local camera.

    Raises `DeviceMissing` at construction, saying what is there instead.

    Synchronization: one thread reads and closes.
    """

    def __init__(
        self,
        device: int | str,
        wish: CameraWish = CameraWish(),
        *,
        clock: Clock | None = None,
        open_capture: Callable[[int | str], GrabbingCapture] | None = None,
    ) -> None:
        self._name = f"/dev/video{device}" if isinstance(device, int) and _is_linux() else str(device)
        self._clock = clock if clock is not None else MonotonicClock()
        if open_capture is None:
            _must_be_there(self._name, device)
        try:
            self._capture, self._format = _opened(open_capture or _open_capture, device, wish, self._name)
        except cv2.error as error:
            raise DeviceMissing(f"{self._name}: {error.err or error}") from error
        self._seq = 0
        self._last_ns = -1
        self._closed = False

    @property
    def name(self) -> str:
        """The device path, or its number where devices have no paths."""
        return self._name

    @property
    def format(self) -> PictureFormat:
        """What the camera says it gives."""
        return self._format

    def read(self) -> Frame:
        """The next picture. Raises `DeviceError` when none comes for a second or the device is gone."""
        if self._closed:
            raise DeviceError(f"{self.name}: closed")
        image, captured_ns = self._grabbed()
        self._last_ns = max(captured_ns, self._last_ns + 1)
        frame = Frame(self._seq, self._last_ns, self._checked(image))
        self._seq += 1
        return frame

    def close(self) -> None:
        """Release the camera. Safe to call twice."""
        self._closed = True
        self._capture.release()

    def _grabbed(self) -> tuple[NDArray[np.uint8], int]:
        try:
            if not self._capture.grab():
                raise DeviceError(f"{self.name}: no picture came: unplugged, or silent for a second")
            now_ns = self._clock.now_ns()
            captured_ns = capture_time_ns(now_ns, self._capture.get(cv2.CAP_PROP_POS_MSEC))
            ok, image = self._capture.retrieve()
        except cv2.error as error:
            raise DeviceError(f"{self.name}: {error.err or error}") from error
        if not ok or image is None:
            raise DeviceError(f"{self.name}: a picture came that cannot be decoded")
        return image, captured_ns

    def _checked(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        expected = (self._format.height_px, self._format.width_px, 3)
        if image.shape != expected or image.dtype != np.uint8:
            found = f"{image.shape} {image.dtype}"
            raise DeviceError(mismatch(self.name, f"pictures of {expected} uint8", found))
        return image


def capture_time_ns(now_ns: int, driver_ms: float) -> int:
    """When the picture was taken: the driver's time if it can be on our clock, else now.

    Never later than now. A driver that has no time says 0, or counts from the
    start of the stream; both are too far from now to be believed.
    """
    if not np.isfinite(driver_ms) or driver_ms <= 0:
        return now_ns
    driver_ns = round(driver_ms * 1e6)
    age_ns = now_ns - driver_ns
    plausible = -_FUTURE_PLAUSIBLE_NS <= age_ns <= _OLDEST_PLAUSIBLE_NS
    return min(driver_ns, now_ns) if plausible else now_ns


def _opened(
    open_capture: Callable[[int | str], GrabbingCapture], device: int | str, wish: CameraWish, name: str
) -> tuple[GrabbingCapture, PictureFormat]:
    capture = open_capture(device)
    try:
        if not capture.isOpened():
            raise DeviceMissing(mismatch(name, "a free camera", "one in use, or no camera"))
        return capture, _configured(capture, wish, name)
    except BaseException:
        capture.release()
        raise


def _configured(capture: GrabbingCapture, wish: CameraWish, name: str) -> PictureFormat:
    """Ask for what is wished, in the order drivers need, and see what we got."""
    codec = sum(ord(letter) << (8 * place) for place, letter in enumerate(wish.fourcc))
    capture.set(cv2.CAP_PROP_FOURCC, codec)  # first: it decides which sizes exist
    if wish.width_px is not None and wish.height_px is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, wish.width_px)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wish.height_px)
    if wish.fps is not None:
        capture.set(cv2.CAP_PROP_FPS, wish.fps)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # drivers round it up; the age check is what protects
    width_px, height_px = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    found = f"{width_px}x{height_px}"
    if wish.width_px is not None and (width_px, height_px) != (wish.width_px, wish.height_px):
        raise DeviceMissing(mismatch(name, f"{wish.width_px}x{wish.height_px} pixels", found))
    if width_px <= 0 or height_px <= 0:
        raise DeviceMissing(mismatch(name, "a camera that states its size", found))
    fps = capture.get(cv2.CAP_PROP_FPS)
    return PictureFormat(width_px, height_px, fps if np.isfinite(fps) and fps > 0 else _UNKNOWN_RATE_FPS)


def _open_capture(device: int | str) -> GrabbingCapture:
    return cv2.VideoCapture(device, cv2.CAP_V4L2 if _is_linux() else cv2.CAP_ANY)


def _must_be_there(name: str, device: int | str) -> None:
    """Find out before OpenCV does, whose only answer is "not opened"."""
    if not _is_linux() and isinstance(device, int):
        return
    try:
        mode = os.stat(name).st_mode
    except FileNotFoundError:
        there = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "none"
        raise DeviceMissing(mismatch(name, "a camera", f"no such device; cameras here: {there}")) from None
    except (OSError, ValueError) as error:
        raise DeviceMissing(mismatch(name, "a camera", error)) from error
    if not stat.S_ISCHR(mode):
        raise DeviceMissing(mismatch(name, "a camera", "something that is not a device"))
    if not os.access(name, os.R_OK | os.W_OK):
        raise DeviceMissing(mismatch(name, "leave to read and write", "none (add the user to group video)"))


def _is_linux() -> bool:
    return sys.platform.startswith("linux")
