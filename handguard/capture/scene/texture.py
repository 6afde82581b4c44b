"""Seeded noise fields: the raw stuff of skin, cloth, steel and wood.

All functions take a `numpy.random.Generator` and return float32 (H, W) maps;
the same generator state gives the same map on every machine.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Shape = tuple[int, int]  # rows, columns


def smooth(rng: np.random.Generator, shape: Shape, grain_px: tuple[float, float]) -> Floats:
    """Noise of unit deviation whose blobs are about `grain_px` (x, y) wide."""
    cells = (max(4, round(shape[0] / grain_px[1]) + 3), max(4, round(shape[1] / grain_px[0]) + 3))
    coarse = rng.standard_normal(cells).astype(np.float32)
    size = (max(shape[1], round(cells[1] * grain_px[0])), max(shape[0], round(cells[0] * grain_px[1])))
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)[: shape[0], : shape[1]] * np.float32(1.25)


def fractal(
    rng: np.random.Generator, shape: Shape, grain_px: tuple[float, float], octaves: int = 4
) -> Floats:
    """Octaves of `smooth`, each half the size and 0.55 the strength of the one before."""
    total, strength = np.zeros(shape, np.float32), 1.0
    for octave in range(octaves):
        grain = (max(1.0, grain_px[0] / 2**octave), max(1.0, grain_px[1] / 2**octave))
        total += np.float32(strength) * smooth(rng, shape, grain)
        strength *= 0.55
    return total / np.float32(1.3)


def ridged(rng: np.random.Generator, shape: Shape, grain_px: tuple[float, float], octaves: int = 2) -> Floats:
    """Sharp crests between soft valleys, 0..1: folds and wrinkles."""
    crest = np.exp(-np.abs(fractal(rng, shape, grain_px, octaves)) * np.float32(2.4))
    return crest.astype(np.float32)


def speckle(rng: np.random.Generator, shape: Shape, sigma_px: float) -> Floats:
    """White noise blurred by `sigma_px`, back at unit deviation: pores, grain, dust."""
    white = rng.standard_normal(shape).astype(np.float32)
    if sigma_px <= 0:
        return white
    soft = cv2.GaussianBlur(white, (0, 0), sigma_px)
    return soft / np.float32(soft.std() + 1e-6)


def turned(rng: np.random.Generator, shape: Shape, grain_px: tuple[float, float], angle_deg: float) -> Floats:
    """`smooth` noise with its long axis turned by `angle_deg`."""
    side = int(np.hypot(*shape)) + 8
    field = smooth(rng, (side, side), grain_px)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle_deg, 1.0)
    spun = cv2.warpAffine(field, matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
    top, left = (side - shape[0]) // 2, (side - shape[1]) // 2
    return np.ascontiguousarray(spun[top : top + shape[0], left : left + shape[1]], np.float32)


def between(low: Floats | float, high: Floats | float, x: Floats) -> Floats:
    """Smooth step: 0 below `low`, 1 above `high`."""
    t = np.clip((x - low) / (np.asarray(high) - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)
