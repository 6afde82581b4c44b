"""Pictures for a measurement: from the site's own footage, held in memory, shown at the camera's pace.

A free field and a hand in a stop zone take turns, so that there are trips to be
timed. Which picture shows what is not guessed: the site's own detector and zones
judged them before the clocks were started.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handguard.assembly import detector_of, rules_of, source_of
from handguard.config import Settings
from handguard.errors import DeviceError, EndOfVideo
from handguard.types import Frame, PictureFormat, ZoneRole

Picture = NDArray[np.uint8]

FREE_WANTED, HAND_WANTED = 48, 8  # 150 MB at 1280x720
LOOKED_AT = 900  # half a minute of footage, when hands are rare
HANDS_IN_A_ROW = 2
PRESS_S, SPARE_S = 0.5, 0.45  # a simulated press with its pause; a board's rest after three OFFs


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """Pictures of one size, sorted by what the site's detector saw in them. `hands` may be empty."""

    name: str
    format: PictureFormat
    free: tuple[Picture, ...]
    hands: tuple[Picture, ...]


def footage_of(settings: Settings) -> Footage:
    """The first pictures of `camera.source` that are wanted. Raises `HandguardError`, also for no free picture."""
    source = source_of(settings, live=False)
    try:
        rules = rules_of(settings, source.format)
        detector = detector_of(settings, rules.zones.zones, source.format)
        free: list[Picture] = []
        hands: list[Picture] = []
        for _ in range(LOOKED_AT):
            if len(free) >= FREE_WANTED and len(hands) >= HAND_WANTED:
                break
            frame = source.read()
            zones = rules.zones.judge(detector.detect(frame), None)
            trips = any(zone.intruded for zone in zones if zone.role is ZoneRole.STOP)
            kept, wanted = (hands, HAND_WANTED) if trips else (free, FREE_WANTED)
            if len(kept) < wanted:
                kept.append(frame.image.copy())
    except EndOfVideo:
        pass
    finally:
        source.close()
    if len(free) < 2:
        raise DeviceError(f"{source.name}: expected pictures with free stop zones, found {len(free)}")
    return Footage(source.name, source.format, tuple(free), tuple(hands))


def free_frames_needed(settings: Settings, fps: float) -> int:
    """Pictures without a hand until the machine runs again by the site's own rules."""
    pauses_s = SPARE_S
    if settings.interlock.restart == "manual":
        pauses_s += settings.reset.after_free_s + PRESS_S
    return settings.interlock.free_frames + math.ceil(pauses_s * fps)


class PictureLoop:
    """A `FrameSource` of pictures in memory: `free_frames` free ones, two with a hand, and again.

    Frames are stamped when they are handed over. A reader that is late gets the next one at
    once and the schedule moves back, as `capture.pacing` does. One thread reads.
    """

    def __init__(self, footage: Footage, frames: int, free_frames: int, late_by_s: float = 0.0) -> None:
        self._footage, self._frames, self._free_frames = footage, frames, free_frames
        self._interrupted = threading.Event()
        self._late_by_s = late_by_s
        self._due_s = 0.0
        self._seq = 0

    @property
    def name(self) -> str:
        return self._footage.name

    @property
    def format(self) -> PictureFormat:
        return self._footage.format

    def read(self) -> Frame:
        """Wait until the next is due. Raises `EndOfVideo` after the last, `DeviceError` when interrupted."""
        if self._seq >= self._frames:
            raise EndOfVideo(f"{self.name}: shown {self._frames} times")
        self._wait()
        frame = Frame(self._seq, time.monotonic_ns(), self._picture(self._seq))
        self._seq += 1
        return frame

    def interrupt(self) -> None:
        """End a wait in progress."""
        self._interrupted.set()

    def close(self) -> None:
        """Safe to call twice."""
        self.interrupt()

    def _wait(self) -> None:
        now_s = time.monotonic()
        if self._seq == 0:
            self._due_s = now_s + self._late_by_s
        else:
            self._due_s = max(self._due_s + 1 / self.format.fps, now_s - 1 / self.format.fps)
        while (left_s := self._due_s - time.monotonic()) > 0 and not self._interrupted.is_set():
            self._interrupted.wait(left_s)
        if self._interrupted.is_set():
            raise DeviceError(f"{self.name}: closed")

    def _picture(self, seq: int) -> Picture:
        turn, place = divmod(seq, self._free_frames + HANDS_IN_A_ROW)
        free, hands = self._footage.free, self._footage.hands
        if hands and place >= self._free_frames:
            return hands[(turn * HANDS_IN_A_ROW + place) % len(hands)]
        return free[seq % len(free)]
