"""Drawing with translucency, rounded corners and a readable font.

Everything draws in place on a (H, W, 3) uint8 BGR image; what lies outside is cut
off. Colors are BGR. A `Pen` holds the font and the sizes that suit one picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Color = tuple[int, int, int]
Points = Sequence[tuple[float, float]] | NDArray[np.float64]

WHITE: Color = (255, 255, 255)
NIGHT: Color = (26, 20, 16)  # nearly black, a little blue
REGULAR, BOLD = 450, 650  # font weights; thin strokes drown in a busy picture
_SHIFT = 3  # fractional bits: edges lie on eighths of a pixel
_SMALLEST_TEXT_PX = 12.0  # still legible after video compression
_ANGLES = np.radians(np.arange(0, 360.1, 15))  # clockwise from the right, y points down
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_ARCS = tuple(_CIRCLE[6 * quarter : 6 * quarter + 7] for quarter in range(4))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        """Whether they share any area."""
        apart_x = self.x >= other.x + other.width or other.x >= self.x + self.width
        apart_y = self.y >= other.y + other.height or other.y >= self.y + self.height
        return not (apart_x or apart_y)

    def kept_inside(self, other: Box) -> Box:
        """The same rectangle, moved as little as possible to lie in `other`."""
        x = max(other.x, min(self.x, other.x + other.width - self.width))
        y = max(other.y, min(self.y, other.y + other.height - self.height))
        return Box(x, y, self.width, self.height)


class Pen:
    """Font and sizes for one picture. Cheap to make: one for each picture and thread."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.height_px, self.width_px = image.shape[:2]
        self.text_px = max(_SMALLEST_TEXT_PX, self.height_px * 0.025)
        self.line_px = max(1, round(self.height_px / 360))
        self._font = cv2.FontFace("sans")

    def width_of(self, text: str, weight: int = REGULAR) -> float:
        """Width in pixels that the text will take."""
        size = round(self.text_px)
        return float(cv2.getTextSize((0, 0), text, (0, 0), self._font, size, weight)[2])

    def text(self, words: str, x: float, middle_y: float, color: Color, weight: int = REGULAR) -> None:
        """Write with capitals centered on `middle_y`."""
        baseline = round(middle_y + self.text_px * 0.35)
        cv2.putText(self.image, words, (round(x), baseline), color, self._font, round(self.text_px), weight)

    def fitted(self, text: str, width_px: float, weight: int = REGULAR) -> str:
        """The text, shortened with an ellipsis if it is too wide; empty if nothing fits."""
        if self.width_of(text, weight) <= width_px:
            return text
        for length in range(len(text) - 1, 0, -1):
            short = text[:length].rstrip(" :,") + "…"
            if self.width_of(short, weight) <= width_px:
                return short
        return ""

    def wash(self, points: Points, color: Color, opacity: float) -> None:
        """Fill a polygon so that the picture shines through."""
        x1, y1, x2, y2 = self._around(points)
        if x1 >= x2 or y1 >= y2:
            return
        under = self.image[y1:y2, x1:x2]
        layer = under.copy()
        cv2.fillPoly(layer, [_fixed(points, x1, y1)], color, cv2.LINE_AA, _SHIFT)
        cv2.addWeighted(layer, opacity, under, 1 - opacity, 0, dst=under)

    def outline(self, points: Points, color: Color, thickness_px: int) -> None:
        """Draw a closed line."""
        cv2.polylines(self.image, [_fixed(points)], True, color, thickness_px, cv2.LINE_AA, _SHIFT)

    def _around(self, points: Points) -> tuple[int, int, int, int]:
        corners = np.asarray(points, np.float64)
        low, high = np.floor(corners.min(axis=0)) - 1, np.ceil(corners.max(axis=0)) + 2
        size = (self.width_px, self.height_px)
        (x1, y1), (x2, y2) = np.clip(low, 0, size).astype(int), np.clip(high, 0, size).astype(int)
        return int(x1), int(y1), int(x2), int(y2)


def rounded(box: Box, radius_px: float) -> NDArray[np.float64]:
    """The outline of a box with round corners, as points in order."""
    r = max(0.0, min(radius_px, box.width / 2, box.height / 2))
    left, right, top, bottom = box.x + r, box.x + box.width - r, box.y + r, box.y + box.height - r
    centers = ((right, bottom), (left, bottom), (left, top), (right, top))
    return np.concatenate([center + r * arc for center, arc in zip(centers, _ARCS, strict=True)])


def _fixed(points: Points, x: int = 0, y: int = 0) -> NDArray[np.int32]:
    """Points as the fixed-point numbers that OpenCV draws with, seen from (x, y)."""
    moved = np.asarray(points, np.float64) - (x, y)
    return np.round(moved * (1 << _SHIFT)).astype(np.int32)
