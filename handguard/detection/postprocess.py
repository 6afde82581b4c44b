"""From raw predictions to hands: scores, decoding, non-maximum suppression.

Written in numpy, because on the stop path a few hundred candidates are left and
a torch call costs more than the arithmetic. The priors and the coding are
those of `boxes` and `priors`; a test holds this equal to the torch form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handguard.detection.coding import CENTER_VARIANCE, MAX_LOG_RATIO, SIZE_VARIANCE
from handguard.detection.scores import ScoreKind

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a prediction counts. The defaults are the paper's, for evaluation."""

    min_score: float = 0.01
    max_overlap: float = 0.45
    keep: int = 200
    candidates: int = 400  # per picture, into suppression
    one_class_per_hand: bool = False  # suppress across classes: a hand is bare or gloved, not both


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Hands of one picture, best first; boxes xyxy as fractions of the network input."""

    boxes_norm: Floats  # (N, 4)
    scores: Floats  # (N,)
    labels: NDArray[np.int64]  # (N,)


def found(
    class_logits: Floats, box_offsets: Floats, priors: Floats, kind: ScoreKind, limits: Thresholds
) -> Found:
    """Decode one picture: logits `(P, C)`, offsets `(P, 4)`, priors `(P, 4)` cxcywh."""
    scores = scores_of(class_logits, kind)
    flat = scores.reshape(-1)
    hits = np.flatnonzero(flat >= limits.min_score)
    if not len(hits):
        return Found(np.empty((0, 4), np.float32), np.empty(0, np.float32), hits)
    kept = flat[hits]
    if len(kept) > limits.candidates:
        best = np.argpartition(-kept, limits.candidates)[: limits.candidates]
        hits, kept = hits[best], kept[best]
    prior_index, labels = np.divmod(hits, scores.shape[1])
    boxes = decoded(box_offsets[prior_index], priors[prior_index])
    groups = np.zeros_like(labels) if limits.one_class_per_hand else labels
    keep = suppressed(boxes, kept, groups, limits.max_overlap)[: limits.keep]
    return Found(boxes[keep], kept[keep], labels[keep].astype(np.int64))


def scores_of(logits: Floats, kind: ScoreKind) -> Floats:
    """Class scores `(P, C)` without background."""
    if kind is ScoreKind.SIGMOID:
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted[:, 1:] / shifted.sum(axis=1, keepdims=True), np.float32)


def decoded(offsets: Floats, priors: Floats) -> Floats:
    """Boxes xyxy; the numpy twin of `boxes.decode`."""
    center = priors[:, :2] + offsets[:, :2] * CENTER_VARIANCE * priors[:, 2:]
    half = priors[:, 2:] * np.exp(np.minimum(offsets[:, 2:] * SIZE_VARIANCE, MAX_LOG_RATIO)) / 2
    return np.asarray(np.concatenate([center - half, center + half], axis=1), np.float32)


def suppressed(
    boxes: Floats, scores: Floats, groups: NDArray[np.int64], max_overlap: float
) -> NDArray[np.int64]:
    """Indices that survive greedy suppression within each group, best score first.

    The best one clears its rivals away, then the best of what is left: few hands have many candidates.
    """
    order = np.argsort(-scores, kind="stable")
    corners = (boxes[order] + groups[order, None] * 4.0).T.copy()  # groups lie apart: one pass serves all
    keep: list[np.intp] = []
    while len(order):
        keep.append(order[0])
        apart = _overlap_with_first(corners) <= max_overlap
        apart[0] = False
        order, corners = order[apart], corners[:, apart]
    return np.array(keep, np.int64)


def _overlap_with_first(corners: NDArray[np.float64]) -> Floats:
    """Intersection over union (N,) of the first box with every box; `(4, N)` rows x1 y1 x2 y2, N at least 1."""
    x1, y1, x2, y2 = corners
    width = np.minimum(x2, x2[0]) - np.maximum(x1, x1[0])
    height = np.minimum(y2, y2[0]) - np.maximum(y1, y1[0])
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    area = (x2 - x1) * (y2 - y1)
    return np.asarray(inter / np.maximum(area[0] + area - inter, 1e-9), np.float32)
