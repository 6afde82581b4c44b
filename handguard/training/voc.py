"""Annotated pictures in PASCAL VOC form: one XML file per picture.

The boxes of VOC count pixels from 1 and include the last one; here they become
edges counted from 0. A hand marked `difficult` is a hand.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from handguard.errors import DatasetError, mismatch
from handguard.training.coco import CATEGORIES, Sample, inside, side_px
from handguard.types import HandClass


def load_voc(files: Sequence[Path], images: Path, source: str) -> list[Sample]:
    """One sample per XML file, numbered from 1. Raises `DatasetError`."""
    if not files:
        raise DatasetError(mismatch(str(images.parent), "at least one annotation (*.xml)", "none"))
    return [_sample(number, file, images, source) for number, file in enumerate(files, 1)]


def _sample(number: int, file: Path, images: Path, source: str) -> Sample:
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: of its encoding
        raise DatasetError(mismatch(str(file), "a VOC annotation (XML)", error)) from error
    width, height = (side_px(f"{file}: {key}", _text(file, root, key)) for key in ("size/width", "size/height"))
    objects = root.findall("object")
    boxes = np.array([_box(file, one, width, height) for one in objects], np.float32).reshape(-1, 4)
    labels = np.array([_kind(file, one) for one in objects], np.int64)
    return Sample(number, images / _text(file, root, "filename"), width, height, source, boxes, labels)


def _box(file: Path, one: ElementTree.Element, width: int, height: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (_number(file, one, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax"))
    return inside(f"{file}: bndbox", (x1 - 1, y1 - 1, x2, y2), width, height)


def _kind(file: Path, one: ElementTree.Element) -> HandClass:
    name = _text(file, one, "name")
    if name not in CATEGORIES:
        raise DatasetError(mismatch(f"{file}: object/name", " or ".join(CATEGORIES), repr(name)))
    return CATEGORIES[name]


def _text(file: Path, element: ElementTree.Element, path: str) -> str:
    found = element.findtext(path)
    if not found or not found.strip():
        raise DatasetError(mismatch(f"{file}: {path}", "a value", "nothing"))
    return found.strip()


def _number(file: Path, element: ElementTree.Element, path: str) -> float:
    text = _text(file, element, path)
    try:
        return float(text)
    except ValueError as error:
        raise DatasetError(mismatch(f"{file}: {path}", "a number", repr(text))) from error
