"""Hands are cut out, pasted where none are, and their boxes go with them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from handguard.training.coco import Sample, decode_picture
from handguard.training.pasting import Cutting, can_be_cut, with_pasted_hands
from handguard.training.regions import hand_region, inside_box, window_of
from handguard.types import HandClass

GREEN, ORANGE = (40, 160, 40), (30, 120, 240)


def saved(folder: Path, name: str, image: np.ndarray, boxes: list[list[float]]) -> Sample:
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), image)
    labels = np.full(len(boxes), HandClass.GLOVED_HAND, np.int64)
    height, width = image.shape[:2]
    return Sample(1, path, width, height, name, np.array(boxes, np.float32).reshape(-1, 4), labels)


@pytest.fixture
def empty(tmp_path: Path) -> Sample:
    return saved(tmp_path, "table", np.full((180, 240, 3), GREEN, np.uint8), [])


@pytest.fixture
def gloved(tmp_path: Path) -> Sample:
    """An orange hand with a sleeve of its color to the left edge of the picture."""
    rng = np.random.default_rng(5)
    image = rng.integers(90, 110, (160, 200, 3), dtype=np.uint8)
    cv2.ellipse(image, (110, 80), (38, 28), 0, 0, 360, ORANGE, -1)
    cv2.rectangle(image, (40, 66), (90, 94), ORANGE, -1)
    return saved(tmp_path, "gloved", image, [[72, 50, 150, 110]])


def orange(image: np.ndarray) -> np.ndarray:
    blue, _, red = (image[..., i].astype(int) for i in range(3))
    return red - blue > 80


def test_a_mask_follows_the_hand_and_its_sleeve_and_leaves_the_table(gloved: Sample) -> None:
    region = hand_region(gloved, 0)
    x1, y1, x2, y2 = region.window
    truth = orange(decode_picture(gloved))[y1:y2, x1:x2]
    assert region.is_cut
    assert region.weight.shape == truth.shape
    assert region.weight[truth].mean() > 0.8
    assert region.weight[~truth].mean() < 0.2
    sleeve = region.weight[:, : int(gloved.boxes_px[0][0]) - x1]
    assert sleeve.max() > 0.8
    of_glove = inside_box(region, gloved, 0)
    assert of_glove.weight[:, : sleeve.shape[1] - 12].max() == 0


def test_a_hand_that_cannot_be_told_from_its_background_gets_an_ellipse(tmp_path: Path) -> None:
    flat = saved(tmp_path, "flat", np.full((100, 100, 3), 128, np.uint8), [[20, 20, 80, 70]])
    region = hand_region(flat, 0)
    assert not region.is_cut
    height, width = region.weight.shape
    assert region.weight[height // 2, width // 2] == 1 and region.weight[0, 0] == 0


@pytest.mark.parametrize("seed", range(40))
def test_a_pasted_hand_fills_its_box_and_keeps_its_label(empty: Sample, gloved: Sample, seed: int) -> None:
    picture = with_pasted_hands([gloved, empty] * 2, np.random.default_rng(seed), decode_picture)
    assert picture is not None
    assert len(picture.boxes_px) == len(picture.labels) >= 1
    assert set(picture.labels.tolist()) == {HandClass.GLOVED_HAND}
    there = orange(picture.image)
    assert there.any()
    for x1, y1, x2, y2 in picture.boxes_px.astype(int):
        assert 0 <= x1 < x2 <= empty.width_px and 0 <= y1 < y2 <= empty.height_px
        assert there[y1:y2, x1:x2].mean() > 0.4
        middle = there[(y1 + y2) // 2, (x1 + x2) // 2]
        assert middle, "the hand is not where its box is"


def test_hands_reach_in_from_all_four_edges_arm_first(empty: Sample, gloved: Sample) -> None:
    touched = set()
    for seed in range(60):
        picture = with_pasted_hands([gloved, empty] * 2, np.random.default_rng(seed), decode_picture)
        assert picture is not None
        there = orange(picture.image)
        sides = {"left": there[:, 0], "right": there[:, -1], "top": there[0], "bottom": there[-1]}
        touched |= {name for name, line in sides.items() if line.any()}
    assert touched == {"left", "right", "top", "bottom"}


def test_the_picture_pasted_onto_is_not_written_to(empty: Sample, gloved: Sample) -> None:
    kept = decode_picture(empty)
    before = kept.copy()
    with_pasted_hands(
        [gloved, empty] * 2, np.random.default_rng(0), lambda s: kept if s is empty else decode_picture(s)
    )
    assert np.array_equal(kept, before)


def test_without_an_empty_picture_or_a_hand_nothing_is_pasted(empty: Sample, gloved: Sample) -> None:
    rng = np.random.default_rng(0)
    assert with_pasted_hands([gloved] * 4, rng, decode_picture) is None
    assert with_pasted_hands([empty] * 4, rng, decode_picture) is None


def test_a_hand_is_cut_only_if_large_enough_and_alone(tmp_path: Path, gloved: Sample) -> None:
    assert can_be_cut(gloved, 0)
    image = decode_picture(gloved)
    x1, _, x2, y2 = window_of(gloved, 0)
    beside = saved(tmp_path, "beside", image, [[72, 50, 150, 110], [x2, 50, x2 + 20, 70]])
    assert can_be_cut(beside, 0)
    near = saved(tmp_path, "near", image, [[72, 50, 150, 110], [x1 - 10, y2 - 1, x1 + 1, y2 + 10]])
    assert not can_be_cut(near, 0)
    assert not can_be_cut(saved(tmp_path, "small", image, [[72, 50, 111, 80]]), 0)
    assert can_be_cut(saved(tmp_path, "enough", image, [[72, 50, 112, 80]]), 0)


def marked() -> Cutting:
    """A cutting whose hand, and nothing else, is white, with its sleeve to the left."""
    image = np.zeros((30, 50, 3), np.uint8)
    image[8:20, 25:45] = 255
    weight = np.zeros((30, 50), np.float32)
    weight[10:18, :25] = 1
    return Cutting(image, weight, np.array([25, 8, 45, 20], np.float32), 1)


@pytest.mark.parametrize("quarters", range(-3, 5))
@pytest.mark.parametrize("mirror", [False, True])
def test_a_turned_cutting_turns_its_box_and_its_sleeve(quarters: int, mirror: bool) -> None:
    one = marked().turned(quarters)
    one = one.mirrored() if mirror else one
    rows, columns = np.nonzero(one.image[..., 0])
    assert one.box_px.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    side = quarters % 4
    assert one.arm_side == ({0: 2, 2: 0}.get(side, side) if mirror else side)


def test_a_scaled_cutting_scales_its_box() -> None:
    one = marked().scaled(0.5)
    assert one.image.shape == (15, 25, 3) and one.weight.shape == (15, 25)
    assert one.box_px.tolist() == [12.5, 4, 22.5, 10]
