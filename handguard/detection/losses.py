"""What training minimises: the paper's multibox loss, the same with a focal loss, and one on aligned matches.

All take a batch of raw predictions and its ground truth and give
`Loss(classes, boxes)`, each already divided by the number of positives, finite
also when no picture of the batch shows a hand. `likeness_loss` takes a teacher's raw predictions
in place of the truth.
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
    """Ground truth of a batch: all its regions. A label of -1 marks one that is neither hand nor background."""

    boxes_norm: Tensor  # (G, 4) xyxy, fractions of the input
    labels: Tensor  # (G,) int64, HandClass values or -1
    picture: Tensor  # (G,) int64: which of the batch's pictures it is in

    def to(self, device: str) -> Truth:
        """The same on another device."""
        return self._each(lambda x: x.to(device, non_blocking=True))

    def pin_memory(self) -> Truth:
        """The same in memory that a graphics card reads by itself."""
        return self._each(Tensor.pin_memory)

    @property
    def known(self) -> Truth:
        """The hands."""
        return self._each(lambda x: x[self.labels >= 0])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Truth:
        return Truth(change(self.boxes_norm), change(self.labels), change(self.picture))

    def ignores(self, priors_cxcywh: Tensor, pictures: int) -> Tensor:
        """(N, P) bool: priors that mostly lie in a region nobody labelled, or that one of its size would teach."""
        regions = self._each(lambda x: x[self.labels < 0])
        inside = covered_share(to_xyxy(priors_cxcywh), regions.boxes_norm).T > 0.5
        near = matching.centers_near(regions.boxes_norm, priors_cxcywh)
        count = torch.zeros((pictures, len(priors_cxcywh)), device=priors_cxcywh.device)
        return count.index_add(0, regions.picture, (inside | near).to(count.dtype)) > 0


def gathered(truths: Sequence[tuple[Tensor, Tensor]]) -> Truth:
    """The truth of a batch from the `(boxes_norm, labels)` of each of its pictures."""
    counts = torch.tensor([len(labels) for _, labels in truths])
    picture = torch.repeat_interleave(torch.arange(len(truths)), counts)
    return Truth(torch.cat([boxes for boxes, _ in truths]), torch.cat([labels for _, labels in truths]), picture)


class Loss(NamedTuple):
    """Mean loss per positive prior, in float32."""

    classes: Tensor
    boxes: Tensor

    @property
    def total(self) -> Tensor:
        return self.classes + self.boxes


Weigh = Callable[[Tensor, Tensor, Tensor], Tensor]  # losses, positives, ignored, each (N, P): what each counts


def multibox_loss(raw: Raw, truth: Truth, priors_cxcywh: Tensor) -> Loss:
    """The paper's: softmax cross-entropy with hard negatives, smooth L1 on coded offsets."""
    return _matched_by_iou(raw, truth, priors_cxcywh, _with_hard_negatives)


def focal_loss(raw: Raw, truth: Truth, priors_cxcywh: Tensor) -> Loss:
    """The paper's boxes; every prior counts for the classes, the less the surer it is already."""
    return _matched_by_iou(raw, truth, priors_cxcywh, _focused)


def _matched_by_iou(raw: Raw, truth: Truth, priors_cxcywh: Tensor, weigh: Weigh) -> Loss:
    logits, offsets = raw.class_logits.float(), raw.box_offsets.float()
    pictures, known = len(logits), truth.known
    match = matching.match_by_iou(known.boxes_norm, known.picture, priors_cxcywh, pictures)
    positive = match.gt_index >= 0
    hand = match.gt_index[positive]
    target = torch.zeros_like(match.gt_index)  # background
    target[positive] = known.labels[hand] + 1
    losses = functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view(target.shape)
    class_sum = (losses * weigh(losses, positive, truth.ignores(priors_cxcywh, pictures))).sum()
    coded = encode(known.boxes_norm[hand], priors_cxcywh.expand(pictures, -1, -1)[positive])
    box_sum = functional.smooth_l1_loss(offsets[positive], coded, reduction="sum")
    count = positive.sum().clamp(min=1)
    return Loss(class_sum / count, box_sum / count)


def _with_hard_negatives(losses: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
    """1 for the positives, and for the background priors with the highest loss, so many a positive of a picture."""
    wanted = (NEGATIVES_PER_POSITIVE * positive.sum(dim=1, keepdim=True)).clamp(min=NEGATIVES_FLOOR)
    background = ~(positive | ignored)
    hardest_first = losses.detach().masked_fill(~background, -1).argsort(dim=1, descending=True)
    rank = torch.empty_like(hardest_first).scatter_(1, hardest_first, _numbers(losses))
    return (positive | (background & (rank < wanted))).to(losses.dtype)


def _focused(losses: Tensor, positive: Tensor, ignored: Tensor) -> Tensor:
    """A loss of -log p, p the probability of what is right, is weighed with (1 - p)^gamma."""
    share = torch.where(positive, FOCAL_SHARE, 1 - FOCAL_SHARE)
    return share * (1 - torch.exp(-losses)).pow(FOCUS) * (positive | ~ignored)


def _numbers(losses: Tensor) -> Tensor:
    """(N, P): 0 to P - 1 in each row."""
    return torch.arange(losses.shape[1], device=losses.device).expand_as(losses)


def aligned_loss(raw: Raw, truth: Truth, priors_cxcywh: Tensor, box_weight: float = 2.0) -> Loss:
    """Binary cross-entropy towards the quality of the match, complete IoU on decoded boxes."""
    logits, offsets = raw.class_logits.float(), raw.box_offsets.float()
    boxes = decode(offsets, priors_cxcywh)
    scores, known = logits.detach().sigmoid(), truth.known
    match = matching.match_by_alignment(
        known.boxes_norm, known.labels, known.picture, priors_cxcywh, scores, boxes.detach()
    )
    positive = match.gt_index >= 0
    hand, quality = match.gt_index[positive], match.quality[positive]

    target = torch.zeros_like(logits)
    target[(*positive.nonzero(as_tuple=True), known.labels[hand])] = quality
    losses = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # a focusing factor on negatives only: easy background must not drown few hands
    losses = torch.where(target > 0, losses, losses * scores.pow(1.5))
    unknown = truth.ignores(priors_cxcywh, len(logits)) & ~positive
    class_sum = losses.masked_fill(unknown[..., None], 0).sum()

    ciou = complete_iou(boxes[positive], known.boxes_norm[hand])
    box_sum = ((1 - ciou) * quality).sum()
    weight = match.quality.sum().clamp(min=1)
    return Loss(class_sum / weight, box_weight * box_sum / weight)


def likeness_loss(raw: Raw, taught: Raw, box_weight: float = 0.3) -> Loss:
    """How far answers are from those of a teacher with the same priors and sigmoid scores, divided by the sum of
    his best scores (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015).

    Classes: the Kullback-Leibler divergence of each score, 0 where both say the same. Boxes: smooth L1 on coded
    offsets, each counting as much as the teacher is sure.
    """
    logits, wanted = raw.class_logits.float(), taught.class_logits.float()
    score = wanted.sigmoid()
    cross = functional.binary_cross_entropy_with_logits(logits, score, reduction="sum")
    own = functional.binary_cross_entropy_with_logits(wanted, score, reduction="sum")
    sureness = score.amax(dim=2)
    apart = functional.smooth_l1_loss(raw.box_offsets.float(), taught.box_offsets.float(), reduction="none", beta=0.1)
    weight = sureness.sum().clamp(min=1)
    return Loss((cross - own) / weight, box_weight * (apart.sum(dim=2) * sureness).sum() / weight)
