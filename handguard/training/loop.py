"""The training loop, top to bottom.

    while there are steps left:
        draw a batch                     batches.py: a function of the step number
        predict in bfloat16, loss in float32
        refuse a loss or a gradient that is not finite
        step, then follow with the moving average (what is evaluated and shipped)
        now and then: write a checkpoint and a row of losses, evaluate, write a row of metrics

A run that is over is not trained further when it is started again; an evaluation that it
was killed in is made up for. A checkpoint holds the weights, their moving average, the optimiser and the step;
because a batch is a function of the step, a killed run continues on the same
loss curve (except under a time budget, where the learning rate and the input side
follow the clock).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from handguard.detection.architectures import build
from handguard.detection.losses import Loss, Truth, aligned_loss, focal_loss, likeness_loss, multibox_loss
from handguard.detection.scores import ScoreKind
from handguard.detection.ssd import Raw, Ssd
from handguard.errors import ConfigError, HandguardError, mismatch
from handguard.training.batches import Batch, Plan, ShareDone, arriving
from handguard.training.checkpoints import CHECKPOINT, Checkpoint, resume, save
from handguard.training.crew import Crew
from handguard.training.meter import LOSSES, METRICS, Meter, Progress, note, read_rows
from handguard.training.writing import writing


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
    precision: str = "bf16"  # of the forward pass: bf16 or float32
    focal_loss: bool = False  # of a softmax network: in place of hard negatives
    frozen: tuple[str, ...] = ()  # parts that stay as they were loaded, like `backbone.stem`
    time_budget_s: float | None = None  # all starts together; the schedule then ends with the budget
    device: str = "cpu"
    workers: int = 1
    checkpoint_every_s: float = 120.0
    evaluate_every_s: float = 900.0
    start: str = "scratch (no weights from elsewhere)"
    teacher: str = ""  # whose answers are learnt in place of the labels
    prior_sizes: list[list[list[float]]] | None = None  # None: the network's own rule
    learnt: Sequence[dict[str, Any]] = ()  # rows of data for the card: all that the weights are trained on

    def network(self, side_px: int | None = None) -> Ssd:
        """An untrained network of this recipe, for its own input size or for a square of `side_px`."""
        input_px = None if side_px is None else (side_px, side_px)
        return build(self.architecture, input_px=input_px, sizes=self.prior_sizes)


Evaluate = Callable[[Ssd], dict[str, float]]
Report = Callable[[Progress], None]


def train(
    recipe: Recipe,
    plan: Plan,
    out: Path,
    evaluate: Evaluate,
    report: Report,
    init: Ssd | None = None,
    crew: Crew | None = None,
    teacher: Ssd | None = None,
) -> Ssd:
    """Run (or continue) the training described by `recipe` and `plan`; returns the averaged network.

    A `teacher` stands in for the labels; normalization then keeps its statistics. Raises `HandguardError` for a loss
    that is not finite, `DeviceError` for a checkpoint that cannot be written; the one before is whole in both cases.
    """
    crew, meant = crew or Crew(recipe.device), described(recipe, plan)
    torch.manual_seed(plan.seed)
    model, average, optimizer = _prepared(init or recipe.network(), recipe, crew.device)
    saved = resume(_made(out) / CHECKPOINT, model, average, optimizer, meant)
    step = saved.step if saved else 0
    priors, meter = _PriorsBySide(recipe, crew.device), _meter(recipe, saved)
    called = crew.wrapped(_learning(model, recipe.frozen, still=teacher is not None))
    share_done, lossy = _clock(plan, recipe, meter), _lossy(model.score_kind, recipe, crew.device, teacher)
    if saved and (step >= plan.steps or crew.agreed(share_done(step)) >= 1.0):
        return _over(average, out, _last_noted(out, step, plan.steps), evaluate, report, meter, crew)

    for batch in arriving(plan, step, recipe.workers, share_done, pinned=crew.on_card):
        meter.data_arrived()
        done = crew.agreed(share_done(step))
        loss = lossy(_predicted(called, batch, recipe.precision, crew.device), batch, priors[batch.side_px])
        _require_finite("loss", float(loss.total.detach()), step)
        optimizer.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.max_gradient_norm)
        _require_finite("gradient", float(norm), step)
        rate = _set_rate(optimizer, recipe.learning_rate * _schedule(step, done, recipe))
        optimizer.step()
        step += 1
        _follow(average, model, min(recipe.ema_decay, (1 + step) / (20 + step)))

        last = step == plan.steps or done >= 1.0
        weighed = crew.leads and (meter.due("evaluate") or last)
        if kept := crew.leads and (meter.due("checkpoint") or weighed):
            save(out / CHECKPOINT, model, average, optimizer, step, meant, meter.trained_s)
        progress = meter.progress(step, plan.steps, loss, len(batch.images) * crew.ranks)
        note(out, progress, {**meter.mean_loss(), "learning_rate": rate} if kept else None)
        report(_weighed(out, progress, meter, evaluate(average)) if weighed else progress)
        if last:
            break
    return average


def _weighed(out: Path, progress: Progress, meter: Meter, metrics: dict[str, float]) -> Progress:
    """What an evaluation found, noted."""
    told = meter.evaluated(progress, metrics)
    note(out, told, None)
    return told


def _over(
    average: Ssd, out: Path, last: Progress, evaluate: Evaluate, report: Report, meter: Meter, crew: Crew
) -> Ssd:
    """A run of which nothing is left to train: evaluated at its last step, unless that was done."""
    if crew.leads and all(row["step"] != last.step for row in read_rows(out / METRICS)):
        report(_weighed(out, last, meter, evaluate(average)))
    return average


def _last_noted(out: Path, step: int, steps: int) -> Progress:
    """What losses.csv says of a step that was trained before; not-a-number where it lacks its row."""
    rows = {row["step"]: row for row in read_rows(out / LOSSES)}
    classes, boxes, rate, waited = (
        rows.get(step, {}).get(name, math.nan)
        for name in ("loss_classes", "loss_boxes", "images_per_s", "waited_share")
    )
    return Progress(step, steps, Loss(torch.tensor(classes), torch.tensor(boxes)), rate, waited, math.nan)


def _made(out: Path) -> Path:
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    return out


def _meter(recipe: Recipe, saved: Checkpoint | None) -> Meter:
    before_s = saved.trained_s if saved and saved.trained_s else 0.0
    return Meter({"checkpoint": recipe.checkpoint_every_s, "evaluate": recipe.evaluate_every_s}, before_s)


def _prepared(network: Ssd, recipe: Recipe, device: str) -> tuple[Ssd, Ssd, torch.optim.Optimizer]:
    """What learns, what follows it, and what moves it. Channels last is the order convolutions run fastest in."""
    model: Ssd = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model, copy.deepcopy(model).eval().requires_grad_(False), _optimizer(model, recipe)


def _learning(model: Ssd, frozen: Sequence[str], *, still: bool) -> Ssd:
    """Ready to learn; frozen parts keep their weights, and they or, if `still`, all parts the statistics they were
    loaded with.

    Raises `ConfigError` for a part that the network does not have.
    """
    parts, model = dict(model.named_modules()), model.train(not still)
    for name in frozen:
        if not name or name not in parts:
            within = ", ".join(f"backbone.{one}" for one, _ in model.backbone.named_children())
            raise ConfigError(mismatch("frozen", f"parts of the network, like {within}", repr(name)))
        parts[name].eval().requires_grad_(False)
    return model


def _predicted(called: Any, batch: Batch, precision: str, device: str) -> Raw:
    images = batch.images.to(device, non_blocking=True).float().contiguous(memory_format=torch.channels_last)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16"):
        return called(images)  # type: ignore[no-any-return]


def _lossy(
    kind: ScoreKind, recipe: Recipe, device: str, teacher: Ssd | None
) -> Callable[[Raw, Batch, Tensor], Loss]:
    """What this network is taught with, by whom. Raises `ConfigError`."""
    if teacher is None:
        by_truth = _loss_of(kind, recipe.focal_loss)
        return lambda raw, batch, priors: by_truth(raw, batch.truth.to(device), priors)
    knowing = teacher.to(device).eval().requires_grad_(False)
    return lambda raw, batch, _: likeness_loss(raw, _predicted(knowing, batch, recipe.precision, device))


def _loss_of(kind: ScoreKind, focal: bool) -> Callable[[Raw, Truth, Tensor], Loss]:
    """What this network is taught with. Raises `ConfigError`: only a softmax network has a focal loss."""
    if kind is ScoreKind.SOFTMAX:
        return focal_loss if focal else multibox_loss
    if focal:
        raise ConfigError(mismatch("focal_loss", "false for a network with sigmoid scores", focal))
    return aligned_loss


def _require_finite(what: str, value: float, step: int) -> None:
    """Before the step that would poison the weights, and with them the next checkpoint."""
    if not math.isfinite(value):
        raise HandguardError(
            f"{mismatch(f'training: {what} at step {step}', 'a finite number', value)}; "
            "the newest checkpoint is kept. A lower learning rate may help"
        )


def _clock(plan: Plan, recipe: Recipe, meter: Meter) -> ShareDone:
    """How far the run will be when a step is asked for."""
    return lambda step: _share_done(step, plan.steps, meter.trained_s, recipe)


def _share_done(step: int, steps: int, trained_s: float, recipe: Recipe) -> float:
    """How much of the run after the warm-up is over, by steps or by time, whichever is further."""
    of_steps = (step - recipe.warmup_steps) / max(steps - recipe.warmup_steps, 1)
    of_time = trained_s / recipe.time_budget_s if recipe.time_budget_s else 0.0
    return min(max(of_steps, of_time, 0.0), 1.0)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def _schedule(step: int, done: float, recipe: Recipe) -> float:
    """Linear warm-up by steps, then half a cosine over the share of the run that is `done`."""
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    return recipe.cooldown_to + (1 - recipe.cooldown_to) * 0.5 * (1 + math.cos(math.pi * done))


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
    pairs = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
    means, news = zip(*(pair for pair in pairs if pair[0].dtype.is_floating_point), strict=True)
    torch._foreach_lerp_(means, news, 1 - decay)  # in one go: a launch each would keep a graphics card waiting
    for count, new in (pair for pair in pairs if not pair[0].dtype.is_floating_point):
        count.copy_(new)


class _PriorsBySide:
    """Priors of the same network at every input side met so far."""

    def __init__(self, recipe: Recipe, device: str) -> None:
        self._recipe, self._device = recipe, device
        self._known: dict[int, Tensor] = {}

    def __getitem__(self, side_px: int) -> Tensor:
        if side_px not in self._known:
            self._known[side_px] = self._recipe.network(side_px).priors.to(self._device)
        return self._known[side_px]


def described(recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """The recipe as it goes into the card."""
    return {
        **asdict(recipe),
        "batch_size": plan.batch_size,
        "steps": plan.steps,
        "sides_px": [[until, list(sides)] for until, sides in plan.sides_px],
        "augmentation": asdict(plan.how),
        "source_weights": plan.source_weights,
        **({"old_pictures": len(plan.old), "old_share": plan.old_share} if plan.old else {}),
        "pictures_sha256": plan.fingerprint,
        "seed": plan.seed,
        "processes": plan.ranks,
    }
