"""Which prior answers for which ground-truth box: two rules.

`match_by_iou` is the paper's: every ground truth gets its best prior, and every
prior that overlaps one by more than 0.5 joins. `match_by_alignment` lets the
network's own predictions choose (after Feng et al., "TOOD: Task-aligned
One-stage Object Detection", 2021): small hands, which no prior overlaps by half,
then still get as many teachers as large ones.

Both give one `Match` per picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from handguard.detection.boxes import iou_matrix, to_cxcywh, to_xyxy


class Match(NamedTuple):
    """For each of P priors: the ground truth it answers for, and how well it should score."""

    gt_index: Tensor  # (P,) int64; -1: background
    quality: Tensor  # (P,) float in [0, 1]; the score to learn; 0 for background


def match_by_iou(gt_xyxy: Tensor, priors_cxcywh: Tensor, threshold: float = 0.5) -> Match:
    """The paper's rule; boxes as fractions of the input. G may be 0."""
    count = len(priors_cxcywh)
    if len(gt_xyxy) == 0:
        return _nothing(count, priors_cxcywh)
    iou = iou_matrix(gt_xyxy, to_xyxy(priors_cxcywh))
    best_iou, best_gt = iou.max(dim=0)
    index = torch.where(best_iou > threshold, best_gt, torch.full_like(best_gt, -1))
    _give_each_its_best(index, iou.clone())
    return Match(index, (index >= 0).to(priors_cxcywh.dtype))


def _give_each_its_best(index: Tensor, iou: Tensor) -> None:
    """One prior for every ground truth, best overlaps first, in place: two hands never share one. Spoils `iou`."""
    for _ in range(min(iou.shape)):
        gt, prior = divmod(int(iou.argmax()), iou.shape[1])
        index[prior] = gt
        iou[gt] = -1
        iou[:, prior] = -1


def match_by_alignment(
    gt_xyxy: Tensor,
    gt_labels: Tensor,
    priors_cxcywh: Tensor,
    scores: Tensor,
    boxes_xyxy: Tensor,
    *,
    per_gt: int = 10,
    score_power: float = 0.5,
    iou_power: float = 6.0,
) -> Match:
    """The `per_gt` priors whose centre is near a hand and whose prediction fits it best.

    `scores` `(P, C)` and `boxes_xyxy` `(P, 4)` are the network's predictions,
    detached. A prior wanted by two hands goes to the one it overlaps more.
    """
    if len(gt_xyxy) == 0:
        return _nothing(len(priors_cxcywh), priors_cxcywh)
    near = centers_near(gt_xyxy, priors_cxcywh)
    iou = iou_matrix(gt_xyxy, boxes_xyxy) * near
    fit = scores[:, gt_labels].T.pow(score_power) * iou.pow(iou_power)
    chosen = _top_mask(fit + near * 1e-12 * iou, min(per_gt, fit.shape[1])) & near
    contested = torch.where(chosen, iou + 1e-9, torch.zeros_like(iou))
    overlap, index = contested.max(dim=0)
    taken = overlap > 0
    index = torch.where(taken, index, torch.full_like(index, -1))

    own = torch.where(chosen & (torch.arange(len(gt_xyxy), device=index.device)[:, None] == index), fit, 0)
    best_fit = own.amax(dim=1, keepdim=True).clamp(min=1e-12)
    best_iou = torch.where(own > 0, iou, torch.zeros_like(iou)).amax(dim=1, keepdim=True)
    quality = (own / best_fit * best_iou).amax(dim=0)
    return Match(index, quality)


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


def _nothing(count: int, like: Tensor) -> Match:
    return Match(
        torch.full((count,), -1, dtype=torch.int64, device=like.device),
        torch.zeros(count, dtype=like.dtype, device=like.device),
    )
