"""Real files made on the fly, small enough to encode in milliseconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from handguard.errors import DeviceError, EndOfVideo
from handguard.types import Frame, PictureFormat

WIDTH_PX, HEIGHT_PX = 96, 64
RED, BLUE, WHITE, BLACK = (0, 0, 255), (255, 0, 0), (255, 255, 255), (0, 0, 0)


def corners(image: NDArray[np.uint8]) -> tuple[str, str, str, str]:
    """What stands in the four corners: top left, top right, bottom left, bottom right."""
    return tuple(_color(image[y, x]) for y in (6, -6) for x in (6, -6))  # type: ignore[return-value]


def _color(pixel: NDArray[np.uint8]) -> str:
    named = {"red": RED, "blue": BLUE, "white": WHITE, "black": BLACK}
    return min(named, key=lambda name: int(np.abs(np.subtract(named[name], pixel.astype(int))).sum()))


def card(seq: int, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> NDArray[np.uint8]:
    """A picture with a different color in every corner and its number as a gray level in the middle."""
    image = np.zeros((height_px, width_px, 3), np.uint8)
    h, w = height_px // 3, width_px // 3
    image[:h, :w], image[:h, -w:], image[-h:, :w] = RED, BLUE, WHITE
    image[h:-h, w:-w] = 20 + 10 * seq % 230
    return image


def number_on(image: NDArray[np.uint8]) -> int:
    """The number that `card` drew, for less than 23."""
    h, w = image.shape[:2]
    return round((float(image[h // 2 - 2 : h // 2 + 2, w // 2 - 2 : w // 2 + 2].mean()) - 20) / 10)


VideoMaker = Callable[..., Path]


@pytest.fixture
def make_video(tmp_path: Path) -> VideoMaker:
    """`make_video(name, frames=…, times_ms=…, turned_deg=…)` writes a video of numbered cards."""

    def make(
        name: str = "clip.mp4",
        frames: int = 12,
        *,
        fps: int = 25,
        times_ms: Sequence[int] | None = None,
        turned_deg: float | None = None,
        mirrored: bool = False,
        options: dict[str, str] | None = None,
        size_px: tuple[int, int] = (WIDTH_PX, HEIGHT_PX),
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=options or {}) as container:
            stream = container.add_stream("libx264", rate=fps, options={"g": "6", "crf": "10"})
            stream.width, stream.height = size_px
            stream.pix_fmt = "yuv420p"
            if times_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if turned_deg is not None:
                stream.set_display_rotation(turned_deg, hflip=mirrored)
            for seq in range(frames):
                picture = av.VideoFrame.from_ndarray(card(seq, *size_px), format="bgr24")
                if times_ms is not None:
                    picture.pts, picture.time_base = times_ms[seq], Fraction(1, 1000)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def make_pictures(tmp_path: Path) -> Callable[..., Path]:
    """`make_pictures(names)` writes numbered cards under those names into a folder."""

    def make(names: Sequence[str], folder: str = "pictures") -> Path:
        place = tmp_path / folder
        place.mkdir()
        for seq, name in enumerate(names):
            assert cv2.imwrite(str(place / name), card(seq))
        return place

    return make


@pytest.fixture
def footage() -> Path:
    """The folder of real recordings; its absence is said aloud."""
    beside = Path(__file__).parents[2].parent / "shared" / "footage"
    folder = Path(os.environ.get("HANDGUARD_FOOTAGE", beside))
    if not (folder / "bottle-picking.mp4").is_file():
        pytest.skip(f"NO REAL FOOTAGE at {folder}: set HANDGUARD_FOOTAGE to test on real recordings")
    return folder


class ManualClock:
    """Time that moves only when told to; `wait_s` is the way to sleep on it."""

    def __init__(self, now_ns: int = 1_000_000_000) -> None:
        self.time_ns = now_ns
        self.waits_s: list[float] = []

    def now_ns(self) -> int:
        return self.time_ns

    def wait_s(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        self.time_ns += round(seconds * 1e9)


class Cards:
    """A source of numbered cards; `script` may hold errors to raise in place of a frame."""

    format = PictureFormat(WIDTH_PX, HEIGHT_PX, 25.0)
    name = "cards"

    def __init__(self, script: int | Sequence[int | DeviceError], period_ns: int = 40_000_000) -> None:
        self._script: Iterator[int | DeviceError] = iter(range(script) if isinstance(script, int) else script)
        self._period_ns = period_ns
        self.closed = 0

    def read(self) -> Frame:
        entry = next(self._script, EndOfVideo("cards: ended"))
        if isinstance(entry, DeviceError):
            raise entry
        return Frame(entry, entry * self._period_ns, card(entry))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def cards() -> type[Cards]:
    return Cards


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def read_all() -> Callable[..., list[Frame]]:
    """`read_all(source, into=[])`: every frame up to `EndOfVideo`; other errors are raised."""

    def read(source: object, into: list[Frame] | None = None) -> list[Frame]:
        frames = into if into is not None else []
        try:
            while True:
                frames.append(source.read())  # type: ignore[attr-defined]
        except EndOfVideo:
            return frames

    return read


@pytest.fixture(name="corners")
def _corners() -> Callable[[NDArray[np.uint8]], tuple[str, str, str, str]]:
    return corners


@pytest.fixture(name="number_on")
def _number_on() -> Callable[[NDArray[np.uint8]], int]:
    return number_on
