"""Bare skin: blood under it, veins, creases, hairs and nails."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene import texture
from handguard.capture.scene.light import Color
from handguard.capture.scene.relief import FOREARM, PALM, Relief
from handguard.capture.scene.surface import Surface, bare, knuckle_lines, near_joint

Floats = NDArray[np.float32]


def _nails(relief: Relief) -> tuple[Floats, Floats]:
    """Share of nail plate, and of its dark rim."""
    plate, rim = np.zeros_like(relief.height_mm), np.zeros_like(relief.height_mm)
    for finger in range(PALM):
        last = relief.joints_mm[finger][2]
        size_mm = 8.2 if finger == 0 else 6.6
        v = (relief.along_mm - np.float32(last - size_mm * 0.62)) / np.float32(size_mm)
        round_away = (np.abs(v) ** 2.6 + np.abs(relief.across / 0.72) ** 2.6) * (relief.part == finger)
        inside = (relief.part == finger) * texture.between(-1.12, -0.9, -round_away)
        plate = np.maximum(plate, inside)
        rim = np.maximum(rim, (relief.part == finger) * np.exp(-(((round_away - 1.05) / 0.16) ** 2)))
    return plate, rim


def _veins(rng: np.random.Generator, relief: Relief) -> Floats:
    """Soft branching cords over the back of the hand and the forearm, 0..1."""
    canvas = np.zeros(relief.part.shape, np.uint8)
    scale, origin = relief.px_per_mm, (-float(relief.x_mm()[0]), float(relief.y_mm()[0]))
    for start_x in (-20.0, -8.0, 6.0, 19.0):
        x, points = start_x * 1.25, []
        for y in np.arange(80.0, -95.0, -9.0):
            x += rng.normal(0.0, 2.1) - x * 0.03
            points.append(((x + origin[0]) * scale, (origin[1] - y) * scale))
        cv2.polylines(
            canvas, [np.array(points, np.int32)], False, 255, max(1, round(1.9 * scale)), cv2.LINE_AA
        )
    drawn = canvas.astype(np.float32) / np.float32(255.0)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), 1.3 * scale), np.float32)


def _hairs(rng: np.random.Generator, relief: Relief) -> Floats:
    """Fine short strokes on the forearm, 0..1."""
    canvas = np.zeros(relief.part.shape, np.uint8)
    rows, columns = np.nonzero((relief.part == FOREARM) & (relief.y_mm()[:, None] < -8.0))
    for index in rng.integers(0, max(1, len(rows)), 420 if len(rows) else 0):
        lean, length = rng.normal(0.5, 0.35), rng.uniform(4.0, 8.0) * relief.px_per_mm
        x, y = int(columns[index]), int(rows[index])
        end = (int(x + length * np.sin(lean)), int(y - length * np.cos(lean) * 0.8))
        cv2.line(canvas, (x, y), end, int(rng.integers(60, 170)), 1, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255.0


def skin(rng: np.random.Generator, relief: Relief, color: Color) -> Surface:
    (rows, columns), scale = relief.part.shape, relief.px_per_mm
    shape = (rows, columns)
    surface = bare(color, shape, 0.10, 18.0)
    darkness = 1.0 - min(1.0, sum(color) / 1.6)
    blood = np.clip(texture.fractal(rng, shape, (14 * scale, 14 * scale), 3) * 0.16, -0.3, 0.3)
    for finger in range(PALM):
        for joint, amount in ((0, 0.55), (1, 0.35), (2, 0.75)):
            blood += near_joint(relief, finger, joint, 9.0) * np.float32(amount)
    ruddy = np.array(color, np.float32) * np.array((0.66, 0.62, 1.02), np.float32)
    surface.mix(np.clip(blood * (0.75 - 0.35 * darkness), 0.0, 1.0), ruddy)
    surface.albedo *= (1.0 + 0.055 * texture.fractal(rng, shape, (5 * scale, 5 * scale), 3))[..., None]
    veins = _veins(rng, relief) * ((relief.part == PALM) | (relief.part == FOREARM))
    surface.mix(veins * 0.30, np.array(color, np.float32) * np.array((0.98, 0.86, 0.74), np.float32))
    creases = knuckle_lines(relief, 0.5 * texture.smooth(rng, shape, (4 * scale, 4 * scale)))
    surface.mix(np.clip(creases * 1.0, 0.0, 0.5), np.array(color, np.float32) * 0.42)
    surface.bump_mm += veins * 0.55 - creases
    surface.bump_mm += 0.055 * texture.speckle(rng, shape, 0.7) + 0.10 * texture.ridged(
        rng, shape, (3.2, 2.2)
    )
    hairs = _hairs(rng, relief)
    surface.mix(hairs * 0.5, np.array(color, np.float32) * 0.22)
    return _with_nails(surface, relief, color)


def _with_nails(surface: Surface, relief: Relief, color: Color) -> Surface:
    plate, rim = _nails(relief)
    pink = np.array(color, np.float32) * np.array((1.12, 1.08, 1.10), np.float32) + np.float32(0.07)
    surface.mix(rim * 0.6, np.array(color, np.float32) * 0.34)
    surface.mix(plate * 0.85, pink)
    surface.bump_mm += plate * 0.25 - rim * 0.2
    surface.gloss += plate * 0.16
    surface.sharpness += plate * 30.0
    return surface
