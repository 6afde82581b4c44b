"""Hands in single pictures, to a JSON file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.atomic import write_json
from handguard.detection.detector import HandDetector, Region
from handguard.detection.loading import Choice, load_detector
from handguard.errors import DatasetError, DeviceError, DiskRefusals, mismatch
from handguard.types import Frame, HandClass


def detect_pictures(
    paths: Sequence[Path], choice: Choice, out: Path, progress: Callable[[int, int | None], None]
) -> None:
    """Write `{model, images: [{file, width_px, height_px, hands: [{box_px, score, label}]}]}`.

    Boxes are x1 y1 x2 y2 in pixels of the original picture. The folder of `out` is made, and every
    picture read once, before the work; then they are taken size by size, with one detector at a time,
    and listed in the order of `paths`. Raises `DatasetError` for a picture that cannot be read, and `DeviceError`
    for what the disk refuses; then nothing is written.
    """
    if out.is_dir():
        raise DeviceError(mismatch(str(out), "a file to write", "a folder"))
    with DiskRefusals(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    sizes = [_size(read_picture(path)) for path in paths]
    hands: dict[int, list[dict[str, Any]]] = {}
    description = ""
    for size, group in groupby(sorted(range(len(paths)), key=sizes.__getitem__), key=sizes.__getitem__):
        detector = load_detector(choice, Region(0, 0, *size))
        description = detector.description
        for index in group:
            hands[index] = _hands(detector, paths[index], size)
            progress(len(hands), len(paths))
        del detector  # before the next one comes
    results = [
        {"file": str(path), "width_px": size[0], "height_px": size[1], "hands": hands[index]}
        for index, (path, size) in enumerate(zip(paths, sizes, strict=True))
    ]
    with DiskRefusals(out):
        write_json(out, {"model": description, "images": results})


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A picture as (H, W, 3) BGR. Raises `DatasetError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(mismatch(str(path), "a readable picture", error.strerror)) from error
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise DatasetError(mismatch(str(path), "a picture", f"{len(data)} bytes that do not decode"))
    return np.asarray(image, np.uint8)


def _size(image: NDArray[np.uint8]) -> tuple[int, int]:
    """(width, height) in pixels."""
    return image.shape[1], image.shape[0]


def _hands(detector: HandDetector, path: Path, size_px: tuple[int, int]) -> list[dict[str, Any]]:
    """Raises `DatasetError` for a picture that is no longer what it was when it was read first."""
    image = read_picture(path)
    if _size(image) != size_px:
        raise DatasetError(mismatch(str(path), f"{size_px[0]}x{size_px[1]} as before", "another size"))
    found = detector.detect(Frame(0, 0, image))
    return [
        {
            "box_px": [round(float(v), 2) for v in box],
            "score": round(float(score), 4),
            "label": HandClass(label).title,
        }
        for box, score, label in zip(found.boxes_px, found.scores, found.labels.tolist(), strict=True)
    ]
