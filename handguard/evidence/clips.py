"""A take becomes files: the raw film, the index beside it, and the film with everything drawn on.

    trip-0001.mp4           the JPEG pictures of the ring, bit for bit
    trip-0001.json          frame number → time stamp, capture time and hash of every picture
    trip-0001-overlay.mp4   the same frames at the same time stamps, zones and hands drawn

Each film is announced with its own notice as soon as it stands: the raw one within a
moment of the post-roll, the drawn one when its encoding is done. The index is
written before the first notice, and its hash stands in both, so that nobody can swap it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from handguard.atomic import write_atomically
from handguard.digest import sha256_of
from handguard.errors import RecordingError, mismatch
from handguard.evidence import overlay
from handguard.evidence.film import TIME_BASE, Picture, pts_of, write_drawn, write_stills
from handguard.evidence.notices import ClipSaved
from handguard.evidence.ring import Still, Take
from handguard.types import Zone

INDEX_SCHEMA = 1
CLIP_FILE = re.compile(r"(trip-\d{4,9})(-overlay)?\.(mp4|json)")
FOLDER = "clips"  # in the folder of a run, beside `evidence`


@dataclass(frozen=True, slots=True)
class Drawing:
    """How the overlay is drawn."""

    zones: Sequence[Zone]  # those that were judged
    origin_ns: int = 0  # time is shown from here on
    may_go_on: Callable[[], bool] = lambda: True  # asked before every picture


def save(take: Take, folder: Path, drawing: Drawing, tell: Callable[[ClipSaved], None]) -> None:
    """Write both films and the index of a take that has pictures, and tell of each film.

    Raises `OSError`, also when the drawing may not go on; what was told of by then is good,
    and nothing half-written is left.
    """
    jpegs = [still.jpeg for still in take.stills]
    stamps = _stamps(take)
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / f"{take.name}.mp4"
    write_stills(raw, zip(stamps, jpegs, strict=True), _size_px(jpegs[0]))
    index = _index(take, stamps)
    write_atomically(folder / f"{take.name}.json", index)
    index_sha256 = hashlib.sha256(index).hexdigest()
    tell(_saved(take, "raw", raw, index_sha256))
    drawn = folder / f"{take.name}-overlay.mp4"
    write_drawn(drawn, zip(stamps, _drawn(take.stills, drawing), strict=True))
    tell(_saved(take, "overlay", drawn, index_sha256))


def read_index(path: Path) -> dict[str, Any]:
    """The index of a clip. Raises `RecordingError` if it is none."""
    try:
        index = json.loads(path.read_bytes())
        if index["schema"] > INDEX_SCHEMA:
            raise ValueError(f"schema {index['schema']}; update handguard")
        if not all(isinstance(frame["captured_ns"], int) for frame in index["frames"]):
            raise ValueError("frames without times")
        return dict(index)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordingError(mismatch(str(path), "the index of a clip", repr(error))) from error


def _stamps(take: Take) -> list[int]:
    """Rising strictly, as films must: of two frames within 11 µs the second is put one step later."""
    stamps: list[int] = []
    for still in take.stills:
        own = pts_of(still.captured_ns, take.stills[0].captured_ns)
        stamps.append(max(own, stamps[-1] + 1) if stamps else own)
    return stamps


def _size_px(jpeg: bytes) -> tuple[int, int]:
    height_px, width_px = _decoded(jpeg).shape[:2]
    return width_px, height_px


def _decoded(jpeg: bytes) -> Picture:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)


def _drawn(stills: Sequence[Still], drawing: Drawing) -> Iterator[Picture]:
    for still in stills:
        if not drawing.may_go_on():
            raise InterruptedError("no time was left for the overlay; the raw film is whole")
        yield overlay.draw(_decoded(still.jpeg), still.decision, drawing.zones, drawing.origin_ns)


def _index(take: Take, stamps: Sequence[int]) -> bytes:
    frames = [
        {
            "frame_seq": still.frame_seq,
            "captured_ns": still.captured_ns,
            "pts": pts,
            "sha256": hashlib.sha256(still.jpeg).hexdigest(),
        }
        for still, pts in zip(take.stills, stamps, strict=True)
    ]
    head = {
        "schema": INDEX_SCHEMA,
        "name": take.name,
        "trips": [asdict(trip) for trip in take.trips],
        "cut_short": take.cut_short,
        "lost_views": take.lost_views,
        "time_base": [TIME_BASE.numerator, TIME_BASE.denominator],
    }
    return json.dumps({**head, "frames": frames}, indent=1).encode() + b"\n"


def _saved(take: Take, version: str, path: Path, index_sha256: str) -> ClipSaved:
    first, last = take.stills[0], take.stills[-1]
    return ClipSaved(
        take.name,
        version,
        path.name,
        path.stat().st_size,
        sha256_of(path),
        index_sha256,
        len(take.stills),
        first.frame_seq,
        last.frame_seq,
        first.captured_ns,
        last.captured_ns,
        take.lost_views,
        take.trips,
        take.cut_short,
    )
