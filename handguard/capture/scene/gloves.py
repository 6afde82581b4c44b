"""Gloves over the skin: nitrile that wrinkles and shines, dipped knit, stitched leather."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene import texture
from handguard.capture.scene.looks import Cover, Look
from handguard.capture.scene.relief import FOREARM, PALM, Relief
from handguard.capture.scene.surface import Surface, knuckle_lines, near_joint

Floats = NDArray[np.float32]


def pull_on(rng: np.random.Generator, relief: Relief, look: Look, surface: Surface) -> None:
    """Paint the look's glove, if it wears one."""
    if look.cover is Cover.NITRILE:
        _nitrile(rng, relief, look, surface)
    elif look.cover is Cover.KNIT:
        _knit(rng, relief, look, surface)
    elif look.cover is Cover.LEATHER:
        _leather(rng, relief, look, surface)


def _gloved(relief: Relief, cuff_y_mm: float) -> Floats:
    """1 where the glove covers the arm."""
    on = (relief.part <= PALM) | ((relief.part == FOREARM) & (relief.y_mm()[:, None] > cuff_y_mm))
    return on.astype(np.float32)


def _hem(relief: Relief, cuff_y_mm: float, width_mm: float) -> Floats:
    """A band along the glove's edge."""
    return (_gloved(relief, cuff_y_mm) - _gloved(relief, cuff_y_mm + width_mm)).astype(np.float32)


def _nitrile(rng: np.random.Generator, relief: Relief, look: Look, surface: Surface) -> None:
    shape, scale = relief.part.shape, relief.px_per_mm
    on = _gloved(relief, look.cuff_y_mm)
    surface.mix(on, look.glove)
    surface.albedo *= (1.0 + 0.05 * on * texture.fractal(rng, shape, (9 * scale, 9 * scale), 3))[..., None]
    folds = texture.ridged(rng, shape, (20 * scale, 6.5 * scale), 1) * 0.75
    folds += texture.ridged(rng, shape, (8 * scale, 15 * scale), 1) * 0.45
    lines = knuckle_lines(relief, 0.9 * texture.smooth(rng, shape, (4 * scale, 4 * scale)))
    crumpled = folds * (0.30 + 0.45 * (relief.part >= PALM)) + lines * 1.3
    surface.bump_mm = surface.bump_mm * (1 - on) + on * (0.5 + crumpled)
    surface.bump_mm += _hem(relief, look.cuff_y_mm, 3.0) * 1.5
    surface.gloss = surface.gloss * (1 - on) + on * 0.26
    surface.sharpness = surface.sharpness * (1 - on) + on * 22.0


def _stitches(relief: Relief, pitch_mm: float) -> Floats:
    """The small V of a knitted loop, -1..1, following the fingers."""
    x = np.where(relief.part < PALM, relief.across * 9.0, relief.x_mm()[None, :])
    y = np.where(relief.part < PALM, relief.along_mm, relief.y_mm()[:, None])
    slant = np.abs(np.mod(x / pitch_mm, 1.0) - 0.5) * 2.0
    return (np.sin(2 * np.pi * (y / pitch_mm * 0.8 + slant * 0.7)) * (0.4 + 0.6 * slant)).astype(np.float32)


def _knit(rng: np.random.Generator, relief: Relief, look: Look, surface: Surface) -> None:
    shape, scale = relief.part.shape, relief.px_per_mm
    on = _gloved(relief, look.cuff_y_mm)
    surface.mix(on, look.glove)
    loops = _stitches(relief, 2.1)
    surface.albedo *= (1.0 + on * (0.16 * loops + 0.07 * texture.fractal(rng, shape, (7, 7), 3)))[..., None]
    folds = texture.ridged(rng, shape, (15 * scale, 5 * scale))
    surface.bump_mm = surface.bump_mm * (1 - on) + on * (0.6 + 0.34 * loops + 0.9 * folds)
    ribs = np.sin(2 * np.pi * relief.x_mm()[None, :] / 3.4) * (relief.y_mm()[:, None] < -14.0) * on
    surface.bump_mm += 0.8 * ribs
    surface.mix(_hem(relief, look.cuff_y_mm, 6.0), look.tips)
    dipped = np.zeros(shape, np.float32)
    edge = 1.6 * texture.smooth(rng, shape, (6 * scale, 6 * scale))
    for finger in range(PALM):
        starts = relief.joints_mm[finger][1] - 8.0
        dipped += (relief.part == finger) * texture.between(
            starts - 0.8, starts + 0.8, relief.along_mm + edge
        )
    dipped = np.maximum(
        dipped, on * texture.between(0.86, 0.93, np.abs(relief.across)) * (relief.part < PALM)
    )
    surface.mix(dipped, look.tips)
    rough = 0.12 * texture.speckle(rng, shape, 0.9) + 0.35 * texture.ridged(
        rng, shape, (5 * scale, 3 * scale)
    )
    surface.bump_mm = surface.bump_mm * (1 - dipped) + dipped * (0.9 + rough)
    surface.gloss = surface.gloss * (1 - on) + on * (0.02 + 0.10 * dipped)


def _leather(rng: np.random.Generator, relief: Relief, look: Look, surface: Surface) -> None:
    shape, scale = relief.part.shape, relief.px_per_mm
    on = _gloved(relief, look.cuff_y_mm)
    surface.mix(on, look.glove)
    dirt = np.clip(texture.fractal(rng, shape, (18 * scale, 18 * scale), 4), -1.5, 2.0)
    for finger in range(PALM):
        dirt += near_joint(relief, finger, 2, 13.0) * 1.2
    surface.albedo *= (1.0 - on * 0.17 * np.clip(dirt, -0.6, 2.0))[..., None]
    folds = texture.ridged(rng, shape, (13 * scale, 5 * scale)) + 0.4 * texture.ridged(
        rng, shape, (4 * scale, 3 * scale)
    )
    lines = knuckle_lines(relief, 1.2 * texture.smooth(rng, shape, (5 * scale, 5 * scale)))
    surface.bump_mm = surface.bump_mm * (1 - on) + on * (1.4 + 1.2 * folds + 1.7 * lines)
    surface.bump_mm += on * 0.09 * texture.speckle(rng, shape, 0.8)
    seam = _seams(relief)
    surface.mix(seam * on * 0.55, np.array(look.glove, np.float32) * 0.35)
    surface.bump_mm -= seam * on * 0.7
    surface.bump_mm += _hem(relief, look.cuff_y_mm, 7.0) * 1.2
    surface.gloss = surface.gloss * (1 - on) + on * 0.05


def _seams(relief: Relief) -> Floats:
    """Three stitched darts on the back of the hand and a seam above the wrist."""
    x, y = relief.x_mm()[None, :], relief.y_mm()[:, None]
    back = (relief.part == PALM) & (y > 28.0) & (y < 84.0)
    seam = np.zeros_like(relief.height_mm)
    for at in (-15.0, 5.0, 24.0):
        line = np.exp(-(((x - at * (0.55 + 0.0055 * y)) / 0.7) ** 2))
        seam = np.maximum(seam, line * back * (np.mod(y, 4.2) < 3.1))
    band = np.exp(-(((y + 16.0) / 0.9) ** 2)) * (np.mod(x, 4.2) < 3.1)
    return np.maximum(seam, band).astype(np.float32)
