"""COCO's own numbers, computed by COCO's own program (pycocotools)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.training.measures import Answer
from handguard.types import HandClass

NAMES = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")


def coco_numbers(answers: Sequence[Answer]) -> dict[str, dict[str, float | None]]:
    """AP, AP50, AP75 and AP by size for `any` (class-agnostic), each class, and their `mean`.

    Sizes are COCO's, in pixels of the picture: small up to 32², large from 96².
    None where there was nothing to find.
    """
    # pycocotools tells its progress to whoever listens
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _truth(answers)
        found = _found(truth, answers)
        numbers = {"any": _evaluated(truth, found, None)}
        numbers |= {kind.title: _evaluated(truth, found, [int(kind) + 1]) for kind in HandClass}
        numbers["mean"] = _evaluated(truth, found, [int(kind) + 1 for kind in HandClass])
    return numbers


def _truth(answers: Sequence[Answer]) -> Any:
    from pycocotools.coco import COCO

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [
            {"id": i, "width": a.sample.width_px, "height": a.sample.height_px} for i, a in _numbered(answers)
        ],
        "categories": [{"id": int(kind) + 1, "name": kind.title} for kind in HandClass],
        "annotations": list(_annotations(answers)),
    }
    truth.createIndex()
    return truth


def _numbered(answers: Sequence[Answer]) -> list[tuple[int, Answer]]:
    return list(enumerate(answers, 1))


def _annotations(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image_id, answer in _numbered(answers):
        boxes = answer.sample.boxes_px.astype(np.float64)
        for box, label in zip(_xywh(boxes), answer.sample.labels, strict=True):
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image_id,
                    "category_id": int(label) + 1,
                    "bbox": box.tolist(),
                    "area": float(box[2] * box[3]),
                    "iscrowd": 0,
                }
            )
    return rows


def _found(truth: Any, answers: Sequence[Answer]) -> Any:
    rows = []
    for image_id, answer in _numbered(answers):
        hands = answer.hands
        boxes = _xywh(hands.boxes_px.astype(np.float64))
        ids = np.full((len(hands), 1), image_id)
        rows.append(np.hstack([ids, boxes, hands.scores[:, None], hands.labels[:, None] + 1]))
    table = np.concatenate(rows)
    if len(table):
        return truth.loadRes(table)
    from pycocotools.coco import COCO

    nothing = COCO()
    nothing.dataset = {**truth.dataset, "annotations": []}
    nothing.createIndex()
    return nothing


def _evaluated(truth: Any, found: Any, categories: list[int] | None) -> dict[str, float | None]:
    from pycocotools.cocoeval import COCOeval

    run = COCOeval(truth, found, "bbox")
    if categories is None:
        run.params.useCats = 0
    else:
        run.params.catIds = categories
    run.evaluate()
    run.accumulate()
    run.summarize()
    # pycocotools says -1 where there is nothing to find
    return {name: v if v >= 0 else None for name, v in zip(NAMES, run.stats[:6].tolist(), strict=True)}


def _xywh(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
