"""Every hand gets a prior, and no prior answers for two."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from handguard.detection import priors
from handguard.detection.boxes import iou_matrix, to_xyxy
from handguard.detection.matching import match_by_alignment, match_by_iou

GRID = priors.grid(
    [priors.octave_map((64, 64), 8, (2.0, 3.5)), priors.octave_map((64, 64), 16, (2.0,))], (64, 64)
)
corners = st.floats(0, 0.9)
sides = st.floats(0.01, 0.6)
hands = st.lists(st.tuples(corners, corners, sides, sides), min_size=1, max_size=6)


def as_boxes(drawn: list[tuple[float, float, float, float]]) -> torch.Tensor:
    return torch.tensor([(x, y, x + w, y + h) for x, y, w, h in drawn])


def in_one(gt: torch.Tensor) -> torch.Tensor:
    """All hands in the first picture."""
    return torch.zeros(len(gt), dtype=torch.int64)


@given(hands)
def test_each_hand_has_a_prior_of_its_own(drawn: list[tuple[float, float, float, float]]) -> None:
    gt = as_boxes(drawn)
    match = match_by_iou(gt, in_one(gt), GRID, 1)
    assert set(match.gt_index[match.gt_index >= 0].tolist()) == set(range(len(gt)))


def test_two_hands_in_one_place_get_two_priors() -> None:
    gt = torch.tensor([[0.3, 0.3, 0.5, 0.5], [0.3, 0.3, 0.5, 0.5]])
    apart, together = torch.tensor([0, 1]), torch.tensor([1, 1])
    assert {0, 1} <= set(match_by_iou(gt, together, GRID, 2).gt_index[1].tolist())
    first, second = match_by_iou(gt, apart, GRID, 2).gt_index
    assert set(first.tolist()) == {-1, 0} and set(second.tolist()) == {-1, 1}
    assert torch.equal(first, second.clamp(max=0)), "each has its own picture's best"


@given(hands)
def test_priors_beyond_the_best_overlap_their_hand_by_half(
    drawn: list[tuple[float, float, float, float]],
) -> None:
    gt = as_boxes(drawn)
    index = match_by_iou(gt, in_one(gt), GRID, 1).gt_index[0]
    iou = iou_matrix(gt, to_xyxy(GRID))
    overlap = iou[index.clamp(min=0), torch.arange(len(GRID))]
    weak = (index >= 0) & (overlap <= 0.5)
    assert int(weak.sum()) <= len(gt)
    assert not ((index < 0) & (iou.amax(dim=0) > 0.5)).any()


def test_no_hands_match_nothing() -> None:
    none = torch.zeros(0, 4)
    nobody = torch.zeros(0, dtype=torch.int64)
    by_iou = match_by_iou(none, nobody, GRID, 2)
    aligned = match_by_alignment(none, nobody, nobody, GRID, torch.rand(1, len(GRID), 2), to_xyxy(GRID)[None])
    for match in (by_iou, aligned):
        assert (match.gt_index == -1).all()
        assert (match.quality == 0).all()


def test_alignment_prefers_the_prediction_that_fits() -> None:
    """All predictions equal their priors; one is told to fit the hand exactly and must teach at full quality."""
    gt, label = torch.tensor([[0.25, 0.25, 0.5, 0.5]]), torch.tensor([1])
    predicted = to_xyxy(GRID).clone()
    inside = int(((GRID[:, :2] - 0.375).abs().sum(dim=1)).argmin())
    predicted[inside] = gt[0]
    second = torch.tensor([1])  # the first picture of the batch shows nobody
    scores, boxes = torch.full((2, len(GRID), 2), 0.5), predicted.expand(2, -1, -1)
    match = match_by_alignment(gt, label, second, GRID, scores, boxes)
    assert (match.gt_index[0] == -1).all() and (match.quality[0] == 0).all()
    assert match.gt_index[1, inside] == 0
    assert float(match.quality[1, inside]) == float(match.quality.max())
    assert float(match.quality.max()) > 0.99


@given(hands)
def test_alignment_gives_qualities_between_0_and_1(drawn: list[tuple[float, float, float, float]]) -> None:
    gt = as_boxes(drawn)
    labels = torch.zeros(len(gt), dtype=torch.int64)
    scores = torch.full((1, len(GRID), 2), 0.1)
    match = match_by_alignment(gt, labels, torch.zeros_like(labels), GRID, scores, to_xyxy(GRID)[None])
    assert ((match.quality >= 0) & (match.quality <= 1 + 1e-6)).all()
    assert ((match.gt_index >= 0) | (match.quality == 0)).all()
    assert int((match.gt_index >= 0).sum()) <= 10 * len(gt)
