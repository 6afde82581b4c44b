"""A slim network begins with the channels that tell most, and is taught what its teacher answers."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from handguard.detection.architectures import build
from handguard.detection.backbones.efficientnet_lite import EfficientNetLite
from handguard.detection.card import Card, OperatingPoint, locate, read_card
from handguard.detection.losses import likeness_loss
from handguard.detection.ssd import Raw
from handguard.detection.weights import save_model
from handguard.errors import ModelError
from handguard.training import checkpoints
from handguard.training.card_making import CLASSES
from handguard.training.slimming import most_telling, slimmed
from tests.networks import told_apart
from tests.training.conftest import DrawnSet, ran

WIDE, SLIM = "ssdlite-efficientnet-lite0", "ssdlite-efficientnet-lite0-slim"
SMALL = (64, 64)


def told(rows: Tensor, weight: Tensor, kept: Tensor, new: Tensor) -> float:
    """Mean square between what all columns say and what the kept ones do."""
    return float((rows.double() @ weight.double().T - rows.double()[:, kept] @ new.T).square().mean())


def drawn_rows(seed: int, columns: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    mixed = torch.randn(200, columns, generator=random) @ torch.randn(columns, columns, generator=random)
    rows = torch.cat([mixed.relu(), torch.ones(200, 1)], dim=1)
    return rows, torch.randn(3, columns + 1, generator=random)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), columns=st.integers(2, 7))
def test_the_first_channel_to_go_is_the_one_whose_loss_the_others_make_up_for_best(seed: int, columns: int) -> None:
    rows, weight = drawn_rows(seed, columns)
    kept, new = most_telling(rows, weight, columns)
    wanted = rows.double() @ weight.double().T
    errors = {}
    for subset in itertools.combinations(range(columns), columns - 1):
        some = rows.double()[:, [*subset, columns]]
        errors[subset] = float((wanted - some @ torch.linalg.lstsq(some, wanted).solution).square().mean())
    assert kept[-1] == columns  # the offset
    assert told(rows, weight, kept, new) <= 1.02 * min(errors.values()) + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_the_more_stay_the_less_is_lost(seed: int) -> None:
    rows, weight = drawn_rows(seed, 12)
    lost = [told(rows, weight, *most_telling(rows, weight, count)) for count in range(2, 14)]
    assert all(fewer >= more - 1e-4 for fewer, more in itertools.pairwise(lost))
    assert lost[-1] < 1e-8 < lost[0]


def test_a_channel_that_others_repeat_goes_first_and_costs_nothing() -> None:
    rows, weight = drawn_rows(1, 6)
    rows[:, 2] = 3 * rows[:, 4]
    rows[:, 0] = 0
    kept, new = most_telling(rows, weight, 5)
    assert 0 not in kept and not {2, 4} <= set(kept.tolist())
    assert told(rows, weight, kept, new) < 1e-3 * float((rows @ weight.T).square().mean())


def pictures(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.integers(0, 255, (SMALL[1], SMALL[0], 3), dtype=np.uint8) for _ in range(count)]


def test_what_a_slim_network_lacks_is_not_missed_where_it_told_nothing() -> None:
    wide, slim = told_apart(WIDE, SMALL), build(SLIM, input_px=SMALL)
    assert isinstance(wide.backbone, EfficientNetLite) and isinstance(slim.backbone, EfficientNetLite)
    for one, other in zip(wide.backbone.bottlenecks, slim.backbone.bottlenecks, strict=True):
        few = other.layers[-1][0].weight.shape[1]
        one.layers[-1][0].weight.data[:, few:] = 0
    given_pictures = pictures(12)
    made = slimmed(wide, slim, given_pictures)
    assert made is slim and not slim.training
    images = torch.from_numpy(np.stack(given_pictures)).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        for one, other in zip(wide(images), slim(images), strict=True):
            torch.testing.assert_close(other, one, rtol=0.02, atol=0.02 * float(one.std()))


def test_only_a_form_of_the_same_network_can_be_slimmed_to() -> None:
    for wide, slim in ((WIDE, "palmnet-s"), ("ssdlite-efficientnet-lite2", SLIM), (SLIM, WIDE)):
        with pytest.raises(ModelError, match="networks to slim: expected two EfficientNet-Lites"):
            slimmed(build(wide, input_px=SMALL), build(slim, input_px=SMALL), pictures(1))


def raw(seed: int) -> Raw:
    random = torch.Generator().manual_seed(seed)
    return Raw(torch.randn(2, 9, 2, generator=random), torch.randn(2, 9, 4, generator=random))


def test_who_answers_as_his_teacher_has_nothing_to_learn() -> None:
    own = Raw(*(x.clone().requires_grad_() for x in raw(1)))
    loss = likeness_loss(own, raw(1))
    loss.total.backward()
    assert float(loss.total.detach()) == pytest.approx(0, abs=1e-5)
    assert own.class_logits.grad is not None and float(own.class_logits.grad.abs().max()) < 1e-6


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), other=st.integers(1001, 2000))
def test_unlike_answers_cost_something_and_boxes_as_much_as_the_teacher_is_sure(seed: int, other: int) -> None:
    taught = raw(seed)
    loss = likeness_loss(raw(other), taught)
    assert float(loss.classes) > 0 and float(loss.boxes) > 0
    unsure = Raw(taught.class_logits - 30, taught.box_offsets)
    assert float(likeness_loss(Raw(unsure.class_logits, raw(other).box_offsets), unsure).boxes) < 1e-6


def teacher_in(folder: Path, name: str = WIDE) -> Path:
    network = told_apart(name, SMALL)
    data = [{"split": "train", "source": "hands", "shows": "hands", "licence": "MIT", "pictures": 3, "hands": 4}]
    card = Card("wise", name, CLASSES, SMALL, OperatingPoint(0.5), "", network.score_kind.value, 16, data=data)
    return save_model(network, card, folder).card


@pytest.mark.slow
def test_a_slim_network_is_taught_by_the_wide_one(
    drawn: DrawnSet, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handguard.detection.backends.openvino_engine.CACHE", tmp_path / "cache")
    teacher, out, recipe = teacher_in(tmp_path / "teacher"), tmp_path / "out", tmp_path / "recipe.yaml"
    recipe.write_text("{sides_px: [[1, [64]]], learning_rate: 1e-3, warmup_steps: 1, precision: float32}")
    plain = tmp_path / "plain.yaml"
    plain.write_text("{}")
    command = ("train", "--data", drawn.root, "--out", out, "--recipe", recipe, "--architecture", SLIM,
               "--batch-size", 4, "--workers", 0, "--teacher", teacher)  # fmt: skip
    assert ran(*command, "--steps", 2) == 0
    card = read_card(locate(str(out / f"{SLIM}.json")))
    assert card.recipe["start"].startswith("the most telling inner channels of the weights of wise (")
    assert card.recipe["teacher"].startswith("the weights of wise (")
    assert [row["split"] for row in card.data if row["source"] == "hands"] == ["train of wise"]
    saved = checkpoints.read(out / checkpoints.CHECKPOINT)
    still = {name: x for name, x in saved.model.items() if name.endswith("stem.0.2.running_mean")}
    wide = told_apart(WIDE, SMALL).state_dict()
    assert still and all(torch.equal(x, wide[name]) for name, x in still.items())

    with monkeypatch.context() as patched:  # what goes on has its weights already
        patched.setattr("handguard.training.teaching.slimmed", None)
        assert ran(*command, "--steps", 3, "--no-package") == 0
    assert checkpoints.read(out / checkpoints.CHECKPOINT).step == 3

    elsewhere = (*command, "--steps", 2, "--out", tmp_path / "no")
    assert ran(*elsewhere, "--architecture", "ssd300-vgg16", "--recipe", plain) == 2
    assert "ssd300-vgg16: scores: expected sigmoid" in capsys.readouterr().err
    sizes = tmp_path / "sizes.json"
    sizes.write_text('{"sizes": [[[0.1, 0.1]], [[0.2, 0.2]], [[0.4, 0.4]], [[0.8, 0.8]]]}')
    assert ran(*elsewhere, "--priors", sizes) == 2
    assert "wise.json: priors: expected those of" in " ".join(capsys.readouterr().err.split())
