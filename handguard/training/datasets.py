"""A data folder with its train and val pictures, whatever format it is in."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from handguard.training.coco import Sample, load_coco


class Split(Enum):
    """Pictures to learn from, and pictures to judge by."""

    TRAIN = "train"
    VAL = "val"


def load_split(root: Path, split: Split) -> list[Sample]:
    """The samples of one split. Raises `DatasetError`."""
    folder = root / split.value
    return load_coco(folder / "annotations.json", folder / "images")
