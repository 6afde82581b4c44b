"""A canvas that is painted with heights and materials and lit once at the end."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene import texture
from handguard.capture.scene.light import Color, Lighting, gloss, light, shaded

Floats = NDArray[np.float32]
Real = NDArray[np.floating[Any]]


class Canvas:
    """Heights and materials under the brush; coordinates in mm."""

    def __init__(self, shape: tuple[int, int], px_per_mm: float) -> None:
        self.shape, self.px_per_mm = shape, px_per_mm
        columns, rows = np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32)
        self.x, self.y = np.meshgrid((columns + 0.5) / px_per_mm, (rows + 0.5) / px_per_mm)
        self.albedo = np.zeros((*shape, 3), np.float32)
        self.height_mm = np.zeros(shape, np.float32)
        self.gloss = np.zeros(shape, np.float32)

    def part(self, x1: float, y1: float, x2: float, y2: float) -> Canvas:
        """The same canvas cut to a rectangle; painting it paints the whole."""
        left_mm, top_mm = float(self.x[0, 0]), float(self.y[0, 0])
        x1_px, x2_px = (int((x - left_mm) * self.px_per_mm) for x in (x1, x2))
        y1_px, y2_px = (int((y - top_mm) * self.px_per_mm) for y in (y1, y2))
        rows, columns = slice(max(0, y1_px), max(1, y2_px)), slice(max(0, x1_px), max(1, x2_px))
        view = copy(self)
        for name in ("x", "y", "albedo", "height_mm", "gloss"):
            setattr(view, name, getattr(self, name)[rows, columns])
        view.shape = (view.x.shape[0], view.x.shape[1])
        return view

    def box(
        self, x1: float, y1: float, x2: float, y2: float, soft_mm: float = 0.6, round_mm: float = 0.0
    ) -> Floats:
        """1 inside a rectangle with softened edges and rounded corners."""
        dx = np.abs(self.x - (x1 + x2) / 2) - (x2 - x1) / 2 + round_mm
        dy = np.abs(self.y - (y1 + y2) / 2) - (y2 - y1) / 2 + round_mm
        outside = (
            np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0) - round_mm
        )
        return texture.between(-soft_mm, soft_mm, -outside)

    def disc(self, x: float, y: float, radius_mm: float, soft_mm: float = 0.6) -> Floats:
        """1 inside a circle."""
        return texture.between(-soft_mm, soft_mm, radius_mm - np.hypot(self.x - x, self.y - y))

    def lay(
        self,
        share: Real,
        color: Color | Real,
        height_mm: float | Real | None = None,
        shine: float | None = None,
    ) -> None:
        """Paint a material where `share` is 1, lifting the surface to `height_mm`."""
        self.albedo += (np.asarray(color, np.float32) - self.albedo) * share[..., None]
        if height_mm is not None:
            self.height_mm += (height_mm - self.height_mm) * share
        if shine is not None:
            self.gloss += (np.float32(shine) - self.gloss) * share

    def turned(self, x: float, y: float, lean: float) -> tuple[Floats, Floats]:
        """Coordinates along and across a thing lying at (x, y), turned by `lean` radians."""
        dx, dy = self.x - np.float32(x), self.y - np.float32(y)
        c, s = np.float32(np.cos(lean)), np.float32(np.sin(lean))
        return dx * c + dy * s, dy * c - dx * s

    def lighting(self) -> Lighting:
        """Slopes, crevices and cast shadows of what has been painted so far."""
        scale = self.px_per_mm
        return light(self.height_mm * scale, int(70 * scale), (3 * scale, 10 * scale, 28 * scale))

    def lit(self, lighting: Lighting) -> Floats:
        """Linear BGR under the lamp."""
        return shaded(self.albedo, lighting) + (gloss(lighting, 14.0) * self.gloss)[..., None] * np.float32(
            0.5
        )
