"""Which prior answers for which ground-truth box: two rules.

`match_by_iou` is the paper's: every ground truth gets its best prior, and every
prior that overlaps one by more than 0.5 joins. `match_by_alignment` lets the
network's own predictions choose (after Feng et al., "TOOD: Task-aligned
One-stage Object Detection", 2021): small hands, which no prior overlaps by half,
then still get as many teachers as large ones.

Both give one `Match` for a whole batch, whose hands lie in one list: without a loop over pictures a
graphics card is kept busy, and a CPU gains, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from handguard.detection.boxes import iou_matrix, to_cxcywh, to_xyxy


class Match(NamedTuple):
    """For each of P priors of N pictures: the ground truth it answers for, and how well it should score."""

    gt_index: Tensor  # (N, P) int64, through the whole batch; -1: background
    quality: Tensor  # (N, P) float in [0, 1]; the score to learn; 0 for background


def match_by_iou(
    gt_xyxy: Tensor, gt_picture: Tensor, priors_cxcywh: Tensor, pictures: int, threshold: float = 0.5
) -> Match:
    """The paper's rule; boxes as fractions of the input. `gt_picture` `(G,)` int64 says which of the pictures each
    of the hands is in."""
    iou = iou_matrix(gt_xyxy, to_xyxy(priors_cxcywh))
    of_picture = _Pictures(gt_picture, (pictures, len(priors_cxcywh)))
    joins = (iou > threshold) & (iou == of_picture.largest(iou)[gt_picture])
    index = of_picture.first(joins)
    _give_each_its_best(index, iou, gt_picture)
    return Match(index, (index >= 0).to(priors_cxcywh.dtype))


def _give_each_its_best(index: Tensor, iou: Tensor, gt_picture: Tensor) -> None:
    """One prior for every ground truth, best overlaps first, in place: two hands never share one. Spoils `iou`."""
    pictures, priors = index.shape
    if len(iou) == 0:
        return
    of_picture = _Pictures(gt_picture, (pictures, 1))
    hands = torch.arange(len(iou), device=iou.device)[:, None]
    for _ in range(min(int(torch.bincount(gt_picture).max()), priors)):
        best, prior = iou.max(dim=1, keepdim=True)  # of each hand; -1 of one that has its prior
        winner = of_picture.first((best >= 0) & (best == of_picture.largest(best)[gt_picture]))
        won, taken = winner >= 0, prior[winner.squeeze(1).clamp(min=0)]
        index.scatter_(1, taken, torch.where(won, winner, index.gather(1, taken)))
        taken, won = taken[gt_picture], won[gt_picture]  # for all hands of the picture
        iou.scatter_(1, taken, torch.where(won, -1, iou.gather(1, taken)))
        iou.masked_fill_(winner[gt_picture] == hands, -1)


def match_by_alignment(
    gt_xyxy: Tensor,
    gt_labels: Tensor,
    gt_picture: Tensor,
    priors_cxcywh: Tensor,
    scores: Tensor,
    boxes_xyxy: Tensor,
    *,
    per_gt: int = 10,
    score_power: float = 0.5,
    iou_power: float = 6.0,
) -> Match:
    """The `per_gt` priors whose centre is near a hand and whose prediction fits it best.

    The G hands are those of all pictures; `gt_picture` `(G,)` int64 says of which. `scores` `(N, P, C)` and
    `boxes_xyxy` `(N, P, 4)` are the network's predictions, detached. A prior wanted by two hands goes to the
    one it overlaps more. In the match, hands are counted through the batch.
    """
    near = centers_near(gt_xyxy, priors_cxcywh)
    iou = iou_matrix(gt_xyxy[:, None], boxes_xyxy[gt_picture]).squeeze(1) * near
    fit = scores[gt_picture, :, gt_labels].pow(score_power) * iou.pow(iou_power)
    chosen = _top_mask(fit + near * 1e-12 * iou, min(per_gt, fit.shape[1])) & near

    contested = torch.where(chosen, iou + 1e-9, 0)
    of_picture = _Pictures(gt_picture, scores.shape[:2])
    index = of_picture.first(chosen & (contested == of_picture.largest(contested)[gt_picture]))
    own = index[gt_picture] == torch.arange(len(gt_picture), device=index.device)[:, None]

    of_own = torch.where(own, fit, 0)
    best_fit = of_own.amax(dim=1, keepdim=True).clamp(min=1e-12)
    best_iou = torch.where(own, iou, 0).amax(dim=1, keepdim=True)
    quality = of_picture.largest(of_own / best_fit * best_iou)
    return Match(index, quality)


class _Pictures:
    """From rows of hands `(G, P)` to rows of pictures `(N, P)`."""

    def __init__(self, gt_picture: Tensor, shape: Sequence[int]) -> None:
        """`shape`: N and P."""
        self._shape, self._hands = tuple(shape), len(gt_picture)
        self._row = gt_picture[:, None].expand(-1, shape[1])

    def largest(self, values: Tensor) -> Tensor:
        """Of each picture's hands; 0 where it has none. `values` are not below 0, or count as 0."""
        return values.new_zeros(self._shape).scatter_reduce(0, self._row, values, "amax")

    def first(self, marked: Tensor) -> Tensor:
        """The first hand of each picture that is `marked` `(G, P)`; -1 where none is."""
        number = torch.arange(self._hands, device=marked.device)[:, None]
        values = torch.where(marked, number, self._hands)
        smallest = values.new_full(self._shape, self._hands).scatter_reduce(0, self._row, values, "amin")
        return torch.where(smallest < self._hands, smallest, -1)


def centers_near(gt_xyxy: Tensor, priors_cxcywh: Tensor) -> Tensor:
    """(G, P): the prior's centre is inside the box, or within half a small prior of its centre."""
    gt = to_cxcywh(gt_xyxy)
    reach = torch.maximum(gt[:, None, 2:], priors_cxcywh[None, :, 2:]) / 2
    reach = torch.minimum(reach, gt[:, None, 2:] / 2 + priors_cxcywh[None, :, 2:] * 0.25)
    distance = (gt[:, None, :2] - priors_cxcywh[None, :, :2]).abs()
    return (distance < reach).all(dim=-1)


def _top_mask(values: Tensor, k: int) -> Tensor:
    mask = torch.zeros_like(values, dtype=torch.bool)
    return mask.scatter(1, values.topk(k, dim=1).indices, True)
