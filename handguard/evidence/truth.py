"""Truth files: in which frames of a recording a hand is there.

    {"frames": 1189, "approaches": [{"first_frame": 171, "last_frame": 207, "hands": 1}, …]}

or COCO boxes of a video, where each image tells its `frame_id`: frames with a box, and
small gaps between them, are an approach. Frames count from 0, both ends included. A few
frames around an approach belong to it as well, because nobody can say to the frame when
a hand came into the picture.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handguard.errors import DatasetError, mismatch

MARGIN_FRAMES = 3


@dataclass(frozen=True, slots=True)
class Approach:
    """Frames in which a hand is in the picture."""

    first_frame: int
    last_frame: int  # included

    def __post_init__(self) -> None:
        if not 0 <= self.first_frame <= self.last_frame:
            found = f"{self.first_frame} to {self.last_frame}"
            raise ValueError(f"expected frames in order from 0 on, found {found}")

    def holds(self, frame: int, margin_frames: int = 0) -> bool:
        """Whether the frame belongs to it."""
        return self.first_frame - margin_frames <= frame <= self.last_frame + margin_frames


def read_approaches(path: Path) -> tuple[Approach, ...]:
    """The approaches of a truth file, in either form; there may be none. Raises `DatasetError`."""
    try:
        truth: Any = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(mismatch(str(path), "a truth file in JSON", error)) from error
    if isinstance(truth, dict) and "annotations" in truth:
        return _from_boxes(truth, path)
    found = truth.get("approaches") if isinstance(truth, dict) else None
    if not isinstance(found, list):
        raise DatasetError(mismatch(f"{path}: approaches", "a list", repr(found)))
    return tuple(_approach(entry, f"{path}: approaches[{i}]") for i, entry in enumerate(found))


def _from_boxes(truth: dict[str, Any], path: Path) -> tuple[Approach, ...]:
    """Runs of frames with a box; a gap no longer than the margins round two approaches joins them."""
    try:
        frame_of = {image["id"]: int(image["frame_id"]) for image in truth["images"]}
        frames = sorted({frame_of[box["image_id"]] for box in truth["annotations"]})
    except (KeyError, TypeError, ValueError) as error:
        expected = "COCO boxes of a video, each image with its frame_id"
        raise DatasetError(mismatch(str(path), expected, f"{type(error).__name__}: {error}")) from error
    starts = [i for i, frame in enumerate(frames) if i == 0 or frame - frames[i - 1] > 2 * MARGIN_FRAMES]
    ends = [*starts[1:], len(frames)] if frames else []
    return tuple(Approach(frames[i], frames[j - 1]) for i, j in zip(starts, ends, strict=True))


def _approach(entry: Any, where: str) -> Approach:
    numbers = []
    for key in ("first_frame", "last_frame"):
        value = entry.get(key) if isinstance(entry, dict) else None
        if type(value) is not int:
            raise DatasetError(mismatch(f"{where}.{key}", "a whole number", repr(value)))
        numbers.append(value)
    try:
        return Approach(*numbers)
    except ValueError as error:
        raise DatasetError(f"{where}: {error}") from error
