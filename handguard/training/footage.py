"""A network on recordings of people who reach: was every approach seen, how soon, and what was seen in between?

A recording NAME.mp4 has its truth in NAME.json (see `evidence.truth`): frames in which a
hand is in the picture, or none at all. A frame is hit when a hand at the
operating point or above touches the stop zone, which is the whole picture unless a part
of it is named; one hit would stop the machine. Hits outside of all approaches, and of
a few frames around them, are false. A recording without truth is told by its hits alone.

This is the network by itself. What the monitor makes of it, with its own zones, trips
and resets, is for `handguard audit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from handguard.capture.video_file import VideoFile
from handguard.detection.detector import Region
from handguard.detection.loading import Choice, load_detector
from handguard.errors import DatasetError, EndOfVideo, mismatch
from handguard.evidence.truth import MARGIN_FRAMES, Approach, read_approaches
from handguard.training.evaluation import OnProgress
from handguard.training.measures import Share
from handguard.training.operating_point import LOWEST, Empty
from handguard.types import Detections

VIDEOS = {".mp4", ".mkv", ".avi", ".mov", ".webm"}
WITHIN_FRAMES = (0, 1, 2, 5, 10)  # of coming into the picture

Stretch = tuple[int, int]  # first and last frame


@dataclass(frozen=True, slots=True)
class StopZone:
    """A part of the picture, in fractions of its width and height."""

    x1: float = 0.0
    y1: float = 0.0
    x2: float = 1.0
    y2: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.x1 < self.x2 <= 1 and 0 <= self.y1 < self.y2 <= 1):
            raise ValueError(f"expected x1,y1,x2,y2 in order from 0 to 1, found {self}")

    def touched(self, hands: Detections, size_px: tuple[int, int]) -> bool:
        """Whether any hand overlaps or touches it."""
        low = np.array([self.x1, self.y1]) * size_px
        high = np.array([self.x2, self.y2]) * size_px
        boxes = hands.boxes_px
        return bool(np.any((boxes[:, :2] <= high).all(axis=1) & (boxes[:, 2:] >= low).all(axis=1)))


@dataclass(frozen=True, slots=True)
class Watched:
    """One recording, frame by frame. `approaches` is None where the truth is not known."""

    name: str
    fps: float
    hit: tuple[bool, ...]
    approaches: tuple[Approach, ...] | None


def read_stop_zone(text: str) -> StopZone:
    """`x1,y1,x2,y2` as fractions. Raises `DatasetError`."""
    try:
        x1, y1, x2, y2 = (float(word) for word in text.split(","))
        return StopZone(x1, y1, x2, y2)
    except (TypeError, ValueError) as error:
        raise DatasetError(mismatch("stop zone", "x1,y1,x2,y2 as fractions, in order", repr(text))) from error


def recordings(place: Path) -> list[Path]:
    """The recording itself, or all of a folder, by name. Raises `DatasetError` when there is none."""
    found = (
        sorted(one for one in place.rglob("*") if one.suffix.lower() in VIDEOS) if place.is_dir() else [place]
    )
    if not found or not all(one.is_file() for one in found):
        raise DatasetError(
            mismatch(str(place), f"a recording, or a folder with {', '.join(sorted(VIDEOS))}", "none")
        )
    return found


def watched(choice: Choice, video: Path, zone: StopZone, progress: OnProgress) -> Watched:
    """Run the detector over a recording. Raises `DatasetError` for a bad truth, `DeviceError` for a bad video."""
    truth = video.with_suffix(".json")
    approaches = read_approaches(truth) if truth.is_file() else None
    with closing(VideoFile(video)) as source:
        size_px = source.format.width_px, source.format.height_px
        hit = tuple(zone.touched(hands, size_px) for hands in _seen(choice, source, progress))
        return Watched(video.name, source.format.fps, hit, _within(approaches, len(hit), truth))


def empty_recordings(place: Path | None) -> list[Path]:
    """Recordings without a hand; of no place, none. Raises `DatasetError` where somebody reaches, or where there is
    none."""
    found = recordings(place) if place else []
    for truth in (video.with_suffix(".json") for video in found):
        if truth.is_file() and (approaches := read_approaches(truth)):
            told = mismatch(str(truth), "a recording in which nobody reaches", f"{len(approaches)} approaches")
            raise DatasetError(told)
    return found


def empty_scene(choice: Choice, videos: Sequence[Path], progress: OnProgress) -> Empty:
    """What is seen, at most, on recordings without a hand. Raises `DeviceError` for a bad one."""
    low, frames, highest = choice.measuring(LOWEST), 0, 0.0
    for video in videos:
        with closing(VideoFile(video)) as source:
            for hands in _seen(low, source, progress):
                frames, highest = frames + 1, max(highest, float(hands.scores.max(initial=0.0)))
    return Empty(frames, highest)


def _seen(choice: Choice, source: VideoFile, progress: OnProgress) -> Iterator[Detections]:
    """The detector's answer to every frame, of the whole picture."""
    detector = load_detector(choice, Region(0, 0, source.format.width_px, source.format.height_px))
    for number in count(1):
        try:
            frame = source.read()
        except EndOfVideo:
            return
        yield detector.detect(frame)
        progress(number, None)


def _within(approaches: tuple[Approach, ...] | None, frames: int, truth: Path) -> tuple[Approach, ...] | None:
    """Approaches beyond the last frame belong to another recording."""
    for one in approaches or ():
        if one.last_frame >= frames:
            raise DatasetError(mismatch(f"{truth}: approaches", f"frames below {frames}", one.last_frame))
    return approaches


def told(recording: Watched) -> dict[str, Any]:
    """One recording as numbers."""
    row: dict[str, Any] = {"frames": len(recording.hit), "hit_frames": sum(recording.hit)}
    if recording.approaches is None:
        return {**row, "truth": "not known"}
    late = [frames_late(one, recording.hit) for one in recording.approaches]
    free = _free(recording)
    false = [i for i in free if recording.hit[i]]
    return {
        **row,
        "approaches": len(late),
        "frames_late": late,
        "false_hits": _stretches(false),
        **_rates([recording]),
    }


def together(all_of: Sequence[Watched]) -> dict[str, Any]:
    """Every recording whose truth is known, as one."""
    known = [one for one in all_of if one.approaches is not None]
    return {"recordings": len(known), **_rates(known)}


def frames_late(approach: Approach, hit: Sequence[bool]) -> int | None:
    """Frames from the hand's coming into the picture to the first hit; None if there is none.

    Negative by up to the margin, where a shadow or the truth itself was early.
    """
    first = max(approach.first_frame - MARGIN_FRAMES, 0)
    last = approach.last_frame + MARGIN_FRAMES
    return next((i - approach.first_frame for i in range(first, min(last + 1, len(hit))) if hit[i]), None)


def _rates(known: Sequence[Watched]) -> dict[str, Any]:
    late = [frames_late(approach, one.hit) for one in known for approach in one.approaches or ()]
    seen = [frames for frames in late if frames is not None]
    minutes = sum(len(_free(one)) / one.fps / 60 for one in known)
    false = sum(len(_stretches([i for i in _free(one) if one.hit[i]])) for one in known)
    return {
        "missed": Share(len(late) - len(seen), len(late)).told(),
        "seen_within_frames": {str(n): sum(frames <= n for frames in seen) for n in WITHIN_FRAMES},
        "hand_free_minutes": round(minutes, 3),
        "false_hits_a_hand_free_minute": round(false / minutes, 3) if minutes else None,
    }


def _free(recording: Watched) -> list[int]:
    """Frames outside of every approach and its margins."""
    approaches = recording.approaches or ()
    return [
        i for i in range(len(recording.hit)) if not any(one.holds(i, MARGIN_FRAMES) for one in approaches)
    ]


def _stretches(frames: Sequence[int]) -> list[Stretch]:
    """Frames that follow each other, with gaps up to the margin, as one."""
    found: list[Stretch] = []
    for frame in frames:
        if found and frame - found[-1][1] <= MARGIN_FRAMES:
            found[-1] = (found[-1][0], frame)
        else:
            found.append((frame, frame))
    return found


def short(found: dict[str, Any]) -> str:
    """A line for each recording, and one for all."""
    lines = [_line(name, row) for name, row in found["recordings"].items()]
    return "\n".join([*lines, _line("all with known truth", found["together"])])


def _line(name: str, row: dict[str, Any]) -> str:
    if "missed" not in row:
        return f"  {name}: {row['hit_frames']} of {row['frames']} frames with a hit, truth not known"
    missed = row["missed"]
    interval = (
        ""
        if missed["share"] is None
        else " (95 %: {:.0f} to {:.0f} %)".format(*(100 * end for end in missed["interval_95"]))
    )
    soon = ", ".join(f"{n}: {count}" for n, count in row["seen_within_frames"].items())
    return (
        f"  {name}: {missed['found']} of {missed['hands']} approaches missed{interval}; seen within frames {soon}; "
        f"{row['false_hits_a_hand_free_minute']} false hits a hand-free minute ({row['hand_free_minutes']} min)"
    )
