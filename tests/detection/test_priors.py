"""Priors: the paper's numbers, worked by hand, and sizes learnt from boxes."""

from __future__ import annotations

import json
import math
from functools import cache

import pytest
import torch

from handguard.detection import priors
from handguard.detection.architectures import build
from handguard.errors import ModelError


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("ssd300-vgg16", 8732),
        ("ssd300-resnet50", 8732),
        ("ssd512-vgg16", 24564),
        ("ssdlite320-mobilenet-v3-large", 3234),
        ("palmnet-s", 2 * (40 * 40 + 20 * 20 + 10 * 10 + 5 * 5)),
        ("ssdlite-mobilenet-v2", 4250),
    ],
)
def test_each_network_has_the_published_number_of_priors(name: str, count: int) -> None:
    with torch.device("meta"):
        assert build(name).priors.shape == (count, 4)


@cache
def ssd300() -> torch.Tensor:
    return build("ssd300-vgg16").priors


def test_first_prior_of_ssd300_is_a_square_of_21_px_in_the_top_left_cell() -> None:
    first = ssd300()[0] * 300
    assert first.tolist() == pytest.approx([4.0, 4.0, 21.0, 21.0], abs=1e-4)


def test_priors_of_a_cell_follow_the_papers_order() -> None:
    """Scale 0.15 and 0.33 on the second map: squares of 45 and √(45·99), then 2:1, 1:2, 3:1, 1:3."""
    start = 38 * 38 * 4
    sizes = ssd300()[start : start + 6, 2:] * 300
    mean, two, three = math.sqrt(45 * 99), 45 * math.sqrt(2), 45 * math.sqrt(3)
    expected = [
        (45, 45),
        (mean, mean),
        (two, two / 2),
        (two / 2, two),
        (three, three / 3),
        (three / 3, three),
    ]
    assert sizes.tolist() == [pytest.approx(size, abs=1e-3) for size in expected]


def test_the_papers_voc_scales_give_the_sizes_of_its_release() -> None:
    sizes = priors.paper_sizes(300, priors.RATIOS_300, (0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05))
    assert [one[0][0] for one in sizes] == pytest.approx([30, 60, 111, 162, 213, 264])
    assert sizes[-1][1][0] == pytest.approx(math.sqrt(264 * 315))


def test_even_scales_follow_the_rule_of_the_paper() -> None:
    assert priors.even_scales(0.2, 0.9, 6) == pytest.approx((0.2, 0.34, 0.48, 0.62, 0.76, 0.9, 1.0))


def test_cells_are_laid_out_row_by_row() -> None:
    one = priors.PriorMap((10.0, 20.0), (3, 2), ((4.0, 4.0),))
    centers = priors.grid([one], (30, 40))[:, :2] * torch.tensor([30.0, 40.0])
    expected = [[5, 10], [15, 10], [25, 10], [5, 30], [15, 30], [25, 30]]
    assert torch.allclose(centers, torch.tensor(expected, dtype=torch.float32))


def test_no_prior_is_larger_than_the_input() -> None:
    for found in (ssd300(), build("ssdlite320-mobilenet-v3-large").priors):
        assert float(found[:, 2:].max()) == 1


def test_clip_moves_centers_outside_onto_the_edge() -> None:
    one = priors.PriorMap((32.0, 32.0), (10, 10), ((60.0, 60.0),))
    assert float(priors.grid([one], (300, 300))[:, :2].max()) == pytest.approx(304 / 300)
    assert float(priors.grid([one], (300, 300), clip=True).max()) == 1


def test_other_input_sizes_move_the_grid_but_not_the_pixels_of_palmnets_priors() -> None:
    small, wide = build("palmnet-s", input_px=(64, 64)), build("palmnet-s", input_px=(128, 64))
    assert len(wide.priors) == 2 * len(small.priors)
    assert wide.priors[0, 2] * 128 == small.priors[0, 2] * 64


def two_kinds_of_boxes() -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    far = 0.05 + 0.01 * torch.rand(300, 2, generator=random)
    near = torch.tensor([0.4, 0.2]) * (1 + 0.1 * torch.rand(60, 2, generator=random))
    return torch.cat([far, near])


def test_kmeans_finds_the_kinds_of_boxes_smallest_first() -> None:
    small, large = priors.kmeans_sizes(two_kinds_of_boxes(), 2, seed=3)
    assert small == pytest.approx((0.055, 0.055), abs=0.003)
    assert large == pytest.approx((0.42, 0.21), abs=0.01)


def test_kmeans_is_a_function_of_its_seed() -> None:
    boxes = two_kinds_of_boxes()
    assert priors.kmeans_sizes(boxes, 5, seed=9) == priors.kmeans_sizes(boxes, 5, seed=9)


def test_more_sizes_fit_a_dataset_better() -> None:
    boxes = two_kinds_of_boxes()
    fits = [priors.mean_best_iou(boxes, priors.kmeans_sizes(boxes, k)) for k in (1, 2, 8)]
    assert fits[0] < fits[1] < fits[2] <= 1


@pytest.mark.parametrize(
    ("boxes", "k"),
    [
        (torch.tensor([[1.0, 1.0], [1.0, 1.0]]), 2),
        (torch.tensor([[1.0, 1.0]]), 0),
        (torch.tensor([[1.0, 0.0]]), 1),
        (torch.tensor([[1.0, float("nan")]]), 1),
        (torch.zeros(0, 2), 1),
        (torch.ones(3), 1),
    ],
)
def test_kmeans_refuses_boxes_it_cannot_learn_from(boxes: torch.Tensor, k: int) -> None:
    with pytest.raises(ModelError, match="k-means: expected"):
        priors.kmeans_sizes(boxes, k)


def test_learnt_sizes_survive_json_and_shape_a_network() -> None:
    sizes = priors.spread_over_maps(priors.kmeans_sizes(two_kinds_of_boxes(), 6), maps=4)
    again = json.loads(json.dumps(sizes))
    network = build("palmnet-s", input_px=(64, 64), sizes=again).eval()
    assert [len(one) for one in sizes] == [2, 1, 1, 2]
    assert network.priors[0, 2:].tolist() == pytest.approx(sizes[0][0])
    assert network(torch.zeros(1, 3, 64, 64)).box_offsets.shape[1] == len(network.priors)


def test_too_few_sizes_for_the_maps_are_refused() -> None:
    with pytest.raises(ModelError, match="at least one for each of 4 maps, found 3"):
        priors.spread_over_maps([(0.1, 0.1)] * 3, maps=4)


@pytest.mark.parametrize("sizes", [[[[0.1, 0.1]]], [[[0.1, 0.1]], [], [[1, 1]], [[1, 1]]], [[[0, 0.1]]] * 4])
def test_sizes_that_do_not_fit_the_maps_are_refused(sizes: priors.Sizes) -> None:
    with pytest.raises(ModelError, match="prior sizes: expected"):
        build("palmnet-s", sizes=sizes)
