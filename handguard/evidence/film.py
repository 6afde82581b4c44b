"""Two ways to put pictures into an MP4: as they are, or drawn and encoded for people's players.

Each picture keeps its own time: its time stamp in the film is the time since the film's
first picture, in the 1/90 000 s that MPEG counts in. The same frame therefore has the
same time stamp in every film made of it.

    raw       JPEG pictures moved over bit by bit, nothing is encoded twice; for replay and experts
    overlay   H.264, plays anywhere
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.atomic import appearing_whole

TIME_BASE = Fraction(1, 90_000)  # 11 µs keep the times of any camera apart
_NOMINAL = Fraction(30)  # a hint for players; the time stamps are what counts
_CODECS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "23", "preset": "veryfast"},
    "mpeg4": {"qscale": "4"},  # where libav comes without x264
}
Picture = NDArray[np.uint8]


def pts_of(captured_ns: int, origin_ns: int) -> int:
    """The time stamp, in `TIME_BASE`, of a frame in a film whose first frame was captured at `origin_ns`."""
    return round(Fraction(captured_ns - origin_ns, 1_000_000_000) / TIME_BASE)


def write_stills(path: Path, jpegs: Iterable[tuple[int, bytes]], size_px: tuple[int, int]) -> None:
    """An MP4 of `(pts, JPEG)` as they are; `size_px` is (width, height). Appears whole. Raises `OSError`."""
    with _mp4(path) as container:
        stream = container.add_stream("mjpeg", rate=_NOMINAL)
        stream.width, stream.height = size_px
        stream.pix_fmt = "yuvj420p"
        stream.time_base = stream.codec_context.time_base = TIME_BASE
        for pts, jpeg in jpegs:
            packet = av.Packet(jpeg)
            packet.stream, packet.time_base = stream, TIME_BASE
            packet.pts = packet.dts = pts
            packet.is_keyframe = True
            container.mux(packet)


class DrawnFilm:
    """An MP4 in the making, for people's players. One thread."""

    def __init__(self, container: av.container.OutputContainer, threads: int) -> None:
        self._container, self._threads = container, threads
        self._stream: av.VideoStream | None = None

    def add(self, pts: int, image: Picture) -> None:
        """Encode one picture (H, W, 3) BGR; all of one size. Raises `OSError`."""
        self._stream = self._stream or self._encoder(image)
        frame = av.VideoFrame.from_ndarray(_even_sided(image), format="bgr24")
        frame.pts, frame.time_base = pts, TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Encode what the encoder still holds. Of nothing, there is no film: raises `ValueError`."""
        if self._stream is None:
            raise ValueError("a film needs a picture")
        self._container.mux(self._stream.encode(None))

    def _encoder(self, image: Picture) -> av.VideoStream:
        codec = next(name for name in _CODECS if name in av.codecs_available)
        added = self._container.add_stream(codec, rate=_NOMINAL, options=_CODECS[codec])
        stream = cast(av.VideoStream, added)
        height_px, width_px = image.shape[:2]
        stream.width, stream.height = width_px + width_px % 2, height_px + height_px % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        stream.codec_context.thread_count = self._threads
        return stream


@contextmanager
def drawn_film(path: Path, threads: int = 1) -> Iterator[DrawnFilm]:
    """A film that appears, whole, when the block ends well; 0 threads take every core. Raises `OSError`."""
    with _mp4(path) as container:
        film = DrawnFilm(container, threads)
        yield film
        film.finish()


def write_drawn(path: Path, pictures: Iterable[tuple[int, Picture]]) -> None:
    """A film of `(pts, (H, W, 3) BGR)`. Raises `OSError`; `ValueError` of nothing."""
    with drawn_film(path) as film:
        for pts, image in pictures:
            film.add(pts, image)


@contextmanager
def _mp4(path: Path) -> Iterator[av.container.OutputContainer]:
    """Written through a file of our own, so that a full disk raises here and is not swallowed by libav."""
    with appearing_whole(path) as fresh, fresh.open("w+b") as file:
        try:
            with av.open(file, "w", format="mp4") as container:
                yield container
        except av.FFmpegError as error:
            raise OSError(f"{path}: {error.__cause__ or error}") from error


def _even_sided(image: Picture) -> Picture:
    """The image with its last row or column repeated where the size is odd: 4:2:0 needs pairs."""
    height_px, width_px = image.shape[:2]
    if not (height_px % 2 or width_px % 2):
        return image
    grown = cv2.copyMakeBorder(image, 0, height_px % 2, 0, width_px % 2, cv2.BORDER_REPLICATE)
    return np.asarray(grown, np.uint8)
