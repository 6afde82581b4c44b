"""Two toothed shafts turning towards each other in the dark of the throat.

Each shaft carries discs with three hooks; the discs of one fill the gaps of the
other. One turn by 120 degrees looks like the next, so a short loop of lit
pictures is enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene import texture
from handguard.capture.scene.canvas import Canvas
from handguard.capture.scene.light import linear, to_picture

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

PHASES = 30
TURNS_PER_S = 0.32
_DISCS = 26
_RADIUS_MM, _HOOK_MM, _SPACER_MM = 30.0, 8.0, 19.0
_PERIOD = 2 * np.pi / 3


def _envelope(y_mm: Floats, center_mm: float, turn: float) -> Floats:
    """Highest point of one disc over every y, as the camera above meets it."""
    angle = np.linspace(0.0, 2 * np.pi, 900, dtype=np.float32)
    within = np.mod(angle - turn, _PERIOD) / _PERIOD
    radius = _RADIUS_MM + _HOOK_MM * np.clip(1.0 - within * 5.0, 0.0, 1.0) - 2.0 * (within > 0.86)
    y, z = center_mm + radius * np.cos(angle), radius * np.sin(angle)
    step = float(y_mm[1] - y_mm[0])
    bins = np.round((y - float(y_mm[0])) / step).astype(int)
    ok = (bins >= 0) & (bins < len(y_mm)) & (z > -12)
    top = np.full(len(y_mm), -40.0, np.float32)
    np.maximum.at(top, bins[ok], z[ok].astype(np.float32))
    return top


def _spacer(y_mm: Floats, center_mm: float) -> Floats:
    inside = np.clip(_SPACER_MM**2 - (y_mm - center_mm) ** 2, 0.0, None)
    return np.where(inside > 0, np.sqrt(inside), -40.0).astype(np.float32)


def _heights(shape: tuple[int, int], px_per_mm: float, phase: float) -> Floats:
    y_mm = ((np.arange(shape[0]) + 0.5) / px_per_mm).astype(np.float32)
    middle, height = shape[0] / px_per_mm / 2, np.empty(shape, np.float32)
    near, far = middle + _RADIUS_MM * 0.86, middle - _RADIUS_MM * 0.86
    edges = np.linspace(0, shape[1], _DISCS + 1).round().astype(int)
    for disc in range(_DISCS):
        offset = disc * 0.47
        own, other = (near, far) if disc % 2 else (far, near)
        spin = -1.0 if disc % 2 else 1.0
        column = np.maximum(_envelope(y_mm, own, spin * (phase + offset)), _spacer(y_mm, other))
        height[:, edges[disc] : edges[disc + 1]] = column[:, None]
        height[:, edges[disc]] = column - 6.0
        height[:, edges[disc + 1] - 1] = column - 2.5
    return height


def turning(seed: int, width_px: int, height_px: int, px_per_mm: float) -> tuple[Picture, ...]:
    """`PHASES` lit pictures (height_px, width_px, 3); about half a second."""
    rng = np.random.default_rng([seed, 23])
    wear = texture.fractal(rng, (height_px, width_px), (26 * px_per_mm, 8 * px_per_mm), 4)
    c = Canvas((height_px, width_px), px_per_mm)
    steel = np.array(linear(134, 134, 136), np.float32) * (1.0 + 0.16 * wear)[..., None]
    rust = np.array(linear(120, 82, 56), np.float32)
    c.lay(np.ones(c.shape, np.float32), steel, 0.0, 0.5)
    c.lay(np.clip(wear - 0.5, 0, 0.5), rust)
    pictures = []
    for index in range(PHASES):
        c.height_mm[:] = _heights(c.shape, px_per_mm, index / PHASES * _PERIOD)
        depth = np.clip((c.height_mm + 34.0) / 66.0, 0.02, 1.0)[..., None]
        pictures.append(to_picture(c.lit(c.lighting()) * depth * np.float32(0.62)))
    return tuple(pictures)


def phase_at(time_s: float) -> int:
    """Which picture of the loop shows at a moment."""
    return int(time_s * TURNS_PER_S * 3 * PHASES) % PHASES
