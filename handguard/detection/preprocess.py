"""From a picture to the network's input: letterbox, decided once for all of training and deployment.

The picture keeps its aspect ratio and sits in the top left corner of the input;
the rest is grey. Stretching would give a 16:9 camera hands of another shape
than the network learnt, and a network input of the camera's own aspect ratio
(`architectures` allow any multiple of 32) leaves almost no grey to compute.

A large picture is first halved, as often as it goes: the mean of four pixels is
exact and nearly free, while averaging areas that end between pixels cost 4 ms for
1280x720, more than half of what the network takes. A side that is odd cannot be
halved, so a region round the zones is made a few pixels larger (`region_round`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.errors import mismatch

GRAY = 114
AVERAGED_BELOW = 0.6  # of its size a picture is made smaller by means of areas, above it by lines between pixels
HALVES_WELL = 8  # sides in multiples of it can be halved three times, enough for a camera of 3840x2160


@dataclass(frozen=True, slots=True)
class Placement:
    """How a crop of the picture lies in the network input."""

    scale: float  # input pixels per picture pixel
    input_px: tuple[int, int]  # width, height
    origin_px: tuple[int, int] = (0, 0)  # top left corner of the crop in the picture
    size_px: tuple[int, int] = (0, 0)  # of the crop; hands are clipped to it

    _factor: NDArray[np.float32] = field(init=False, repr=False, compare=False)  # the same three for each picture
    _limit: NDArray[np.float32] = field(init=False, repr=False, compare=False)
    _origin: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        factor = np.array(self.input_px * 2, np.float32) / np.float32(self.scale)
        object.__setattr__(self, "_factor", factor)
        object.__setattr__(self, "_limit", np.array(self.size_px * 2, np.float32))
        object.__setattr__(self, "_origin", np.array(self.origin_px * 2, np.float32))

    @property
    def drawn_px(self) -> tuple[int, int]:
        """How large the crop is in the input."""
        width, height = self.size_px
        return max(1, round(width * self.scale)), max(1, round(height * self.scale))

    @property
    def area_px(self) -> NDArray[np.float32]:
        """The crop as a box `(1, 4)` xyxy in pixels of the whole picture."""
        return np.append(self._origin[:2], self._origin[:2] + self._limit[:2])[None]

    @property
    def halvings(self) -> int:
        """How often the crop is halved before it is resized."""
        (width, height), scale, times = self.size_px, self.scale, 0
        while scale < 0.5 and width % 2 == 0 and height % 2 == 0:
            width, height, scale, times = width // 2, height // 2, scale * 2, times + 1
        return times

    def to_picture(self, boxes_norm: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes xyxy from fractions of the input to pixels of the whole picture, clipped to the crop."""
        if not len(boxes_norm):
            return boxes_norm
        boxes = np.minimum(np.maximum(boxes_norm * self._factor, 0), self._limit)
        return np.asarray(boxes + self._origin, np.float32)


def placement_for(
    size_px: tuple[int, int], input_px: tuple[int, int], origin_px: tuple[int, int] = (0, 0)
) -> Placement:
    """Where a crop of `size_px` goes in an input of `input_px`; both (width, height)."""
    scale = min(input_px[0] / size_px[0], input_px[1] / size_px[1])
    return Placement(scale, input_px, origin_px, size_px)


class Letterbox:
    """Draws pictures of one size into the network's input, and owns the memory between the steps. One thread.

    OpenCV resizes in one thread what becomes fewer than 98,304 pixels, as nearly every input is. So the last step
    takes some of the grey round the picture along: the input as a whole has 106,496 (416x256), which go to two
    threads, in 0.6 of the time. The pixels are the same.
    """

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        (width, height), self._halvings, self._out = placement.size_px, placement.halvings, placement.drawn_px
        self._size = width >> self._halvings, height >> self._halvings
        is_small = placement.scale * 2**self._halvings < AVERAGED_BELOW
        self._method = cv2.INTER_AREA if is_small else cv2.INTER_LINEAR
        self._ratio = self._out[0] / self._size[0], self._out[1] / self._size[1]
        self._ground = None if is_small else _ground(self._ratio, placement.input_px)

    def draw(self, image: NDArray[np.uint8], canvas: NDArray[np.uint8]) -> None:
        """Resize `image` into the top left of `canvas`, in place; the rest of it is and stays grey.

        Raises `ValueError` for a canvas of another size: OpenCV would draw into a new one, and leave the old picture.
        """
        image = self._halved(image)
        if self._ground is None:
            width, height = self._out
            cv2.resize(image, self._out, canvas[:height, :width], interpolation=self._method)
        else:
            drawn = cv2.resize(self._ground, None, canvas, *self._ratio, self._method)
            if drawn is not canvas:
                raise ValueError(mismatch("the network's input", f"{drawn.shape}", f"{canvas.shape}"))

    def _halved(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The mean of every two by two pixels, as often as it goes; the last of it on the ground, if there is one."""
        left = None if self._ground is None else self._ground[: self._size[1], : self._size[0]]
        for further in reversed(range(self._halvings)):
            size = self._size[0] << further, self._size[1] << further
            onto = None if further else left
            image = np.asarray(cv2.resize(image, size, onto, interpolation=cv2.INTER_AREA), np.uint8)
        if left is not None and not self._halvings:
            left[:] = image
        return image


def _ground(ratio: tuple[float, float], input_px: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Grey that becomes the whole input when resized so; None where nothing of whole pixels does."""
    sides = [round(side / by) for side, by in zip(input_px, ratio, strict=True)]
    if [round(side * by) for side, by in zip(sides, ratio, strict=True)] != list(input_px) or max(ratio) > 1:
        return None
    return np.full((sides[1], sides[0], 3), GRAY, np.uint8)


def letterboxed(image: NDArray[np.uint8], input_px: tuple[int, int]) -> tuple[NDArray[np.uint8], Placement]:
    """A fresh input `(height, width, 3)` uint8 and its placement."""
    canvas = np.full((input_px[1], input_px[0], 3), GRAY, np.uint8)
    placement = placement_for((image.shape[1], image.shape[0]), input_px)
    Letterbox(placement).draw(image, canvas)
    return canvas, placement
