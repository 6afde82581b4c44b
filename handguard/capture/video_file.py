"""A video file, read as fast as it can be decoded.

Time here is the recording's own: `captured_ns` starts at 0 and follows the
presentation times, so a phone's variable frame rate keeps its true gaps. A frame
whose time does not go forward is moved one nominal period after the one before
it, and counted.

A file that stops short of what its own index promises ends in `DeviceError`, not
in `EndOfVideo`: a truncated recording must not pass for a complete one. Containers
without an index (MPEG-TS, unfinished Matroska) promise nothing and just end.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from handguard.capture.decoding import PictureDecoder
from handguard.errors import DeviceError, DeviceMissing, EndOfVideo, mismatch
from handguard.types import Frame, PictureFormat

_log = logging.getLogger(__name__)
_UNKNOWN_RATE_FPS = 25.0  # libav's own guess where a container names no rate
_SHORT_BY_S = 0.25  # a stream may end this much before its stated length and still be whole


class VideoFile:
    """`FrameSource` over a file. Any container and codec that libav knows.

    Raises `DeviceMissing` at construction if there is no picture to be had.

    Synchronization: one thread reads and closes.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._container = _opened(self._path)
        try:
            self._stream = _picture_stream(self._container, self.name)
            self._decoder = PictureDecoder(self._stream, self.name, "AUTO")
            self._pictures = self._decoded()
            self._delivered = 0
            self._repaired_times = 0
            self._last_ns = -1
            self._start_pts: int | None = None
            self._ended: DeviceError | None = None
            picture, image = self._first()
            self._format = PictureFormat(image.shape[1], image.shape[0], self._nominal_fps())
            self._ahead: Frame | None = self._framed(picture, image)
        except BaseException:
            self._container.close()
            raise

    @property
    def name(self) -> str:
        """The path as given."""
        return str(self._path)

    @property
    def format(self) -> PictureFormat:
        """Size as shown (after turning) and the mean rate."""
        return self._format

    @property
    def damaged(self) -> int:
        """Pictures skipped so far because their data was broken; each leaves a gap in `seq`."""
        return self._decoder.damaged

    def read(self) -> Frame:
        """The next frame. Raises `EndOfVideo` after the last, `DeviceError` if the file breaks off."""
        if self._ahead is not None:
            frame, self._ahead = self._ahead, None
            return frame
        if self._ended is None:
            try:
                return self._next()
            except DeviceError as ended:
                self._ended = ended
        raise self._ended

    def close(self) -> None:
        """Release the file. Safe to call twice; later reads raise `DeviceError`."""
        self._ahead = None
        self._ended = self._ended or DeviceError(f"{self.name}: closed")
        self._pictures.close()
        self._container.close()

    def _first(self) -> tuple[av.VideoFrame, NDArray[np.uint8]]:
        """Decode one picture: only then is the size as shown known, and that there is one."""
        expected = "a video with at least one picture"
        try:
            picture = next(self._pictures, None)
            if picture is not None:
                return picture, self._decoder.bgr(picture)
        except av.FFmpegError as error:
            raise DeviceMissing(mismatch(self.name, expected, error.strerror)) from error
        except DeviceError as error:
            raise DeviceMissing(str(error)) from error
        raise DeviceMissing(mismatch(self.name, expected, "none that can be decoded"))

    def _next(self) -> Frame:
        try:
            picture = next(self._pictures, None)
        except av.FFmpegError as error:
            where = f"{self.name}: after frame {self._last_seq}"
            raise DeviceError(mismatch(where, "more of the file", error.strerror)) from error
        if picture is None:
            raise self._how_it_ended()
        return self._framed(picture, self._fitting(self._decoder.bgr(picture)))

    def _framed(self, picture: av.VideoFrame, image: NDArray[np.uint8]) -> Frame:
        self._last_ns = self._time_ns(picture)
        self._delivered += 1
        return Frame(self._last_seq, self._last_ns, image)

    def _fitting(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height_px, width_px = image.shape[:2]
        if (width_px, height_px) != (self._format.width_px, self._format.height_px):
            where = f"{self.name}: frame {self._last_seq + 1}"
            expected = f"{self._format.width_px}x{self._format.height_px} pixels as in the first"
            raise DeviceError(mismatch(where, expected, f"{width_px}x{height_px}"))
        return image

    @property
    def _last_seq(self) -> int:
        return self._delivered + self._decoder.damaged - 1

    def _time_ns(self, picture: av.VideoFrame) -> int:
        """Presentation time counted from the first picture's; always later than the last one."""
        if self._start_pts is None:
            self._start_pts = picture.pts or 0
        if picture.pts is not None and picture.time_base is not None:
            time_ns = round((picture.pts - self._start_pts) * picture.time_base * 1_000_000_000)
            if time_ns > self._last_ns:
                return time_ns
        self._repaired_times += 1
        return self._last_ns + self._format.period_ns if self._delivered else 0

    def _nominal_fps(self) -> float:
        return float(self._stream.average_rate or self._stream.guessed_rate or _UNKNOWN_RATE_FPS)

    def _decoded(self) -> Generator[av.VideoFrame, None, None]:
        for packet in self._container.demux(self._stream):
            yield from self._decoder.decode(packet)

    def _how_it_ended(self) -> DeviceError:
        if self.damaged or self._repaired_times:
            _log.warning("%s: %d damaged, %d times repaired", self.name, self.damaged, self._repaired_times)
        if (missing := self._missing()) is not None:
            return DeviceError(mismatch(f"{self.name}: after frame {self._last_seq}", *missing))
        return EndOfVideo(f"{self.name}: ended after frame {self._last_seq}")

    def _missing(self) -> tuple[str, str] | None:
        """What the index promises and what there is, if that is less."""
        size_bytes = self._path.stat().st_size
        promised_bytes = max((entry.pos + entry.size for entry in self._stream.index_entries), default=0)
        if promised_bytes > size_bytes:
            return f"{promised_bytes} bytes as its index says", f"{size_bytes}: the file is truncated"
        length_s = _stated_length_s(self._stream.metadata.get("DURATION", ""))  # from the file's time 0
        start_s = float((self._start_pts or 0) * (self._stream.time_base or 0))
        seen_s = start_s + (self._last_ns + self._format.period_ns) / 1e9
        if seen_s + _SHORT_BY_S < length_s:
            return f"{length_s:.2f} s as its header says", f"{seen_s:.2f} s: the file is truncated"
        return None


def _opened(path: Path) -> av.container.InputContainer:
    expected = "a video file"
    if not path.is_file():
        raise DeviceMissing(mismatch(str(path), expected, "a folder" if path.is_dir() else "no such file"))
    if path.stat().st_size == 0:
        raise DeviceMissing(mismatch(str(path), expected, "an empty file"))
    try:
        # The prefix keeps a strange file name from being taken for another protocol.
        return av.open(f"file:{path}", mode="r")
    except (av.FFmpegError, OSError) as error:
        raise DeviceMissing(mismatch(str(path), expected, error.strerror)) from error


def _picture_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The first moving picture; a cover picture inside an audio file is none."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no"
    raise DeviceMissing(mismatch(name, "a video stream", f"{kinds} stream only"))


def _stated_length_s(text: str) -> float:
    """Matroska's `00:00:10.000000000` in seconds; 0 if it is not stated."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0
