"""A data folder with pictures to learn from and to judge by, in whichever form it is in.

    COCO   SPLIT/annotations.json (or _annotations.coco.json), pictures in SPLIT/images or SPLIT
    VOC    SPLIT/Annotations/*.xml and SPLIT/JPEGImages; or one folder for both splits,
           told apart by ImageSets/Main/SPLIT.txt; or SPLIT/*.xml beside the pictures
    YOLO   SPLIT/images and SPLIT/labels, or images/SPLIT and labels/SPLIT, both with the
           same sub-folders if any; class names in data.yaml or classes.txt

SPLIT is `train` or `val` (`valid` is understood). The form is chosen by what is
there; a folder that is none of these is refused with this list.
"""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path

from handguard.errors import DatasetError, mismatch
from handguard.training.coco import Sample, lines_of, load_coco
from handguard.training.voc import load_voc
from handguard.training.yolo import class_names, load_yolo

COCO_FILES = ("annotations.json", "_annotations.coco.json")
VERDICT = re.compile(r"\s+(-1|0|1)$")  # that a list of VOC may give beside a name


class Split(Enum):
    """Pictures to learn from, and pictures to judge by."""

    TRAIN = "train"
    VAL = "val"

    @property
    def spellings(self) -> tuple[str, ...]:
        """How folders call it."""
        return ("train",) if self is Split.TRAIN else ("val", "valid")


def load_split(root: Path, split: Split) -> list[Sample]:
    """The samples of one split. Raises `DatasetError`."""
    for load in (_coco, _voc, _yolo):
        for spelling in split.spellings:
            samples = load(root, spelling)
            if samples is not None:
                return samples
    expected = (
        f"{split.value} pictures as COCO ({split.value}/{COCO_FILES[0]}), "
        f"VOC ({split.value}/Annotations) or YOLO ({split.value}/labels)"
    )
    raise DatasetError(mismatch(str(root), expected, "none of them" if root.is_dir() else "no such folder"))


def _coco(root: Path, split: str) -> list[Sample] | None:
    folder = root / split
    file = next((folder / name for name in COCO_FILES if (folder / name).is_file()), None)
    if file is None:
        return None
    return load_coco(file, folder / "images" if (folder / "images").is_dir() else folder)


def _voc(root: Path, split: str) -> list[Sample] | None:
    listed = root / "ImageSets" / "Main" / f"{split}.txt"
    if listed.is_file():
        folder = root / "Annotations"
        files = [_annotation(folder, line.strip()) for line in lines_of(listed) if line.strip()]
        return load_voc(files, root / "JPEGImages", root.name)
    folder = root / split
    if (folder / "Annotations").is_dir():
        pictures = folder / "JPEGImages"
        files = sorted((folder / "Annotations").glob("*.xml"))
        return load_voc(files, pictures if pictures.is_dir() else folder / "images", root.name)
    beside = sorted(folder.glob("*.xml"))
    return load_voc(beside, folder, root.name) if beside else None


def _annotation(folder: Path, line: str) -> Path:
    """The file of a name, which may hold spaces, as it stands in a list: alone, or with a verdict after it."""
    whole = folder / f"{line}.xml"
    return whole if whole.is_file() else folder / f"{VERDICT.sub('', line)}.xml"


def _yolo(root: Path, split: str) -> list[Sample] | None:
    for images, labels in (
        (root / split / "images", root / split / "labels"),
        (root / "images" / split, root / "labels" / split),
    ):
        if labels.is_dir():
            return load_yolo(images, labels, class_names((root / split, root)), root.name)
    return None
