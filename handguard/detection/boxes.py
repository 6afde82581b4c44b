"""Arithmetic on boxes: the two notations, overlap, and SSD's box coding.

Boxes are `(…, 4)` float tensors. `xyxy` is x1 y1 x2 y2, `cxcywh` is centre and
size. Nothing here cares whether the numbers are pixels or fractions, as long
as both arguments use the same.

Box coding follows Liu et al., "SSD: Single Shot MultiBox Detector" (2016), with
the variances of the authors' Caffe release: the network predicts the centre's
shift in prior sizes divided by 0.1, and the log of the size ratio divided by 0.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from handguard.detection.coding import CENTER_VARIANCE, MAX_LOG_RATIO, SIZE_VARIANCE


def to_xyxy(cxcywh: Tensor) -> Tensor:
    """Centre-and-size to corners."""
    center, half = cxcywh[..., :2], cxcywh[..., 2:] / 2
    return torch.cat([center - half, center + half], dim=-1)


def to_cxcywh(xyxy: Tensor) -> Tensor:
    """Corners to centre-and-size."""
    low, high = xyxy[..., :2], xyxy[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def encode(gt_xyxy: Tensor, priors_cxcywh: Tensor) -> Tensor:
    """Offsets that turn each prior into its ground-truth box; both `(P, 4)`."""
    gt = to_cxcywh(gt_xyxy)
    shift = (gt[..., :2] - priors_cxcywh[..., :2]) / priors_cxcywh[..., 2:] / CENTER_VARIANCE
    ratio = torch.log(gt[..., 2:].clamp(min=1e-6) / priors_cxcywh[..., 2:]) / SIZE_VARIANCE
    return torch.cat([shift, ratio], dim=-1)


def decode(offsets: Tensor, priors_cxcywh: Tensor) -> Tensor:
    """Boxes xyxy from `(…, P, 4)` offsets; the inverse of `encode`."""
    center = priors_cxcywh[..., :2] + offsets[..., :2] * CENTER_VARIANCE * priors_cxcywh[..., 2:]
    log_ratio = (offsets[..., 2:] * SIZE_VARIANCE).clamp(max=MAX_LOG_RATIO)
    return to_xyxy(torch.cat([center, priors_cxcywh[..., 2:] * torch.exp(log_ratio)], dim=-1))


def areas(xyxy: Tensor) -> Tensor:
    """Area of each box; an inverted box has area 0."""
    width, height = (xyxy[..., 2:] - xyxy[..., :2]).clamp(min=0).unbind(-1)
    return width * height


def iou_matrix(first_xyxy: Tensor, second_xyxy: Tensor) -> Tensor:
    """Intersection over union of every pair: `(…, A, 4), (…, B, 4) → (…, A, B)`; 0 where both are empty."""
    inter = _intersections(first_xyxy, second_xyxy)
    union = areas(first_xyxy)[..., :, None] + areas(second_xyxy)[..., None, :] - inter
    return inter / union.clamp(min=1e-9)


def covered_share(first_xyxy: Tensor, second_xyxy: Tensor) -> Tensor:
    """How much of each first box lies in each second: `(A, 4), (B, 4) → (A, B)` in [0, 1]."""
    return _intersections(first_xyxy, second_xyxy) / areas(first_xyxy)[..., :, None].clamp(min=1e-9)


def _intersections(first_xyxy: Tensor, second_xyxy: Tensor) -> Tensor:
    low = torch.maximum(first_xyxy[..., :, None, :2], second_xyxy[..., None, :, :2])
    high = torch.minimum(first_xyxy[..., :, None, 2:], second_xyxy[..., None, :, 2:])
    width, height = (high - low).clamp(min=0).unbind(-1)
    return width * height


def complete_iou(first_xyxy: Tensor, second_xyxy: Tensor) -> Tensor:
    """CIoU of aligned pairs `(P, 4), (P, 4) → (P,)`, in [-1.5, 1].

    Zheng et al., "Distance-IoU Loss" (2020): overlap, minus the distance of the
    centres over the diagonal of the hull, minus a term for unlike aspect ratios.
    """
    low = torch.maximum(first_xyxy[:, :2], second_xyxy[:, :2])
    high = torch.minimum(first_xyxy[:, 2:], second_xyxy[:, 2:])
    inter = (high - low).clamp(min=0).prod(-1)
    union = areas(first_xyxy) + areas(second_xyxy) - inter
    iou = inter / union.clamp(min=1e-9)

    hull_low = torch.minimum(first_xyxy[:, :2], second_xyxy[:, :2])
    hull_high = torch.maximum(first_xyxy[:, 2:], second_xyxy[:, 2:])
    diagonal2 = (hull_high - hull_low).square().sum(-1).clamp(min=1e-9)
    first, second = to_cxcywh(first_xyxy), to_cxcywh(second_xyxy)
    distance2 = (first[:, :2] - second[:, :2]).square().sum(-1)

    angle = [torch.atan(box[:, 2] / box[:, 3].clamp(min=1e-6)) for box in (first, second)]
    unlike = (4 / torch.pi**2) * (angle[0] - angle[1]).square()
    with torch.no_grad():
        weight = unlike / (1 - iou + unlike).clamp(min=1e-9)
    return iou - distance2 / diagonal2 - weight * unlike
