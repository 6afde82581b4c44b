"""Training batches as a function of their number, so that a resumed run sees the same pictures.

Batch `i` of a run depends on the seed, on `i`, on its input side and on which parts of
the augmentation are on, and on the rank where several processes train: which pictures,
which augmentation. Side and parts follow from `i`, too, or, under a time budget, from
the share of the time that is used up when the batch is asked for. Nothing has to be
saved but `i`.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from handguard.detection.losses import Truth, gathered
from handguard.errors import ConfigError, DatasetError, mismatch
from handguard.training.augment import Augmentation, augmented
from handguard.training.coco import Sample
from handguard.training.picture import Image


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures `(N, 3, S, S)` uint8 BGR with their truth, and the input side S."""

    images: Tensor
    truth: Truth
    side_px: int

    def pin_memory(self) -> Batch:
        """The same in memory that a graphics card reads by itself: the loader asks for it by this name."""
        return Batch(self.images.pin_memory(), self.truth.pin_memory(), self.side_px)


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
    old: Sequence[Sample] = ()  # pictures of an earlier training, against forgetting
    old_share: float = 0.0  # of the pictures drawn
    rank: int = 0  # of the processes that train together, each with its own pictures and `batch_size`
    ranks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.old_share < 1 or bool(self.old) != bool(self.old_share):
            found = f"{len(self.old)} old pictures and a share of {self.old_share}"
            raise ValueError(f"expected old pictures with a share below 1, or neither, found {found}")
        for pictures in filter(None, (self.samples, self.old)):
            if not self._weights(pictures).sum() > 0:
                weights = {name: self.source_weights.get(name, 1.0) for name in _sources(pictures)}
                raise ConfigError(mismatch("source_weights", "a source drawn from, with more than 0", weights))

    @property
    def pictures(self) -> list[Sample]:
        """All that can be drawn: new ones, then old ones."""
        return [*self.samples, *self.old]

    @property
    def fingerprint(self) -> str:
        """Names the pictures with their truth: a run that goes on must go on with the same."""
        digest = hashlib.sha256()
        for one in self.pictures:
            digest.update(f"{one.source}/{one.path.name}".encode())
            digest.update(one.boxes_px.tobytes() + one.labels.tobytes())
        return digest.hexdigest()[:16]

    @property
    def chances(self) -> NDArray[np.float64]:
        """(pictures,): how likely each is to be drawn next; they add up to 1."""
        parts = [(self._weights(self.samples), 1 - self.old_share), (self._weights(self.old), self.old_share)]
        return np.concatenate([weights / weights.sum() * share for weights, share in parts if len(weights)])

    def _weights(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        return np.array([self.source_weights.get(sample.source, 1.0) for sample in samples])

    def side_of(self, step: int, share: float) -> int:
        """The input side of a batch that comes when this share of the run is done."""
        sides = next((sides for until, sides in self.sides_px if share < until), self.sides_px[-1][1])
        return int(np.random.default_rng((self.seed, 1, step)).choice(sides))


def _sources(pictures: Sequence[Sample]) -> list[str]:
    return sorted({one.source for one in pictures})


@dataclass(frozen=True, slots=True)
class Asked:
    """One batch to prepare."""

    step: int
    side_px: int
    how: Augmentation


ShareDone = Callable[[int], float]  # of the run, when a step is asked for; 0 to 1


class Batches(Dataset[Batch]):
    """`self[asked]` is the batch that was asked for."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._pictures = plan.pictures
        self._cumulative = np.cumsum(plan.chances)

    def __len__(self) -> int:
        return self.plan.steps

    def __getitem__(self, asked: Asked) -> Batch:
        rng = np.random.default_rng((self.plan.seed, 2, asked.step, self.plan.rank))
        drawn = [self._draw(rng, asked) for _ in range(self.plan.batch_size)]
        images = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2)
        return Batch(images, gathered([truth for _, truth in drawn]), asked.side_px)

    def _draw(self, rng: np.random.Generator, asked: Asked) -> tuple[Image, tuple[Tensor, Tensor]]:
        picks = np.searchsorted(self._cumulative, rng.random(4)).clip(max=len(self._pictures) - 1)
        image, boxes, labels = augmented([self._pictures[i] for i in picks], rng, asked.side_px, asked.how)
        return image, (torch.from_numpy(boxes / asked.side_px), torch.from_numpy(labels))


def arriving(
    plan: Plan, first_step: int, workers: int, share_done: ShareDone, *, pinned: bool = False
) -> Iterator[Batch]:
    """Batches from `first_step` on, prepared ahead by worker processes; `pinned` for a graphics card to read.

    Raises `DatasetError`.
    """
    fit_to_fork()
    loader: DataLoader[Batch | DatasetError] = DataLoader(
        _Spoken(plan),
        batch_size=None,
        sampler=_Order(plan, first_step, share_done),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=pinned,
    )
    for batch in loader:
        if isinstance(batch, DatasetError):
            raise batch
        yield batch


def fit_to_fork() -> None:
    """Before a fork: no threads that a child would wait for, because it has not got them.

    OpenCV's, where the child ends or changes their pool (the workers are the parallelism); and those of a video
    decoder left in a reference cycle, where the child's garbage collector ends it.
    """
    cv2.setNumThreads(0)
    gc.collect()


class _Order(Sampler[Asked]):
    """What to prepare next, decided in the training process when a worker is free: only it knows the time."""

    def __init__(self, plan: Plan, first_step: int, share_done: ShareDone) -> None:
        self._plan, self._first_step, self._share_done = plan, first_step, share_done

    def __iter__(self) -> Iterator[Asked]:
        for step in range(self._first_step, self._plan.steps):
            share = self._share_done(step)
            yield Asked(step, self._plan.side_of(step, share), self._plan.how.at(share))


class _Spoken(Dataset["Batch | DatasetError"]):
    """Batches, with a bad picture as a value: raised in a worker, it would arrive wrapped in a stack trace."""

    def __init__(self, plan: Plan) -> None:
        self._batches = Batches(plan)

    def __getitem__(self, asked: Asked) -> Batch | DatasetError:
        try:
            return self._batches[asked]
        except DatasetError as error:
            return error
