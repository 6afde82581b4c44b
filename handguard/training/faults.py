"""The worst that a detector did on a set of pictures: hands it missed, and things it took for hands.

The larger a missed hand is in its picture, the worse; the higher the score of a
false hit, the worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handguard.training.coco import Sample
from handguard.training.measures import Answer, best_scores, pairs, side_px
from handguard.types import HandClass


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """One miss or false hit: where, how bad (larger is worse), and a word on it."""

    sample: Sample
    box_px: NDArray[np.float32]  # (4,) xyxy
    badness: float
    words: str


def misses(answers: Sequence[Answer], min_score: float) -> list[Fault]:
    """Hands without a hit at this score, largest first."""
    faults = []
    for answer in answers:
        best = best_scores(answer)
        for box, label, score in zip(answer.sample.boxes_px, answer.sample.labels, best, strict=True):
            if score >= min_score:
                continue
            share = float(max(box[2:] - box[:2]) / side_px(answer.sample))
            said = f"best score {score:.2f}" if score > 0 else "nothing there"
            faults.append(Fault(answer.sample, box, share, f"{HandClass(label).title}, {said}"))
    return sorted(faults, key=lambda fault: -fault.badness)


def false_hits(answers: Sequence[Answer], min_score: float) -> list[Fault]:
    """Hits from this score on that answer for no hand, most certain first."""
    faults = []
    for answer in answers:
        hands = answer.hands
        for found, truth in pairs(answer):
            score = float(hands.scores[found])
            if truth is None and score >= min_score:
                words = f"{HandClass(hands.labels[found]).title}, score {score:.2f}"
                faults.append(Fault(answer.sample, hands.boxes_px[found], score, words))
    return sorted(faults, key=lambda fault: -fault.badness)
