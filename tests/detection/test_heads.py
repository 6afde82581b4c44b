"""A head's n-th answer belongs to the n-th prior: the order that everything rests on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from handguard.detection import priors
from handguard.detection.heads import PredictionHead, conv_head, pointwise_head, separable_head, start_rare

CHANNELS = (8, 8)
MAPS = [
    priors.PriorMap((8.0, 8.0), (5, 3), ((10.0, 11.0), (20.0, 21.0), (30.0, 31.0))),
    priors.PriorMap((16.0, 16.0), (3, 2), ((40.0, 41.0), (50.0, 51.0))),
]
INPUT_PX = (40, 24)
Make = Callable[..., PredictionHead]


def zero_maps() -> list[torch.Tensor]:
    return [torch.zeros(1, 8, one.cells[1], one.cells[0]) for one in MAPS]


@pytest.mark.parametrize("make", [conv_head, pointwise_head, separable_head])
def test_each_answer_comes_from_the_prior_of_that_index(make: Make) -> None:
    """With weights 0 and the bias of each prior set to its own size, a head must recite the grid's sizes."""
    head = make(CHANNELS, [one.per_cell for one in MAPS], 2).eval()
    for predictor, one in zip(head.predictors, MAPS, strict=True):
        last = predictor[-1] if isinstance(predictor, nn.Sequential) else predictor
        nn.init.zeros_(last.weight)
        last.bias.data = torch.tensor(one.sizes_px).flatten()
    grid = priors.grid(MAPS, INPUT_PX)
    sizes_px = grid[:, 2:] * torch.tensor(INPUT_PX, dtype=torch.float32)
    assert torch.allclose(head(zero_maps())[0], sizes_px)


def test_each_answer_comes_from_the_cell_of_that_index() -> None:
    """A head that copies its input, fed with maps of their own cell centres, must recite the grid's centres."""
    maps = []
    for one in MAPS:
        cells = priors.grid([priors.PriorMap(one.stride_px, one.cells, ((1.0, 1.0),))], INPUT_PX)[:, :2]
        map_xy = cells.T.reshape(1, 2, one.cells[1], one.cells[0])
        maps.append(torch.cat([map_xy, torch.zeros(1, 6, *map_xy.shape[2:])], dim=1))
    head = pointwise_head(CHANNELS, [one.per_cell for one in MAPS], 2)
    for conv in head.predictors:
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)
        for k in range(len(conv.bias)):
            conv.weight.data[k, k % 2] = 1
    assert torch.allclose(head(maps)[0], priors.grid(MAPS, INPUT_PX)[:, :2])


def test_a_head_takes_as_many_maps_as_it_was_built_for() -> None:
    head = conv_head(CHANNELS, (3, 2), 4)
    with pytest.raises(ValueError, match="zip"):
        head(zero_maps()[:1])


@pytest.mark.parametrize("make", [conv_head, pointwise_head, separable_head])
def test_a_rare_start_scores_one_in_a_hundred(make: Make) -> None:
    head = make(CHANNELS, (3, 2), 2).eval()
    start_rare(head)
    assert head(zero_maps()).sigmoid().mean().item() == pytest.approx(0.01, abs=1e-3)
