"""What really happened on the stage: where each hand was, and when it crossed a zone.

The scene knows its hands exactly, so it can be asked what a detector can only
guess. Times are nanoseconds since the scene began; a frame is the first whose
picture was taken at or after a moment. This truth serves timing and logic; it
says nothing about how well a detector works on people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import Point, Polygon, box

from handguard.capture.scene.motion import Aim, Reach, Stance
from handguard.capture.scene.optics import EXPOSURE_S
from handguard.capture.scene.play import Play
from handguard.types import HandClass, Zone, ZoneRole

BoxPx = tuple[float, float, float, float]

_SAMPLE_S = 1 / 240
_BISECTIONS = 16  # narrows 4 ms to below 0.1 us


@dataclass(frozen=True, slots=True)
class HandTruth:
    """One hand in one picture. The box covers the whole exposure and is cut to the picture."""

    box_px: BoxPx  # x1 y1 x2 y2
    label: HandClass
    fingertip_px: tuple[float, float]  # at the end of the exposure; may lie outside the picture
    approach: int


@dataclass(frozen=True, slots=True)
class Crossing:
    """A hand's stay in one zone during one approach; the fingertip may stay out of it."""

    zone: str
    role: ZoneRole
    enters_ns: int  # the hand's box first overlaps the zone
    enters_frame: int
    leaves_ns: int
    fingertip_ns: int | None
    fingertip_frame: int | None


@dataclass(frozen=True, slots=True)
class Approach:
    """One reach towards the intake and back, and every zone it entered, earliest first."""

    index: int
    aim: Aim
    label: HandClass
    hands: int
    begins_ns: int  # a hand may be in the picture from here …
    ends_ns: int  # … to here
    begin_frame: int
    end_frame: int
    peak_speed_mm_s: float
    crossings: tuple[Crossing, ...]

    def enters(self, role: ZoneRole) -> Crossing | None:
        """The earliest crossing into a zone of this role, if any."""
        return next((crossing for crossing in self.crossings if crossing.role is role), None)


def _hull_px(play: Play, reach: Reach, stance: Stance) -> NDArray[np.float64]:
    hull = play.sprite(reach, stance).hull_mm
    return np.array([stance.world(x, y) for x, y in hull]) * play.px_per_mm


def _span(points: NDArray[np.float64]) -> BoxPx:
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def boxes_at(play: Play, reach: Reach, time_s: float) -> tuple[BoxPx, ...]:
    """Box of each hand at one instant, not cut to the picture; empty outside the reach."""
    return tuple(_span(_hull_px(play, reach, stance)) for stance in reach.stances(time_s))


def fingertips_at(play: Play, reach: Reach, time_s: float) -> tuple[tuple[float, float], ...]:
    """Foremost fingertip of each hand at one instant, in pixels."""
    tips = []
    for stance in reach.stances(time_s):
        x, y = stance.world(*play.sprite(reach, stance).tip_mm)
        tips.append((x * play.px_per_mm, y * play.px_per_mm))
    return tuple(tips)


def _cut(spans: Sequence[BoxPx], size_px: tuple[int, int]) -> BoxPx | None:
    """The box round all `spans`, cut to the picture; None when nothing is left."""
    x1, y1 = max(0.0, min(s[0] for s in spans)), max(0.0, min(s[1] for s in spans))
    x2 = min(float(size_px[0]), max(s[2] for s in spans))
    y2 = min(float(size_px[1]), max(s[3] for s in spans))
    return (x1, y1, x2, y2) if x2 - x1 >= 1.0 and y2 - y1 >= 1.0 else None


def hands_at(play: Play, time_s: float, size_px: tuple[int, int]) -> tuple[HandTruth, ...]:
    """Every hand in the picture whose exposure ends at `time_s`; `size_px` is width, height."""
    found = []
    for reach in play.script.near(time_s):
        moments = [boxes_at(play, reach, time_s - share * EXPOSURE_S) for share in (1.0, 0.5, 0.0)]
        tips = fingertips_at(play, reach, time_s)
        for hand, tip in enumerate(tips):
            seen = _cut([spans[hand] for spans in moments if len(spans) > hand], size_px)
            if seen is not None:
                found.append(HandTruth(seen, play.label(reach), tip, reach.index))
    return tuple(found)


def _first(inside: Callable[[float], bool], times: NDArray[np.float64]) -> float | None:
    """The first moment `inside` holds, narrowed between two samples."""
    previous = float(times[0])
    for time_s in times:
        if inside(float(time_s)):
            return _narrowed(inside, previous, float(time_s))
        previous = float(time_s)
    return None


def _narrowed(inside: Callable[[float], bool], out_s: float, in_s: float) -> float:
    """Bisect between a moment outside and a moment inside; returns one inside."""
    for _ in range(_BISECTIONS):
        middle = 0.5 * (out_s + in_s)
        out_s, in_s = (out_s, middle) if inside(middle) else (middle, in_s)
    return in_s


def _ns(time_s: float) -> int:
    return round(time_s * 1e9)


def _frame(time_s: float, fps: float) -> int:
    """The first frame taken at or after a moment."""
    return ceil(time_s * fps - 1e-9)


def _crossing(play: Play, reach: Reach, zone: Zone, fps: float) -> Crossing | None:
    polygon = Polygon(zone.polygon_px)

    def overlaps(time_s: float) -> bool:
        return any(polygon.intersects(box(*span)) for span in boxes_at(play, reach, time_s))

    def touches(time_s: float) -> bool:
        return any(polygon.intersects(Point(tip)) for tip in fingertips_at(play, reach, time_s))

    times = np.arange(reach.starts_s, reach.ends_s + _SAMPLE_S, _SAMPLE_S)
    enters_s = _first(overlaps, times)
    if enters_s is None:
        return None
    leaves_s = _first(overlaps, times[::-1])
    tip_s = _first(touches, times)
    return Crossing(
        zone.name,
        zone.role,
        _ns(enters_s),
        _frame(enters_s, fps),
        _ns(enters_s if leaves_s is None else leaves_s),
        None if tip_s is None else _ns(tip_s),
        None if tip_s is None else _frame(tip_s, fps),
    )


def approaches(play: Play, zones: Sequence[Zone], fps: float, until_s: float) -> tuple[Approach, ...]:
    """All approaches that begin before `until_s`, with their crossings of `zones`.

    An approach still under way at `until_s` is told to its end, as planned.
    Pure; about 50 ms for each approach and zone.
    """
    told = []
    for reach in play.script.until(until_s):
        found = [_crossing(play, reach, zone, fps) for zone in zones]
        crossings = tuple(sorted((c for c in found if c is not None), key=lambda c: c.enters_ns))
        told.append(
            Approach(
                reach.index,
                reach.aim,
                play.label(reach),
                2 if reach.both_hands else 1,
                _ns(reach.starts_s),
                _ns(reach.ends_s),
                _frame(reach.starts_s, fps),
                _frame(reach.ends_s, fps),
                reach.peak_mm_s,
                crossings,
            )
        )
    return tuple(told)
