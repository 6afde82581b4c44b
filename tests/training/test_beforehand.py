"""What would fail at the end of a training is refused at its start."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from handguard.cli import main
from handguard.detection.architectures import member_of
from handguard.errors import ConfigError, DatasetError
from handguard.training import command
from handguard.training.batches import Plan
from handguard.training.beforehand import require_batch, require_file_name, require_near_hand
from handguard.training.coco import Sample
from handguard.training.datasets import Split, load_split
from handguard.training.loop import Recipe
from tests.training.conftest import DrawnSet

WRONG_NAMES = ["", " ", "site/left", "../site", "/site", "site\\left", ".", "..", "a\0b"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err.replace("\n", " ")


@pytest.fixture
def _nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "train", lambda *_: pytest.fail("it was trained first"))


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"name of the model: expected what files can be called: .*, found "):
        require_file_name(name)


@pytest.mark.parametrize("name", ["site", "site-left.v2", "ssd300-vgg16+fpn", "Käse 2", "..a"])
def test_other_names_may_be(name: str) -> None:
    require_file_name(name)


@pytest.mark.usefixtures("_nothing_is_trained")
@pytest.mark.parametrize("name", ["", "site/left"])
def test_fine_tune_and_package_refuse_such_a_name_at_the_start(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = ("--data", drawn.root, "--name", name, "--out", tmp_path / "out")
    assert f"name of the model: expected what files can be called: not empty, without / or \\, found '{name}'" in (
        refused(capsys, "fine-tune", "--from", "nobody", *out)
    )
    assert "name of the model: expected" in refused(capsys, "package", "--checkpoint", tmp_path / "none.pt", *out)
    assert not (tmp_path / "out").exists()


def far(samples: list[Sample]) -> list[Sample]:
    """The same hands in pictures twelve times as large, where none is near."""
    return [replace(one, width_px=12 * one.width_px, height_px=12 * one.height_px) for one in samples]


def test_val_pictures_without_a_near_hand_are_refused(drawn: DrawnSet) -> None:
    val = load_split(drawn.root, Split.VAL)
    require_near_hand(val, drawn.root)
    for without in (far(val), [one for one in val if len(one.boxes_px) == 0], []):
        with pytest.raises(DatasetError, match=r"val split of .*data: expected at least one near hand .*, found none"):
            require_near_hand(without, drawn.root)


@pytest.mark.usefixtures("_nothing_is_trained")
@pytest.mark.parametrize("order", ["train", "fine-tune"])
def test_training_is_not_begun_without_a_near_hand_to_choose_the_score_by(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str], order: str
) -> None:
    coco = json.loads(drawn.annotations("val").read_text())
    drawn.change("val", "annotations", [{**one, "bbox": [*one["bbox"][:2], 4, 4]} for one in coco["annotations"]])
    told = refused(capsys, order, "--data", drawn.root, "--out", tmp_path / "out", "--steps", 2, "--workers", 0)
    assert "expected at least one near hand (its longer side at least 1/12 of the picture's)" in told


BATCH_OF_ONE = {"palmnet-s": 64, "ssd300-resnet50": 300, "ssdlite320-mobilenet-v3-large": 320, "ssd300-vgg16+fpn": 300}


@pytest.mark.parametrize(("architecture", "side"), BATCH_OF_ONE.items())
def test_a_batch_of_one_is_refused_where_a_map_is_one_cell(drawn: DrawnSet, architecture: str, side: int) -> None:
    plan = Plan(load_split(drawn.root, Split.TRAIN), 1, ((0.5, (side,)), (1.0, (side,))), 4)
    before = torch.random.get_rng_state()
    told = rf"--batch-size: expected 2 or more for \S+ at inputs of {side} px, whose last map is one cell, found 1"
    with pytest.raises(ConfigError, match=told):
        require_batch(Recipe(architecture), plan)
    require_batch(Recipe(architecture), replace(plan, batch_size=2))
    assert torch.equal(torch.random.get_rng_state(), before), "asking changes what is drawn later"


@pytest.mark.parametrize("architecture", ["palmnet-s", "ssdlite-efficientnet-lite0", "ssd300-vgg16"])
def test_a_batch_of_one_may_be_elsewhere(drawn: DrawnSet, architecture: str) -> None:
    side = max(member_of(architecture).input_px)
    require_batch(Recipe(architecture), Plan(load_split(drawn.root, Split.TRAIN), 1, ((1.0, (side,)),), 4))


@pytest.mark.usefixtures("_nothing_is_trained")
def test_train_refuses_a_batch_of_one_at_the_start(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = ("train", "--data", drawn.root, "--out", tmp_path / "out", "--architecture", "ssd300-resnet50")
    assert "--batch-size: expected 2 or more for ssd300-resnet50" in refused(capsys, *orders, "--batch-size", 1)


@pytest.mark.usefixtures("_nothing_is_trained")
def test_heads_to_reset_are_those_of_given_weights(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, "train", "--data", drawn.root, "--out", tmp_path / "out", "--reset-heads")
    assert "--reset-heads: expected --init, whose heads they are, found none" in told
