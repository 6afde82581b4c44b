"""Annotated pictures in YOLO form: one text file per picture, `class x y width height` a line, as fractions.

A picture without a text file, or with an empty one, shows no hand. Sub-folders of
pictures have the same below labels: `images/day1/a.jpg`, `labels/day1/a.txt`. A text
file that belongs to no picture is refused, for its hands would be lost. What class
numbers mean stands in `data.yaml` (`names`) or in `classes.txt`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from handguard.config.problems import shown
from handguard.config.strict_yaml import parse
from handguard.detection.pictures import read_picture
from handguard.errors import DatasetError, mismatch
from handguard.training.coco import CATEGORIES, Sample, inside, lines_of
from handguard.types import HandClass

PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
CLASSES = "classes.txt"


def load_yolo(images: Path, labels: Path, kinds: Sequence[HandClass], source: str) -> list[Sample]:
    """One sample per picture below `images`, numbered from 1; every picture is read for its size.

    Raises `DatasetError`, also for the first text file below `labels` that belongs to no picture.
    """
    pictures = [path for path in _files_below(images) if path.suffix.lower() in PICTURES]
    if not pictures:
        raise DatasetError(mismatch(str(images), "at least one picture", "none"))
    named = [labels / path.relative_to(images).with_suffix(".txt") for path in pictures]
    _require_answered(images, labels, set(named))
    pairs = zip(pictures, named, strict=True)
    return [_sample(number, *pair, kinds, source) for number, pair in enumerate(pairs, 1)]


def class_names(folders: Sequence[Path]) -> list[HandClass]:
    """From the first `data.yaml` or `classes.txt` in these folders. Raises `DatasetError`."""
    for folder in folders:
        for file, read in ((folder / "data.yaml", _from_yaml), (folder / CLASSES, _from_lines)):
            if file.is_file():
                return [_kind(file, name) for name in read(file)]
    where = " or ".join(str(folder) for folder in folders)
    raise DatasetError(mismatch(where, "data.yaml or classes.txt, which names the classes", "neither"))


def _files_below(folder: Path) -> list[Path]:
    """In order of their paths; links are followed."""
    walked = os.walk(folder, followlinks=True)
    return sorted(Path(where) / name for where, _, names in walked for name in names)


def _require_answered(images: Path, labels: Path, known: set[Path]) -> None:
    for file in _files_below(labels):
        if file.suffix.lower() == ".txt" and file.name != CLASSES and file not in known:
            place = images / file.relative_to(labels).with_suffix("")
            expected = f"a picture of this name, {place} with one of {' '.join(sorted(PICTURES))}"
            raise DatasetError(mismatch(str(file), expected, "none"))


def _sample(number: int, path: Path, file: Path, kinds: Sequence[HandClass], source: str) -> Sample:
    """`file` may be absent."""
    height, width = read_picture(path).shape[:2]
    lines = lines_of(file) if file.is_file() else []
    numbered = [(f"{file}: line {i}", line) for i, line in enumerate(lines, 1) if line.strip()]
    rows = [(where, *_row(where, line, kinds)) for where, line in numbered]
    boxes = [_box(where, numbers, width, height) for where, _, numbers in rows]
    return Sample(
        number,
        path,
        width,
        height,
        source,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([kind for _, kind, _ in rows], np.int64),
    )


def _row(where: str, line: str, kinds: Sequence[HandClass]) -> tuple[HandClass, list[float]]:
    try:
        kind, *numbers = [float(word) for word in line.split()]
    except ValueError as error:
        raise DatasetError(mismatch(where, "numbers", repr(line))) from error
    if len(numbers) != 4:
        raise DatasetError(mismatch(where, "a class and four numbers (boxes, not outlines)", repr(line)))
    if not (kind.is_integer() and 0 <= kind < len(kinds)):
        raise DatasetError(mismatch(where, f"a class from 0 to {len(kinds) - 1}", line.split()[0]))
    return kinds[int(kind)], numbers


def _box(where: str, row: list[float], width: int, height: int) -> tuple[float, float, float, float]:
    x, y, w, h = row
    box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    return inside(where, box, width, height)


def _from_yaml(file: Path) -> list[str]:
    """In the order of their numbers: `names` is a list, or a table from each number to its name."""
    try:
        tree = parse(file.read_bytes(), number_keys=True)
    except OSError as error:
        raise DatasetError(mismatch(str(file), "a file that can be read", error.strerror)) from error
    if tree.problems:
        raise DatasetError(tree.problems[0].worded(str(file)))
    found = tree.value.get("names") if isinstance(tree.value, dict) else None
    names = [found.get(str(number)) for number in range(len(found))] if isinstance(found, dict) else found
    if not isinstance(names, list) or not names or None in names:
        expected = "a list of class names, or one for each number from 0 on"
        raise DatasetError(mismatch(f"{file}: names", expected, shown(found)))
    return [str(name) for name in names]


def _from_lines(file: Path) -> list[str]:
    return [line.strip() for line in lines_of(file) if line.strip()]


def _kind(file: Path, name: str) -> HandClass:
    if name not in CATEGORIES:
        raise DatasetError(mismatch(f"{file}: class names", " and ".join(CATEGORIES), repr(name)))
    return CATEGORIES[name]
