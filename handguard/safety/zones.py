"""Zones: which of the drawn polygons are intruded by which hands.

A hand is a box, and any overlap of its box with the polygon counts; touching
counts. So does what the box swept since the last frame, because a hand at
2 m/s moves 67 mm between two frames of a 30 Hz camera and must not tunnel through a
narrow zone. Which earlier box belongs to which hand is not guessed: every pair of
boxes with a gap that a hand could have crossed in the time between is swept.

The verdict is monotone: one more detection, a larger box or a higher score
never makes any zone safer. Property tests hold this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from handguard.types import Detections, Zone, ZoneRole, ZoneStatus

BOX_MARGIN_PX = 1.0  # a box without area is still a hand, and a box that touches a zone is in it
OUTSIDE_TOLERANCE_PX = 1.0  # a corner this far off the picture is rounding, further is a mistake
LONGEST_SWEEP_S = 0.5  # twice the longest gap between frames that the interlock can be set to bear

Boxes = NDArray[np.float64]  # (N, 4) x1 y1 x2 y2, corners in order
Polygons = NDArray[np.object_]  # of shapely geometries, one for each box or move


def checked(zone: Zone, width_px: int, height_px: int) -> Zone:
    """The zone itself, if it can be judged on a picture of this size; else `ValueError` with the reason."""
    corners = zone.polygon_px
    if len(corners) < 3:
        raise ValueError(f"expected at least three corners, found {len(corners)}")
    for x, y in corners:
        if not (math.isfinite(x) and math.isfinite(y)):
            raise ValueError(f"expected finite corners, found ({x}, {y})")
        if not _inside(x, width_px) or not _inside(y, height_px):
            picture = f"the {width_px}x{height_px} picture"
            raise ValueError(f"expected corners inside {picture}, found ({x:g}, {y:g})")
    polygon = shapely.Polygon(corners)
    if not polygon.is_valid:
        reason = shapely.is_valid_reason(polygon)
        raise ValueError(f"expected a polygon that does not cross itself, found {reason}")
    if polygon.area < 1:
        raise ValueError(f"expected an area of at least one pixel, found {polygon.area:g}")
    return zone


def _inside(value: float, size: int) -> bool:
    return -OUTSIDE_TOLERANCE_PX <= value <= size + OUTSIDE_TOLERANCE_PX


@dataclass(frozen=True, slots=True)
class ZoneField:
    """All zones of one camera, checked, with at least one stop zone.

    `fastest_px_s` is how fast a hand may move over the picture: boxes with a wider
    gap between them than that allows from one frame to the next are two hands.
    Raises `ValueError`. Synchronization: one thread at a time (the prepared
    polygons fill their indexes when first asked).
    """

    zones: tuple[Zone, ...]
    width_px: int
    height_px: int
    fastest_px_s: float
    _polygons: tuple[shapely.Polygon, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [zone.name for zone in self.zones]
        if len(set(names)) != len(names):
            raise ValueError(f"expected different names, found {', '.join(names)}")
        if not any(zone.role is ZoneRole.STOP for zone in self.zones):
            raise ValueError("expected at least one stop zone, found none")
        if not 0 < self.fastest_px_s < math.inf:
            raise ValueError(f"expected a positive speed, found {self.fastest_px_s}")
        checked_zones = [checked(zone, self.width_px, self.height_px) for zone in self.zones]
        object.__setattr__(self, "_polygons", tuple(_prepared(zone) for zone in checked_zones))

    def judge(self, current: Detections, previous: Detections | None) -> tuple[ZoneStatus, ...]:
        """The status of every zone, in the order of `zones`. `previous` are the hands of the frame before."""
        if not len(current.scores):
            return tuple(ZoneStatus(zone.name, zone.role, False) for zone in self.zones)
        motion = _motion(current, previous, self.fastest_px_s)
        return tuple(
            _status(zone, polygon, current.scores, motion)
            for zone, polygon in zip(self.zones, self._polygons, strict=True)
        )


def _prepared(zone: Zone) -> shapely.Polygon:
    polygon = shapely.Polygon(zone.polygon_px)
    shapely.prepare(polygon)
    return polygon


@dataclass(frozen=True, slots=True, eq=False)
class _Motion:
    """Where the hands are, and every move from an earlier box that could have brought them there."""

    now: Polygons  # (N,)
    before: Polygons  # (M,)
    arrived: NDArray[np.intp]  # (P,) index into `now`
    started: NDArray[np.intp]  # (P,) index into `before`
    corners: NDArray[np.float64]  # (P, 8, 2) of both boxes; their hull is all that was passed over
    around: Polygons  # (P,) the rectangle round both boxes
    elapsed_s: float


def _motion(current: Detections, previous: Detections | None, fastest_px_s: float) -> _Motion:
    now = _padded(current.boxes_px)
    elapsed_s = 0.0 if previous is None else (current.captured_ns - previous.captured_ns) / 1e9
    is_swept = 0 < elapsed_s <= LONGEST_SWEEP_S
    before = _padded(previous.boxes_px) if previous is not None and is_swept else now[:0]
    started, arrived = np.nonzero(_gaps(before, now) <= fastest_px_s * elapsed_s)
    corners = np.concatenate([_corners(before)[started], _corners(now)[arrived]], axis=1)
    around = _rectangles(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1))
    return _Motion(_rectangles(now), _rectangles(before), arrived, started, corners, around, elapsed_s)


def _rectangles(boxes: Boxes) -> Polygons:
    return np.asarray(shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]))


def _padded(boxes_px: NDArray[np.float32]) -> Boxes:
    """Corners in order, grown by the margin."""
    boxes = boxes_px.astype(np.float64)
    low = np.minimum(boxes[:, :2], boxes[:, 2:]) - BOX_MARGIN_PX
    high = np.maximum(boxes[:, :2], boxes[:, 2:]) + BOX_MARGIN_PX
    return np.concatenate([low, high], axis=1)


def _gaps(before: Boxes, now: Boxes) -> NDArray[np.float64]:
    """Shortest way (M, N) from anywhere in an earlier box to anywhere in a current one; 0 if they touch.

    Unlike a distance of centers it never grows when a box does.
    """
    low = np.maximum(before[:, None, :2], now[None, :, :2])
    high = np.minimum(before[:, None, 2:], now[None, :, 2:])
    apart = np.maximum(low - high, 0)
    gaps: NDArray[np.float64] = np.hypot(apart[..., 0], apart[..., 1])
    return gaps


def _corners(boxes: Boxes) -> NDArray[np.float64]:
    """The four corners (N, 4, 2) of each box."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(len(boxes), 4, 2)


def _status(zone: Zone, polygon: shapely.Polygon, scores: NDArray[np.float32], motion: _Motion) -> ZoneStatus:
    inside = shapely.intersects(polygon, motion.now)
    inside[_swept_in(polygon, motion, inside)] = True
    if inside.any():
        return ZoneStatus(zone.name, zone.role, True, float(scores[inside].max()), 0.0)
    return ZoneStatus(zone.name, zone.role, False, 0.0, _soonest_s(polygon, motion))


def _swept_in(polygon: shapely.Polygon, motion: _Motion, inside: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Which current boxes, not inside by themselves, came over the polygon.

    Hulls are dear, and a detector gone wild reports hundreds of boxes: the rectangle
    round a move rules most of them out.
    """
    near = np.flatnonzero(~inside[motion.arrived] & shapely.intersects(polygon, motion.around))
    hulls = shapely.convex_hull(shapely.multipoints(motion.corners[near]))
    swept: NDArray[np.intp] = motion.arrived[near[shapely.intersects(polygon, hulls)]]
    return swept


def _soonest_s(polygon: shapely.Polygon, motion: _Motion) -> float | None:
    """Seconds until the first box arrives, at the speed it came closer with; None if none came closer."""
    distance = shapely.distance(polygon, motion.now)[motion.arrived]
    closing = shapely.distance(polygon, motion.before)[motion.started] - distance
    comes = closing > 0
    return float((distance[comes] * motion.elapsed_s / closing[comes]).min()) if comes.any() else None
