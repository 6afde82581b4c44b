"""Pictures of an evaluation, and which faults they show first."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from handguard.detection.loading import Choice
from handguard.errors import ConfigError
from handguard.training import judging
from handguard.training.coco import Sample
from handguard.training.datasets import Split, load_split
from handguard.training.faults import false_hits, misses
from handguard.training.listening import Listener
from handguard.training.measures import Answer
from handguard.training.plots import draw_plots
from handguard.types import Detections
from tests.training.conftest import DrawnSet

SILENT = Listener(lambda done, of: None, lambda line: None)


def said(boxes: np.ndarray, scores: list[float], labels: list[int]) -> Detections:
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4), np.float32(scores), np.int64(labels).reshape(-1), 0, 0
    )


def answers_of(samples: list[Sample]) -> list[Answer]:
    """Every first hand found well, every further one found badly; one invention a picture."""
    answers = []
    for sample in samples:
        count = len(sample.boxes_px)
        boxes = np.concatenate([sample.boxes_px, [[0, 0, 9, 9]]])
        scores = [0.9 if i == 0 else 0.2 for i in range(count)] + [0.6]
        answers.append(Answer(sample, said(boxes, scores, [*sample.labels.tolist(), 0])))
    return answers


def test_the_largest_miss_and_the_surest_invention_come_first(drawn: DrawnSet) -> None:
    samples = load_split(drawn.root, Split.TRAIN)
    answers = answers_of(samples)
    missed = misses(answers, 0.5)
    assert len(missed) == sum(max(len(one.boxes_px) - 1, 0) for one in samples) > 0
    assert [one.badness for one in missed] == sorted((one.badness for one in missed), reverse=True)
    assert all("best score 0.20" in one.words for one in missed)
    invented = false_hits(answers, 0.5)
    assert len(invented) == len(samples)
    assert invented[0].badness == np.float32(0.6)


def test_all_pictures_are_drawn_and_git_passes_them_by(drawn: DrawnSet, tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    draw_plots(answers_of(load_split(drawn.root, Split.TRAIN)), 0.5, folder)
    names = {path.name for path in folder.glob("*.png")}
    assert names == {
        "precision-recall.png", "misses-over-false-hits.png", "worst-misses.png", "worst-false-hits.png"
    }  # fmt: skip
    assert all(cv2.imread(str(folder / name)).std() > 5 for name in names)
    assert (folder / ".gitignore").read_text() == "*\n"


def test_pictures_drawn_again_take_the_place_of_the_old_ones_whole(drawn: DrawnSet, tmp_path: Path) -> None:
    answers, folder = answers_of(load_split(drawn.root, Split.TRAIN)), tmp_path / "plots"
    draw_plots(answers, 0.5, folder)
    written = [path for path in folder.iterdir() if path.name != ".gitignore"]
    old = {path: path.read_bytes() for path in written}
    for path in written:
        (tmp_path / path.name).hardlink_to(path)  # what a reader has open, it keeps
    draw_plots(answers, 0.7, folder)
    assert {path: (tmp_path / path.name).read_bytes() for path in written} == old
    changed = {path.name for path in written if path.read_bytes() != old[path]}
    assert changed >= {"index.html", "precision-recall.png", "misses-over-false-hits.png"}
    assert {path.name for path in folder.iterdir()} == {path.name for path in written} | {".gitignore"}


@pytest.mark.parametrize("own", ["", "*.pyc\n", "*\n!*.png\n", "# *\n", "* .png\n"])
def test_a_persons_own_gitignore_stays_and_a_folder_that_git_would_not_pass_by_is_refused(
    drawn: DrawnSet, tmp_path: Path, own: str
) -> None:
    (tmp_path / ".gitignore").write_text(own)
    told = r"\.gitignore: expected one that ignores everything \(\*\), .*; name a folder"
    with pytest.raises(ConfigError, match=told):
        draw_plots(answers_of(load_split(drawn.root, Split.TRAIN)), 0.5, tmp_path)
    assert (tmp_path / ".gitignore").read_text() == own
    assert not [*tmp_path.glob("*.png"), *tmp_path.glob("*.html")]


@pytest.mark.parametrize("own", ["*\n", "# nothing of this\r\n*\r\n", "/*\n!.gitignore\n"])
def test_a_persons_own_gitignore_that_ignores_everything_is_enough(drawn: DrawnSet, tmp_path: Path, own: str) -> None:
    (tmp_path / ".gitignore").write_bytes(own.encode())
    draw_plots(answers_of(load_split(drawn.root, Split.TRAIN)), 0.5, tmp_path)
    assert (tmp_path / ".gitignore").read_bytes() == own.encode()
    assert (tmp_path / "worst-misses.png").exists()


def test_a_folder_for_plots_that_may_not_be_used_is_told_before_the_work(
    drawn: DrawnSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitignore").write_text("*.pyc\n")
    monkeypatch.setattr(judging, "run_detector", lambda *_: pytest.fail("the pictures were measured first"))
    with pytest.raises(ConfigError, match="ignores everything"):
        judging._on_pictures(Choice(), load_split(drawn.root, Split.TRAIN), 0.5, tmp_path, SILENT)


def test_nothing_found_and_nothing_to_find_still_draws(drawn: DrawnSet, tmp_path: Path) -> None:
    hand_free = [one for one in load_split(drawn.root, Split.TRAIN) if len(one.boxes_px) == 0]
    silent = [Answer(one, said(np.zeros((0, 4)), [], [])) for one in hand_free]
    draw_plots(silent, 0.5, tmp_path / "plots")
    assert len(list((tmp_path / "plots").glob("*.png"))) == 4
