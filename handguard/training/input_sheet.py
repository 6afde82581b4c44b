"""What the network is shown: training inputs with their boxes, one sheet per part of the augmentation.

An augmentation that looks wrong to a person teaches something wrong. The pictures
show people: a `.gitignore` beside the sheets keeps them out of every repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from handguard.atomic import write_atomically
from handguard.training.augment import NONE, Augmentation, augmented
from handguard.training.coco import Sample
from handguard.training.contact_sheet import keep_out_of_repositories
from handguard.training.picture import IGNORED, Image
from handguard.training.writing import writing
from handguard.types import HandClass

COLUMNS, ROWS = 6, 4
SIDE_PX = 256
COLORS_BGR = {HandClass.HAND: (60, 60, 235), HandClass.GLOVED_HAND: (40, 200, 250), IGNORED: (160, 160, 160)}

PARTS = {
    "recolored-gloves": replace(NONE, glove_recolor=1.0),
    "textured-gloves": replace(NONE, glove_texture=1.0),
    "pasted-hands": replace(NONE, paste=1.0),
    "harsh-light": replace(NONE, harsh_light=1.0),
    "motion-blur": replace(NONE, motion_blur=1.0),
    "low-resolution": replace(NONE, low_resolution=1.0),
    "cut-hands": replace(NONE, zoom=(1.5, 2.5), edge_cut=1.0),
}


def draw_inputs(samples: Sequence[Sample], how: Augmentation, folder: Path, seed: int = 0) -> list[str]:
    """PNG files into `folder`: one for each part alone, and `together.png` as `how` mixes them.

    Returns a line for each: its path, or why it was left out. Raises `ConfigError` for a folder
    that git would not pass by.
    """
    with writing(folder):
        keep_out_of_repositories(folder)
        return [_sheet(samples, one, name, folder, seed) for name, one in {**PARTS, "together": how}.items()]


def _sheet(samples: Sequence[Sample], how: Augmentation, name: str, folder: Path, seed: int) -> str:
    first, lacking = _fitting(samples, name)
    if not first:
        return f"{name}: left out, for {lacking}"
    rng = np.random.default_rng(seed)
    tiles = [_input((first, list(samples)), rng, how) for _ in range(ROWS * COLUMNS)]
    rows = [np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    _, coded = cv2.imencode(".png", np.vstack(rows))
    path = folder / f"{name}.png"
    write_atomically(path, coded.tobytes())
    return str(path)


def _fitting(samples: Sequence[Sample], name: str) -> tuple[list[Sample], str]:
    """What is drawn first (a part is shown on pictures that it can change), and what is wrong if there is none."""
    gloved = [one for one in samples if (one.labels == HandClass.GLOVED_HAND).any()]
    handed = [one for one in samples if len(one.boxes_px)]
    empty = [one for one in samples if len(one.boxes_px) == 0]
    no_glove, no_hand = ("no training picture shows a gloved hand", "no training picture shows a hand")
    fitting = {
        "recolored-gloves": (gloved, no_glove),
        "textured-gloves": (gloved, no_glove),
        "pasted-hands": (empty if handed else [], "no training picture is hand-free" if handed else no_hand),
        "cut-hands": (handed, no_hand),
    }
    return fitting.get(name, (list(samples), "there is no training picture"))


def _input(pool: tuple[list[Sample], list[Sample]], rng: np.random.Generator, how: Augmentation) -> Image:
    first, others = pool
    picks = [first[rng.integers(len(first))], *(others[rng.integers(len(others))] for _ in range(3))]
    image, boxes, labels = augmented(picks, rng, SIDE_PX, how)
    for box, label in zip(boxes, labels, strict=True):
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        cv2.rectangle(image, (x1, y1), (x2, y2), COLORS_BGR[int(label)], 1)
    return image
