"""Measure a model as it will be used: the detector of the stop path, over annotated pictures.

Nothing is rebuilt for the purpose: `load_detector` gives the same crop,
letterbox, back end, precision and suppression as in operation, only with the
paper's low score, so that the whole curve can be seen. Pictures are taken size by
size, because a detector is made for one size of frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from handguard.atomic import write_json
from handguard.detection.detector import Region
from handguard.detection.loading import Choice, load_detector
from handguard.training import measures
from handguard.training.coco import Sample, decode_picture
from handguard.training.coco_numbers import coco_numbers
from handguard.training.measures import Answer, rounded
from handguard.training.metrics import voc07
from handguard.training.operating_point import LOWEST, quiet_score
from handguard.training.writing import writing
from handguard.types import Frame, HandClass

OnProgress = Callable[[int, int | None], None]

QUIET = 0.1  # false hits a hand-free picture


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a detector said about a set of pictures (in the order of the set), and at what speed."""

    answers: list[Answer]
    detector: str
    seconds: float


def run_detector(choice: Choice, samples: Sequence[Sample], progress: OnProgress) -> Run:
    """Every hand from a score of 0.01 on. Raises `ModelError` and `DatasetError`."""
    began = time.monotonic()
    low = choice.measuring(LOWEST)
    answers: dict[int, Answer] = {}
    detector = None
    numbered = sorted(enumerate(samples), key=lambda one: _size(one[1]))
    for size, group in groupby(numbered, key=lambda one: _size(one[1])):
        detector = load_detector(low, Region(0, 0, *size))
        for index, sample in group:
            answers[index] = Answer(sample, detector.detect(Frame(index, 0, decode_picture(sample))))
            progress(len(answers), len(samples))
    said = detector.description if detector else ""
    return Run([answers[i] for i in range(len(samples))], said, time.monotonic() - began)


def numbers(run: Run, min_score: float) -> dict[str, Any]:
    """Everything that is known about the answers, for a card or a JSON file."""
    answers = run.answers
    curves = measures.curves(answers)
    return {
        "pictures": len(answers),
        "hand_free_pictures": len(measures.hand_free(answers)),
        "hands": {name: view["all"].wanted for name, view in curves.items()},
        "hands_near": {name: view["near"].wanted for name, view in curves.items()},
        "ap50": {name: rounded(view["all"].average_precision()) for name, view in curves.items()},
        "ap50_near": {name: rounded(view["near"].average_precision()) for name, view in curves.items()},
        "voc07_ap50": _voc07(answers),
        "coco": {name: _rounded(row) for name, row in coco_numbers(answers).items()},
        "at_operating_point": at_score(answers, min_score),
        "at_quiet": _at_quiet(answers),
        "sources": measures.by_source(answers, min_score),
        "sizes": measures.by_size(answers, min_score),
        "measured_with": run.detector,
        "pictures_per_s": round(len(answers) / run.seconds, 1),
        "terms": TERMS,
    }


TERMS = {
    "near": "hands whose longer side is at least 1/12 of the picture's longer side",
    "any": "class-agnostic: bare or gloved, under either name",
    "recall": "hands found under either name at an overlap (IoU) of 0.5; recall_loose: of 0.3",
    "at_quiet": "at the lowest score with no more false hits a hand-free picture than allowed",
    "sizes": "longer side of a hand as a share of its picture's longer side",
    "false hits": "reported hands that overlap no hand by 0.5, each hand counting once",
}


def _at_quiet(answers: Sequence[Answer]) -> dict[str, Any] | None:
    """What the most that people bear would give, wherever the operating point is; None without hand-free pictures."""
    score = quiet_score(answers, QUIET)
    return None if score is None else {"false_hits_allowed": QUIET, **at_score(answers, score)}


def at_score(answers: Sequence[Answer], min_score: float) -> dict[str, Any]:
    """What operation at this score gives."""
    return {
        "min_score": min_score,
        "recall": measures.recalls(answers, min_score),
        "recall_loose": measures.recalls(answers, min_score, iou=measures.LOOSE_IOU),
        "false_per_picture": measures.false_per_picture(answers, min_score),
        "false_per_hand_free_picture": measures.false_per_picture(measures.hand_free(answers), min_score),
    }


def write_numbers(found: dict[str, Any], path: Path) -> None:
    """As JSON, whole or not at all."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)


def _voc07(answers: Sequence[Answer]) -> dict[str, float | None]:
    views = {"any": measures.against_truth(answers)}
    views |= {kind.title: measures.against_truth(answers, kind) for kind in HandClass}
    return {name: rounded(voc07(view)) for name, view in views.items()}


def _rounded(row: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else rounded(value) for name, value in row.items()}


def _size(sample: Sample) -> tuple[int, int]:
    return sample.width_px, sample.height_px
