"""Decisions held against the truth: no approach forgotten, no nuisance hidden."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handguard.errors import DatasetError
from handguard.evidence.decisions import DecisionLine
from handguard.replay.approaches import Approach, judge_approaches, read_approaches
from handguard.types import Output, State

APPROACH = Approach(20, 30)


def lines(stop=(), warning=(), blind=(), running=True, frames=60) -> list[DecisionLine]:
    """A machine that is off only in the frames named, as the lines of a file would say."""
    made = []
    for frame in range(frames):
        off = not running or frame in stop or frame in blind
        cause = "intruded: intake" if frame in stop else "blind: dark" if frame in blind else "free"
        zones = {"intake": frame in stop, "table": frame in warning}
        state = State.TRIPPED if off else State.RUN
        made.append(
            DecisionLine(frame, frame * 40.0, (), zones, state, Output.OFF if off else Output.ON, cause)
        )
    return made


def test_an_approach_knows_its_first_warning_its_first_stop_and_its_trip() -> None:
    (answer,) = judge_approaches([APPROACH], lines(stop=range(24, 28), warning=range(21, 29))).answers
    assert (answer.warned_frame, answer.stopped_frame, answer.tripped_frame) == (21, 24, 24)
    assert not answer.missed


def test_a_machine_that_was_off_already_is_stopped_but_not_tripped() -> None:
    (answer,) = judge_approaches([APPROACH], lines(stop=[24], running=False)).answers
    assert (answer.stopped_frame, answer.tripped_frame, answer.missed) == (24, None, False)


def test_a_warning_alone_is_a_miss() -> None:
    report = judge_approaches([APPROACH, Approach(40, 50)], lines(stop=[45], warning=range(20, 31)))
    assert report.missed == (APPROACH,)


def test_blindness_during_an_approach_does_not_count_as_seeing_the_hand() -> None:
    (answer,) = judge_approaches([APPROACH], lines(blind=[25])).answers
    assert answer.missed
    assert answer.tripped_frame == 25


@pytest.mark.parametrize(("frame", "is_nuisance"), [(16, True), (17, False), (33, False), (34, True)])
def test_three_frames_round_an_approach_belong_to_it_and_a_fourth_does_not(frame, is_nuisance) -> None:
    report = judge_approaches([APPROACH], lines(stop=[frame, 25]))
    assert (frame in report.nuisance_frames) == is_nuisance


def test_a_blind_stop_where_nobody_reached_is_a_nuisance_once() -> None:
    assert judge_approaches([APPROACH], lines(stop=[25], blind=[50, 51, 52])).nuisance_frames == (50,)


def test_without_approaches_every_frame_is_free() -> None:
    report = judge_approaches([], lines(stop=[5]))
    assert (report.answers, report.nuisance_frames, report.free_frames) == ((), (5,), 60)


def test_a_truth_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"approaches": [{"first_frame": 3, "last_frame": 9, "hands": 2}], "note": ""}))
    assert read_approaches(path) == (Approach(3, 9),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a truth file in JSON"),
        ("[]", "approaches: expected a list, found None"),
        ('{"approaches": [{"first_frame": 1}]}', r"approaches\[0\].last_frame: expected a whole number"),
        ('{"approaches": [{"first_frame": true, "last_frame": 2}]}', r"first_frame: expected a whole number"),
        (
            '{"approaches": [{"first_frame": 9, "last_frame": 2}]}',
            r"approaches\[0\]: expected frames in order",
        ),
    ],
)
def test_a_bad_truth_file_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_approaches(path)


def test_a_missing_truth_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.json"):
        read_approaches(tmp_path / "none.json")


def test_coco_boxes_of_a_video_are_approaches_joined_over_small_gaps(tmp_path: Path) -> None:
    images = [{"id": 100 + i, "frame_id": i} for i in range(60)]
    frames = [5, 6, 7, 11, 12, 40, 41]
    boxes = [{"image_id": 100 + frame, "bbox": [0, 0, 1, 1]} for frame in (*frames, 6)]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": boxes}))
    assert read_approaches(path) == (Approach(5, 12), Approach(40, 41))
    path.write_text(json.dumps({"images": images, "annotations": []}))
    assert read_approaches(path) == ()
    path.write_text(json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}))
    with pytest.raises(DatasetError, match=r"each image with its frame_id, found KeyError: 'frame_id'"):
        read_approaches(path)
