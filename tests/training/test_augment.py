"""Augmentation moves boxes with their pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from handguard.training.augment import (
    CUT_TO,
    LEAST_SEEN,
    NONE,
    PROBABILITIES,
    Augmentation,
    _moved,
    augmented,
)
from handguard.training.coco import Sample
from handguard.training.picture import IGNORED

SIDE = 160
GEOMETRY = replace(NONE, zoom=(0.7, 2.2), aspect=1.3, quarter_turns=0.5, flip=0.5)


def drawn(folder: Path, *, round_hand: bool = False, size_px: tuple[int, int] = (200, 150)) -> Sample:
    """A black picture with one white hand, exactly as large as its box."""
    image = np.zeros((size_px[1], size_px[0], 3), np.uint8)
    x1, y1, x2, y2 = 60, 50, 110, 90
    if round_hand:
        cv2.ellipse(image, (85, 70), (24, 19), 0, 0, 360, (255, 255, 255), -1)
    else:
        image[y1:y2, x1:x2] = 255
    path = folder / "drawn.png"
    cv2.imwrite(str(path), image)
    boxes = np.array([[x1, y1, x2, y2]], np.float32)
    return Sample(1, path, *size_px, "drawn", boxes, np.zeros(1, np.int64))


def white_extent(image: np.ndarray) -> tuple[int, int, int, int] | None:
    rows, columns = np.nonzero(image[..., 0] > 200)
    if len(rows) == 0:
        return None
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("seed", range(60))
def test_a_moved_rectangle_fills_its_moved_box(tmp_path: Path, seed: int) -> None:
    sample = drawn(tmp_path)
    image, boxes, _labels = augmented([sample] * 4, np.random.default_rng(seed), SIDE, GEOMETRY)
    extent = white_extent(image)
    if len(boxes) == 0:
        assert extent is None or (image[..., 0] > 200).mean() < 0.02
        return
    assert extent is not None
    assert (boxes >= 0).all() and (boxes <= SIDE).all()
    assert np.abs(boxes[0] - extent).max() <= 1.5, "pixels and box have parted"


@pytest.mark.parametrize("seed", range(40))
def test_a_turned_hand_stays_inside_its_box(tmp_path: Path, seed: int) -> None:
    sample = drawn(tmp_path, round_hand=True)
    how = replace(GEOMETRY, rotation_deg=30.0)
    image, boxes, _ = augmented([sample] * 4, np.random.default_rng(seed), SIDE, how)
    extent = white_extent(image)
    if extent is None or len(boxes) == 0:
        return
    x1, y1, x2, y2 = boxes[0]
    assert extent[0] >= x1 - 1.5 and extent[1] >= y1 - 1.5
    assert extent[2] <= x2 + 1.5 and extent[3] <= y2 + 1.5


@pytest.mark.parametrize("seed", range(16))
def test_flips_and_quarter_turns_are_exact_to_the_pixel(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / "noise.png"
    original = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    cv2.imwrite(str(path), original)
    box = np.array([[20, 30, 70, 50]], np.float32)
    sample = Sample(1, path, SIDE, SIDE, "noise", box, np.zeros(1, np.int64))
    how = replace(GEOMETRY, zoom=(1.0, 1.0), aspect=1.0, quarter_turns=1.0, flip=0.5)
    image, boxes, _ = augmented([sample] * 4, rng, SIDE, how)
    marked = np.zeros((SIDE, SIDE), np.uint8)
    marked[30:50, 20:70] = 1
    views = [(turn(flip(original)), turn(flip(marked))) for flip in FLIPS for turn in TURNS]
    where = [mark for view, mark in views if np.array_equal(view, image)]
    assert len(where) == 1, "the picture is none of the eight turned and flipped ones"
    rows, columns = np.nonzero(where[0])
    assert boxes[0].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


FLIPS = (lambda x: x, lambda x: x[:, ::-1])
TURNS = tuple(lambda x, n=n: np.rot90(x, n) for n in range(4))


@pytest.mark.parametrize("seed", range(20))
def test_everything_at_once_keeps_boxes_inside_and_labels_known(tmp_path: Path, seed: int) -> None:
    sample = drawn(tmp_path)
    how = Augmentation(**dict.fromkeys(PROBABILITIES, 1.0) | {"mosaic": 0.5})
    image, boxes, labels = augmented([sample] * 4, np.random.default_rng(seed), SIDE, how)
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
    assert len(boxes) == len(labels)
    assert (boxes >= 0).all() and (boxes <= SIDE).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert set(labels.tolist()) <= {IGNORED, 0, 1}


def test_everything_off_is_a_plain_letterbox(tmp_path: Path) -> None:
    sample = drawn(tmp_path, size_px=(200, 200))
    image, boxes, labels = augmented([sample] * 4, np.random.default_rng(0), 200, NONE)
    assert np.array_equal(image, cv2.imread(str(sample.path)))
    assert np.array_equal(boxes, sample.boxes_px) and labels.tolist() == [0]


def cut_shares(sample: Sample, how: Augmentation) -> list[float]:
    """Of 60 inputs that show the hand at twice its size: how much of it an edge of the input leaves, on that axis."""
    shares = []
    for seed in range(60):
        _, boxes, _ = augmented([sample] * 4, np.random.default_rng(seed), SIDE, how)
        for x1, y1, x2, y2 in boxes:
            width, height = (x2 - x1) / 100, (y2 - y1) / 80
            shares += [width] if (x1 == 0 or x2 == SIDE) and width < 0.99 else []
            shares += [height] if (y1 == 0 or y2 == SIDE) and height < 0.99 else []
    return shares


def test_an_edge_cuts_hands_as_it_does_those_that_reach_in(tmp_path: Path) -> None:
    sample = drawn(tmp_path)
    seldom = replace(NONE, zoom=(2.5, 2.5), flip=0.5)
    always = replace(seldom, edge_cut=1.0)
    low, high = CUT_TO
    wanted = [share for share in cut_shares(sample, always) if low - 0.02 <= share <= high + 0.02]
    assert len(wanted) > 45
    assert min(wanted) < 0.3 < 0.5 < max(wanted)
    assert min(cut_shares(sample, seldom)) > 0.35, "by chance, an edge leaves about half of a hand and more"


def test_an_edge_cuts_hands_of_pictures_that_are_smaller_than_the_input_too(tmp_path: Path) -> None:
    sample = drawn(tmp_path)
    always = replace(NONE, zoom=(0.5, 2.0), edge_cut=1.0)
    cut = 0
    for seed in range(100):
        _, boxes, _ = augmented([sample] * 4, np.random.default_rng(seed), SIDE, always)
        cut += any(x1 == 0 or y1 == 0 or x2 == SIDE or y2 == SIDE for x1, y1, x2, y2 in boxes)
    assert cut > 80, "90 of 100 inputs are placed by a hand"


def test_what_is_hardly_seen_of_a_hand_is_neither_hand_nor_background() -> None:
    hand, still = np.array([[0, 0, 10, 100]], np.float32), np.eye(2, 3)
    for seen, label in ((LEAST_SEEN + 0.01, 0), (LEAST_SEEN - 0.01, IGNORED)):
        _, labels = _moved(hand, np.zeros(1, np.int64), still, (50, round(100 * seen)))
        assert labels.tolist() == [label]


def test_the_picture_given_is_never_written_to(tmp_path: Path) -> None:
    sample = drawn(tmp_path)
    before = sample.boxes_px.copy()
    augmented([sample] * 4, np.random.default_rng(3), SIDE, Augmentation())
    assert np.array_equal(before, sample.boxes_px)


@pytest.mark.parametrize(
    "wrong",
    [{"zoom": (2.0, 1.0)}, {"zoom": (0.0, 1.0)}, {"aspect": 0.9}, {"rotation_deg": -1.0}, {"mosaic_until": 1.1}]
    + [{name: value} for name in PROBABILITIES for value in (-0.1, 1.1, float("nan"))],
)  # fmt: skip
def test_an_augmentation_that_makes_no_sense_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)
