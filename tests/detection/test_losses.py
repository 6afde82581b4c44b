"""Losses: finite without hands, blind to ignored regions, and three hard negatives to a positive."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from handguard.detection import priors
from handguard.detection.boxes import decode, encode, to_xyxy
from handguard.detection.losses import (
    NEGATIVES_FLOOR,
    NEGATIVES_PER_POSITIVE,
    Loss,
    Truth,
    aligned_loss,
    focal_loss,
    gathered,
    multibox_loss,
)
from handguard.detection.matching import match_by_alignment, match_by_iou
from handguard.detection.ssd import Raw

GRID = priors.grid([priors.octave_map((128, 128), 8, (2.0, 3.5))], (128, 128))
NO_HANDS = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
FIRST = torch.tensor([0])  # picture
ONE_HAND = to_xyxy(GRID[100:101]), torch.tensor([1])
Lossy = Callable[[Raw, Truth, torch.Tensor], Loss]
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
@pytest.mark.parametrize("hands", [[NO_HANDS, NO_HANDS], [ONE_HAND, NO_HANDS]], ids=["none", "one"])
def test_loss_and_gradient_are_finite_with_and_without_hands(
    lossy: Lossy, columns: int, hands: list[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    predicted = raw(columns)
    loss = lossy(predicted, gathered(hands), GRID)
    loss.total.backward()
    assert loss.total.isfinite()
    for tensor in predicted:
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


@pytest.mark.parametrize(("lossy", "columns"), KINDS)
def test_a_picture_without_hands_teaches_classes_and_no_boxes(lossy: Lossy, columns: int) -> None:
    loss = lossy(raw(columns), gathered([NO_HANDS, NO_HANDS]), GRID)
    assert float(loss.classes.detach()) > 0
    assert float(loss.boxes.detach()) == 0


def test_a_hand_free_picture_gives_as_many_negatives_as_the_floor() -> None:
    predicted = raw(3, pictures=1)
    multibox_loss(predicted, gathered([NO_HANDS]), GRID).total.backward()
    assert taught(predicted) == NEGATIVES_FLOOR


def test_there_are_three_hard_negatives_to_a_positive() -> None:
    centers = torch.tensor([[0.2, 0.2], [0.2, 0.8], [0.5, 0.5], [0.8, 0.2], [0.8, 0.8]])
    whole = to_xyxy(torch.cat([centers, torch.full((5, 2), 0.2)], dim=1))
    truth = gathered([(whole, torch.tensor([0, 1, 0, 1, 0]))])
    positives = int((match_by_iou(whole, torch.zeros(5, dtype=torch.int64), GRID, 1).gt_index >= 0).sum())
    assert positives * NEGATIVES_PER_POSITIVE > NEGATIVES_FLOOR
    predicted = raw(3, pictures=1)
    multibox_loss(predicted, truth, GRID).total.backward()
    assert taught(predicted) == positives * (1 + NEGATIVES_PER_POSITIVE)


def test_the_hardest_negatives_are_chosen() -> None:
    predicted = raw(3, pictures=1)
    multibox_loss(predicted, gathered([NO_HANDS]), GRID).total.backward()
    hardness = functional.cross_entropy(
        predicted.class_logits[0], torch.zeros(len(GRID), dtype=torch.int64), reduction="none"
    )
    assert predicted.class_logits.grad is not None
    chosen = predicted.class_logits.grad[0].abs().sum(dim=1) > 0
    assert hardness[chosen].min() >= hardness[~chosen].max()


def test_focal_loss_is_that_of_lin_and_others_worked_by_hand() -> None:
    predicted = raw(3, pictures=1)
    match = match_by_iou(ONE_HAND[0], FIRST, GRID, 1).gt_index[0]
    expected = 0.0
    for row, matched in zip(predicted.class_logits[0].tolist(), match.tolist(), strict=True):
        odds = [math.exp(one) for one in row]
        right = odds[2 if matched >= 0 else 0] / sum(odds)  # a gloved hand, or background
        alpha = 0.25 if matched >= 0 else 0.75
        expected -= alpha * (1 - right) ** 2 * math.log(right)
    found = focal_loss(predicted, gathered([ONE_HAND]), GRID)
    assert float(found.classes.detach()) == pytest.approx(expected / int((match >= 0).sum()), rel=1e-4)
    assert found.boxes == multibox_loss(predicted, gathered([ONE_HAND]), GRID).boxes


@pytest.mark.parametrize(("lossy", "columns"), KINDS)
def test_priors_in_an_ignored_region_learn_nothing(lossy: Lossy, columns: int) -> None:
    region = gathered([(to_xyxy(GRID[100:101]), torch.tensor([-1]))])
    ignored = region.ignores(GRID, 1)[0]
    predicted = raw(columns, pictures=1)
    predicted.class_logits.data[0, ignored] = 20  # the hardest negatives of all, were they negatives
    lossy(predicted, region, GRID).total.backward()
    assert predicted.class_logits.grad is not None
    assert ignored[100]
    assert not ignored.all()
    assert predicted.class_logits.grad[0, ignored].abs().max() == 0
    assert predicted.class_logits.grad[0, ~ignored].abs().max() > 0


@pytest.mark.parametrize(("lossy", "columns"), KINDS)
def test_a_perfect_answer_costs_next_to_nothing(lossy: Lossy, columns: int) -> None:
    softmax = columns == 3
    match = match_by_iou(ONE_HAND[0], FIRST, GRID, 1).gt_index[0] >= 0
    logits = torch.full((1, len(GRID), columns), -30.0)
    if softmax:
        logits[0, ~match, 0] = 30
        logits[0, match, 2] = 30
    else:
        logits[0, match, 1] = 30
    offsets = encode(ONE_HAND[0].expand(len(GRID), 4), GRID)[None]
    loss = lossy(Raw(logits, offsets), gathered([ONE_HAND]), GRID)
    assert float(loss.boxes) == pytest.approx(0, abs=1e-3)
    if softmax:
        assert float(loss.classes) == pytest.approx(0, abs=1e-3)


DRAWN = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(2, 8), st.integers(-1, 1))
BATCH = st.lists(st.lists(DRAWN, max_size=4), min_size=1, max_size=4)


@pytest.mark.parametrize(("lossy", "columns"), KINDS)
@given(BATCH, st.integers(0, 5))
def test_a_batch_teaches_what_its_pictures_teach_one_by_one(
    lossy: Lossy, columns: int, pictures: list[list[tuple[int, int, int, int]]], seed: int
) -> None:
    """Sums over pictures: the loss of the batch is the mean of theirs, weighed with what each is divided by."""
    random = torch.Generator().manual_seed(seed)
    hands = [
        (torch.tensor([[x, y, x + s, y + s] for x, y, s, _ in one]).reshape(-1, 4) / 20.0,
         torch.tensor([label for *_, label in one], dtype=torch.int64))
        for one in pictures
    ]  # fmt: skip
    logits = torch.randn(len(pictures), len(GRID), columns, generator=random)
    offsets = torch.randn(len(pictures), len(GRID), 4, generator=random)
    whole = lossy(Raw(logits, offsets), gathered(hands), GRID)
    sums, weight = torch.zeros(2), 0.0
    for i, one in enumerate(hands):
        alone, predicted = gathered([one]), Raw(logits[i : i + 1], offsets[i : i + 1])
        divisor = divided_by(lossy, alone, predicted)
        sums += torch.stack([*lossy(predicted, alone, GRID)]) * max(divisor, 1.0)
        weight += divisor
    torch.testing.assert_close(torch.stack([*whole]), sums / max(weight, 1.0), rtol=1e-4, atol=1e-5)


def divided_by(lossy: Lossy, truth: Truth, predicted: Raw) -> float:
    """The sum of the qualities that one picture is taught."""
    known = truth.known
    if lossy is not aligned_loss:
        return float(match_by_iou(known.boxes_norm, known.picture, GRID, 1).quality.sum())
    scores, boxes = predicted.class_logits.sigmoid(), decode(predicted.box_offsets, GRID)
    match = match_by_alignment(known.boxes_norm, known.labels, known.picture, GRID, scores, boxes)
    return float(match.quality.sum())


def taught(predicted: Raw) -> int:
    """How many priors of the first picture got a gradient for their class."""
    assert predicted.class_logits.grad is not None
    return int((predicted.class_logits.grad[0].abs().sum(dim=1) > 0).sum())


def test_a_region_smaller_than_every_prior_is_not_taught_as_background() -> None:
    tiny = gathered([NO_HANDS, (torch.tensor([[0.51, 0.51, 0.535, 0.535]]), torch.tensor([-1]))])
    elsewhere, ignored = tiny.ignores(GRID, 2)
    assert not elsewhere.any(), "in another picture"
    assert ignored.any(), "those that a hand there would teach"
    near = (GRID[:, :2] - 0.5225).abs().amax(dim=1) < 0.5 * GRID[:, 2:].amax(dim=1)
    assert near[ignored].all() and not ignored.all()
