from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.detection.detector import Region, fitted_input, region_round
from handguard.detection.preprocess import (
    GRAY,
    HALVES_WELL,
    Letterbox,
    letterboxed,
    placement_for,
)


def test_a_wide_picture_lies_at_the_top_over_grey():
    canvas, placement = letterboxed(np.full((90, 160, 3), 200, np.uint8), (320, 320))
    assert placement.scale == 2
    assert (canvas[:180] == 200).all()
    assert (canvas[180:] == GRAY).all()


def test_a_box_comes_back_to_the_pixels_it_came_from():
    placement = placement_for((640, 360), (416, 256), origin_px=(100, 50))
    in_input = np.array([[0.65 * 64, 0.65 * 36, 0.65 * 320, 0.65 * 180]], np.float32) / [416, 256, 416, 256]
    back = placement.to_picture(in_input.astype(np.float32))
    np.testing.assert_allclose(back, [[164, 86, 420, 230]], rtol=1e-5)


def test_a_box_in_the_grey_is_clipped_to_the_crop():
    placement = placement_for((160, 90), (320, 320))
    np.testing.assert_allclose(
        placement.to_picture(np.array([[-1, -1, 2, 2]], np.float32)), [[0, 0, 160, 90]]
    )


@given(st.integers(16, 3000), st.integers(16, 3000), st.sampled_from([(320, 320), (416, 256), (300, 300)]))
def test_every_picture_fits_its_input(width: int, height: int, input_px: tuple[int, int]):
    placement = placement_for((width, height), input_px)
    assert round(width * placement.scale) <= input_px[0]
    assert round(height * placement.scale) <= input_px[1]


def test_a_wide_camera_gets_a_wide_input_of_equal_cost():
    assert fitted_input((640, 360), (320, 320), 32) == (416, 256)
    assert fitted_input((500, 500), (320, 320), 32) == (320, 320)
    assert fitted_input((360, 640), (320, 320), 32) == (256, 416)


def test_the_region_goes_round_all_zones_and_stays_in_the_picture():
    zones = [np.array([[100, 100], [200, 100], [200, 150]]), np.array([[300, 340], [310, 350], [300, 350]])]
    assert region_round(zones, (640, 360), 0.0) == Region(100, 100, 316, 356)
    assert region_round(zones, (640, 360), 0.2) == Region(50, 48, 362, 360)


CORNERS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=6)


@given(st.integers(16, 3000), st.integers(16, 3000), CORNERS)
def test_a_region_holds_its_zones_and_halves_well_where_the_picture_has_room(
    width: int, height: int, corners: list[tuple[float, float]]
):
    zone = np.array(corners) * [width, height]
    region = region_round([zone], (width, height), 0.0)
    assert 0 <= region.x1 <= region.x2 <= width and 0 <= region.y1 <= region.y2 <= height
    for axis, (first, last, limit) in enumerate([(region.x1, region.x2, width), (region.y1, region.y2, height)]):
        assert first <= zone[:, axis].min() and zone[:, axis].max() <= last
        assert (last - first) % HALVES_WELL == 0 or (first, last) == (0, limit)
        assert last - first < np.ptp(zone[:, axis]) + 2 + HALVES_WELL


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (1281, 721), (720, 1280)])
def test_a_large_picture_is_averaged_and_not_sampled(size: tuple[int, int]):
    """A checkerboard of single pixels is gray from afar, and a picture in two colors has its edge where it was."""
    rows, columns = np.indices((size[1], size[0]))
    board = np.repeat((255 * ((rows + columns) % 2)).astype(np.uint8)[..., None], 3, axis=2)
    canvas, placement = letterboxed(board, (416, 256))
    shown = canvas[: int(size[1] * placement.scale) - 1, : int(size[0] * placement.scale) - 1]
    assert abs(shown.astype(int) - 127).max() <= 16
    halves = np.repeat((columns >= 640).astype(np.uint8)[..., None] * 200, 3, axis=2)
    canvas, placement = letterboxed(halves, (416, 256))
    edge_px = np.argmax(canvas[10, :, 0] > 100) / placement.scale
    assert abs(edge_px - 640) <= 1 / placement.scale


@pytest.mark.parametrize("size", [(1, 1), (3, 2)])
def test_a_tiny_picture_is_still_placed(size: tuple[int, int]):
    canvas, _ = letterboxed(np.zeros((size[1], size[0], 3), np.uint8), (64, 64))
    assert canvas.shape == (64, 64, 3)


@pytest.mark.parametrize(
    "size", [(1280, 720), (590, 262), (1920, 1080), (766, 521), (300, 700), (416, 256), (200, 100), (640, 300)]
)
@pytest.mark.parametrize("input_px", [(416, 256), (320, 320), (512, 512)])
def test_the_grey_that_is_resized_along_changes_no_pixel(size: tuple[int, int], input_px: tuple[int, int]):
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    canvas, placement = letterboxed(picture, input_px)
    halved = picture
    for _ in range(placement.halvings):
        halved = cv2.resize(halved, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    out = round(size[0] * placement.scale), round(size[1] * placement.scale)
    is_small = out[0] / halved.shape[1] < 0.6
    expected = np.full((input_px[1], input_px[0], 3), GRAY, np.uint8)
    expected[: out[1], : out[0]] = cv2.resize(
        halved, out, interpolation=cv2.INTER_AREA if is_small else cv2.INTER_LINEAR
    )
    np.testing.assert_array_equal(canvas, expected)


def test_a_letterbox_is_drawn_into_again_and_again():
    letterbox = Letterbox(placement_for((1280, 720), (416, 256)))
    canvas = np.full((256, 416, 3), GRAY, np.uint8)
    for seed in range(3):
        picture = np.random.default_rng(seed).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
        letterbox.draw(picture, canvas)
        np.testing.assert_array_equal(canvas, letterboxed(picture, (416, 256))[0])


def test_a_canvas_of_another_size_is_refused_and_not_left_as_it_was():
    letterbox = Letterbox(placement_for((1280, 720), (416, 256)))
    with pytest.raises(ValueError, match=r"the network's input: expected \(256, 416, 3\), found \(320, 320, 3\)"):
        letterbox.draw(np.zeros((720, 1280, 3), np.uint8), np.zeros((320, 320, 3), np.uint8))
