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

CATEGORIES = {kind.title: kind for kind in HandClass}


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

    Raises `DatasetError` for a missing file, an unknown category, a box outside
    its picture by more than a pixel, or no picture at all.
    """
    data = _read_json(annotations)
    names = {one["id"]: one["name"] for one in data["categories"]}
    for name in names.values():
        if name not in CATEGORIES:
            raise DatasetError(
                mismatch(f"{annotations}: categories", f"{' or '.join(CATEGORIES)}", repr(name))
            )
    if not data["images"]:
        raise DatasetError(mismatch(f"{annotations}: images", "at least one picture", "none"))
    by_image: dict[int, list[dict[str, Any]]] = {one["id"]: [] for one in data["images"]}
    for one in data["annotations"]:
        if one["image_id"] not in by_image:
            raise DatasetError(
                mismatch(f"{annotations}: annotation {one['id']}", "a known image_id", one["image_id"])
            )
        by_image[one["image_id"]].append(one)
    return [_sample(annotations, images, one, by_image[one["id"]], names) for one in data["images"]]


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


def _sample(
    file: Path, images: Path, image: dict[str, Any], found: list[dict[str, Any]], names: dict[int, str]
) -> Sample:
    width, height = int(image["width"]), int(image["height"])
    boxes = np.array([_xyxy(file, one, width, height) for one in found], np.float32).reshape(-1, 4)
    labels = np.array([CATEGORIES[names[one["category_id"]]] for one in found], np.int64)
    path = images / image["file_name"]
    return Sample(image["id"], path, width, height, image.get("source", "unknown"), boxes, labels)


def _xyxy(
    file: Path, annotation: dict[str, Any], width: int, height: int
) -> tuple[float, float, float, float]:
    x, y, w, h = annotation["bbox"]
    inside = x >= -1 and y >= -1 and x + w <= width + 1 and y + h <= height + 1
    if not (w > 0 and h > 0 and inside):
        where = f"{file}: annotation {annotation['id']}: bbox"
        raise DatasetError(mismatch(where, f"a box with area inside {width}x{height}", annotation["bbox"]))
    return max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
