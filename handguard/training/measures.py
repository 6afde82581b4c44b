"""From answers to numbers: what was found, what was missed, and what was seen where nothing is.

An `Answer` holds one picture's truth and the hands reported for it. Everything
below is a view of a list of answers: `against_truth` turns it into the form that
`metrics` counts, for all hands (class-agnostic), or for one class.

Two groups of hands are told apart by size: all of them, and the near ones, whose
longer side is at least 1/12 of the picture's: what a camera over a table sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.training.coco import Sample
from handguard.training.metrics import Curve, Judged, curve, matched
from handguard.types import Detections, HandClass

NEAR_SIDE = 1 / 12  # of the picture's longer side
GROUPS = {"all": 0.0, "near": NEAR_SIDE}
SAME_HAND_IOU = 0.5
LOOSE_IOU = 0.3  # found at all, if not exactly: enough to stop a machine
# longer side of a hand as a share of the picture's longer side: up to each of these
SIZE_STEPS = (1 / 48, 1 / 24, 1 / 12, 1 / 6, 1 / 3, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One picture with its truth, and the hands reported for it, in pixels of the picture."""

    sample: Sample
    hands: Detections


@dataclass(frozen=True, slots=True)
class Share:
    """`found` of `hands`, with the 95 % interval of the share."""

    found: int
    hands: int

    def told(self) -> dict[str, Any]:
        """For a card: found, hands, share, interval; share and interval are None without hands."""
        known = self.hands > 0
        return {
            "found": self.found,
            "hands": self.hands,
            "share": round(self.found / self.hands, 4) if known else None,
            "interval_95": [round(v, 4) for v in wilson(self.found, self.hands)] if known else None,
        }


def wilson(found: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a share (Wilson, 1927); z for 95 %. `of` must be positive."""
    share = found / of
    center = share + z * z / (2 * of)
    reach = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    low, high = (center - reach) / scale, (center + reach) / scale
    return (0.0 if found == 0 else low), (1.0 if found == of else high)


def against_truth(answers: Iterable[Answer], kind: HandClass | None = None) -> list[Judged]:
    """Class-agnostic, or one class: only its hands, and only what was called by its name."""
    return [_judged(answer, kind) for answer in answers]


def any_name(answers: Iterable[Answer], kind: HandClass) -> list[Judged]:
    """Hands of one class, found under whatever name: what counts for stopping a machine."""
    judged = []
    for answer in answers:
        sample, hands = answer.sample, answer.hands
        ignored = sample.labels != kind
        judged.append(Judged(hands.boxes_px, hands.scores, sample.boxes_px, ignored, side_px(sample)))
    return judged


def side_px(sample: Sample) -> int:
    """The picture's longer side."""
    return max(sample.width_px, sample.height_px)


def curves(answers: Sequence[Answer]) -> dict[str, dict[str, Curve]]:
    """`any` and each class, for all and for near hands."""
    views: dict[str, list[Judged]] = {"any": against_truth(answers)}
    views |= {kind.title: against_truth(answers, kind) for kind in HandClass}
    return {
        name: {group: curve(view, min_side=smallest) for group, smallest in GROUPS.items()}
        for name, view in views.items()
    }


def recalls(
    answers: Sequence[Answer], min_score: float, iou: float = SAME_HAND_IOU
) -> dict[str, dict[str, Any]]:
    """Hands found under any name at the operating point: of all hands, bare, and gloved; all and near."""
    views = {"any": against_truth(answers)} | {kind.title: any_name(answers, kind) for kind in HandClass}
    return {
        name: {
            group: share_found(curve(view, iou=iou, min_side=smallest), min_score).told()
            for group, smallest in GROUPS.items()
        }
        for name, view in views.items()
    }


def share_found(one: Curve, min_score: float) -> Share:
    """Of a curve, at a score."""
    return Share(int(np.sum(one.right & (one.scores >= min_score))), one.wanted)


def false_per_picture(answers: Sequence[Answer], min_score: float) -> float | None:
    """Reported hands that are none (or not the same place), per picture; None without pictures."""
    if not answers:
        return None
    one = curve(against_truth(answers))
    return round(float(np.sum(~one.right & (one.scores >= min_score))) / len(answers), 4)


def hand_free(answers: Iterable[Answer]) -> list[Answer]:
    """The pictures without a hand."""
    return [answer for answer in answers if len(answer.sample.boxes_px) == 0]


def by_source(answers: Sequence[Answer], min_score: float) -> dict[str, dict[str, Any]]:
    """The same numbers for each source of pictures."""
    sources = sorted({answer.sample.source for answer in answers})
    return {
        name: _source_row([answer for answer in answers if answer.sample.source == name], min_score)
        for name in sources
    }


def _source_row(answers: list[Answer], min_score: float) -> dict[str, Any]:
    truth = against_truth(answers)
    every, near = (curve(truth, min_side=smallest) for smallest in GROUPS.values())
    return {
        "pictures": len(answers),
        "hands": every.wanted,
        "ap50": rounded(every.average_precision()),
        "ap50_near": rounded(near.average_precision()),
        "recall": share_found(every, min_score).told(),
        "recall_near": share_found(near, min_score).told(),
        "false_per_picture": false_per_picture(answers, min_score),
    }


def by_size(answers: Sequence[Answer], min_score: float) -> dict[str, dict[str, Any]]:
    """Hands found under any name, and those found at an overlap of 0.3, for each step of size."""
    found, loose = (_best_scores_of_all(answers, iou) >= min_score for iou in (SAME_HAND_IOU, LOOSE_IOU))
    shares = np.concatenate([*(_shares(answer.sample) for answer in answers), np.zeros(0)])
    step_of = np.searchsorted(SIZE_STEPS, np.minimum(shares, SIZE_STEPS[-1]))
    rows = {}
    for number, step in enumerate(SIZE_STEPS):
        here = step_of == number
        counts = [Share(int(hit[here].sum()), int(here.sum())).told() for hit in (found, loose)]
        rows[f"up to 1/{1 / step:.0f}"] = {"recall": counts[0], "recall_loose": counts[1]}
    return rows


def best_scores(answer: Answer, iou: float = SAME_HAND_IOU) -> list[float]:
    """For each hand of a picture, the score of the hit that answers for it; 0 where there is none."""
    best = [0.0] * len(answer.sample.boxes_px)
    for found, truth in pairs(answer, iou):
        if truth is not None:
            best[truth] = float(answer.hands.scores[found])
    return best


def pairs(answer: Answer, iou: float = SAME_HAND_IOU) -> list[tuple[int, int | None]]:
    """Each hit, best first, with the hand it answers for under whatever name, or None; both as indices."""
    picture = _judged(answer, None)
    return matched(picture, picture.gt_ignored, iou)


def _best_scores_of_all(answers: Sequence[Answer], iou: float) -> NDArray[np.float64]:
    return np.array([score for answer in answers for score in best_scores(answer, iou)], np.float64)


def _shares(sample: Sample) -> NDArray[np.float64]:
    """(G,): longer sides of the hands, of the picture's longer side."""
    boxes = sample.boxes_px.astype(np.float64)
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0) / side_px(sample))


def rounded(value: float) -> float | None:
    """Four digits; None where there was nothing to measure."""
    return round(value, 4) if math.isfinite(value) else None


def _judged(answer: Answer, kind: HandClass | None) -> Judged:
    sample, hands = answer.sample, answer.hands
    mine = np.ones(len(hands), np.bool_) if kind is None else hands.labels == kind
    there = np.ones(len(sample.boxes_px), np.bool_) if kind is None else sample.labels == kind
    demanded = np.zeros(int(there.sum()), np.bool_)
    return Judged(hands.boxes_px[mine], hands.scores[mine], sample.boxes_px[there], demanded, side_px(sample))
