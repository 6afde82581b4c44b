"""The sleeve."""

from __future__ import annotations

import numpy as np

from handguard.capture.scene import texture
from handguard.capture.scene.anatomy import SLEEVE_FROM_Y_MM
from handguard.capture.scene.light import Color
from handguard.capture.scene.relief import Relief
from handguard.capture.scene.surface import Surface, bare


def sleeve(rng: np.random.Generator, relief: Relief, color: Color) -> Surface:
    """Cloth with folds, weave, wear and a stitched cuff."""
    shape, scale = relief.part.shape, relief.px_per_mm
    surface = bare(color, shape, 0.0, 18.0)
    x, y = relief.x_mm()[None, :], relief.y_mm()[:, None]
    weave = np.sin(2 * np.pi * (x + y) / 1.9) * 0.5 + 0.5 * texture.speckle(rng, shape, 0.6)
    wear = texture.fractal(rng, shape, (30 * scale, 30 * scale), 4)
    surface.albedo *= (1.0 + 0.07 * weave + 0.10 * wear)[..., None]
    slanted = np.exp(-np.abs(texture.turned(rng, shape, (62 * scale, 15 * scale), 24.0)) * 2.0)
    across = np.exp(-np.abs(texture.turned(rng, shape, (44 * scale, 9 * scale), -15.0)) * 2.6)
    broad = texture.fractal(rng, shape, (40 * scale, 22 * scale), 2)
    folds = 4.4 * slanted + 2.6 * across + 2.2 * broad
    cuff = texture.between(SLEEVE_FROM_Y_MM - 26.0, SLEEVE_FROM_Y_MM - 38.0 + 16.0, np.broadcast_to(y, shape))
    surface.bump_mm += folds * (1.0 - 0.75 * cuff) + 0.10 * weave
    stitch = np.exp(-(((y - SLEEVE_FROM_Y_MM + 14.0) / 0.8) ** 2)) * np.ones(shape, np.float32)
    surface.bump_mm -= 0.9 * stitch
    surface.mix(stitch * 0.35, np.array(color, np.float32) * 0.4)
    return surface
