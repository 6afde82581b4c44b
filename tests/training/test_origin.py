"""Weights of ours bring along their priors and the rows of data that they were trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from handguard.detection.architectures import build
from handguard.detection.card import Card, OperatingPoint, read_card, write_card
from handguard.detection.weights import save_model
from handguard.errors import ModelError
from handguard.training import checkpoints
from handguard.training.card_making import CLASSES
from handguard.training.origin import each_once, inherited, origin_of, require_same_priors

ROW = {"source": "hands", "shows": "hands", "licence": "CC BY 4.0", "pictures": 3, "hands": 4}
DATA = [{"split": "train", **ROW}, {"split": "train of first", **ROW, "hands": 5}, {"split": "val", **ROW}]
SIZES = [[[0.1, 0.2]], [[0.2, 0.2]], [[0.4, 0.4]], [[0.8, 0.8]]]


def a_checkpoint(path: Path, recipe: dict[str, Any]) -> Path:
    network = torch.nn.Linear(1, 1)
    checkpoints.save(path, network, network, torch.optim.AdamW(network.parameters()), 7, recipe, 1.0)  # type: ignore
    return path


def a_model(folder: Path, sizes: list[list[list[float]]] | None) -> Path:
    network = build("palmnet-s", input_px=(64, 64), sizes=sizes)
    point = OperatingPoint(0.5)
    card = Card("own", "palmnet-s", CLASSES, (64, 64), point, "", "sigmoid", 32, prior_sizes=sizes, data=DATA)
    return save_model(network, card, folder).weights


@pytest.mark.parametrize("sizes", [None, SIZES])
def test_a_model_and_a_checkpoint_tell_priors_and_rows(tmp_path: Path, sizes: list[list[list[float]]] | None) -> None:
    (tmp_path / "run").mkdir()
    file = a_checkpoint(tmp_path / "run" / "checkpoint.pt", {"prior_sizes": sizes, "learnt": DATA[:2]})
    for path, name in ((a_model(tmp_path, sizes), "own"), (file, "run/checkpoint.pt")):
        origin = origin_of(path)
        assert origin is not None and origin.prior_sizes == sizes
        splits = [f"train of {name}", f"train of first of {name}"]
        assert origin.learnt == [{**row, "split": split} for row, split in zip(DATA, splits, strict=False)]
        require_same_priors(origin, sizes)
        with pytest.raises(ModelError, match=r"prior_sizes: expected the priors that its weights learnt with \(.*\)"):
            require_same_priors(origin, SIZES if sizes is None else None)


def test_a_checkpoint_of_an_older_version_tells_what_it_knows(tmp_path: Path) -> None:
    assert origin_of(a_checkpoint(tmp_path / "a.pt", {})) is None
    origin = origin_of(a_checkpoint(tmp_path / "b.pt", {"prior_sizes": None}))
    assert origin is not None and origin.learnt == []


def test_other_weights_tell_nothing_here_and_a_card_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "public.pth")
    assert origin_of(tmp_path / "public.pth") is None
    assert origin_of(tmp_path / "nowhere.pth") is None
    weights = a_model(tmp_path, None)
    card = weights.with_suffix(".json")
    write_card(replace(read_card_of(weights), weights_sha256="0" * 64), card)
    with pytest.raises(ModelError, match="sha256"):
        origin_of(weights)
    card.unlink()
    assert origin_of(weights) is None


def read_card_of(weights: Path) -> Card:
    from handguard.detection.card import ModelFiles

    return read_card(ModelFiles(weights, weights.with_suffix(".json")))


def test_what_is_listed_already_is_not_listed_again_as_inherited() -> None:
    own = [{"split": "train", **ROW}]
    assert each_once([*own, *inherited(DATA, "own")]) == [*own, {**DATA[1], "split": "train of first of own"}]
    assert each_once(DATA[:2]) == DATA[:2]
