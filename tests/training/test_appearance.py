"""Gloves, light and movement: what they change, how far, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from handguard.training import gloves, photometry
from handguard.training.coco import Sample, decode_picture
from handguard.training.photometry import Light, exposed_to
from handguard.types import HandClass

DAYLIGHT = Light(photometric=False, harsh_light=0.0, motion_blur=0.0, low_resolution=0.0, noise=0.0)


def pair(folder: Path) -> Sample:
    """A bare hand to the left, a gloved one to the right, both gray ovals on a darker table."""
    image = np.full((120, 240, 3), 60, np.uint8)
    for x in (60, 180):
        cv2.ellipse(image, (x, 60), (38, 30), 0, 0, 360, (150, 150, 150), -1)
    path = folder / "pair.png"
    cv2.imwrite(str(path), image)
    boxes = np.array([[20, 28, 100, 92], [140, 28, 220, 92]], np.float32)
    labels = np.array([HandClass.HAND, HandClass.GLOVED_HAND], np.int64)
    return Sample(1, path, 240, 120, "pair", boxes, labels)


@pytest.mark.parametrize("seed", range(25))
def test_a_new_material_is_on_the_glove_and_nowhere_else(tmp_path: Path, seed: int) -> None:
    sample = pair(tmp_path)
    before = decode_picture(sample)
    kept = before.copy()
    after = gloves.dressed(before, sample, np.random.default_rng(seed), recolor=0.0, texture=1.0)
    changed = np.abs(after.astype(int) - before).max(axis=-1)
    assert np.array_equal(before, kept), "the picture given was written to"
    assert changed[40:80, 160:200].mean() > 2, "the glove stayed as it was"
    assert changed[:, :120].max() == 0, "the bare hand was changed"
    assert changed[:10].max() == 0 and changed[-10:].max() == 0, "the table was changed"


@pytest.mark.parametrize("material", gloves.MATERIALS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("side", [28, 300])
def test_every_material_fits_small_and_large_gloves(material: gloves.Change, side: int) -> None:
    patch = np.full((side, side // 2, 3), 120, np.float32)
    out = material(patch, float(side), np.random.default_rng(1))
    assert out.shape == patch.shape and np.isfinite(out).all()
    assert (patch == 120).all()


def test_gloves_stay_as_they_are_without_a_wish(tmp_path: Path) -> None:
    sample = pair(tmp_path)
    image = decode_picture(sample)
    assert gloves.dressed(image, sample, np.random.default_rng(0), recolor=0.0, texture=0.0) is image


def test_a_hand_smears_by_no_more_than_two_meters_a_second_in_thirty_three_milliseconds() -> None:
    rng = np.random.default_rng(0)
    travels = [photometry.travelled_hands(rng) for _ in range(2000)]
    assert max(travels) <= 2.0 * 0.033 / 0.19 + 1e-9
    assert max(travels) > 0.3 and min(travels) < 0.05


def test_a_moving_hand_smears_and_the_table_far_from_it_does_not() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)
    box = np.array([[20, 20, 90, 80]], np.float32)
    blurred = replace(DAYLIGHT, motion_blur=1.0)
    local = 0
    for seed in range(30):
        out = exposed_to(image, box, np.random.default_rng(seed), blurred)
        rough = [float(np.abs(np.diff(part.astype(int), axis=1)).mean()) for part in (image, out)]
        assert rough[1] < rough[0]
        local += bool(np.array_equal(out[130:, 130:], image[130:, 130:]))
    assert 10 <= local < 30, "sometimes the hand moves, sometimes the camera"


@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_a_smear_is_a_line_as_long_as_the_way(angle: float) -> None:
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 255
    out = photometry._smeared(image, 11.0, angle)
    rows, columns = np.nonzero(out[..., 0])
    assert sorted((np.ptp(rows) + 1, np.ptp(columns) + 1)) == [1, 11]
    assert (np.ptp(columns) > np.ptp(rows)) == (angle == 0.0)


@pytest.mark.parametrize("kind", photometry.HARSH, ids=lambda one: one.__name__)
def test_harsh_light_changes_brightness_but_not_everything(kind: object) -> None:
    ramp = np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (150, 1, 3))
    for seed in range(10):
        out = kind(ramp, np.random.default_rng(seed))  # type: ignore[operator]
        assert out.shape == ramp.shape and out.dtype == np.uint8
        assert np.abs(out.astype(int) - ramp).mean() > 3
        assert out.std() > 8, "nothing can be seen any more"
        assert ramp[0, 7, 0] == 7, "the picture given was written to"


def test_nothing_asked_leaves_every_pixel() -> None:
    image = np.random.default_rng(0).integers(0, 255, (50, 60, 3), dtype=np.uint8)
    out = exposed_to(image, np.zeros((0, 4), np.float32), np.random.default_rng(1), DAYLIGHT)
    assert np.array_equal(out, image)
