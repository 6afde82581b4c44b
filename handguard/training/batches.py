"""Training batches as a function of their number, so that a resumed run sees the same pictures.

Batch `i` of a run depends on the seed and on `i` alone, and on the rank where
several processes train: which pictures, which augmentation, which input side.
Nothing has to be saved but `i`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from handguard.detection.losses import Truth
from handguard.errors import DatasetError
from handguard.training.augment import Augmentation, augmented
from handguard.training.coco import Sample


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures `(N, 3, S, S)` uint8 BGR with their truth, and the input side S."""

    images: Tensor
    truths: list[Truth]
    side_px: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What the batches of a run are drawn from."""

    samples: Sequence[Sample]
    batch_size: int
    sides_px: Sequence[tuple[float, tuple[int, ...]]]  # (until this share of the run, sides to draw from)
    steps: int
    seed: int = 0
    how: Augmentation = field(default_factory=Augmentation)
    source_weights: dict[str, float] = field(default_factory=dict)  # how often, per picture; 1 unless named
    rank: int = 0  # of the processes that train together, each with its own pictures and `batch_size`
    ranks: int = 1

    def side_of(self, step: int) -> int:
        """The input side of a batch."""
        share = step / max(self.steps, 1)
        sides = next((sides for until, sides in self.sides_px if share < until), self.sides_px[-1][1])
        return int(np.random.default_rng((self.seed, 1, step)).choice(sides))


class Batches(Dataset[Batch]):
    """`self[i]` is batch `i`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        weights = np.array([plan.source_weights.get(sample.source, 1.0) for sample in plan.samples])
        self._cumulative = np.cumsum(weights / weights.sum())

    def __len__(self) -> int:
        return self.plan.steps

    def __getitem__(self, step: int) -> Batch:
        cv2.setNumThreads(0)  # the loader's workers are the parallelism
        side = self.plan.side_of(step)
        rng = np.random.default_rng((self.plan.seed, 2, step, self.plan.rank))
        drawn = [self._draw(rng, side) for _ in range(self.plan.batch_size)]
        images = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2)
        return Batch(images, [truth for _, truth in drawn], side)

    def _draw(self, rng: np.random.Generator, side: int) -> tuple[np.ndarray, Truth]:  # type: ignore[type-arg]
        picks = np.searchsorted(self._cumulative, rng.random(4)).clip(max=len(self.plan.samples) - 1)
        image, boxes, labels = augmented([self.plan.samples[i] for i in picks], rng, side, self.plan.how)
        return image, Truth(torch.from_numpy(boxes / side), torch.from_numpy(labels))


def arriving(plan: Plan, first_step: int, workers: int) -> Iterator[Batch]:
    """Batches from `first_step` on, prepared ahead by worker processes. Raises `DatasetError`."""
    loader: DataLoader[Batch | DatasetError] = DataLoader(
        _Spoken(plan),
        batch_size=None,
        sampler=range(first_step, plan.steps),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
    )
    for batch in loader:
        if isinstance(batch, DatasetError):
            raise batch
        yield batch


class _Spoken(Dataset["Batch | DatasetError"]):
    """Batches, with a bad picture as a value: raised in a worker, it would arrive wrapped in a stack trace."""

    def __init__(self, plan: Plan) -> None:
        self._batches = Batches(plan)

    def __getitem__(self, step: int) -> Batch | DatasetError:
        try:
            return self._batches[step]
        except DatasetError as error:
            return error
