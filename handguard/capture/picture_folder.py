"""A folder of pictures, shown in natural order (`9.jpg` before `10.jpg`) at a chosen rate.

Time is the recording's own, as with a video file: picture `n` is at `n` periods.
Files that are no pictures by their ending, and hidden ones, are passed over; a
picture that cannot be decoded whole is an error that names it.
"""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.errors import DeviceError, DeviceMissing, EndOfVideo, mismatch
from handguard.types import Frame, PictureFormat

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"


class PictureFolder:
    """`FrameSource` over the pictures directly inside a folder.

    Raises `DeviceMissing` if there is no folder or no picture in it.

    Synchronization: one thread reads and closes.
    """

    def __init__(self, folder: str | Path, fps: float = 30.0) -> None:
        self._folder = Path(folder)
        self._paths = _pictures_in(self._folder)
        height_px, width_px = whole_picture(self._paths[0]).shape[:2]
        self._format = PictureFormat(width_px, height_px, fps)
        self._next = 0
        self._closed = False

    @property
    def name(self) -> str:
        """The folder as given."""
        return str(self._folder)

    @property
    def format(self) -> PictureFormat:
        """Size of the first picture, and the chosen rate."""
        return self._format

    def __len__(self) -> int:
        return len(self._paths)

    def read(self) -> Frame:
        """The next picture. Raises `EndOfVideo` after the last, `DeviceError` for one that does not fit."""
        if self._closed:
            raise DeviceError(f"{self.name}: closed")
        if self._next == len(self._paths):
            raise EndOfVideo(f"{self.name}: ended after {len(self._paths)} pictures")
        image = self._fitting(self._paths[self._next])
        frame = Frame(self._next, round(self._next * 1e9 / self._format.fps), image)
        self._next += 1
        return frame

    def close(self) -> None:
        """Nothing is held open; later reads raise `DeviceError`."""
        self._closed = True

    def _fitting(self, path: Path) -> NDArray[np.uint8]:
        image = whole_picture(path)
        height_px, width_px = image.shape[:2]
        if (width_px, height_px) != (self._format.width_px, self._format.height_px):
            expected = f"{self._format.width_px}x{self._format.height_px} pixels as in {self._paths[0].name}"
            raise DeviceError(mismatch(str(path), expected, f"{width_px}x{height_px}"))
        return image


def whole_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR, upright. Raises `DeviceError` naming a file that is broken or cut short."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DeviceError(mismatch(str(path), "a readable picture", error.strerror)) from error
    image = None if _cut_short(data) else _decoded(data)
    if image is None:
        raise DeviceError(mismatch(str(path), "a whole picture", "one that is damaged or cut short"))
    return image


def _decoded(data: bytes) -> NDArray[np.uint8] | None:
    if not data:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.uint8)


def _cut_short(data: bytes) -> bool:
    """True for a JPEG without an end after its last scan: decoders silently fill the rest with gray."""
    return data.startswith(b"\xff\xd8") and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN)


def _pictures_in(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise DeviceMissing(mismatch(str(folder), "a folder of pictures", "no such folder"))
    paths = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    if not paths:
        raise DeviceMissing(mismatch(str(folder), f"pictures ending in {', '.join(SUFFIXES)}", "none"))
    return tuple(sorted(paths, key=_natural))


def _natural(path: Path) -> tuple[tuple[tuple[int, str], ...], str]:
    """Digits compare as numbers, letters without regard to case; the plain name settles a tie."""
    words = re.findall(r"\d+|\D+", path.name.lower())
    return tuple((int(w), "") if w.isdecimal() else (-1, w) for w in words), path.name
