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

GRAY = 114
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


def letterboxed(image: NDArray[np.uint8], input_px: tuple[int, int]) -> tuple[NDArray[np.uint8], Placement]:
    """A fresh input `(height, width, 3)` uint8 and its placement."""
    canvas = np.full((input_px[1], input_px[0], 3), GRAY, np.uint8)
    placement = placement_for((image.shape[1], image.shape[0]), input_px)
    place(image, placement, canvas)
    return canvas, placement


def place(image: NDArray[np.uint8], placement: Placement, canvas: NDArray[np.uint8]) -> None:
    """Resize `image` (the crop) into the top left of `canvas`, in place; the rest of it stays as it is."""
    width = max(1, round(placement.size_px[0] * placement.scale))
    height = max(1, round(placement.size_px[1] * placement.scale))
    scale = placement.scale
    while scale < 0.5 and image.shape[0] % 2 == 0 and image.shape[1] % 2 == 0:
        image = _halved(image)
        scale *= 2
    method = cv2.INTER_AREA if scale < 0.6 else cv2.INTER_LINEAR
    cv2.resize(image, (width, height), dst=canvas[:height, :width], interpolation=method)


def _halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean of every two by two pixels; both sides even."""
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
