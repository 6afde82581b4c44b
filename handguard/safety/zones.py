"""Zones: which of the drawn polygons are intruded by which hands.

A hand is a box, and any overlap of its box with the polygon counts; touching
counts. So does what the box swept since the last frame, because a hand at
2 m/s moves 67 mm between two frames of a 30 Hz camera and must not tunnel through a
narrow zone. Which earlier box belongs to which hand is not guessed: every pair
that a hand could have travelled is swept.

The verdict is monotone: one more detection, a larger box or a higher score
never makes any zone safer. Property tests hold this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from handguard.types import Detections, Zone, ZoneRole, ZoneStatus

BOX_MARGIN_PX = 1.0  # a box without area is still a hand, and a box that touches a zone is in it
OUTSIDE_TOLERANCE_PX = 1.0  # a corner this far off the picture is rounding, further is a mistake
LONGEST_SWEEP_S = 0.5  # after a longer silence the pair says nothing, and the interlock is blind anyway

Boxes = NDArray[np.float64]


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

    `fastest_px_s` is how fast a hand may move over the picture: pairs of boxes
    further apart than that between two frames are two hands. Raises `ValueError`.
    """

    zones: tuple[Zone, ...]
    width_px: int
    height_px: int
    fastest_px_s: float

    def __post_init__(self) -> None:
        names = [zone.name for zone in self.zones]
        if len(set(names)) != len(names):
            raise ValueError(f"expected different names, found {', '.join(names)}")
        if not any(zone.role is ZoneRole.STOP for zone in self.zones):
            raise ValueError("expected at least one stop zone, found none")
        if not 0 < self.fastest_px_s < math.inf:
            raise ValueError(f"expected a positive speed, found {self.fastest_px_s}")
        for zone in self.zones:
            checked(zone, self.width_px, self.height_px)

    def judge(self, current: Detections, previous: Detections | None) -> tuple[ZoneStatus, ...]:
        """The status of every zone, in the order of `zones`. `previous` are the hands of the frame before."""
        now = _padded(current.boxes_px)
        before = _padded(previous.boxes_px) if previous is not None else now[:0]
        elapsed_s = (current.captured_ns - previous.captured_ns) / 1e9 if previous is not None else 0.0
        pairs = self._pairs(before, now, elapsed_s)
        hulls = [_hull(before[i], now[j]) for i, j in pairs]
        return tuple(self._status(zone, current, before, now, pairs, hulls, elapsed_s) for zone in self.zones)

    def _pairs(self, before: Boxes, now: Boxes, elapsed_s: float) -> list[tuple[int, int]]:
        """(earlier, current) indices of boxes that one hand could have been at, one after the other."""
        if not 0 < elapsed_s <= LONGEST_SWEEP_S or len(before) == 0 or len(now) == 0:
            return []
        centers = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (before, now)]
        distance = np.linalg.norm(centers[0][:, None] - centers[1][None], axis=2)
        return [(int(i), int(j)) for i, j in np.argwhere(distance <= self.fastest_px_s * elapsed_s)]

    def _status(
        self,
        zone: Zone,
        current: Detections,
        before: Boxes,
        now: Boxes,
        pairs: Sequence[tuple[int, int]],
        hulls: Sequence[shapely.Geometry],
        elapsed_s: float,
    ) -> ZoneStatus:
        polygon = shapely.Polygon(zone.polygon_px)
        inside = {j for j, box in enumerate(now) if polygon.intersects(shapely.box(*box))}
        inside |= {j for (_, j), hull in zip(pairs, hulls, strict=True) if polygon.intersects(hull)}
        if inside:
            worst = max(float(current.scores[j]) for j in inside)
            return ZoneStatus(zone.name, zone.role, True, worst, 0.0)
        times = [_time_to(polygon, before[i], now[j], elapsed_s) for i, j in pairs]
        arriving = [time for time in times if time is not None]
        return ZoneStatus(zone.name, zone.role, False, 0.0, min(arriving, default=None))


def _padded(boxes_px: NDArray[np.float32]) -> Boxes:
    """Corners in order, grown by the margin."""
    boxes = boxes_px.astype(np.float64)
    low = np.minimum(boxes[:, :2], boxes[:, 2:]) - BOX_MARGIN_PX
    high = np.maximum(boxes[:, :2], boxes[:, 2:]) + BOX_MARGIN_PX
    return np.concatenate([low, high], axis=1)


def _hull(before: Boxes, now: Boxes) -> shapely.Geometry:
    """Everything a box passed over on its way from one place to the other."""
    return shapely.union(shapely.box(*before), shapely.box(*now)).convex_hull


def _time_to(polygon: shapely.Polygon, before: Boxes, now: Boxes, elapsed_s: float) -> float | None:
    """Seconds until a box arrives at the speed it came closer with; None if it did not come closer."""
    distance, earlier = (polygon.distance(shapely.box(*box)) for box in (now, before))
    closing_px_s = (earlier - distance) / elapsed_s
    return distance / closing_px_s if closing_px_s > 0 else None
