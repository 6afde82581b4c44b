"""What training minimises: the paper's multibox loss, the same with a focal loss, and one on aligned matches.

All take a batch of raw predictions and its ground truth and give
`Loss(classes, boxes)`, each already divided by the number of positives, finite
also when no picture of the batch shows a hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from handguard.detection import matching
from handguard.detection.boxes import complete_iou, covered_share, decode, encode, to_xyxy
from handguard.detection.ssd import Raw

NEGATIVES_PER_POSITIVE = 3  # the paper's hard negative mining
NEGATIVES_FLOOR = 32  # per picture, so that a picture without hands teaches too
FOCUS, FOCAL_SHARE = 2.0, 0.25  # gamma, and alpha of the positives: Lin et al., Focal Loss, 2017


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth of one picture. A label of -1 marks a region that is neither hand nor background."""

    boxes_norm: Tensor  # (G, 4) xyxy, fractions of the input
    labels: Tensor  # (G,) int64, HandClass values or -1

    @property
    def known(self) -> Truth:
        keep = self.labels >= 0
        return Truth(self.boxes_norm[keep], self.labels[keep])

    def ignores(self, priors_cxcywh: Tensor) -> Tensor:
        """(P,) bool: priors that mostly lie in a region nobody labelled, or that one of its size would teach."""
        regions = self.boxes_norm[self.labels < 0]
        if len(regions) == 0:
            return torch.zeros(len(priors_cxcywh), dtype=torch.bool, device=priors_cxcywh.device)
        inside = (covered_share(to_xyxy(priors_cxcywh), regions) > 0.5).any(dim=1)
        return inside | matching.centers_near(regions, priors_cxcywh).any(dim=0)


class Loss(NamedTuple):
    """Mean loss per positive prior, in float32."""

    classes: Tensor
    boxes: Tensor

    @property
    def total(self) -> Tensor:
        return self.classes + self.boxes


Chosen = Callable[[Tensor, Tensor, Tensor], Tensor]  # losses, positives, ignored, each (P,): their sum


def multibox_loss(raw: Raw, truths: Sequence[Truth], priors_cxcywh: Tensor) -> Loss:
    """The paper's: softmax cross-entropy with hard negatives, smooth L1 on coded offsets."""
    return _matched_by_iou(raw, truths, priors_cxcywh, _with_hard_negatives)


def focal_loss(raw: Raw, truths: Sequence[Truth], priors_cxcywh: Tensor) -> Loss:
    """The paper's boxes; every prior counts for the classes, the less the surer it is already."""
    return _matched_by_iou(raw, truths, priors_cxcywh, _focused)


def _matched_by_iou(raw: Raw, truths: Sequence[Truth], priors_cxcywh: Tensor, chosen: Chosen) -> Loss:
    logits, offsets = raw.class_logits.float(), raw.box_offsets.float()
    class_sum = box_sum = logits.sum() * 0
    positives = 0
    for picture_logits, picture_offsets, truth in zip(logits, offsets, truths, strict=True):
        known = truth.known
        match = matching.match_by_iou(known.boxes_norm, priors_cxcywh)
        positive = match.gt_index >= 0
        target = torch.where(positive, _at(known.labels, match.gt_index) + 1, 0)
        losses = functional.cross_entropy(picture_logits, target, reduction="none")
        class_sum = class_sum + chosen(losses, positive, truth.ignores(priors_cxcywh))
        coded = encode(_at(known.boxes_norm, match.gt_index[positive]), priors_cxcywh[positive])
        box_sum = box_sum + functional.smooth_l1_loss(picture_offsets[positive], coded, reduction="sum")
        positives += int(positive.sum())
    count = max(positives, 1)
    return Loss(class_sum / count, box_sum / count)


def _with_hard_negatives(losses: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
    hard = _hard_negatives(losses.detach(), positive | ignored, int(positive.sum()))
    return losses[positive].sum() + losses[hard].sum()


def _focused(losses: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
    """A loss of -log p, p the probability of what is right, is weighed with (1 - p)^gamma."""
    share = torch.where(positive, FOCAL_SHARE, 1 - FOCAL_SHARE)
    focal = share * (1 - torch.exp(-losses)).pow(FOCUS) * losses
    return focal[positive | ~ignored].sum()


def aligned_loss(raw: Raw, truths: Sequence[Truth], priors_cxcywh: Tensor, box_weight: float = 2.0) -> Loss:
    """Binary cross-entropy towards the quality of the match, complete IoU on decoded boxes."""
    logits, offsets = raw.class_logits.float(), raw.box_offsets.float()
    boxes = decode(offsets, priors_cxcywh)
    scores = logits.detach().sigmoid()
    class_sum = box_sum = logits.sum() * 0
    weight = 0.0
    for i, truth in enumerate(truths):
        known = truth.known
        match = matching.match_by_alignment(
            known.boxes_norm, known.labels, priors_cxcywh, scores[i], boxes[i].detach()
        )
        target = _soft_targets(match, known.labels, logits.shape[-1])
        losses = functional.binary_cross_entropy_with_logits(logits[i], target, reduction="none")
        # a focusing factor on negatives only: easy background must not drown few hands
        losses = torch.where(target > 0, losses, losses * scores[i].pow(1.5))
        class_sum = class_sum + losses[~(truth.ignores(priors_cxcywh) & (match.gt_index < 0))].sum()
        positive = match.gt_index >= 0
        ciou = complete_iou(boxes[i][positive], _at(known.boxes_norm, match.gt_index[positive]))
        box_sum = box_sum + ((1 - ciou) * match.quality[positive]).sum()
        weight += float(match.quality.sum())
    count = max(weight, 1.0)
    return Loss(class_sum / count, box_weight * box_sum / count)


def _soft_targets(match: matching.Match, labels: Tensor, classes: int) -> Tensor:
    """(P, C): the match quality at the hand's class, 0 elsewhere."""
    target = torch.zeros(len(match.gt_index), classes, device=match.quality.device)
    positive = match.gt_index >= 0
    target[positive, _at(labels, match.gt_index[positive])] = match.quality[positive]
    return target


def _at(values: Tensor, index: Tensor) -> Tensor:
    """`values[index]`, where an index of -1 or an empty `values` gives something unused."""
    if len(values) == 0:
        return values.new_zeros((len(index), *values.shape[1:]))
    return values[index.clamp(min=0)]


def _hard_negatives(losses: Tensor, excluded: Tensor, positives: int) -> Tensor:
    """Indices of the background priors with the highest loss."""
    candidates = losses.masked_fill(excluded, -1)
    wanted = max(NEGATIVES_PER_POSITIVE * positives, NEGATIVES_FLOOR)
    return candidates.topk(min(wanted, int((~excluded).sum()))).indices
