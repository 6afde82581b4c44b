"""Annotations that cannot be trusted are refused, by name."""

from __future__ import annotations

import json
from typing import Any

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


def test_an_unknown_category_is_refused_by_its_name(drawn: DrawnSet) -> None:
    drawn.change("train", "categories", [{"id": 1, "name": "hand"}, {"id": 2, "name": "foot"}])
    refused(drawn, "categories: expected hand or gloved_hand, found 'foot'")


def test_a_category_id_that_nobody_named_is_refused(drawn: DrawnSet) -> None:
    first_box(drawn, category_id=7)
    refused(drawn, "annotation 1: category_id: expected one of 1, 2, found 7")


@pytest.mark.parametrize("bbox", [[90, 10, 30, 20], [-5, 10, 30, 20], [10, 10, 0, 20], [10, 10, 20, -1]])
def test_a_box_outside_its_picture_or_without_area_is_refused(drawn: DrawnSet, bbox: list[int]) -> None:
    first_box(drawn, bbox=bbox)
    refused(drawn, r"annotation 1: bbox: expected a box with area inside 96x80, found \[")


@pytest.mark.parametrize("bbox", [[1, 2, 3], "wide", [1, 2, 3, None], [1, 2, float("nan"), 4]])
def test_a_box_that_is_no_box_is_refused(drawn: DrawnSet, bbox: object) -> None:
    first_box(drawn, bbox=bbox)
    refused(drawn, "annotation 1: bbox: expected")


def test_an_annotation_of_no_picture_is_refused(drawn: DrawnSet) -> None:
    first_box(drawn, image_id=99)
    refused(drawn, "annotation 1: expected a known image_id, found 99")


def test_a_missing_key_is_named(drawn: DrawnSet) -> None:
    drawn.change("train", "images", [{"id": 1, "file_name": "001.jpg"}])
    drawn.change("train", "annotations", [])
    refused(drawn, "images: image 1: expected width, found nothing")


def test_no_json_and_no_file_are_refused(drawn: DrawnSet) -> None:
    drawn.annotations("train").write_text("{")
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


def test_a_missing_picture_is_refused(drawn: DrawnSet) -> None:
    sample = load_split(drawn.root, Split.TRAIN)[0]
    sample.path.unlink()
    with pytest.raises(DatasetError, match=r"001\.jpg: expected a readable picture, found No such file"):
        decode_picture(sample)
