"""From pictures to a model with its card, through the program a person runs. Nothing is learnt in so few steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handguard.cli import main
from handguard.detection.architectures import build
from handguard.detection.card import Card, OperatingPoint, locate, read_card
from handguard.detection.weights import save_model
from handguard.training.card_making import CLASSES
from handguard.training.dataset_report import priors
from tests.training.conftest import DrawnSet

TINY = ["--steps", "2", "--batch-size", "2", "--workers", "0"]


def ran(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handguard.detection.backends.openvino_engine.CACHE", tmp_path / "cache")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An untrained model with a card that says so."""
    network = build("palmnet-s")
    card = Card(
        "blank", "palmnet-s", CLASSES, (320, 320), OperatingPoint(0.5), "", network.score_kind.value, 32
    )
    return save_model(network, card, tmp_path / "base").card


@pytest.mark.slow
def test_training_ends_with_a_model_whose_card_hides_nothing(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    sizes = tmp_path / "priors.json"
    sizes.write_text(json.dumps(priors(drawn.root, 4, 1)))
    assert ran("train", "--data", drawn.root, "--out", out, *TINY, "--priors", sizes) == 0
    assert {"checkpoint.pt", "metrics.csv", "curves.png"} < {path.name for path in out.iterdir()}
    card = read_card(locate(str(out / "palmnet-s.json")))
    assert card.recipe["steps_done"] == 2 and card.recipe["pictures_seen"] == 4
    assert card.recipe["augmentation"]["flip"] == 0.5
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
    assert card.metrics["measured_with"].startswith("palmnet-s")

    # the model is one like any other, and an unfinished checkpoint can become one too
    answers = tmp_path / "answers.json"
    picture = drawn.root / "val" / "images" / "001.jpg"
    assert ran("detect", picture, "--model", out / "palmnet-s.json", "--json", answers) == 0
    assert json.loads(answers.read_text())["images"][0]["width_px"] == 96
    assert ran("package", "--checkpoint", out / "checkpoint.pt", "--data", drawn.root,
               "--name", "again", "--out", tmp_path / "models", "--note", "A word more.") == 0  # fmt: skip
    again = read_card(locate(str(tmp_path / "models" / "again.json")))
    assert again.weights_sha256 == card.weights_sha256
    assert again.notes[-1] == "A word more."


@pytest.mark.slow
def test_fine_tuning_ends_with_a_table_of_before_and_after(
    drawn: DrawnSet, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    command = ("fine-tune", "--data", drawn.root, "--from", base, "--out", out, "--name", "our-site")
    assert ran(*command, *TINY) == 0
    told = capsys.readouterr().out
    assert "before" in told and "AP50, any near hand" in told
    rows = json.loads((out / "before-after.json").read_text())["rows"]
    assert {"what", "before", "after"} == set(rows[0])
    card = read_card(locate(str(out / "our-site.json")))
    assert "from the weights of blank" in card.notes[0]


def test_training_starts_from_given_weights(drawn: DrawnSet, base: Path, tmp_path: Path) -> None:
    weights = base.with_suffix(".safetensors")
    command = ("train", "--data", drawn.root, "--out", tmp_path / "out", "--init", weights, "--reset-heads")
    assert ran(*command, *TINY) == 0
    start = read_card(locate(str(tmp_path / "out" / "palmnet-s.json"))).recipe["start"]
    assert start.startswith("blank.safetensors") and "class_head" in start


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--architecture", "ssd299"), "architecture: expected one of"),
        (("train", "--init", "nowhere.pth"), "nowhere.pth: expected"),
        (("train", "--priors", "nowhere.json"), "nowhere.json: expected prior sizes"),
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


def test_a_file_that_is_no_checkpoint_is_refused(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(b"not a checkpoint")
    assert ran("package", "--checkpoint", file, "--data", drawn.root, "--name", "x", "--out", tmp_path) == 2
    assert "expected a checkpoint of `handguard train`" in capsys.readouterr().err.replace("\n", " ")
