"""The pictures of a page: each trip with zones and hands drawn, and one still to draw lines over.

A recording keeps its pictures and a result does not, so they are decoded once more.
Decoding stops at the last picture that is needed. A live run keeps clips of its
trips, whose index says which picture is which frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.errors import HandguardError
from handguard.evidence import overlay
from handguard.evidence.clips import read_index
from handguard.evidence.decisions import DecisionLine
from handguard.replay.ahead import frames_ahead
from handguard.replay.replay import opened
from handguard.types import Decision, Detections, HandClass, StageTimes, Zone, ZoneStatus

MOST_TRIPS = 48
_WIDTH_PX, _QUALITY = 560, 82
_LABELS = {each.title: int(each) for each in HandClass}


@dataclass(frozen=True, slots=True)
class Stills:
    """JPEG files in memory."""

    ground: bytes | None = None  # a frame without hands where there is one; None: no pictures are to be had
    trips: tuple[bytes | None, ...] = ()  # in the order asked for; None where the picture could not be had


def taken(
    video: Path, fps: float | None, lines: Sequence[DecisionLine], trips: Sequence[int], zones: Sequence[Zone]
) -> Stills:
    """The still of a recording, and of the lines whose indexes are asked for. Whatever cannot be read is left out."""
    ground_frame = next((line.frame for line in lines if line.hands == () and line.frame >= 0), lines[0].frame)
    wanted = {lines[index].frame: index for index in trips}
    found: dict[int, bytes] = {}
    ground: bytes | None = None
    last = max([ground_frame, *wanted])
    try:
        with closing(opened(video, fps)) as source, closing(frames_ahead(source)) as frames:
            for frame in frames:
                if frame.seq == ground_frame:
                    ground = _jpeg(frame.image)
                if frame.seq in wanted:
                    decision = decision_of(lines[wanted[frame.seq]], zones)
                    found[frame.seq] = _jpeg(overlay.draw(frame.image, decision, zones, shows_age=False))
                if frame.seq >= last:
                    break
    except HandguardError:
        pass  # a page without pictures is still a page; the audit tells of the recording itself
    return Stills(ground, tuple(found.get(lines[index].frame) for index in trips))


def taken_from_clips(
    folder: Path, lines: Sequence[DecisionLine], trips: Sequence[int], zones: Sequence[Zone]
) -> Stills:
    """The same from the clips of a live run; without clips, without pictures."""
    by_frame = {line.frame: line for line in lines if line.frame >= 0}
    wanted = {lines[index].frame for index in trips}
    found: dict[int, bytes] = {}
    ground: bytes | None = None
    for seq, image in _clip_pictures(folder):
        line = by_frame.get(seq)
        if line is not None and line.hands == () and ground is None:
            ground = _jpeg(image)
        if line is not None and seq in wanted and seq not in found:
            found[seq] = _jpeg(overlay.draw(image, decision_of(line, zones), zones, shows_age=False))
    return Stills(ground, tuple(found.get(lines[index].frame) for index in trips))


def decision_of(line: DecisionLine, zones: Sequence[Zone]) -> Decision:
    """A line as the drawing takes it; its only time is that of the frame."""
    at_ns = round(line.t_ms * 1e6)
    statuses = tuple(ZoneStatus(zone.name, zone.role, line.zones.get(zone.name, False)) for zone in zones)
    times = StageTimes(at_ns, at_ns, at_ns, at_ns)
    return Decision(line.frame, times, _hands(line, at_ns), statuses, line.state, line.output, line.cause)


def _clip_pictures(folder: Path) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Every picture of every clip with the number of its frame; a clip that cannot be read ends there."""
    for path in sorted(folder.glob("trip-*.json")):
        try:
            index = read_index(path)
            with closing(opened(path.with_suffix(".mp4"), None)) as source:
                for told in index["frames"]:
                    yield int(told["frame_seq"]), source.read().image
        except HandguardError:
            continue


def _hands(line: DecisionLine, at_ns: int) -> Detections | None:
    if line.hands is None:
        return None
    boxes = np.array([hand.box_px for hand in line.hands], np.float32).reshape(-1, 4)
    scores = np.array([hand.score for hand in line.hands], np.float32)
    labels = np.array([_LABELS.get(hand.label, 0) for hand in line.hands], np.int64)
    return Detections(boxes, scores, labels, line.frame, at_ns)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    height_px, width_px = image.shape[:2]
    shrink = min(1.0, _WIDTH_PX / width_px)
    size = (round(width_px * shrink), round(height_px * shrink))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if shrink < 1 else image
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return encoded.tobytes()
