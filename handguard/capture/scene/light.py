"""Light on a height map: slopes, crevices, cast shadow, gloss.

Colors are linear BGR in 0..1 until `to_picture` bends them into 8-bit sRGB.
The lamp hangs over the far left of the table; `LAMP` points towards it
(right, away from the operator, up).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Color = tuple[float, float, float]  # linear BGR, 0..1

LAMP = (-0.46, 0.40, 0.79)
SKY: Color = (0.40, 0.37, 0.35)
LAMP_COLOR: Color = (0.86, 0.92, 0.97)


@dataclass(frozen=True, slots=True, eq=False)
class Lighting:
    """(H, W) maps: unit normals, lamp cosine, share of open sky, share of lamp that arrives."""

    normal: Floats  # (H, W, 3) right, away, up
    cosine: Floats
    open_sky: Floats
    lit: Floats


def linear(red: int, green: int, blue: int) -> Color:
    """A color as people name it (sRGB 0..255) in linear BGR."""
    b, g, r = (float((v / 255.0) ** 2.2) for v in (blue, green, red))
    return b, g, r


def normals(height_px: Floats) -> Floats:
    """Unit normals of a height map given in pixels."""
    right = cv2.Sobel(height_px, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    down = cv2.Sobel(height_px, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    stacked = np.dstack([-right, down, np.ones_like(height_px)])
    return stacked / np.sqrt((stacked * stacked).sum(axis=2, keepdims=True))


def _around(height_px: Floats, sigma_px: float) -> Floats:
    """Mean height of the surroundings; wide ones are looked at coarsely."""
    if sigma_px < 5.0:
        return np.asarray(cv2.GaussianBlur(height_px, (0, 0), sigma_px), np.float32)
    coarse = cv2.resize(height_px, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(coarse, (0, 0), sigma_px / 4)
    return np.asarray(cv2.resize(soft, height_px.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def crevices(height_px: Floats, reach_px: tuple[float, ...]) -> Floats:
    """1 in the open, towards 0 where the surroundings stand higher."""
    hidden = np.zeros_like(height_px)
    for sigma in reach_px:
        hidden += np.clip((_around(height_px, sigma) - height_px) / np.float32(sigma), 0.0, 1.2)
    return np.exp(-hidden * np.float32(1.5 / len(reach_px)))


def cast_shadow(height_px: Floats, reach_px: int, lamp: tuple[float, float, float] = LAMP) -> Floats:
    """1 where the lamp shines freely, 0 where something nearer to it stands in between."""
    flat = float(np.hypot(lamp[0], lamp[1]))
    rise = lamp[2] / flat
    hidden = np.zeros_like(height_px)
    for step in range(2, reach_px, 3):
        move = np.array([[1, 0, -lamp[0] / flat * step], [0, 1, lamp[1] / flat * step]], np.float32)
        seen = cv2.warpAffine(height_px, move, height_px.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        hidden = np.maximum(hidden, (seen - height_px - rise * step) / np.float32(2.0 + 0.35 * step))
    return np.float32(1.0) - np.clip(hidden, 0.0, 1.0)


def light(
    height_px: Floats, reach_px: int, sky_px: tuple[float, ...], lamp: tuple[float, float, float] = LAMP
) -> Lighting:
    """All maps at once."""
    normal = normals(height_px)
    cosine = (normal @ np.array(lamp, np.float32)).astype(np.float32)
    return Lighting(normal, cosine, crevices(height_px, sky_px), cast_shadow(height_px, reach_px, lamp))


def gloss(lighting: Lighting, sharpness: float, lamp: tuple[float, float, float] = LAMP) -> Floats:
    """Highlight towards a camera straight above."""
    half = np.array([lamp[0], lamp[1], lamp[2] + 1.0], np.float32)
    toward = np.clip(lighting.normal @ (half / np.linalg.norm(half)), 0.0, 1.0)
    return (toward ** np.float32(sharpness) * lighting.lit).astype(np.float32)


def shaded(albedo: Floats, lighting: Lighting, wrap: Color = (0.0, 0.0, 0.0)) -> Floats:
    """Matte surface (H, W, 3): sky through the crevices plus the lamp, `wrap` letting light creep round edges."""
    result = np.empty_like(albedo)
    for channel in range(3):
        around = np.clip((lighting.cosine + wrap[channel]) / (1.0 + wrap[channel]), 0.0, 1.0)
        sky = SKY[channel] * lighting.open_sky * (0.72 + 0.28 * lighting.normal[..., 2])
        lamp = LAMP_COLOR[channel] * around * lighting.lit * (0.55 + 0.45 * lighting.open_sky)
        result[..., channel] = albedo[..., channel] * (sky + lamp)
    return result


def to_picture(color: Floats) -> NDArray[np.uint8]:
    """Linear BGR to 8-bit, with a soft shoulder instead of burnt-out whites."""
    toned = np.clip(color, 0.0, None)
    toned = toned * (1.0 + toned / 5.0) / (1.0 + toned * 0.28)
    return np.clip(np.power(toned, np.float32(1 / 2.2)) * 255.0 + 0.5, 0, 255).astype(np.uint8)
