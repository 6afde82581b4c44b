"""What a training run tells while it goes on: loss, speed, waiting, and rows of two CSV files.

    losses.csv    one row a checkpoint: mean loss since the row before, learning rate, speed
    metrics.csv   one row an evaluation: what it found
"""

from __future__ import annotations

import csv
import io
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from handguard.atomic import write_atomically
from handguard.detection.losses import Loss
from handguard.training.writing import writing

LOSSES = "losses.csv"
METRICS = "metrics.csv"
KEPT = "; the checkpoint is whole, and the same command goes on from there"


@dataclass(frozen=True, slots=True)
class Progress:
    """One step's news, for whoever shows it."""

    step: int
    steps: int
    loss: Loss
    images_per_s: float
    waited_share: float  # of the time since the run (re)started, spent waiting for data
    trained_s: float  # all time of this run, earlier starts included
    metrics: dict[str, float] | None = None


class Meter:
    """Counts images and waiting, and says when the slow things are due. One thread."""

    def __init__(self, every_s: dict[str, float], trained_s: float = 0.0) -> None:
        """`every_s` names the slow things and their period; `trained_s` was spent before this start."""
        self._every_s = every_s
        self._trained_s = trained_s
        now = time.monotonic()
        self._last = dict.fromkeys(every_s, now)
        self._began = self._step_ended = now
        self._images, self._waited_s = 0, 0.0
        self._since, self._steps = Loss(torch.zeros(()), torch.zeros(())), 0

    @property
    def trained_s(self) -> float:
        """All time of this run, earlier starts included."""
        return self._trained_s + time.monotonic() - self._began

    def data_arrived(self) -> None:
        """The wait for the next batch is over."""
        self._waited_s += time.monotonic() - self._step_ended

    def due(self, what: str) -> bool:
        """True once per period."""
        if time.monotonic() - self._last[what] < self._every_s[what]:
            return False
        self._last[what] = time.monotonic()
        return True

    def progress(self, step: int, steps: int, loss: Loss, images: int) -> Progress:
        """A step is done; `images` were in it."""
        self._step_ended = time.monotonic()
        self._images += images
        elapsed = max(self._step_ended - self._began, 1e-9)
        detached = Loss(loss.classes.detach(), loss.boxes.detach())
        self._since = Loss(self._since.classes + detached.classes, self._since.boxes + detached.boxes)
        self._steps += 1
        rate, waited = self._images / elapsed, self._waited_s / elapsed
        return Progress(step, steps, detached, rate, waited, self.trained_s)

    def evaluated(self, progress: Progress, metrics: dict[str, float]) -> Progress:
        """The same step once more, with what an evaluation after it found; that time was no waiting for data."""
        self._step_ended = time.monotonic()
        return replace(progress, trained_s=self.trained_s, metrics=metrics)

    def mean_loss(self) -> dict[str, float]:
        """Over the steps since it was last asked for; at least one."""
        since, steps = self._since, self._steps
        self._since, self._steps = Loss(torch.zeros(()), torch.zeros(())), 0
        return {f"loss_{name}": float(value) / steps for name, value in since._asdict().items()}


def note(run: Path, progress: Progress, learnt: dict[str, float] | None) -> None:
    """A row of losses.csv where there is something `learnt`, and one of metrics.csv after an evaluation."""
    if learnt is not None:
        speed = {"images_per_s": progress.images_per_s, "waited_share": progress.waited_share}
        _add_row(run / LOSSES, {"step": progress.step, **learnt, **speed})
    if progress.metrics is not None:
        _add_row(run / METRICS, {"step": progress.step, "trained_s": progress.trained_s, **progress.metrics})


def _add_row(path: Path, row: dict[str, float]) -> None:
    """The first one brings the header. The file is replaced as a whole: a killed run leaves no half of a row."""
    with writing(path, KEPT):
        text = io.StringIO(path.read_text() if path.exists() else "")
        writer = csv.DictWriter(text, list(row), lineterminator="\n")
        if not text.read():
            writer.writeheader()
        writer.writerow(row)
        write_atomically(path, text.getvalue().encode())


def read_rows(path: Path) -> list[dict[str, float]]:
    """All rows; empty when nothing was written yet."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
