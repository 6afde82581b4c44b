"""Annotations that cannot be trusted are refused, by name."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest

from handguard.errors import DatasetError
from handguard.training.coco import decode_picture, load_coco
from handguard.training.datasets import Split, load_split
from tests.training.conftest import DrawnSet


def refused(drawn: DrawnSet, match: str) -> None:
    with pytest.raises(DatasetError, match=match) as caught:
        load_split(drawn.root, Split.TRAIN)
    assert "annotations.json" in str(caught.value)


def first_box(drawn: DrawnSet, **changed: Any) -> None:
    data = json.loads(drawn.annotations("train").read_text())
    drawn.change("train", "annotations", [{**data["annotations"][0], **changed}, *data["annotations"][1:]])


def test_a_sound_set_is_read_in_its_order(drawn: DrawnSet) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    assert [one.image_id for one in samples] == list(range(1, 13))
    assert samples[2].boxes_px.shape == (0, 4) and samples[0].boxes_px.shape == (1, 4)


def test_an_empty_data_set_is_refused(drawn: DrawnSet) -> None:
    drawn.change("train", "images", [])
    refused(drawn, "images: expected at least one picture, found none")


def test_an_annotation_of_an_unknown_category_is_refused_by_its_name(drawn: DrawnSet) -> None:
    drawn.change("train", "categories", [{"id": 1, "name": "hand"}, {"id": 2, "name": "foot"}])
    first_box(drawn, category_id=2)
    refused(drawn, 'annotation 1: category_id: expected hand or gloved_hand, found 2, which is "foot"')


def test_a_category_that_no_annotation_uses_may_be_anything(drawn: DrawnSet) -> None:
    """As in every COCO export of Roboflow."""
    before = load_split(drawn.root, Split.TRAIN)
    ours = json.loads(drawn.annotations("train").read_text())["categories"]
    drawn.change("train", "categories", [{"id": 0, "name": "hands", "supercategory": "none"}, *ours])
    after = load_split(drawn.root, Split.TRAIN)
    assert [one.labels.tolist() for one in after] == [one.labels.tolist() for one in before]
    assert any(len(one.labels) for one in after)
    first_box(drawn, category_id=7)
    refused(drawn, "annotation 1: category_id: expected one of 1, 2, found 7")


def test_a_category_id_that_nobody_named_is_refused(drawn: DrawnSet) -> None:
    first_box(drawn, category_id=7)
    refused(drawn, "annotation 1: category_id: expected one of 1, 2, found 7")


@pytest.mark.parametrize(
    "bbox",
    [
        [90, 10, 30, 20],
        [-5, 10, 30, 20],
        [10, 10, 0, 20],
        [10, 10, 20, -1],
        [-0.9, 5, 0.8, 4],  # within the pixel that is borne, but nothing of it in the picture
        [5, 80.2, 9, 0.5],
        [95.9999999, 5, 1, 4],
        [10, 10, float("inf"), 5],
    ],
)
def test_a_box_outside_its_picture_or_without_area_is_refused(drawn: DrawnSet, bbox: list[int]) -> None:
    first_box(drawn, bbox=bbox)
    refused(drawn, r"annotation 1: bbox: expected a box with area inside 96x80, found \[")


@pytest.mark.parametrize("bbox", [[1, 2, 3], "1234", [1, 2, 3, None], [1, 2, float("nan"), 4], {}, 10**400])
def test_a_box_that_is_no_box_is_refused(drawn: DrawnSet, bbox: object) -> None:
    first_box(drawn, bbox=bbox)
    refused(drawn, "annotation 1: bbox: expected")


def test_a_box_that_reaches_out_by_less_than_a_pixel_is_clipped(drawn: DrawnSet) -> None:
    first_box(drawn, bbox=[-0.9, 5, 97.5, 4])
    assert load_split(drawn.root, Split.TRAIN)[0].boxes_px[0].tolist() == [0, 5, 96, 9]


@pytest.mark.parametrize("told", [1, True, "1"])
def test_a_region_of_many_hands_is_refused(drawn: DrawnSet, told: object) -> None:
    first_box(drawn, iscrowd=told)
    refused(drawn, r"annotation 1: iscrowd: expected 0 \(a region of many hands is neither .*\), found")


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"a": {"id": 1}}, ": expected a list of objects, found a block of keys"),
        (None, ": expected a list of objects, found nothing"),
        ("x", ': expected a list of objects, found "x"'),
        ([None], r"\[0\]: expected an object, found nothing"),
    ],
)
def test_a_table_of_another_kind_is_refused(drawn: DrawnSet, key: str, value: object, told: str) -> None:
    drawn.change("train", key, value)
    refused(drawn, f": {key}{told}")


@pytest.mark.parametrize("text", ["[]", "null", "3", '"images annotations categories"'])
def test_a_file_that_is_no_object_is_refused(drawn: DrawnSet, text: str) -> None:
    drawn.annotations("train").write_text(text)
    refused(drawn, "expected an object with images, annotations and categories, found ")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("width", "x", 'image 1: width: expected a whole number of pixels above 0, found "x"'),
        ("width", None, "image 1: width: expected a whole number of pixels above 0, found nothing"),
        ("width", float("nan"), "image 1: width: expected a whole number of pixels above 0, found NaN"),
        ("height", float("inf"), "image 1: height: expected a whole number of pixels above 0, found Infinity"),
        ("height", 80.5, "image 1: height: expected a whole number of pixels above 0, found 80.5"),
        ("height", -80, "image 1: height: expected a whole number of pixels above 0, found -80"),
        ("file_name", 3, "image 1: file_name: expected text, found 3"),
        ("file_name", "", 'image 1: file_name: expected text, found ""'),
        ("source", None, "image 1: source: expected text, found nothing"),
        ("id", [1], r"id: expected a whole number or text, found \[1\]"),
        ("id", 2, "id 2: expected each id once, found it again"),
    ],
)
def test_a_bad_value_of_a_picture_is_refused(drawn: DrawnSet, key: str, value: object, told: str) -> None:
    images = json.loads(drawn.annotations("train").read_text())["images"]
    drawn.change("train", "images", [{**images[0], key: value}, *images[1:]])
    refused(drawn, f"images: {told}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image_id": [1]}, r"image_id: expected the id of one of images, found \[1\]"),
        ({"image_id": "1"}, 'image_id: expected the id of one of images, found "1"'),
        ({"category_id": {}}, "category_id: expected one of 1, 2, found an empty block"),
    ],
)
def test_an_id_of_another_kind_is_refused(drawn: DrawnSet, change: dict[str, Any], told: str) -> None:
    first_box(drawn, **change)
    refused(drawn, f"annotation 1: {told}")


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"id": 1, "name": "gloved_hand"}, "categories: id 1: expected each id once, found it again"),
        ({"id": None, "name": "gloved_hand"}, "categories: id: expected a whole number or text, found nothing"),
        ({"id": 2, "name": ["hand"]}, r"categories: expected hand or gloved_hand, found \['hand'\]"),
    ],
)
def test_categories_that_leave_a_class_in_doubt_are_refused(
    drawn: DrawnSet, second: dict[str, Any], told: str
) -> None:
    drawn.change("train", "categories", [{"id": 1, "name": "hand"}, second])
    refused(drawn, told)


def test_ids_may_be_text_and_the_file_may_begin_with_a_mark(drawn: DrawnSet) -> None:
    before = load_split(drawn.root, Split.TRAIN)
    data = json.loads(drawn.annotations("train").read_text())
    for one in data["images"]:
        one["id"] = f"é{one['id']}"
    for one in data["annotations"]:
        one["image_id"] = f"é{one['image_id']}"
    drawn.annotations("train").write_text(json.dumps(data, ensure_ascii=False), "utf-8-sig")
    after = load_split(drawn.root, Split.TRAIN)
    assert [one.boxes_px.tolist() for one in after] == [one.boxes_px.tolist() for one in before]
    assert after[0].image_id == "é1"


def test_an_annotation_of_no_picture_is_refused(drawn: DrawnSet) -> None:
    first_box(drawn, image_id=99)
    refused(drawn, "annotation 1: image_id: expected the id of one of images, found 99")


def test_a_missing_key_is_named(drawn: DrawnSet) -> None:
    drawn.change("train", "images", [{"id": 1, "file_name": "001.jpg"}])
    drawn.change("train", "annotations", [])
    refused(drawn, "images: image 1: expected width, found nothing")


def test_no_json_and_no_file_are_refused(drawn: DrawnSet) -> None:
    drawn.annotations("train").write_text("{")
    refused(drawn, "expected JSON")
    for data in (b"\xe9", b"[" * 100_000):
        drawn.annotations("train").write_bytes(data)
        refused(drawn, "expected JSON")
    drawn.annotations("train").unlink()
    with pytest.raises(
        DatasetError, match=r"annotations\.json: expected a COCO annotation file, found No such"
    ):
        load_coco(drawn.annotations("train"), drawn.root)


def test_a_picture_of_another_size_is_refused(drawn: DrawnSet) -> None:
    data = json.loads(drawn.annotations("train").read_text())
    drawn.change("train", "images", [{**data["images"][2], "width": 97}])
    drawn.change("train", "annotations", [])
    with pytest.raises(DatasetError, match=r"003\.jpg: expected 97x80 pixels, found 96x80"):
        decode_picture(load_split(drawn.root, Split.TRAIN)[0])


SAMSUNG = b"\0\0\x01\n\x0e\0\0\0Image_UTC_Data1700000000000SEFHk\0\0\0\x01\0\0\0SEFT"
FILM = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(range(256)) * 20
PLAIN, PROGRESSIVE = [], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]


def with_thumbnail(jpeg: bytes) -> bytes:
    """A JPEG within a segment of the JPEG, as cameras have it; its end marker is not that of the picture."""
    small = cv2.imencode(".jpg", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()
    segment = b"Exif\0\0" + small
    return jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:]


@pytest.mark.parametrize("coding", [PLAIN, PROGRESSIVE], ids=["plain", "progressive"])
def test_a_whole_jpeg_may_have_anything_after_it_and_a_truncated_one_is_refused(
    drawn: DrawnSet, coding: list[int]
) -> None:
    sample = load_split(drawn.root, Split.TRAIN)[0]
    image = decode_picture(sample)
    jpeg = with_thumbnail(cv2.imencode(".jpg", image, coding)[1].tobytes())
    sample.path.write_bytes(jpeg)
    whole = decode_picture(sample)
    assert np.abs(whole.astype(int) - image).mean() < 10
    for trailer in (b"\n", b"\0" * 9, b"\xff", b"\xff\xd9", SAMSUNG, FILM):
        sample.path.write_bytes(jpeg + trailer)
        assert np.array_equal(decode_picture(sample), whole)
    for length in {*range(2, len(jpeg), 97), len(jpeg) - 2, len(jpeg) - 1}:
        for trailer in (b"", b"\n"):
            sample.path.write_bytes(jpeg[:length] + trailer)
            with pytest.raises(DatasetError, match=r"001\.jpg: expected a complete picture, found"):
                decode_picture(sample)


def test_a_missing_picture_is_refused(drawn: DrawnSet) -> None:
    sample = load_split(drawn.root, Split.TRAIN)[0]
    sample.path.unlink()
    with pytest.raises(DatasetError, match=r"001\.jpg: expected a readable picture, found No such file"):
        decode_picture(sample)
