"""Hands and zones for the tests of zones and pipeline, on a picture of 640x480."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from handguard.safety.zones import ZoneField
from handguard.types import Detections, Zone, ZoneRole

MS = 1_000_000
WIDTH_PX, HEIGHT_PX = 640, 480
FASTEST_PX_S = 3000.0  # 100 px between two frames of 30 Hz, and a little
FRAME_NS = 33 * MS

Box = Sequence[float]
Corner = tuple[float, float]

STOP = Zone("stop", ZoneRole.STOP, ((300, 200), (400, 200), (400, 480), (300, 480)))
WARNING = Zone("warning", ZoneRole.WARNING, ((200, 150), (500, 150), (500, 480), (200, 480)))


def hands(*boxes: Box, scores: Sequence[float] | None = None, seq: int = 1, at_ns: int = FRAME_NS) -> Detections:
    """These boxes x1 y1 x2 y2, with a score of 0.9 each unless told otherwise."""
    return Detections(
        boxes_px=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array([0.9] * len(boxes) if scores is None else scores, np.float32),
        labels=np.zeros(len(boxes), np.int64),
        frame_seq=seq,
        captured_ns=at_ns,
    )


def earlier(*boxes: Box, at_ns: int = 0) -> Detections:
    """The hands of the frame before."""
    return hands(*boxes, seq=0, at_ns=at_ns)


def field(*zones: Zone, fastest_px_s: float = FASTEST_PX_S) -> ZoneField:
    """These zones, or the stop zone with the warning zone round it."""
    return ZoneField(zones or (STOP, WARNING), WIDTH_PX, HEIGHT_PX, fastest_px_s)


def stop_zone(*corners: Corner) -> ZoneField:
    """A field of this one stop zone."""
    return field(Zone("stop", ZoneRole.STOP, corners))


def moved(box: Box, dx_px: float, dy_px: float = 0.0) -> list[float]:
    """The box at another place."""
    return [box[0] + dx_px, box[1] + dy_px, box[2] + dx_px, box[3] + dy_px]
