"""The annotated film of a replay: every frame with what was decided on it, at its own time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.evidence import overlay
from handguard.evidence.atomic import appearing_whole
from handguard.replay.ticks import Tick
from handguard.types import PictureFormat, Zone

_TIME_BASE = Fraction(1, 90_000)  # the usual one of MPEG; 11 µs keep any recording's times apart
_CODECS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "20", "preset": "veryfast"},
    "mpeg4": {"qscale": "3"},  # where libav comes without x264
}


class AnnotatedVideo:
    """A sink of ticks: draws and encodes each frame. One thread."""

    def __init__(
        self, container: av.container.OutputContainer, picture: PictureFormat, zones: Sequence[Zone]
    ) -> None:
        self._container, self._zones = container, zones
        codec = next(name for name in _CODECS if name in av.codecs_available)
        rate = Fraction(picture.fps).limit_denominator(1001)
        self._stream = cast(av.VideoStream, container.add_stream(codec, rate=rate, options=_CODECS[codec]))
        self._stream.width, self._stream.height = _even(picture.width_px), _even(picture.height_px)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = _TIME_BASE
        self._origin_ns: int | None = None

    def __call__(self, tick: Tick) -> None:
        """Draw and encode one frame. Raises `OSError`."""
        if self._origin_ns is None:
            self._origin_ns = tick.frame.captured_ns
        image, origin_ns = tick.frame.image, self._origin_ns
        drawn = overlay.draw(image, tick.decision, self._zones, origin_ns, shows_age=False)
        picture = av.VideoFrame.from_ndarray(_even_sided(drawn), format="bgr24")
        picture.pts = round((tick.frame.captured_ns - self._origin_ns) * _TIME_BASE.denominator / 1e9)
        picture.time_base = _TIME_BASE
        self._container.mux(self._stream.encode(picture))

    def finish(self) -> None:
        """Encode what the encoder still holds."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def annotated_video(path: Path, picture: PictureFormat, zones: Sequence[Zone]) -> Iterator[AnnotatedVideo]:
    """The sink for `path`, an MP4 that appears, whole, when the block ends well. Raises `OSError`."""
    with appearing_whole(path) as fresh, av.open(str(fresh), "w", format="mp4") as container:
        film = AnnotatedVideo(container, picture, zones)
        yield film
        film.finish()


def _even(size_px: int) -> int:
    return size_px + size_px % 2  # 4:2:0 shares its color between two pixels


def _even_sided(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with its last row or column repeated where the size is odd."""
    height_px, width_px = image.shape[:2]
    if not (height_px % 2 or width_px % 2):
        return image
    grown = cv2.copyMakeBorder(image, 0, height_px % 2, 0, width_px % 2, cv2.BORDER_REPLICATE)
    return np.asarray(grown, np.uint8)
