"""From capsules to a height map: the hand as the overhead camera meets it.

Rays fall straight down on the chains of `anatomy` and are marched to the
blended surface (sphere tracing on a signed distance field). The result keeps,
for every pixel, how high the surface is, which part it belongs to, and where
along and across that part it lies, so that nails, knuckles and seams can be
painted in the right place later. Distances are in millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene.anatomy import ARM_END_Y_MM, FINGERS, SLEEVE_FROM_Y_MM, Capsule, Chain

Floats = NDArray[np.float32]

LEFT_MM, RIGHT_MM = -125.0, 100.0
TOP_MM, BOTTOM_MM = 205.0, ARM_END_Y_MM + 30.0
_FLOOR_MM = -70.0
_START_MM = 62.0
_BAND_ROWS = 32
_HIT_MM = 0.3

PALM, FOREARM, SLEEVE = len(FINGERS), len(FINGERS) + 1, len(FINGERS) + 2
NOTHING = 255
MAPS = ("height_mm", "clearance_mm", "part", "along_mm", "across")


@dataclass(frozen=True, slots=True, eq=False)
class Relief:
    """A hand seen from above. All maps are (H, W); row 0 is beyond the fingertips.

    `part` holds 0..4 for thumb to little finger, then PALM, FOREARM, SLEEVE,
    and NOTHING where the ray met no surface. `along_mm` counts from the chain's
    first joint to its tip, `across` is -1..1 over the part's width.
    """

    px_per_mm: float
    height_mm: Floats
    clearance_mm: Floats  # least distance a ray kept from the surface; below 0.3 counts as a hit
    part: NDArray[np.uint8]
    along_mm: Floats
    across: Floats
    joints_mm: tuple[tuple[float, ...], ...]  # per chain: where along it the joints lie
    mirrored: bool = False  # a left hand
    top_mm: float = TOP_MM

    def x_mm(self) -> Floats:
        """(W,) millimetres right of the wrist."""
        left_mm = -RIGHT_MM if self.mirrored else LEFT_MM
        return np.float32(left_mm) + (np.arange(self.part.shape[1], dtype=np.float32) + 0.5) / self.px_per_mm

    def y_mm(self) -> Floats:
        """(H,) millimetres beyond the wrist, falling from row to row."""
        return (
            np.float32(self.top_mm) - (np.arange(self.part.shape[0], dtype=np.float32) + 0.5) / self.px_per_mm
        )

    def rows(self, start: int, stop: int) -> Relief:
        """A horizontal slice; its maps are views."""
        cut: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in MAPS}
        return replace(self, **cut, top_mm=self.top_mm - start / self.px_per_mm)

    def left_hand(self) -> Relief:
        """The same arm mirrored."""
        flipped: dict[str, Any] = {name: np.ascontiguousarray(getattr(self, name)[:, ::-1]) for name in MAPS}
        return replace(self, **flipped, mirrored=not self.mirrored)


def _project(p: Floats, capsule: Capsule) -> tuple[Floats, Floats, Floats]:
    """Of points (3, N): distance to the surface, share along the axis, offset in x over the radius; (N,) each."""
    (sx, sy, sz), (ex, ey, ez) = capsule.start_mm, capsule.end_mm
    ax, ay, az = np.float32(ex - sx), np.float32(ey - sy), np.float32(ez - sz)
    x, y, z = p[0] - np.float32(sx), p[1] - np.float32(sy), p[2] - np.float32(sz)
    length2 = ax * ax + ay * ay + az * az
    dot = ax * x + ay * y + az * z
    share = np.minimum(np.maximum(dot / length2, np.float32(0)), np.float32(1))
    radius = (
        np.float32(capsule.start_radius_mm)
        + np.float32(capsule.end_radius_mm - capsule.start_radius_mm) * share
    )
    away2 = x * x + y * y + z * z + share * (share * length2 - 2 * dot)
    return np.sqrt(np.maximum(away2, np.float32(0))) - radius, share, (x - share * ax) / radius


def blended(a: Floats, b: Floats, blend_mm: float) -> Floats:
    """Smooth minimum of two distances; they merge within `blend_mm` of each other."""
    mix = np.maximum(np.float32(blend_mm) - np.abs(a - b), 0.0) / np.float32(blend_mm)
    return np.minimum(a, b) - mix * mix * np.float32(blend_mm / 4.0)


def _chain_distance(p: Floats, chain: Chain) -> Floats:
    distance = _project(p, chain.capsules[0])[0]
    for capsule in chain.capsules[1:]:
        distance = blended(distance, _project(p, capsule)[0], chain.blend_mm)
    if chain.name == "sleeve":  # cut open at the cuff
        return np.maximum(distance, p[1] - _cuff_edge_mm(p[0]))
    return distance


def _cuff_edge_mm(x_mm: Floats) -> Floats:
    return np.float32(SLEEVE_FROM_Y_MM) + 0.0022 * x_mm * x_mm + 0.05 * x_mm


_JOIN_MM = {"palm": 13.0, "thumb": 16.0, "forearm": 16.0, "sleeve": 0.8}  # in this order
_JOIN_ORDER = tuple(_JOIN_MM)


def _distance(p: Floats, chains: tuple[Chain, ...]) -> Floats:
    """Signed distance (N,) of points (3, N) to the whole arm; fingers join the palm softly, each other hardly."""
    fingers = [c for c in chains if c.name in FINGERS[1:]]
    rest = [c for c in chains if c.name not in FINGERS[1:]]
    total = np.full(p.shape[1], 1e3, np.float32)
    for chain in fingers:
        total = blended(total, _chain_distance(p, chain), 1.6)
    for chain in sorted(rest, key=lambda c: _JOIN_ORDER.index(c.name)):
        total = blended(total, _chain_distance(p, chain), _JOIN_MM[chain.name])
    return total


def _reaches(chain: Chain, low_y_mm: float, high_y_mm: float) -> bool:
    pad_mm = 26.0
    ends = [
        (
            min(c.start_mm[1], c.end_mm[1]) - c.start_radius_mm - pad_mm,
            max(c.start_mm[1], c.end_mm[1]) + c.start_radius_mm + pad_mm,
        )
        for c in chain.capsules
    ]
    return min(e[0] for e in ends) < high_y_mm and max(e[1] for e in ends) > low_y_mm


def _march(x_mm: Floats, y_mm: Floats, chains: tuple[Chain, ...]) -> tuple[Floats, Floats]:
    """Drop one ray per (x, y); returns where each stopped and how near it ever came."""
    p = np.stack([x_mm, y_mm, np.full_like(x_mm, _START_MM)])
    nearest, nearest_z_mm = np.full(p.shape[1], 1e3, np.float32), p[2].copy()
    active = np.arange(p.shape[1])
    for _ in range(40):
        distance = _distance(p[:, active], chains)
        closer = active[distance < nearest[active]]
        nearest[active] = np.minimum(nearest[active], distance)
        nearest_z_mm[closer] = p[2, closer]
        p[2, active] -= np.maximum(distance, 0.12)
        active = active[(distance > 0.12) & (p[2, active] > _FLOOR_MM)]
        if not len(active):
            break
    return nearest_z_mm, nearest


def _locate(
    p: Floats, chains: tuple[Chain, ...], names: tuple[int, ...]
) -> tuple[NDArray[np.uint8], Floats, Floats]:
    """Which part each surface point belongs to, and where on it."""
    best = np.full(p.shape[1], 1e3, np.float32)
    part = np.full(p.shape[1], NOTHING, np.uint8)
    along, across = np.zeros(p.shape[1], np.float32), np.zeros(p.shape[1], np.float32)
    for index, chain in zip(names, chains, strict=True):
        done_mm = 0.0
        for capsule in chain.capsules:
            distance, share, aside = _project(p, capsule)
            length_mm = float(np.linalg.norm(np.subtract(capsule.end_mm, capsule.start_mm)))
            closer = distance < best
            if index >= FOREARM:  # skin above the cuff, cloth below it
                cloth = p[1] < _cuff_edge_mm(p[0])
                closer &= cloth if index == SLEEVE else ~cloth
            best[closer], part[closer] = distance[closer], index
            along[closer] = (done_mm + share * length_mm)[closer]
            across[closer] = aside[closer]
            done_mm += length_mm if index < PALM else 0.0
    return part, along, across


def _joints(chain: Chain) -> tuple[float, ...]:
    lengths = [float(np.linalg.norm(np.subtract(c.end_mm, c.start_mm))) for c in chain.capsules]
    return tuple(np.cumsum(lengths).tolist())


@dataclass(frozen=True, slots=True, eq=False)
class _Band:
    """A few rows of a relief, in the order of `MAPS`."""

    height_mm: Floats
    clearance_mm: Floats
    part: NDArray[np.uint8]
    along_mm: Floats
    across: Floats


@lru_cache(maxsize=64)  # forearm and sleeve are the same in every grip
def _band(
    chains: tuple[Chain, ...], near: tuple[int, ...], first_row: int, rows: int, px_per_mm: float
) -> _Band:
    width_px = round((RIGHT_MM - LEFT_MM) * px_per_mm)
    xs = np.float32(LEFT_MM) + (np.arange(width_px, dtype=np.float32) + 0.5) / px_per_mm
    ys = np.float32(TOP_MM) - (np.arange(first_row, first_row + rows, dtype=np.float32) + 0.5) / px_per_mm
    x_mm, y_mm = (m.ravel() for m in np.meshgrid(xs, ys))
    z_mm, clearance = _march(x_mm, y_mm, chains)
    part, along, across = _locate(np.stack([x_mm, y_mm, z_mm]), chains, near)
    part[clearance > _HIT_MM] = NOTHING
    shape = (rows, width_px)
    flat = (z_mm, clearance, along, across)
    height, near_by, along, across = (values.reshape(shape) for values in flat)
    return _Band(height, near_by, part.reshape(shape), along, across)


def carve(chains: tuple[Chain, ...], px_per_mm: float) -> Relief:
    """March the whole arm at `px_per_mm`; half a second to a second on one core."""
    height_px, bands = round((TOP_MM - BOTTOM_MM) * px_per_mm), []
    for row in range(0, height_px, _BAND_ROWS):
        rows = min(_BAND_ROWS, height_px - row)
        top_mm = TOP_MM - row / px_per_mm
        near = tuple(i for i, c in enumerate(chains) if _reaches(c, top_mm - rows / px_per_mm, top_mm))
        bands.append(_band(tuple(chains[i] for i in near), near, row, rows, px_per_mm))
    maps: dict[str, Any] = {name: np.concatenate([getattr(band, name) for band in bands]) for name in MAPS}
    return Relief(px_per_mm=px_per_mm, joints_mm=tuple(_joints(chain) for chain in chains), **maps)
