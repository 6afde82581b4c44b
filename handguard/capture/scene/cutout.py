"""A lit thing cut out of nothing: pixels with transparency, and the soft shadow it throws."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_SHADOW_STEP = 4  # the shadow is kept at a quarter of the size; it is soft anyway
_SHADOW_PAD = 12  # of those coarse pixels, on every side


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """What the camera moves about. Synchronization: none required (immutable).

    `pixels` is (H, W, 4) uint8 BGR premultiplied by alpha; `shadow` (h, w) uint8
    is coarse, 255 where it is darkest; `origin_px` is the point of `pixels`
    that a placement puts on its spot.
    """

    pixels: Picture
    shadow: Picture
    px_per_mm: float
    origin_px: tuple[float, float]

    def shadow_to_pixels(self) -> NDArray[np.float64]:
        """3x3 matrix from coarse shadow pixels to pixels of `pixels`."""
        shift = -_SHADOW_PAD * _SHADOW_STEP
        return np.array([[_SHADOW_STEP, 0, shift], [0, _SHADOW_STEP, shift], [0, 0, 1]], float)


def cut_out(pixels: Picture, px_per_mm: float, origin_px: tuple[float, float], softness_mm: float) -> Cutout:
    """Add the shadow: the outline blurred by `softness_mm`."""
    alpha = cv2.resize(
        pixels[..., 3], None, fx=1 / _SHADOW_STEP, fy=1 / _SHADOW_STEP, interpolation=cv2.INTER_AREA
    )
    pad = _SHADOW_PAD
    padded = cv2.copyMakeBorder(alpha, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    shadow = cv2.GaussianBlur(padded, (0, 0), softness_mm * px_per_mm / _SHADOW_STEP)
    return Cutout(np.ascontiguousarray(pixels), np.asarray(shadow, np.uint8), px_per_mm, origin_px)
