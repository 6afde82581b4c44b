"""Other gloves on the same hands: another color, or another material.

A knitted, dotted, leather, dirty or wet surface is laid over the glove's region and
keeps the shading beneath it, so that folds and fingers stay. Patterns are sized in
parts of the hand. Bare hands stay as they are: dressed up, they would be neither.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.training.coco import Sample
from handguard.training.picture import Image
from handguard.training.regions import Region, hand_region, inside_box
from handguard.types import HandClass

LEAST_TEXTURED_PX = 28  # longer side of a box below which no pattern can be seen

Patch = NDArray[np.float32]  # (h, w, 3) BGR, 0 to 255
Change = Callable[[Patch, float, np.random.Generator], Patch]  # patch, longer side of the hand in px


def dressed(image: Image, sample: Sample, rng: np.random.Generator, recolor: float, texture: float) -> Image:
    """The picture with other gloves, each change with its probability. The picture given is not written to."""
    if recolor and rng.random() < recolor:
        image = _on_gloves(image, sample, rng, lambda: _recolored, least_px=4)
    if texture and rng.random() < texture:
        image = _on_gloves(
            image, sample, rng, lambda: MATERIALS[rng.integers(len(MATERIALS))], LEAST_TEXTURED_PX
        )
    return image


def _on_gloves(
    image: Image, sample: Sample, rng: np.random.Generator, draw: Callable[[], Change], least_px: float
) -> Image:
    out = image
    for index, (box, label) in enumerate(zip(sample.boxes_px, sample.labels, strict=True)):
        side = float(max(box[2:] - box[:2]))
        if label != HandClass.GLOVED_HAND or side < least_px:
            continue
        region = inside_box(hand_region(sample, index), sample, index)
        out = image.copy() if out is image else out
        _blend(out, region, draw(), side, rng)
    return out


def _blend(out: Image, region: Region, change: Change, side_px: float, rng: np.random.Generator) -> None:
    """Into `out`, in place."""
    x1, y1, x2, y2 = region.window
    patch = out[y1:y2, x1:x2].astype(np.float32)
    weight = region.weight[..., None]
    mixed = patch * (1 - weight) + change(patch, side_px, rng) * weight
    out[y1:y2, x1:x2] = np.clip(mixed, 0, 255).astype(np.uint8)


def _recolored(patch: Patch, side_px: float, rng: np.random.Generator) -> Patch:
    """Another hue, saturation and brightness."""
    hsv = cv2.cvtColor(patch.astype(np.uint8), cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 180)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5, 1.5) + rng.uniform(0, 40), 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.5, 1.3), 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR), np.float32)


def _knitted(patch: Patch, side_px: float, rng: np.random.Generator) -> Patch:
    """Ribs along one direction, stitches along the ribs."""
    along, across = _turned(patch, rng)
    rib_px = max(side_px / rng.uniform(18, 40), 2.5)
    ribs = np.sin(2 * np.pi * across / rib_px)
    stitches = np.sin(2 * np.pi * along / (0.8 * rib_px) + ribs)
    return _shaded(patch, 1 + rng.uniform(0.12, 0.3) * (0.7 * ribs + 0.3 * stitches))


def _dotted(patch: Patch, side_px: float, rng: np.random.Generator) -> Patch:
    """Rubber grip dots in rows, of one color; some gloves have larger, stranger dots."""
    along, across = _turned(patch, rng)
    step_px = max(side_px / rng.uniform(9, 20), 4.0)
    shifted = along + step_px / 2 * (np.floor(across / step_px) % 2)
    from_center = np.hypot(shifted % step_px - step_px / 2, across % step_px - step_px / 2)
    dots = np.clip(rng.uniform(0.22, 0.36) * step_px - from_center + 0.5, 0, 1)[..., None]
    light = patch.mean(axis=-1, keepdims=True) / 160
    color = rng.uniform(10, 220, 3) * light
    return (patch * (1 - 0.85 * dots) + color * 0.85 * dots).astype(np.float32)


def _leathern(patch: Patch, side_px: float, rng: np.random.Generator) -> Patch:
    """Tanned, with a fine grain and soft blotches."""
    light = patch.mean(axis=-1, keepdims=True)
    tan = np.array([rng.uniform(0.35, 0.75), rng.uniform(0.6, 0.9), rng.uniform(0.9, 1.1)])
    grain = _clouds(patch, 2.5, rng) * rng.uniform(0.05, 0.14)
    blotches = _clouds(patch, side_px / 5, rng) * rng.uniform(0.05, 0.2)
    return _shaded((light * tan).astype(np.float32), 1 + grain + blotches)


def _dirty(patch: Patch, side_px: float, rng: np.random.Generator) -> Patch:
    """Oil and dust in blotches; fingers wear more of it than the cuff, but we cannot tell them apart."""
    spread = _clouds(patch, side_px / rng.uniform(3, 8), rng) + 0.5 * _clouds(patch, side_px / 20, rng)
    cover = np.clip(1.5 * (spread - rng.uniform(-0.6, 0.6)), 0, rng.uniform(0.5, 0.9))[..., None]
    light = 0.4 + 0.6 * patch.mean(axis=-1, keepdims=True) / 255
    return (patch * (1 - cover) + rng.uniform((15, 20, 25), (60, 75, 90)) * light * cover).astype(np.float32)


def _wet(patch: Patch, side_px: float, rng: np.random.Generator) -> Patch:
    """Darker and richer, with white glints where the light falls."""
    gray = patch.mean(axis=-1, keepdims=True)
    soaked = (gray + (patch - gray) * 1.3) * rng.uniform(0.55, 0.8)
    peaks = _clouds(patch, max(side_px / 16, 2), rng) + 1.5 * (gray[..., 0] / max(float(gray.mean()), 1) - 1)
    glints = np.clip(2 * (peaks - rng.uniform(1.2, 2.0)), 0, 1)[..., None]
    return (soaked * (1 - glints) + 245 * glints).astype(np.float32)


MATERIALS: tuple[Change, ...] = (_knitted, _dotted, _leathern, _dirty, _wet)


def _turned(patch: Patch, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates in px along and across a random direction."""
    height, width = patch.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    angle = rng.uniform(0, np.pi)
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _shaded(patch: Patch, factor: NDArray[np.float64]) -> Patch:
    return (patch * factor[..., None]).astype(np.float32)


def _clouds(patch: Patch, grain_px: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise of about unit deviation, with hills about `grain_px` wide."""
    height, width = patch.shape[:2]
    rows, columns = (max(int(side / max(grain_px, 1.5)), 2) for side in (height, width))
    hills = rng.normal(0, 1, (rows, columns))
    return np.asarray(cv2.resize(hills, (width, height), interpolation=cv2.INTER_CUBIC), np.float64)
