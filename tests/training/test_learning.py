"""From pictures to a model with its card, through the program a person runs. Nothing is learnt in so few steps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch

from handguard.detection.architectures import build
from handguard.detection.card import Card, OperatingPoint, locate, read_card
from handguard.detection.losses import Loss
from handguard.detection.weights import save_model
from handguard.learning_cli import FALSE_HITS, MISSES
from handguard.training import checkpoints
from handguard.training.card_making import CLASSES
from handguard.training.dataset_report import priors
from handguard.training.golden_making import NOTHING_CLEAR
from handguard.training.listening import _how_far
from handguard.training.meter import Progress
from handguard.training.operating_point import Wishes
from tests.training.conftest import DrawnSet, draw, filmed, ran

LEARNT = [
    {"split": "train", "source": "hands", "shows": "hands", "licence": "CC BY 4.0", "pictures": 3, "hands": 4},
    {"split": "val", "source": "others", "shows": "hands", "licence": "MIT", "pictures": 1, "hands": 1},
]
TINY = ["--steps", "2", "--batch-size", "2", "--workers", "0"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handguard.detection.backends.openvino_engine.CACHE", tmp_path / "cache")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An untrained model with a card that says so, made for another input than its network was designed for."""
    network = build("palmnet-s")
    card = Card(
        "blank", "palmnet-s", CLASSES, (128, 128), OperatingPoint(0.5), "", network.score_kind.value, 32, data=LEARNT
    )
    return save_model(network, card, tmp_path / "base").card


@pytest.mark.slow
def test_a_training_can_leave_its_package_to_another_computer(drawn: DrawnSet, tmp_path: Path) -> None:
    out, recipe = tmp_path / "out", tmp_path / "recipe.yaml"
    recipe.write_text("{sides_px: [[1, [96]]], checkpoint_every_s: 5, evaluate_every_s: 7}")
    command = ("train", "--data", drawn.root, "--out", out, *TINY, "--recipe", recipe)
    assert ran(*command, "--in-memory", "--no-package") == 0
    assert not list(out.glob("*.json")) and not list(out.glob("*.safetensors"))
    saved = checkpoints.read(out / checkpoints.CHECKPOINT)
    assert (saved.recipe["checkpoint_every_s"], saved.recipe["evaluate_every_s"]) == (5.0, 7.0)
    package = ("package", "--checkpoint", out / checkpoints.CHECKPOINT, "--data", drawn.root, "--name", "there")
    assert ran(*package, "--out", tmp_path) == 0
    assert read_card(locate(str(tmp_path / "there.json"))).recipe["steps_done"] == 2


@pytest.mark.slow
def test_training_ends_with_a_model_whose_card_hides_nothing(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    sizes = tmp_path / "priors.json"
    sizes.write_text(json.dumps(priors(drawn.root, 4, 1)))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{learning_rate: 1e-3, sides_px: [[1, [96]]], augmentation: {flip: 0.25}}")
    command = ("train", "--data", drawn.root, "--out", out, *TINY, "--priors", sizes, "--recipe", recipe)
    assert ran(*command) == 0
    assert {"checkpoint.pt", "losses.csv", "metrics.csv", "curves.png"} < {path.name for path in out.iterdir()}
    card = read_card(locate(str(out / "palmnet-s.json")))
    assert card.recipe["steps_done"] == 2 and card.recipe["pictures_seen"] == 4
    assert card.recipe["augmentation"]["flip"] == 0.25 and card.recipe["learning_rate"] == 1e-3
    assert card.recipe["sides_px"] == [[1.0, [96]]]
    assert card.prior_sizes is not None and [len(one) for one in card.prior_sizes] == [1, 1, 1, 1]
    assert {row["source"]: row["licence"] for row in card.data} == {
        "drawn_0": "not stated",
        "drawn_1": "not stated",
    }
    assert card.metrics["pictures"] == 6 and card.metrics["hand_free_pictures"] == 2
    assert not all(row["met"] for row in card.metrics["targets"])
    assert "Trained for 2 steps of the 2 planned: 4 pictures seen" in card.notes[0]
    assert "Targets not met" in card.notes[1]
    assert "95 % interval" in card.operating_point.chosen
    assert card.golden is None and NOTHING_CLEAR in card.notes
    assert card.metrics["measured_with"].startswith("palmnet-s")

    # the model is one like any other, and an unfinished checkpoint can become one too
    answers = tmp_path / "answers.json"
    picture = drawn.root / "val" / "images" / "001.jpg"
    assert ran("detect", picture, "--model", out / "palmnet-s.json", "--json", answers) == 0
    assert json.loads(answers.read_text())["images"][0]["width_px"] == 96
    package = ("package", "--checkpoint", out / "checkpoint.pt", "--data", drawn.root,
               "--name", "again", "--out", tmp_path / "models", "--note", "A word more.")  # fmt: skip
    assert ran(*package, "--input-side", "100") == 2
    assert "input size of palmnet-s: expected width and height in multiples of 32" in capsys.readouterr().err
    assert ran(*package, "--empty-footage", tmp_path / "nowhere") == 2
    assert "nowhere: expected a recording" in capsys.readouterr().err
    film = filmed(tmp_path / "empty.avi", 3)
    assert ran(*package, "--input-side", "128", "--empty-footage", film) == 0
    again = read_card(locate(str(tmp_path / "models" / "again.json")))
    assert again.weights_sha256 == card.weights_sha256
    assert again.notes[-1] == "A word more."
    assert again.input_px == (128, 128) and card.input_px == (320, 320)
    assert again.data == card.data and "learnt" not in card.recipe


def without_hand_free(annotations: Path) -> None:
    """As a site's own pictures often are: every one of them shows a hand."""
    coco = json.loads(annotations.read_text())
    shown = {row["image_id"] for row in coco["annotations"]}
    coco["images"] = [row for row in coco["images"] if row["id"] in shown]
    annotations.write_text(json.dumps(coco))


@pytest.mark.slow
def test_fine_tuning_ends_with_a_table_of_before_and_after(
    drawn: DrawnSet, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, old = tmp_path / "tuned", tmp_path / "old"
    draw(old, "train", 4)
    draw(old, "val", 3)
    without_hand_free(drawn.root / "val" / "annotations.json")
    command = ("fine-tune", "--data", drawn.root, "--from", base, "--out", out, "--name", "our-site")
    assert ran(*command, *TINY, "--old", old, "--old-share", "0.5") == 0
    told = capsys.readouterr().out
    assert "on val of this folder" in told and "on val of the old folder" in told
    assert "AP50, any near hand" in told and "is not known" not in told
    found = json.loads((out / "before-after.json").read_text())
    assert found["old_share"] == 0.5
    assert set(found["tables"]) == {"this folder", "the old folder"}
    assert {"what", "before", "after"} == set(found["tables"]["the old folder"][0])
    card = read_card(locate(str(out / "our-site.json")))
    assert "from the weights of blank" in card.notes[0]
    assert (card.recipe["old_pictures"], card.recipe["old_share"]) == (4, 0.5)
    mixed = [row for row in card.data if row["split"] == "train (old)"]
    assert sum(row["pictures"] for row in mixed) == 4 and all(row["licence"] for row in mixed)
    assert "a hand-free picture of the old folder" in card.operating_point.chosen
    assert card.input_px == (128, 128) and card.recipe["sides_px"] == [[1.0, [96, 128, 160]]]
    inherited = [row for row in card.data if row["split"] == "train of blank"]
    assert inherited == [{**LEARNT[0], "split": "train of blank"}]

    # its checkpoint knows what it was trained on, whoever packages it
    package = ("package", "--checkpoint", out / "checkpoint.pt", "--data", drawn.root, "--name", "again")
    assert ran(*package, "--out", tmp_path / "models") == 0
    assert read_card(locate(str(tmp_path / "models" / "again.json"))).data == card.data


def test_training_starts_from_given_weights(drawn: DrawnSet, base: Path, tmp_path: Path) -> None:
    weights = base.with_suffix(".safetensors")
    command = ("train", "--data", drawn.root, "--out", tmp_path / "out", "--init", weights, "--reset-heads")
    assert ran(*command, *TINY) == 0
    card = read_card(locate(str(tmp_path / "out" / "palmnet-s.json")))
    start = card.recipe["start"]
    assert start.startswith("blank.safetensors") and "class_head" in start
    splits = [row["split"] for row in card.data]
    assert splits == ["train", "train", "train of blank", "val", "val"]
    assert {**card.data[2], "split": "train"} == LEARNT[0]


def test_weights_that_learnt_with_other_priors_are_no_start(
    drawn: DrawnSet, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = tmp_path / "priors.json"
    sizes.write_text(json.dumps(priors(drawn.root, 4, 2)))
    command = ("train", "--data", drawn.root, "--out", tmp_path / "out", "--init", base.with_suffix(".safetensors"))
    assert ran(*command, *TINY, "--priors", sizes) == 2
    told = capsys.readouterr().err.replace("\n", " ")
    assert "blank.json: prior_sizes: expected the priors that its weights learnt with" in told
    assert "found sizes of their own (--priors)" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--architecture", "ssd299"), "architecture: expected one of"),
        (("train", "--init", "nowhere.pth"), "nowhere.pth: expected"),
        (("train", "--priors", "nowhere.json"), "nowhere.json: expected prior sizes"),
        (("train", "--recipe", "nowhere.yaml"), "nowhere.yaml: expected a training recipe"),
        (("fine-tune", "--old", "nowhere"), "nowhere: expected val pictures"),
        (("train", "--device", "tpu"), "--device: expected cpu or cuda, found 'tpu'"),
        pytest.param(
            ("fine-tune", "--device", "cuda"), "--device cuda: expected a card that torch can use, found none",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="here is a card"),
        ),
        (("fine-tune", "--from", "nobody"), "model nobody: expected"),
    ],
)
def test_a_wrong_word_is_told_in_one_line_with_exit_code_2(
    drawn: DrawnSet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert ran(*arguments, "--data", drawn.root, "--out", tmp_path / "out", *TINY) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_misspelt_source_is_named_with_those_that_there_are(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{source_weights: {drawn: 2.0}}")
    command = ("train", "--data", drawn.root, "--out", tmp_path / "out", "--recipe", recipe)
    assert ran(*command, *TINY) == 2
    told = capsys.readouterr().err.replace("\n", " ")
    assert "source_weights: expected sources of the data (drawn_0, drawn_1), found drawn" in told


def test_a_file_in_the_place_of_the_folder_is_named(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.write_text("not a folder")
    assert ran("train", "--data", drawn.root, "--out", out, *TINY) == 2
    assert "out: expected room and leave to write, found File exists" in capsys.readouterr().err.replace("\n", " ")
    assert out.read_text() == "not a folder"


def test_the_bar_counts_steps_or_where_time_is_the_plan_seconds() -> None:
    loss = Loss(torch.tensor(1.0), torch.tensor(1.0))
    progress = Progress(3, 10**9, loss, 20.0, 0.01, trained_s=90.5)
    assert _how_far(replace(progress, steps=10), None) == (3, 10)
    assert _how_far(progress, 3600.0) == (90, 3600)
    assert _how_far(progress, 60.0) == (60, 60)


def test_what_the_command_line_wishes_by_default_is_what_the_operating_point_does() -> None:
    assert Wishes(1 - MISSES, FALSE_HITS) == Wishes()


def test_what_the_network_is_shown_can_be_looked_at(drawn: DrawnSet, tmp_path: Path) -> None:
    sheets = tmp_path / "sheets"
    assert ran("dataset", "augmented", drawn.root, "--out", sheets) == 0
    names = {path.name for path in sheets.iterdir()}
    assert {"pasted-hands.png", "textured-gloves.png", "cut-hands.png", "together.png", ".gitignore"} < names
    sheet = cv2.imread(str(sheets / "together.png"))
    assert sheet is not None and sheet.shape == (4 * 256, 6 * 256, 3)
    assert (sheets / ".gitignore").read_text() == "*\n"


def test_parts_of_the_augmentation_that_cannot_be_shown_are_left_out_and_named(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_hand_free(drawn.annotations("train"))
    annotations = json.loads(drawn.annotations("train").read_text())["annotations"]
    drawn.change("train", "annotations", [{**one, "category_id": 1} for one in annotations])
    sheets = tmp_path / "sheets"
    assert ran("dataset", "augmented", drawn.root, "--out", sheets) == 0
    told = capsys.readouterr().out.splitlines()
    for name in ("recolored-gloves", "textured-gloves"):
        assert f"{name}: left out, for no training picture shows a gloved hand" in told
    assert "pasted-hands: left out, for no training picture is hand-free" in told
    drawn_sheets = {path.name for path in sheets.glob("*.png")}
    assert drawn_sheets == {f"{name}.png" for name in
                            ("harsh-light", "motion-blur", "low-resolution", "cut-hands", "together")}  # fmt: skip
    assert {str(sheets / name) for name in drawn_sheets} < set(told)

    drawn.change("train", "annotations", [])
    assert ran("dataset", "augmented", drawn.root, "--out", tmp_path / "empty") == 0
    assert "cut-hands: left out, for no training picture shows a hand" in capsys.readouterr().out.splitlines()
    assert (tmp_path / "empty" / "together.png").exists()


def test_a_file_that_is_no_checkpoint_is_refused(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(b"not a checkpoint")
    assert ran("package", "--checkpoint", file, "--data", drawn.root, "--name", "x", "--out", tmp_path) == 2
    assert "expected a checkpoint of `handguard train`" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.slow
def test_evaluate_goes_by_the_score_and_the_back_end_that_were_asked_for(
    drawn: DrawnSet, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers, val = tmp_path / "numbers.json", drawn.root / "val"
    command = ("evaluate", "--model", base, "--annotations", val / "annotations.json", "--images", val / "images",
               "--json", numbers)  # fmt: skip
    assert ran(*command, "--backend", "torch-cpu", "--min-score", "0.9") == 0
    found = json.loads(numbers.read_text())
    assert found["at_operating_point"]["min_score"] == 0.9
    assert "torch" in found["measured_with"]
    assert "at score 0.9:" in capsys.readouterr().out
    assert ran(*command) == 0
    own = read_card(locate(str(base))).operating_point.min_score
    assert json.loads(numbers.read_text())["at_operating_point"]["min_score"] == own
    assert ran(*command, "--backend", "abacus") == 2
    assert "expected auto or one of" in capsys.readouterr().err
