"""What a data folder holds, what is wrong with it, and which priors would fit it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from handguard.detection.priors import kmeans_sizes, mean_best_iou, spread_over_maps
from handguard.digest import sha256_of
from handguard.errors import DatasetError
from handguard.training.coco import Sample, decode_picture
from handguard.training.datasets import Split, load_split
from handguard.training.evaluation import OnProgress
from handguard.training.measures import NEAR_SIDE, SIZE_STEPS, side_px
from handguard.types import HandClass


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found. Sound when `problems` is empty; `remarks` may be as they are."""

    pictures: int
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def check(root: Path, progress: OnProgress) -> Checked:
    """Read every annotation and decode every picture of both splits.

    A picture that stands in both splits is a problem: what is judged on was
    learnt by heart. Raises `DatasetError` only when a split cannot be read at all.
    """
    splits = {split: load_split(root, split) for split in Split}
    total = sum(len(samples) for samples in splits.values())
    problems: list[str] = []
    remarks: list[str] = []
    seen: dict[str, tuple[Split, Path]] = {}
    done = 0
    for split, samples in splits.items():
        for sample in samples:
            done += 1
            progress(done, total)
            problem = _broken(sample)
            if problem:
                problems.append(problem)
                continue
            digest = sha256_of(sample.path)
            first_split, first = seen.setdefault(digest, (split, sample.path))
            if first_split is not split:
                problems.append(f"{sample.path}: the same picture as {first} of {first_split.value}")
            elif first != sample.path:
                remarks.append(f"{sample.path}: the same picture as {first}")
        remarks += _remarks(split, samples)
    return Checked(total, problems, remarks)


def _broken(sample: Sample) -> str | None:
    try:
        decode_picture(sample)
    except DatasetError as error:
        return str(error)
    return None


def _remarks(split: Split, samples: Sequence[Sample]) -> list[str]:
    remarks = []
    if all(len(sample.boxes_px) for sample in samples):
        remarks.append(
            f"{split.value}: no picture without a hand; false hits can be neither learnt nor measured"
        )
    for kind in HandClass:
        if not any((sample.labels == kind).any() for sample in samples):
            remarks.append(f"{split.value}: no {kind.title}")
    return remarks


def stats(root: Path) -> dict[str, Any]:
    """Per split: pictures, hand-free ones, hands by class, by size, and per source."""
    return {split.value: _stats(load_split(root, split)) for split in Split}


def _stats(samples: Sequence[Sample]) -> dict[str, Any]:
    shares = relative_sizes(samples).amax(dim=1).numpy()
    edges = (0.0, *SIZE_STEPS)
    sizes, _ = np.histogram(np.clip(shares, 0, 1), edges)
    sources = Counter(sample.source for sample in samples)
    return {
        "pictures": len(samples),
        "hand_free_pictures": sum(len(sample.boxes_px) == 0 for sample in samples),
        "hands": {kind.title: sum(int((s.labels == kind).sum()) for s in samples) for kind in HandClass},
        "near_hands": int((shares >= NEAR_SIDE).sum()),
        "hands_by_size": {
            f"up to 1/{1 / step:.0f}": int(n) for step, n in zip(SIZE_STEPS, sizes, strict=True)
        },
        "sources": dict(sorted(sources.items())),
    }


def relative_sizes(samples: Sequence[Sample]) -> Tensor:
    """(N, 2): width and height of every hand as shares of its picture's longer side, as a letterbox keeps them."""
    rows = [(s.boxes_px[:, 2:] - s.boxes_px[:, :2]) / side_px(s) for s in samples]
    return torch.from_numpy(np.concatenate([*rows, np.zeros((0, 2), np.float32)]))


def priors(root: Path, maps: int, per_map: int) -> dict[str, Any]:
    """Prior sizes fitted to the training hands, for `handguard train --priors`, and how well they fit."""
    hands = relative_sizes(load_split(root, Split.TRAIN))
    sizes = kmeans_sizes(hands, maps * per_map)
    return {"sizes": spread_over_maps(sizes, maps), "mean_best_iou": round(mean_best_iou(hands, sizes), 4)}
