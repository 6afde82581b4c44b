"""Annotated pictures from a COCO file: read and checked at once; a picture's bytes are read when it is drawn.

A region of many hands (`iscrowd`) is neither one hand nor background. Nothing that
learns or counts here could treat it so, and a file that holds one is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.config.problems import shown
from handguard.errors import DatasetError, mismatch
from handguard.types import HandClass

Row = dict[str, Any]  # one object of the file
Kinds = dict[int | str, HandClass | str]  # by category id
Outline = tuple[NDArray[np.uint8], bool]  # a soft mask, and whether it follows the hand: see `regions`
T = TypeVar("T")

CATEGORIES: dict[str, HandClass] = {kind.title: kind for kind in HandClass}
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # of a JPEG; not data that looks like one, a restart, or padding
ENDS, STAND_ALONE = 0xD9, {0x01, 0xD8}  # markers without a segment


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture and its hands."""

    image_id: int | str
    path: Path
    width_px: int
    height_px: int
    source: str
    boxes_px: NDArray[np.float32]  # (G, 4) xyxy
    labels: NDArray[np.int64]  # (G,) HandClass values
    image: NDArray[np.uint8] | None = None  # (H, W, 3) BGR where it is kept in memory, read-only
    outlines: tuple[Outline, ...] | None = None  # of its hands, likewise


def load_coco(annotations: Path, images: Path) -> list[Sample]:
    """All samples of a COCO file, in its order.

    Categories that no annotation uses may be anything. Raises `DatasetError` for a
    missing file or key, a value of another kind, an id that is given twice, an
    annotation of a category that is none of ours, a box outside its picture by more
    than a pixel, a region of many hands, or no picture at all.
    """
    data = _read_json(annotations)
    kinds = _kinds(annotations, data["categories"])
    if not data["images"]:
        raise DatasetError(mismatch(f"{annotations}: images", "at least one picture", "none"))
    by_image: dict[int | str, list[Row]] = {}
    for one in data["images"]:
        by_image[_new_id(f"{annotations}: images", one, by_image)] = []
    for one in data["annotations"]:
        where = f"{annotations}: annotation {one.get('id')}"
        if one.get("iscrowd") not in (None, 0):
            expected = "0 (a region of many hands is neither one hand nor background: leave its picture out)"
            raise DatasetError(mismatch(f"{where}: iscrowd", expected, shown(one["iscrowd"])))
        _known(f"{where}: image_id", one.get("image_id"), by_image, "the id of one of images").append(one)
    return [_sample(annotations, images, one, by_image[one["id"]], kinds) for one in data["images"]]


def decode_picture(sample: Sample) -> NDArray[np.uint8]:
    """The picture as (H, W, 3) BGR. Raises `DatasetError` when it is missing, truncated or of another size."""
    if sample.image is not None:
        return sample.image
    data = _bytes_of(sample.path)
    whole = not data.startswith(b"\xff\xd8") or _ends(data)  # a truncated JPEG still decodes, to grey
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if whole else None
    if image is None:
        raise DatasetError(
            mismatch(str(sample.path), "a complete picture", f"{len(data)} bytes that do not decode")
        )
    if image.shape[:2] != (sample.height_px, sample.width_px):
        found = f"{image.shape[1]}x{image.shape[0]}"
        raise DatasetError(mismatch(str(sample.path), f"{sample.width_px}x{sample.height_px} pixels", found))
    return np.asarray(image, dtype=np.uint8)


def _ends(jpeg: bytes) -> bool:
    """Whether its end marker is there. What follows it is of no matter: phones append films and notes.

    The length of each segment is believed: a thumbnail within one has an end marker of its own.
    """
    at = 2
    while marker := MARKER.search(jpeg, at):
        at = marker.end()
        kind = jpeg[at - 1]
        if kind == ENDS:
            return True
        if kind not in STAND_ALONE:
            at += int.from_bytes(jpeg[at : at + 2], "big")
    return False


def lines_of(path: Path) -> list[str]:
    """Of a text file in UTF-8. Raises `DatasetError`."""
    try:
        return path.read_text("utf-8").splitlines()
    except OSError as error:
        raise DatasetError(mismatch(str(path), "a file that can be read", error.strerror)) from error
    except UnicodeDecodeError as error:
        raise DatasetError(mismatch(str(path), "text in UTF-8", f"byte {error.start} that is none")) from error


def side_px(where: str, found: object) -> int:
    """A picture's width or height in pixels. Raises `DatasetError`."""
    try:
        number = float(found)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if not (number > 0 and number.is_integer()):
        raise DatasetError(mismatch(where, "a whole number of pixels above 0", shown(found)))
    return int(number)


def inside(
    where: str, box: tuple[float, float, float, float], width: int, height: int
) -> tuple[float, float, float, float]:
    """A box xyxy clipped to its picture.

    Raises `DatasetError` when more than a pixel of it is outside, or nothing of it inside.
    """
    x1, y1, x2, y2 = box
    left, top, right, bottom = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    near = min(x1, y1) >= -1 and x2 <= width + 1 and y2 <= height + 1
    if not (near and np.float32(right) > np.float32(left) and np.float32(bottom) > np.float32(top)):
        found = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
        raise DatasetError(mismatch(where, f"a box with area inside {width}x{height}", found))
    return left, top, right, bottom


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(mismatch(str(path), "a readable picture", error.strerror)) from error


def _read_json(path: Path) -> dict[str, list[Row]]:
    """Images, annotations and categories, each a list of objects."""
    keys = ("images", "annotations", "categories")
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(mismatch(str(path), "a COCO annotation file", error.strerror)) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(mismatch(str(path), "JSON", error)) from error
    if not isinstance(data, dict):
        raise DatasetError(mismatch(str(path), "an object with images, annotations and categories", shown(data)))
    missing = set(keys) - set(data)
    if missing:
        raise DatasetError(
            mismatch(str(path), "images, annotations and categories", f"no {', '.join(sorted(missing))}")
        )
    return {key: _rows(f"{path}: {key}", data[key]) for key in keys}


def _rows(where: str, found: object) -> list[Row]:
    if not isinstance(found, list):
        raise DatasetError(mismatch(where, "a list of objects", shown(found)))
    for number, one in enumerate(found):
        if not isinstance(one, dict):
            raise DatasetError(mismatch(f"{where}[{number}]", "an object", shown(one)))
    return found


def _new_id(where: str, row: Row, known: Container[int | str]) -> int | str:
    """The row's id, which no row before it has."""
    found = _value(where, row, "id")
    if not isinstance(found, int | str):
        raise DatasetError(mismatch(f"{where}: id", "a whole number or text", shown(found)))
    if found in known:
        raise DatasetError(mismatch(f"{where}: id {found}", "each id once", "it again"))
    return found


def _kinds(file: Path, categories: list[Row]) -> Kinds:
    """What each category id stands for; a name that is none of ours as it is (Roboflow lists one for all others)."""
    kinds: Kinds = {}
    for one in categories:
        name = _value(f"{file}: categories", one, "name")
        if not isinstance(name, str):
            raise DatasetError(mismatch(f"{file}: categories", " or ".join(CATEGORIES), repr(name)))
        kinds[_new_id(f"{file}: categories", one, kinds)] = CATEGORIES.get(name, name)
    return kinds


def _sample(file: Path, images: Path, image: Row, found: list[Row], kinds: Kinds) -> Sample:
    where = f"{file}: images: image {image['id']}"
    width, height = (side_px(f"{where}: {key}", _value(where, image, key)) for key in ("width", "height"))
    boxes = np.array([_xyxy(file, one, width, height) for one in found], np.float32).reshape(-1, 4)
    labels = np.array([_kind(file, one, kinds) for one in found], np.int64)
    path = images / _text(f"{where}: file_name", _value(where, image, "file_name"))
    source = _text(f"{where}: source", image.get("source", "unknown"))
    return Sample(image["id"], path, width, height, source, boxes, labels)


def _value(where: str, entry: Row, key: str) -> Any:
    if key not in entry:
        raise DatasetError(mismatch(where, key, "nothing"))
    return entry[key]


def _text(where: str, found: object) -> str:
    if not isinstance(found, str) or not found or "\0" in found:
        raise DatasetError(mismatch(where, "text", shown(found)))
    return found


def _known(where: str, found: object, table: Mapping[int | str, T], expected: str) -> T:
    """What the table holds under this id."""
    if not isinstance(found, int | str) or found not in table:
        raise DatasetError(mismatch(where, expected, shown(found)))
    return table[found]


def _kind(file: Path, annotation: Row, kinds: Kinds) -> HandClass:
    where = f"{file}: annotation {annotation.get('id')}: category_id"
    ours = ", ".join(str(number) for number, kind in kinds.items() if isinstance(kind, HandClass))
    found = _known(where, annotation.get("category_id"), kinds, f"one of {ours}")
    if not isinstance(found, HandClass):
        told = f"{annotation['category_id']}, which is {shown(found)}"
        raise DatasetError(mismatch(where, " or ".join(CATEGORIES), told))
    return found


def _xyxy(file: Path, annotation: Row, width: int, height: int) -> tuple[float, float, float, float]:
    bbox: Any = annotation.get("bbox")
    where = f"{file}: annotation {annotation.get('id')}: bbox"
    try:
        x, y, w, h = (float(value) for value in (bbox if isinstance(bbox, list) else [bbox]))
    except (TypeError, ValueError, OverflowError) as error:
        raise DatasetError(mismatch(where, "four numbers: x, y, width, height", shown(bbox))) from error
    return inside(where, (x, y, x + w, y + h), width, height)
