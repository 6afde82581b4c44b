"""The training loop, top to bottom.

    while there are steps left:
        draw a batch                     batches.py: a function of the step number
        predict in bfloat16, loss in float32
        refuse a loss that is not finite
        step, then follow with the moving average (what is evaluated and shipped)
        now and then: write a checkpoint, evaluate, write a metrics row

A checkpoint holds the weights, their moving average, the optimiser and the step;
because a batch is a function of the step, a killed run continues on the same
loss curve.
"""

from __future__ import annotations

import copy
import csv
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from handguard.detection.architectures import build
from handguard.detection.losses import Loss, aligned_loss, multibox_loss
from handguard.detection.scores import ScoreKind
from handguard.detection.ssd import Ssd
from handguard.errors import HandguardError
from handguard.training.batches import Batch, Plan, loader

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.csv"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that shapes the result, recorded in the card."""

    architecture: str
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    warmup_steps: int = 300
    ema_decay: float = 0.999
    max_gradient_norm: float = 10.0
    cooldown_to: float = 0.02  # of the learning rate, at the end of the cosine
    device: str = "cpu"
    workers: int = 1
    checkpoint_every_s: float = 120.0
    evaluate_every_s: float = 900.0


Evaluate = Callable[[Ssd], dict[str, float]]
Report = Callable[["Progress"], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """One step's news, for whoever shows it."""

    step: int
    steps: int
    loss: Loss
    images_per_s: float
    waited_share: float  # of the time since the last report, spent waiting for data
    metrics: dict[str, float] | None = None


def train(
    recipe: Recipe, plan: Plan, out: Path, evaluate: Evaluate, report: Report, init: Ssd | None = None
) -> Ssd:
    """Run (or continue) the training described by `recipe` and `plan`; returns the averaged network."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.seed)
    model = _placed(init or build(recipe.architecture), recipe.device)
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = _optimizer(model, recipe)
    step = _resume(out / CHECKPOINT, model, average, optimizer)
    priors = _PriorsBySide(recipe.architecture, recipe.device)
    lossy = multibox_loss if model.score_kind is ScoreKind.SOFTMAX else aligned_loss
    meter = _Meter(recipe)

    for batch in loader(plan, step, recipe.workers):
        meter.data_arrived()
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, plan.steps, recipe)
        loss = _losses(model.train(), batch, priors, lossy, recipe.device)
        if not math.isfinite(float(loss.total.detach())):
            raise HandguardError(
                f"training: loss at step {step}: expected a finite number, found {float(loss.total.detach())}"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), recipe.max_gradient_norm)
        optimizer.step()
        step += 1
        _follow(average, model, min(recipe.ema_decay, (1 + step) / (20 + step)))

        last = step == plan.steps
        if meter.due("checkpoint") or last:
            _save(out / CHECKPOINT, model, average, optimizer, step)
        metrics = evaluate(average) if meter.due("evaluate") or last else None
        progress = meter.progress(step, plan.steps, loss, len(batch.images), metrics)
        if metrics:
            _write_row(out / METRICS, progress)
        report(progress)
    return average


def _placed(network: Ssd, device: str) -> Ssd:
    """On its device, channels last: the order that convolutions run fastest in."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _losses(model: Ssd, batch: Batch, priors: _PriorsBySide, lossy: Callable[..., Loss], device: str) -> Loss:
    images = batch.images.to(device, non_blocking=True).float().contiguous(memory_format=torch.channels_last)
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        raw = model(images)
    truths = [type(t)(t.boxes_norm.to(device), t.labels.to(device)) for t in batch.truths]
    return lossy(raw, truths, priors[batch.side_px])


def _schedule(step: int, steps: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    share = (step - recipe.warmup_steps) / max(steps - recipe.warmup_steps, 1)
    return recipe.cooldown_to + (1 - recipe.cooldown_to) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def _optimizer(model: Ssd, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; no decay on biases and normalisation."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


@torch.no_grad()
def _follow(average: Ssd, model: Ssd, decay: float) -> None:
    """Exponential moving average of weights and of normalisation statistics."""
    for mean, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(new, 1 - decay)
        else:
            mean.copy_(new)


class _PriorsBySide:
    """Priors of the same architecture at every input side met so far."""

    def __init__(self, architecture: str, device: str) -> None:
        self._architecture, self._device = architecture, device
        self._known: dict[int, Tensor] = {}

    def __getitem__(self, side_px: int) -> Tensor:
        if side_px not in self._known:
            network = build(self._architecture, input_px=(side_px, side_px))
            self._known[side_px] = network.priors.to(self._device)
        return self._known[side_px]


class _Meter:
    """Counts images and waiting, and says when the slow things are due."""

    def __init__(self, recipe: Recipe) -> None:
        self._every = {"checkpoint": recipe.checkpoint_every_s, "evaluate": recipe.evaluate_every_s}
        now = time.monotonic()
        self._last = dict.fromkeys(self._every, now)
        self._began = self._step_ended = now
        self._images, self._waited_s = 0, 0.0

    def data_arrived(self) -> None:
        self._waited_s += time.monotonic() - self._step_ended

    def due(self, what: str) -> bool:
        if time.monotonic() - self._last[what] < self._every[what]:
            return False
        self._last[what] = time.monotonic()
        return True

    def progress(
        self, step: int, steps: int, loss: Loss, images: int, metrics: dict[str, float] | None
    ) -> Progress:
        self._step_ended = time.monotonic()
        self._images += images
        elapsed = self._step_ended - self._began
        detached = Loss(loss.classes.detach(), loss.boxes.detach())
        return Progress(step, steps, detached, self._images / elapsed, self._waited_s / elapsed, metrics)


def _resume(path: Path, model: Ssd, average: Ssd, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    saved = torch.load(path, weights_only=True)
    model.load_state_dict(saved["model"])
    average.load_state_dict(saved["average"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"])


def _save(path: Path, model: Ssd, average: Ssd, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write a checkpoint under a temporary name, then rename: a kill leaves the old one or the new one."""
    state: dict[str, Any] = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
    }
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _write_row(path: Path, progress: Progress) -> None:
    row = {
        "step": progress.step,
        **{f"loss_{k}": float(v) for k, v in progress.loss._asdict().items()},
        "images_per_s": progress.images_per_s,
        "waited_share": progress.waited_share,
        **(progress.metrics or {}),
    }
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def described(recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """The recipe as it goes into the card."""
    return {
        **asdict(recipe),
        "batch_size": plan.batch_size,
        "steps": plan.steps,
        "sides_px": [[until, list(sides)] for until, sides in plan.sides_px],
        "augmentation": asdict(plan.how),
        "source_weights": plan.source_weights,
        "seed": plan.seed,
    }
