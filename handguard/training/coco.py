"""Annotated pictures from a COCO file: read, checked, and held in memory as encoded bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.errors import DatasetError, mismatch
from handguard.types import HandClass

CATEGORIES: dict[str, HandClass] = {kind.title: kind for kind in HandClass}


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture and its hands."""

    image_id: int
    path: Path
    width_px: int
    height_px: int
    source: str
    boxes_px: NDArray[np.float32]  # (G, 4) xyxy
    labels: NDArray[np.int64]  # (G,) HandClass values


def load_coco(annotations: Path, images: Path) -> list[Sample]:
    """All samples of a COCO file, in its order.

    Raises `DatasetError` for a missing file or key, an unknown category, a box
    outside its picture by more than a pixel, or no picture at all.
    """
    data = _read_json(annotations)
    kinds = _kinds(annotations, data["categories"])
    if not data["images"]:
        raise DatasetError(mismatch(f"{annotations}: images", "at least one picture", "none"))
    by_image: dict[int, list[dict[str, Any]]] = {
        _value(f"{annotations}: images", one, "id"): [] for one in data["images"]
    }
    for one in data["annotations"]:
        where = f"{annotations}: annotation {one.get('id')}"
        if one.get("image_id") not in by_image:
            raise DatasetError(mismatch(where, "a known image_id", one.get("image_id")))
        by_image[one["image_id"]].append(one)
    return [_sample(annotations, images, one, by_image[one["id"]], kinds) for one in data["images"]]


def decode_picture(sample: Sample) -> NDArray[np.uint8]:
    """The picture as (H, W, 3) BGR. Raises `DatasetError` when it is missing, truncated or of another size."""
    data = _bytes_of(sample.path)
    # a truncated JPEG still decodes, to grey: the end marker tells
    whole = not data.startswith(b"\xff\xd8") or data.rstrip(b"\0").endswith(b"\xff\xd9")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if whole else None
    if image is None:
        raise DatasetError(
            mismatch(str(sample.path), "a complete picture", f"{len(data)} bytes that do not decode")
        )
    if image.shape[:2] != (sample.height_px, sample.width_px):
        found = f"{image.shape[1]}x{image.shape[0]}"
        raise DatasetError(mismatch(str(sample.path), f"{sample.width_px}x{sample.height_px} pixels", found))
    return np.asarray(image, dtype=np.uint8)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(mismatch(str(path), "a readable picture", error.strerror)) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise DatasetError(mismatch(str(path), "a COCO annotation file", error.strerror)) from error
    except ValueError as error:
        raise DatasetError(mismatch(str(path), "JSON", error)) from error
    missing = {"images", "annotations", "categories"} - set(data)
    if missing:
        raise DatasetError(
            mismatch(str(path), "images, annotations and categories", f"no {', '.join(sorted(missing))}")
        )
    return dict(data)


def _kinds(file: Path, categories: list[dict[str, Any]]) -> dict[int, HandClass]:
    """What each category id stands for."""
    kinds = {}
    for one in categories:
        name = _value(f"{file}: categories", one, "name")
        if name not in CATEGORIES:
            raise DatasetError(mismatch(f"{file}: categories", " or ".join(CATEGORIES), repr(name)))
        kinds[_value(f"{file}: categories", one, "id")] = CATEGORIES[name]
    return kinds


def _sample(
    file: Path,
    images: Path,
    image: dict[str, Any],
    found: list[dict[str, Any]],
    kinds: dict[int, HandClass],
) -> Sample:
    where = f"{file}: images: image {image['id']}"
    width, height = int(_value(where, image, "width")), int(_value(where, image, "height"))
    boxes = np.array([_xyxy(file, one, width, height) for one in found], np.float32).reshape(-1, 4)
    labels = np.array([_kind(file, one, kinds) for one in found], np.int64)
    path = images / _value(where, image, "file_name")
    return Sample(image["id"], path, width, height, image.get("source", "unknown"), boxes, labels)


def _value(where: str, entry: dict[str, Any], key: str) -> Any:
    if key not in entry:
        raise DatasetError(mismatch(where, key, "nothing"))
    return entry[key]


def _kind(file: Path, annotation: dict[str, Any], kinds: dict[int, HandClass]) -> HandClass:
    found = annotation.get("category_id")
    if found not in kinds:
        where = f"{file}: annotation {annotation.get('id')}: category_id"
        raise DatasetError(mismatch(where, f"one of {', '.join(map(str, kinds))}", found))
    return kinds[found]


def _xyxy(
    file: Path, annotation: dict[str, Any], width: int, height: int
) -> tuple[float, float, float, float]:
    bbox = annotation.get("bbox")
    where = f"{file}: annotation {annotation.get('id')}: bbox"
    try:
        x, y, w, h = (float(value) for value in bbox)  # type: ignore[union-attr]
    except (TypeError, ValueError) as error:
        raise DatasetError(mismatch(where, "four numbers: x, y, width, height", repr(bbox))) from error
    return inside(where, (x, y, x + w, y + h), width, height)


def inside(
    where: str, box: tuple[float, float, float, float], width: int, height: int
) -> tuple[float, float, float, float]:
    """A box xyxy clipped to its picture. Raises `DatasetError` when more than a pixel of it is outside."""
    x1, y1, x2, y2 = box
    if not (x2 > x1 and y2 > y1 and min(x1, y1) >= -1 and x2 <= width + 1 and y2 <= height + 1):
        found = [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)]
        raise DatasetError(mismatch(where, f"a box with area inside {width}x{height}", found))
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
