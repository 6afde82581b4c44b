"""Stage, cast and script together: the picture at any moment, as a pure function of time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import cos, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene import drums, parcels, stage
from handguard.capture.scene.anatomy import HOLDING, LOOSE, OPEN, hand
from handguard.capture.scene.light import LAMP
from handguard.capture.scene.looks import LOOKS
from handguard.capture.scene.materials import Sprite, dressed
from handguard.capture.scene.motion import (
    BOTH_HANDED_LOOK,
    HAND_SCALE,
    NIP_Y_MM,
    Carried,
    Reach,
    Script,
    Stance,
    carried,
    left_handed,
)
from handguard.capture.scene.optics import EXPOSURE_S, Placement, Sensor, place
from handguard.capture.scene.relief import carve
from handguard.types import HandClass

Picture = NDArray[np.uint8]

_GRIPS = (OPEN, LOOSE, HOLDING)
_HAND_ABOVE_MM = 34.0
_ARM_SHADOW = 0.62
_SPRITE_OVERSIZE = 1.05  # sprites are kept slightly larger than they are shown


def _cast(seed: int) -> tuple[int, ...]:
    """Which looks play: bare and gloved by turns."""
    rng = np.random.default_rng([seed, 3])
    bare = rng.permutation([i for i, look in enumerate(LOOKS) if look.label is HandClass.HAND])
    gloved = rng.permutation([i for i, look in enumerate(LOOKS) if look.label is HandClass.GLOVED_HAND])
    return int(bare[0]), int(gloved[0]), int(bare[1]), int(gloved[1])


class Play:
    """Everything prerendered once (a few seconds); `picture` then costs milliseconds.

    Synchronization: any thread may ask; nothing changes after construction but the script, which locks.
    """

    def __init__(self, seed: int, width_px: int, height_px: int) -> None:
        self.stage = stage.build(seed, width_px, height_px)
        self.px_per_mm = self.stage.px_per_mm
        self._parcels = parcels.all_parcels(seed, self.px_per_mm * _SPRITE_OVERSIZE)
        self._drums = self._lit_drums(seed)
        self._sensor = Sensor(seed, width_px, height_px)
        self._looks = _cast(seed)
        self.script = Script(seed, len(self._looks), len(self._parcels))
        self._sprites = self._dress(seed)

    def _lit_drums(self, seed: int) -> tuple[Picture, ...]:
        x1, y1, x2, y2 = self.stage.throat_px
        light = self.stage.room_light[y1:y2, x1:x2]
        loop = drums.turning(seed, x2 - x1, y2 - y1, self.px_per_mm)
        return tuple(np.asarray(cv2.multiply(picture, light, scale=1.25 / 255), np.uint8) for picture in loop)

    def _dress(self, seed: int) -> dict[tuple[int, int, bool], Sprite]:
        """Every look in every grip with the hand it favors; the first look has both."""
        scale = self.px_per_mm * HAND_SCALE * _SPRITE_OVERSIZE
        jobs = [
            (look, grip, left)
            for look in range(len(self._looks))
            for grip in range(3)
            for left in (False, True)
            if look == BOTH_HANDED_LOOK or left == left_handed(look)
        ]
        with ThreadPoolExecutor(2) as pool:
            right = list(pool.map(lambda grip: carve(hand(grip), scale), _GRIPS))
            reliefs = {False: right, True: [relief.left_hand() for relief in right]}
            made = pool.map(
                lambda job: dressed(
                    reliefs[job[2]][job[1]], LOOKS[self._looks[job[0]]], seed * 97 + self._looks[job[0]], LAMP
                ),
                jobs,
            )
            return dict(zip(jobs, made, strict=True))

    def sprite(self, reach: Reach, stance: Stance) -> Sprite:
        """The arm a stance shows."""
        return self._sprites[reach.look, stance.grip, stance.mirrored]

    def label(self, reach: Reach) -> HandClass:
        """Bare or gloved."""
        return LOOKS[self._looks[reach.look]].label

    def picture(self, time_s: float, index: int, operator: bool = True) -> Picture:
        """The frame whose exposure ends at `time_s`; `operator=False` leaves the arms out."""
        middle_s = time_s - EXPOSURE_S / 2
        frame = self._backdrop(middle_s)
        reaches = self.script.near(time_s)
        for reach in reaches:
            self._draw_parcel(frame, reach, middle_s)
        for reach in reaches if operator else ():
            for arm in self.arms(reach, middle_s):
                place(frame, arm, self.stage.room_light)
        return self._sensor.exposed(frame, index, time_s)

    def _backdrop(self, time_s: float) -> Picture:
        frame = self.stage.background.copy()
        x1, y1, x2, y2 = self.stage.belt_px
        belt = self.stage.belt_at(time_s)
        cv2.multiply(belt, self.stage.belt_light, dst=frame[y1:y2, x1:x2], scale=1 / 255)
        x1, y1, x2, y2 = self.stage.throat_px
        frame[y1:y2, x1:x2] = self._drums[drums.phase_at(time_s)]
        return frame

    def _smear_px(self, before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float]:
        return (after[0] - before[0]) * self.px_per_mm, (after[1] - before[1]) * self.px_per_mm

    def arms(self, reach: Reach, time_s: float) -> tuple[Placement, ...]:
        """How the arms of one reach lie in a frame whose exposure has its middle at `time_s`."""
        smear = self._smear_px(reach.tip_mm(time_s - EXPOSURE_S / 2), reach.tip_mm(time_s + EXPOSURE_S / 2))
        shift, placed = self._shadow_shift(_HAND_ABOVE_MM), []
        for stance in reach.stances(time_s):
            cutout = self.sprite(reach, stance).cutout
            turn, scale = stance.heading_rad, HAND_SCALE / cutout.px_per_mm
            matrix = self._matrix(cutout.origin_px, scale, turn, stance.wrist_mm)
            placed.append(Placement(cutout, matrix, shift, _ARM_SHADOW, smear))
        return tuple(placed)

    def _draw_parcel(self, frame: Picture, reach: Reach, time_s: float) -> None:
        if reach.parcel is None:
            return
        parcel = self._parcels[reach.parcel]
        now = carried(reach, parcel.length_mm, time_s)
        if now is None:
            return
        before = carried(reach, parcel.length_mm, time_s - EXPOSURE_S / 2) or now
        matrix = self._matrix(
            parcel.cutout.origin_px, now.scale / parcel.cutout.px_per_mm, now.turn_rad, now.center_mm
        )
        smear = self._smear_px(before.center_mm, now.center_mm)
        place(
            frame,
            Placement(
                parcel.cutout,
                matrix,
                self._shadow_shift(now.height_mm),
                0.6 * now.gain,
                (2 * smear[0], 2 * smear[1]),
                now.gain,
                self._parcel_clip(now),
            ),
            self.stage.room_light,
        )

    def _parcel_clip(self, now: Carried) -> tuple[int, int, int, int] | None:
        if now.window_mm is None:
            return None
        x1, y1, x2, _ = self.stage.throat_px
        top, bottom = ((NIP_Y_MM + side * now.window_mm) * self.px_per_mm for side in (-1, 1))
        return x1, max(y1, round(top)), x2, round(bottom)

    def _shadow_shift(self, above_mm: float) -> tuple[float, float]:
        flat = above_mm * self.px_per_mm / LAMP[2]
        return -LAMP[0] * flat, LAMP[1] * flat

    def _matrix(
        self, origin_px: tuple[float, float], mm_per_px: float, turn_rad: float, at_mm: tuple[float, float]
    ) -> NDArray[np.float64]:
        """Pixels of a cutout to pixels of the frame."""
        k = mm_per_px * self.px_per_mm
        c, s = cos(turn_rad) * k, sin(turn_rad) * k
        x, y = at_mm[0] * self.px_per_mm, at_mm[1] * self.px_per_mm
        return np.array(
            [
                [c, -s, x - c * origin_px[0] + s * origin_px[1]],
                [s, c, y - s * origin_px[0] - c * origin_px[1]],
            ]
        )
