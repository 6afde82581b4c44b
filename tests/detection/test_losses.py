"""Losses: finite without hands, blind to ignored regions, and three hard negatives to a positive."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch.nn import functional

from handguard.detection import priors
from handguard.detection.boxes import encode, to_xyxy
from handguard.detection.losses import (
    NEGATIVES_FLOOR,
    NEGATIVES_PER_POSITIVE,
    Loss,
    Truth,
    aligned_loss,
    focal_loss,
    multibox_loss,
)
from handguard.detection.matching import match_by_iou
from handguard.detection.ssd import Raw

GRID = priors.grid([priors.octave_map((128, 128), 8, (2.0, 3.5))], (128, 128))
NO_HANDS = Truth(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
ONE_HAND = Truth(to_xyxy(GRID[100:101]), torch.tensor([1]))
Lossy = Callable[[Raw, Sequence[Truth], torch.Tensor], Loss]
KINDS = [
    pytest.param(multibox_loss, 3, id="multibox"),
    pytest.param(focal_loss, 3, id="focal"),
    pytest.param(aligned_loss, 2, id="aligned"),
]


def raw(columns: int, pictures: int = 2) -> Raw:
    random = torch.Generator().manual_seed(5)
    logits = torch.randn(pictures, len(GRID), columns, generator=random).requires_grad_()
    return Raw(logits, torch.randn(pictures, len(GRID), 4, generator=random).requires_grad_())


@pytest.mark.parametrize(("lossy", "columns"), KINDS)
@pytest.mark.parametrize("truths", [[NO_HANDS, NO_HANDS], [ONE_HAND, NO_HANDS]], ids=["none", "one"])
def test_loss_and_gradient_are_finite_with_and_without_hands(
    lossy: Lossy, columns: int, truths: list[Truth]
) -> None:
    predicted = raw(columns)
    loss = lossy(predicted, truths, GRID)
    loss.total.backward()
    assert loss.total.isfinite()
    for tensor in predicted:
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


@pytest.mark.parametrize(("lossy", "columns"), KINDS)
def test_a_picture_without_hands_teaches_classes_and_no_boxes(lossy: Lossy, columns: int) -> None:
    loss = lossy(raw(columns), [NO_HANDS, NO_HANDS], GRID)
    assert float(loss.classes.detach()) > 0
    assert float(loss.boxes.detach()) == 0


def test_a_hand_free_picture_gives_as_many_negatives_as_the_floor() -> None:
    predicted = raw(3, pictures=1)
    multibox_loss(predicted, [NO_HANDS], GRID).total.backward()
    assert taught(predicted) == NEGATIVES_FLOOR


def test_there_are_three_hard_negatives_to_a_positive() -> None:
    centers = torch.tensor([[0.2, 0.2], [0.2, 0.8], [0.5, 0.5], [0.8, 0.2], [0.8, 0.8]])
    whole = to_xyxy(torch.cat([centers, torch.full((5, 2), 0.2)], dim=1))
    truth = Truth(whole, torch.tensor([0, 1, 0, 1, 0]))
    positives = int((match_by_iou(whole, GRID).gt_index >= 0).sum())
    assert positives * NEGATIVES_PER_POSITIVE > NEGATIVES_FLOOR
    predicted = raw(3, pictures=1)
    multibox_loss(predicted, [truth], GRID).total.backward()
    assert taught(predicted) == positives * (1 + NEGATIVES_PER_POSITIVE)


def test_the_hardest_negatives_are_chosen() -> None:
    predicted = raw(3, pictures=1)
    multibox_loss(predicted, [NO_HANDS], GRID).total.backward()
    hardness = functional.cross_entropy(
        predicted.class_logits[0], torch.zeros(len(GRID), dtype=torch.int64), reduction="none"
    )
    assert predicted.class_logits.grad is not None
    chosen = predicted.class_logits.grad[0].abs().sum(dim=1) > 0
    assert hardness[chosen].min() >= hardness[~chosen].max()


def test_focal_loss_is_that_of_lin_and_others_worked_by_hand() -> None:
    predicted = raw(3, pictures=1)
    match = match_by_iou(ONE_HAND.boxes_norm, GRID).gt_index
    expected = 0.0
    for row, matched in zip(predicted.class_logits[0].tolist(), match.tolist(), strict=True):
        odds = [math.exp(one) for one in row]
        right = odds[2 if matched >= 0 else 0] / sum(odds)  # a gloved hand, or background
        alpha = 0.25 if matched >= 0 else 0.75
        expected -= alpha * (1 - right) ** 2 * math.log(right)
    found = focal_loss(predicted, [ONE_HAND], GRID)
    assert float(found.classes.detach()) == pytest.approx(expected / int((match >= 0).sum()), rel=1e-4)
    assert found.boxes == multibox_loss(predicted, [ONE_HAND], GRID).boxes


@pytest.mark.parametrize(("lossy", "columns"), KINDS)
def test_priors_in_an_ignored_region_learn_nothing(lossy: Lossy, columns: int) -> None:
    region = Truth(to_xyxy(GRID[100:101]), torch.tensor([-1]))
    ignored = region.ignores(GRID)
    predicted = raw(columns, pictures=1)
    predicted.class_logits.data[0, ignored] = 20  # the hardest negatives of all, were they negatives
    lossy(predicted, [region], GRID).total.backward()
    assert predicted.class_logits.grad is not None
    assert ignored[100]
    assert not ignored.all()
    assert predicted.class_logits.grad[0, ignored].abs().max() == 0
    assert predicted.class_logits.grad[0, ~ignored].abs().max() > 0


@pytest.mark.parametrize(("lossy", "columns"), KINDS)
def test_a_perfect_answer_costs_next_to_nothing(lossy: Lossy, columns: int) -> None:
    softmax = columns == 3
    match = match_by_iou(ONE_HAND.boxes_norm, GRID).gt_index >= 0
    logits = torch.full((1, len(GRID), columns), -30.0)
    if softmax:
        logits[0, ~match, 0] = 30
        logits[0, match, 2] = 30
    else:
        logits[0, match, 1] = 30
    offsets = encode(ONE_HAND.boxes_norm.expand(len(GRID), 4), GRID)[None]
    loss = lossy(Raw(logits, offsets), [ONE_HAND], GRID)
    assert float(loss.boxes) == pytest.approx(0, abs=1e-3)
    if softmax:
        assert float(loss.classes) == pytest.approx(0, abs=1e-3)


def taught(predicted: Raw) -> int:
    """How many priors of the first picture got a gradient for their class."""
    assert predicted.class_logits.grad is not None
    return int((predicted.class_logits.grad[0].abs().sum(dim=1) > 0).sum())


def test_a_region_smaller_than_every_prior_is_not_taught_as_background() -> None:
    tiny = Truth(torch.tensor([[0.51, 0.51, 0.535, 0.535]]), torch.tensor([-1]))
    ignored = tiny.ignores(GRID)
    assert ignored.any(), "those that a hand there would teach"
    near = (GRID[:, :2] - 0.5225).abs().amax(dim=1) < 0.5 * GRID[:, 2:].amax(dim=1)
    assert near[ignored].all() and not ignored.all()
