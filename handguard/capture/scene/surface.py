"""The maps that are painted over a relief: color, fine bumps, gloss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene.light import Color
from handguard.capture.scene.relief import PALM, Relief

Floats = NDArray[np.float32]


@dataclass(slots=True, eq=False)
class Surface:
    """All maps are (H, W), `albedo` (H, W, 3) linear BGR; painted in place."""

    albedo: Floats
    bump_mm: Floats
    gloss: Floats
    sharpness: Floats

    def mix(self, share: Floats, color: Color | Floats) -> None:
        """Paint `color` over the albedo where `share` is 1."""
        self.albedo += (np.asarray(color, np.float32) - self.albedo) * share[..., None]


def bare(color: Color, shape: tuple[int, int], gloss: float, sharpness: float) -> Surface:
    """A smooth surface of one color."""
    albedo = np.broadcast_to(np.array(color, np.float32), (*shape, 3)).copy()
    return Surface(
        albedo,
        np.zeros(shape, np.float32),
        np.full(shape, gloss, np.float32),
        np.full(shape, sharpness, np.float32),
    )


def near_joint(relief: Relief, finger: int, joint: int, reach_mm: float) -> Floats:
    """1 on the joint of one finger, falling to 0 over `reach_mm`."""
    away = (relief.along_mm - np.float32(relief.joints_mm[finger][joint])) / np.float32(reach_mm)
    return np.exp(-away * away) * (relief.part == finger)


def knuckle_lines(relief: Relief, wobble_mm: Floats) -> Floats:
    """Creases across the two joints of each finger, in mm below the skin."""
    depth = np.zeros_like(relief.height_mm)
    for finger in range(PALM):
        for joint, offsets in ((0, (-4.4, -2.3, -0.4, 1.7, 4.0)), (1, (-1.6, 0.4))):
            inside = (relief.part == finger) * np.clip(1.15 - np.abs(relief.across), 0.0, 1.0)
            at = relief.along_mm - np.float32(relief.joints_mm[finger][joint]) + wobble_mm
            for offset in offsets:
                line = (at - offset * (1.0 - 0.35 * relief.across**2)) / np.float32(0.62)
                depth += np.exp(-line * line) * inside * np.float32(0.34 if joint == 0 else 0.22)
    return depth
