"""What the operator does, as pure functions of time.

A `Script` is an endless list of `Reach`es drawn from a seed: towards the intake,
a short hold, and back out of the picture, with an empty table between. Hands
move as people move them, along a minimum-jerk curve whose peak speed is known.
World coordinates as in `stage`; times in seconds since the scene began.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum
from math import atan2, cos, hypot, pi, sin
from threading import Lock

import numpy as np

from handguard.capture.scene.stage import BELT_MM, BELT_SPEED_MM_S, THROAT_MM

Point = tuple[float, float]

HAND_REACH_MM = 168.0  # wrist to fingertip of a holding hand
HAND_SCALE = 1.06  # a hand is nearer to the camera than the table
_OFFSTAGE_Y_MM = 662.0
_SHOULDER_Y_MM = 1290.0
_FIRST_S = 1.6
_LINGERS_S = 6.0  # a parcel is shredded within this time of its hand leaving


class Aim(Enum):
    """How far a reach goes."""

    TABLE = "table"  # lays the parcel on the near end of the belt
    WARNING = "warning"
    STOP = "stop"
    DASH = "dash"  # a grab at the intake at the 2 m/s of ISO 13855


_CYCLE = (Aim.STOP, Aim.WARNING, Aim.STOP, Aim.DASH, Aim.STOP, Aim.TABLE, Aim.STOP, Aim.WARNING)
_TARGET_Y_MM = {
    Aim.TABLE: (428.0, 442.0),
    Aim.WARNING: (282.0, 338.0),
    Aim.STOP: (120.0, 185.0),
    Aim.DASH: (95.0, 140.0),
}
_PEAK_MM_S = {
    Aim.TABLE: (450.0, 800.0),
    Aim.WARNING: (420.0, 800.0),
    Aim.STOP: (750.0, 1400.0),
    Aim.DASH: (2000.0, 2000.0),
}
_REST_S = {Aim.TABLE: (0.7, 0.9), Aim.WARNING: (0.8, 1.1), Aim.STOP: (1.25, 1.6), Aim.DASH: (1.25, 1.6)}
_SIDE_SHIFT_MM = 74.0  # each hand of a two-handed carry, from the middle of the parcel


BOTH_HANDED_LOOK = 0


def left_handed(look: int) -> bool:
    """Which hand a look feeds with."""
    return look in (1, 2)


def eased(share: float) -> float:
    """Minimum-jerk position: 0 to 1 with rest at both ends; its top slope is 1.875."""
    s = min(1.0, max(0.0, share))
    return s * s * s * (10.0 + s * (6.0 * s - 15.0))


@dataclass(frozen=True, slots=True)
class Stance:
    """Where one arm is at one moment. `heading_rad` is 0 towards the intake, positive to the right."""

    wrist_mm: Point
    heading_rad: float
    grip: int  # 0 open, 1 loose, 2 holding
    mirrored: bool  # a left hand

    def world(self, x_mm: float, y_mm: float) -> Point:
        """A point of the hand frame (x right, y to the fingertips) on the table."""
        c, s = cos(self.heading_rad) * HAND_SCALE, sin(self.heading_rad) * HAND_SCALE
        return self.wrist_mm[0] + x_mm * c + y_mm * s, self.wrist_mm[1] + x_mm * s - y_mm * c


@dataclass(frozen=True, slots=True)
class Reach:
    """One approach: out, hold, back. All of it follows from these numbers."""

    index: int
    aim: Aim
    look: int
    both_hands: bool
    left: bool
    parcel: int | None
    starts_s: float
    out_s: float
    hold_s: float
    back_s: float
    rest_s: float
    start_mm: Point
    target_mm: Point
    bow_mm: float
    peak_mm_s: float

    @property
    def ends_s(self) -> float:
        """The hand has left the picture."""
        return self.starts_s + self.out_s + self.hold_s + self.back_s

    @property
    def releases_s(self) -> float:
        """The parcel is let go."""
        return self.starts_s + self.out_s + 0.4 * self.hold_s

    def tip_mm(self, time_s: float) -> Point:
        """The planned fingertip of a holding hand; clamped to the ends outside the reach."""
        into = time_s - self.starts_s
        away = into > self.out_s
        share = (
            eased(into / self.out_s)
            if not away
            else 1.0 - eased((into - self.out_s - self.hold_s) / self.back_s)
        )
        bow = self.bow_mm * (-0.6 if away else 1.0) * sin(pi * share)
        sway = 1.4 * sin(7.0 * into) * share
        return (
            self.start_mm[0] + (self.target_mm[0] - self.start_mm[0]) * share + bow + sway,
            self.start_mm[1] + (self.target_mm[1] - self.start_mm[1]) * share,
        )

    def _grip(self, time_s: float) -> int:
        if self.parcel is None:
            return 0 if time_s < self.releases_s else 1
        since = time_s - self.releases_s
        if since < 0:
            return 2
        return 0 if 0.08 < since < 0.08 + self.hold_s * 0.5 else 1

    def _arm(self, time_s: float, shift_mm: float, mirrored: bool) -> Stance:
        x, y = self.tip_mm(time_s)
        x, side = x + shift_mm, -1.0 if mirrored else 1.0
        shoulder_x = 0.5 * (self.start_mm[0] + 560.0) + shift_mm + side * 95.0
        heading = atan2(x - shoulder_x, _SHOULDER_Y_MM - y) + (side * 0.02 if not shift_mm else -side * 0.10)
        reach = HAND_REACH_MM * HAND_SCALE
        wrist = (x - reach * sin(heading), y + reach * cos(heading))
        return Stance(wrist, heading, self._grip(time_s), mirrored)

    def stances(self, time_s: float) -> tuple[Stance, ...]:
        """One or two arms; none before the start and after the end."""
        if not self.starts_s <= time_s <= self.ends_s:
            return ()
        if not self.both_hands:
            return (self._arm(time_s, 0.0, self.left),)
        return (self._arm(time_s, -_SIDE_SHIFT_MM, True), self._arm(time_s, _SIDE_SHIFT_MM, False))


@dataclass(frozen=True, slots=True)
class Carried:
    """Where a parcel is: its middle, turn, size factor and brightness.

    Between the drums only `window_mm` to either side of their nip is still to be seen.
    """

    center_mm: Point
    turn_rad: float
    scale: float
    gain: float
    height_mm: float
    window_mm: float | None


_SINK_S = 1.3
NIP_Y_MM = 0.5 * (THROAT_MM[1] + THROAT_MM[3])
_EDGE_Y_MM = THROAT_MM[3] - 8.0


def _held_center(reach: Reach, length_mm: float, time_s: float) -> tuple[Point, float]:
    x, y = reach.tip_mm(time_s)
    heading = (
        0.0
        if reach.both_hands
        else reach.stances(min(max(time_s, reach.starts_s), reach.ends_s))[0].heading_rad
    )
    ahead = 0.5 * length_mm - (26.0 if reach.both_hands else 44.0)
    return (x + ahead * sin(heading), y - ahead * cos(heading)), heading


def carried(reach: Reach, length_mm: float, time_s: float) -> Carried | None:
    """The parcel of one reach at a moment: in hand, on the belt, between the drums, or gone."""
    if reach.parcel is None or time_s < reach.starts_s:
        return None
    (x, y), turn = _held_center(reach, length_mm, min(time_s, reach.releases_s))
    if time_s <= reach.releases_s:
        return Carried((x, y), turn, 1.03, 1.0, 22.0, None)
    since = time_s - reach.releases_s
    low, high = BELT_MM[0] + 74.0, BELT_MM[2] - 74.0
    x = min(max(x, low), high)
    ride_s = max(0.0, (y - _EDGE_Y_MM) / BELT_SPEED_MM_S)
    if since < ride_s:
        return Carried((x, y - BELT_SPEED_MM_S * since), turn, 1.0, 1.0, 8.0, None)
    return _sinking(x, min(y, _EDGE_Y_MM), turn, since - ride_s)


def _sinking(x: float, y: float, turn: float, since_s: float) -> Carried | None:
    if since_s >= _SINK_S:
        return None
    share = since_s / _SINK_S
    shake = 1.8 * sin(61.0 * since_s)
    center = (x + shake, y + (NIP_Y_MM - y) * eased(share * 2.2))
    eaten = min(1.0, max(0.0, (share - 0.28) / 0.72))
    return Carried(
        center, turn + 0.06 * share, 1.0 - 0.10 * share, 1.0 - 0.45 * share, 2.0, 72.0 * (1.0 - eaten)
    )


class Script:
    """The endless, seeded list of reaches. Synchronization: any thread may ask (guarded by a lock)."""

    def __init__(self, seed: int, looks: int, parcels: int) -> None:
        self._seed, self._looks, self._parcels = seed, looks, parcels
        self._reaches: list[Reach] = []
        self._lock = Lock()

    def until(self, time_s: float) -> tuple[Reach, ...]:
        """All reaches that start before `time_s`."""
        return self._latest(time_s, None)

    def near(self, time_s: float) -> tuple[Reach, ...]:
        """Those whose hand or parcel may still be on stage."""
        return tuple(reach for reach in self._latest(time_s, 4) if reach.ends_s > time_s - _LINGERS_S)

    def _latest(self, time_s: float, count: int | None) -> tuple[Reach, ...]:
        """The last `count` (None: all) reaches that start before `time_s`, drawn as far as needed."""
        with self._lock:
            while not self._reaches or self._reaches[-1].starts_s < time_s:
                self._reaches.append(self._next())
            end = bisect_left(self._reaches, time_s, key=lambda reach: reach.starts_s)
            return tuple(self._reaches[0 if count is None else max(0, end - count) : end])

    def _aim(self, index: int) -> Aim:
        turn = np.random.default_rng([self._seed, 41]).integers(0, 3)
        return _CYCLE[(index + 2 * int(turn)) % len(_CYCLE)]

    def _next(self) -> Reach:
        index = len(self._reaches)
        rng = np.random.default_rng([self._seed, 43, index])
        starts_s = self._reaches[-1].ends_s + self._reaches[-1].rest_s if index else _FIRST_S
        aim = self._aim(index)
        both = aim is Aim.STOP and index % 8 == 4
        peak = float(rng.uniform(*_PEAK_MM_S[aim]))
        start = (float(rng.uniform(430, 690)), _OFFSTAGE_Y_MM)
        target = (
            float(560 + rng.uniform(-75, 75)) if not both else 560.0,
            float(rng.uniform(*_TARGET_Y_MM[aim])),
        )
        start = (560.0, _OFFSTAGE_Y_MM) if both else start
        way = hypot(target[0] - start[0], target[1] - start[1])
        return Reach(
            index=index,
            aim=aim,
            look=index % self._looks,
            both_hands=both,
            left=left_handed(index % self._looks),
            parcel=self._parcel(index, aim, both),
            starts_s=starts_s,
            out_s=1.875 * way / peak,
            hold_s=float(rng.uniform(0.22, 0.40)),
            back_s=1.875 * way / float(rng.uniform(1050, 1500)),
            rest_s=float(rng.uniform(*_REST_S[aim])),
            start_mm=start,
            target_mm=target,
            bow_mm=float(rng.normal(0, 16)) * (0 if both else 1),
            peak_mm_s=peak,
        )

    def _parcel(self, index: int, aim: Aim, both: bool) -> int | None:
        if both:
            return 0
        empty = aim is Aim.DASH or (aim is Aim.STOP and index % 8 in (0, 1))
        return None if empty else index % self._parcels
