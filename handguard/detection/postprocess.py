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
VARIANCES = np.array([CENTER_VARIANCE] * 2 + [SIZE_VARIANCE] * 2, np.float32)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a prediction counts. The defaults are the paper's, for evaluation."""

    min_score: float = 0.01
    max_overlap: float = 0.45
    keep: int = 200
    candidates: int = 400  # per picture, into suppression
    one_class_per_hand: bool = False  # suppress across classes: a hand is bare or gloved, not both
    counts_from: float | None = None  # lower ones are only measured; None: the card's operating point


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Hands of one picture, best first; boxes xyxy as fractions of the network input."""

    boxes_norm: Floats  # (N, 4)
    scores: Floats  # (N,)
    labels: NDArray[np.int64]  # (N,)
    left_out: float = 0.0  # as high may something have scored that was beyond `candidates` or `keep`; 0: nothing was


def found(
    class_logits: Floats, box_offsets: Floats, priors: Floats, kind: ScoreKind, limits: Thresholds
) -> Found:
    """Decode one picture: logits `(P, C)`, offsets `(P, 4)`, priors `(P, 4)` cxcywh."""
    table = scores_of(class_logits, kind)
    every = table.reshape(-1)
    hits = np.flatnonzero(every >= limits.min_score)
    if not len(hits):
        return Found(np.empty((0, 4), np.float32), np.empty(0, np.float32), hits)
    scores = every[hits]
    best = np.argsort(-scores, kind="stable")[: limits.candidates]
    scores = scores[best]
    prior_index, labels = np.divmod(hits[best], table.shape[1])
    boxes = decoded(box_offsets[prior_index], priors[prior_index])
    groups = np.zeros_like(labels) if limits.one_class_per_hand else labels
    stay = suppressed(boxes, groups, limits.max_overlap)
    keep, sure = stay[: limits.keep], scores[stay]
    left_out = left_out_of(sure, scores[-1], len(hits) >= limits.candidates, limits)
    return Found(boxes[keep], sure[: limits.keep], labels[keep].astype(np.int64), left_out)


def left_out_of(hands: Floats, lowest: np.float32, is_full: bool, limits: Thresholds) -> float:
    """`Found.left_out`: scores of all hands, best first, the lowest candidate's, and whether there may have been more
    candidates."""
    if len(hands) > limits.keep:
        return float(hands[limits.keep])
    return float(lowest) if is_full else 0.0


def scores_of(logits: Floats, kind: ScoreKind) -> Floats:
    """Class scores `(P, C)` without background."""
    if kind is ScoreKind.SIGMOID:
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted[:, 1:] / shifted.sum(axis=1, keepdims=True), np.float32)


def decoded(offsets: Floats, priors: Floats) -> Floats:
    """Boxes xyxy; the numpy twin of `boxes.decode`."""
    steps, size = offsets * VARIANCES, priors[:, 2:]
    center = priors[:, :2] + steps[:, :2] * size
    half = size * np.exp(np.minimum(steps[:, 2:], MAX_LOG_RATIO)) / 2
    boxes = np.empty_like(steps)
    np.subtract(center, half, boxes[:, :2])
    np.add(center, half, boxes[:, 2:])
    return boxes


def suppressed(boxes: Floats, groups: NDArray[np.int64], max_overlap: float) -> NDArray[np.int64]:
    """Indices of the boxes (best first) that survive greedy suppression within each group.

    The best one clears its rivals away, then the best of what is left: few hands have many candidates.
    """
    apart = boxes + groups[:, None] * 4.0  # groups lie where no other reaches: one pass serves all
    low, high = apart[:, :2], apart[:, 2:]
    left, areas = np.arange(len(boxes)), _areas(high - low)
    keep: list[np.intp] = []
    while len(left):
        keep.append(left[0])
        inter = _areas(np.maximum(np.minimum(high, high[0]) - np.maximum(low, low[0]), 0))
        stays = inter / np.maximum(areas[0] + areas - inter, 1e-9) <= max_overlap
        stays[0] = False
        left, low, high, areas = left[stays], low[stays], high[stays], areas[stays]
    return np.array(keep, np.int64)


def _areas(sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Width times height of each row."""
    areas: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return areas
