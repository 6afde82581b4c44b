"""What was found, by size of the hand, and at the score that people would bear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handguard.training.coco import Sample
from handguard.training.evaluation import Run, numbers
from handguard.training.faults import misses
from handguard.training.judging import short
from handguard.training.measures import SIZE_STEPS, Answer, by_size
from handguard.training.operating_point import LOWEST, quiet_score
from handguard.training.plots import SHOWN, draw_plots
from handguard.types import Detections

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "demo.jpg"


def answer(hands: list[list[float]], found: list[tuple[list[float], float]], size_px: int = 480) -> Answer:
    truth = np.array(hands, np.float32).reshape(-1, 4)
    sample = Sample(1, PICTURE, size_px, size_px // 2, "site", truth, np.zeros(len(hands), np.int64))
    boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in found], np.float32)
    return Answer(sample, Detections(boxes, scores, np.ones(len(found), np.int64), 0, 0))


SMALL, NEAR = [0.0, 0.0, 8.0, 10.0], [100.0, 100.0, 160.0, 140.0]  # 1/48 and 1/8 of 480 px


def test_each_hand_is_counted_in_its_own_step_of_size_and_at_the_score_given() -> None:
    shifted = [110.0, 100.0, 178.0, 140.0]  # overlaps NEAR by 0.64
    barely = [130.0, 100.0, 190.0, 140.0]  # by 0.33
    answers = [
        answer([SMALL, NEAR], [(shifted, 0.6)]),
        answer([NEAR], [(barely, 0.9)]),
        answer([NEAR], [(NEAR, 0.4)]),
    ]
    rows = by_size(answers, 0.5)
    assert list(rows) == ["up to 1/48", "up to 1/24", "up to 1/12", "up to 1/6", "up to 1/3", "up to 1/1"]
    assert len(rows) == len(SIZE_STEPS)
    counts = {name: (row["recall"]["found"], row["recall_loose"]["found"], row["recall"]["hands"])
              for name, row in rows.items()}  # fmt: skip
    assert counts["up to 1/48"] == (0, 0, 1)
    assert counts["up to 1/6"] == (1, 2, 3)
    assert sum(hands for _, _, hands in counts.values()) == 4
    assert rows["up to 1/3"]["recall"]["share"] is None
    assert misses(answers, 0.5)[0].words.startswith("hand, nothing there")


def test_the_quiet_score_is_the_lowest_that_hand_free_pictures_bear() -> None:
    loud = [answer([], [(NEAR, score)]) for score in (0.8, 0.5, 0.3)]
    silent = [answer([], []) for _ in range(7)]
    score = quiet_score([*loud, *silent], 0.1)
    assert score is not None and 0.5 < score < 0.51, "one false hit in ten pictures may stay: the one at 0.8"
    assert quiet_score(silent, 0.1) == LOWEST
    assert quiet_score([answer([NEAR], [])], 0.1) is None


def test_all_numbers_come_with_their_tables_and_can_be_told() -> None:
    answers = [answer([NEAR], [(NEAR, 0.9)]), answer([], [(NEAR, 0.2)])]
    found = numbers(Run(answers, "a detector", 1.0), 0.5)
    assert found["at_quiet"]["recall"]["any"]["near"]["share"] == 1
    assert found["at_quiet"]["false_per_hand_free_picture"] == 0
    words = short({"model": "m", **found})
    assert "with at most 0.1 false hits a hand-free picture" in words
    assert "site" in words and "up to 1/6" in words
    alone = numbers(Run(answers[:1], "a detector", 1.0), 0.5)
    assert alone["at_quiet"] is None and "with at most" not in short({"model": "m", **alone})


@pytest.mark.skipif(not PICTURE.is_file(), reason="the drawn picture is not here")
def test_the_page_of_faults_shows_every_picture_that_was_made(tmp_path: Path) -> None:
    import cv2

    height, width = cv2.imread(str(PICTURE)).shape[:2]
    sample = Sample(1, PICTURE, width, height, "site", np.array([NEAR], np.float32), np.zeros(1, np.int64))
    hands = Detections(np.array([SMALL], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), 0, 0)
    draw_plots([Answer(sample, hands)], 0.5, tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert all(f"src='{name}'" in page and (tmp_path / name).is_file() for name in SHOWN)
    assert (tmp_path / ".gitignore").read_text() == "*\n"
