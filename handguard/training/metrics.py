"""Average precision at one overlap, for watching a training run.

The reference for reported numbers is pycocotools (`evaluation.py`); a test
holds the two equal on the same detections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One picture: what was found and what was there. Boxes xyxy in pixels of the picture."""

    boxes: Floats  # (N, 4)
    scores: Floats  # (N,)
    gt_boxes: Floats  # (G, 4)
    gt_ignored: NDArray[np.bool_]  # (G,) neither demanded nor denied
    side_px: int  # the picture's longer side


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Detections of a set in falling order of score, each right or wrong, and the hands to find."""

    scores: Floats
    right: NDArray[np.bool_]
    wanted: int

    @property
    def recall(self) -> NDArray[np.float64]:
        return np.cumsum(self.right) / max(self.wanted, 1)

    @property
    def precision(self) -> NDArray[np.float64]:
        return np.cumsum(self.right) / np.arange(1, len(self.right) + 1)

    def average_precision(self) -> float:
        """COCO's: the precision envelope sampled at 101 recalls. NaN when there was nothing to find."""
        if self.wanted == 0:
            return float("nan")
        envelope = np.maximum.accumulate(self.precision[::-1])[::-1]
        at = np.searchsorted(self.recall, np.linspace(0, 1, 101), side="left")
        return float(np.mean(np.append(envelope, 0.0)[np.minimum(at, len(envelope))]))


def curve(pictures: Sequence[Judged], *, iou: float = 0.5, min_side: float = 0.0) -> Curve:
    """Match detections to ground truth, best score first, each ground truth once.

    Hands smaller than `min_side` of the picture's longer side, and detections
    as small that match nothing, count neither way.
    """
    scores, right, wanted = [], [], 0
    for picture in pictures:
        smallest = min_side * picture.side_px
        ignored = picture.gt_ignored | (_sides(picture.gt_boxes) < smallest)
        wanted += int(np.sum(~ignored))
        for score, verdict in _verdicts(picture, ignored, iou, smallest):
            scores.append(score)
            right.append(verdict)
    order = np.argsort(-np.array(scores, np.float32), kind="stable")
    return Curve(np.array(scores, np.float32)[order], np.array(right, np.bool_)[order], wanted)


def _verdicts(
    picture: Judged, ignored: NDArray[np.bool_], iou: float, smallest: float
) -> list[tuple[float, bool]]:
    verdicts = []
    for found, truth in matched(picture, ignored, iou):
        if truth is None:
            if _sides(picture.boxes[found : found + 1])[0] >= smallest:
                verdicts.append((float(picture.scores[found]), False))
        elif not ignored[truth]:
            verdicts.append((float(picture.scores[found]), True))
    return verdicts


def matched(picture: Judged, ignored: NDArray[np.bool_], iou: float) -> list[tuple[int, int | None]]:
    """Each detection, best score first, with the ground truth it answers for, or None; both as indices."""
    overlap = iou_np(picture.boxes, picture.gt_boxes)
    reaches = np.max(overlap, axis=1, initial=0.0) >= iou
    free = np.ones(len(picture.gt_boxes), np.bool_)
    pairs: list[tuple[int, int | None]] = []
    for i in np.argsort(-picture.scores, kind="stable").tolist():
        best = _best_match(overlap[i], free, ignored, iou) if reaches[i] else None
        if best is not None:
            free[best] = ignored[best]
        pairs.append((i, best))
    return pairs


def _best_match(
    overlap: NDArray[np.float64], free: NDArray[np.bool_], ignored: NDArray[np.bool_], iou: float
) -> int | None:
    """The demanded ground truth with most overlap; failing that, an ignored one; failing that, none."""
    for candidates in (free & ~ignored, ignored):
        masked = np.where(candidates & (overlap >= iou), overlap, -1)
        if len(masked) and masked.max() >= iou:
            return int(masked.argmax())
    return None


def voc07(pictures: Sequence[Judged], iou: float = 0.5) -> float:
    """The 11-point average precision of PASCAL VOC 2007; NaN when there was nothing to find.

    VOC's rule of matching is stricter than COCO's: a detection answers for the
    ground truth it overlaps most, and is wrong if another has answered for it. An
    overlap of exactly `iou` is not enough.
    """
    verdicts = [verdict for picture in pictures for verdict in _voc_verdicts(picture, iou)]
    wanted = sum(len(picture.gt_boxes) for picture in pictures)
    order = np.argsort([-score for score, _ in verdicts], kind="stable")
    right = np.array([verdict for _, verdict in verdicts], np.bool_)[order]
    one = Curve(np.array([score for score, _ in verdicts], np.float32)[order], right, wanted)
    if wanted == 0:
        return float("nan")
    reached = [one.precision[one.recall >= level - 1e-12] for level in np.linspace(0, 1, 11)]
    return float(np.mean([max(precisions, default=0.0) for precisions in reached]))


def _voc_verdicts(picture: Judged, iou: float) -> list[tuple[float, bool]]:
    overlap = iou_np(picture.boxes, picture.gt_boxes)
    free = np.ones(len(picture.gt_boxes), np.bool_)
    verdicts = []
    for i in np.argsort(-picture.scores, kind="stable"):
        best = int(overlap[i].argmax()) if len(free) else -1
        right = best >= 0 and bool(overlap[i, best] > iou and free[best])
        if right:
            free[best] = False
        verdicts.append((float(picture.scores[i]), right))
    return verdicts


def _sides(boxes: Floats) -> Floats:
    return np.asarray(np.max(boxes[:, 2:] - boxes[:, :2], axis=1, initial=0), np.float32)


def iou_np(first: Floats, second: Floats) -> NDArray[np.float64]:
    """Intersection over union of every pair, `(A, 4), (B, 4) → (A, B)`."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    inter = np.prod(np.clip(high - low, 0, None), axis=-1)
    area = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (first, second)]
    return np.asarray(inter / np.maximum(area[0][:, None] + area[1][None] - inter, 1e-9), np.float64)
