"""What the commands of the learning room do, in the order in which they do it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from handguard.detection import card as cards
from handguard.detection.architectures import member_of
from handguard.detection.importing import import_checkpoint
from handguard.detection.ssd import Ssd
from handguard.errors import ConfigError, DatasetError, mismatch
from handguard.training import crew as crews
from handguard.training import fine_tuning
from handguard.training.augment import Augmentation
from handguard.training.batches import Plan
from handguard.training.beforehand import require_batch, require_file_name, require_near_hand
from handguard.training.card_making import Order, package
from handguard.training.checkpoints import CHECKPOINT
from handguard.training.coco import Sample
from handguard.training.datasets import Split, load_split
from handguard.training.evaluation import write_numbers
from handguard.training.in_memory import in_memory
from handguard.training.listening import Listener, reporter
from handguard.training.loop import Recipe, train
from handguard.training.operating_point import Wishes
from handguard.training.origin import Rows, each_once, origin_of, require_same_priors
from handguard.training.recipe_file import Ordered, Sides, read_recipe_file
from handguard.training.sources import known_sources, listed, weights_of
from handguard.training.teaching import slim_start, teacher_for
from handguard.training.validation import answered, summary


@dataclass(frozen=True, slots=True)
class Job:
    """What a person asks of a training run; the rest of the recipe has its own defaults."""

    data: Path
    out: Path
    architecture: str = "palmnet-s"
    steps: int = 8000
    batch_size: int = 32
    seed: int = 0
    device: str = "cpu"
    workers: int = 1
    time_budget_s: float | None = None
    init: Path | None = None  # public or own weights to start from
    teacher: str | None = None  # a model whose answers are learnt in place of the labels
    reset_heads: bool = False  # leave out what belongs to other classes
    priors: Path | None = None  # written by `handguard dataset priors`
    recipe: Path | None = None  # see `recipe_file`
    in_memory: bool = False  # pictures are decoded once, and kept
    packaged: bool = True  # in the end measured and written as a model with a card; of `train` alone
    wishes: Wishes = field(default_factory=Wishes)  # of the operating point

    def __post_init__(self) -> None:
        crews.require_device(self.device)
        if self.reset_heads and self.init is None:
            raise ConfigError(mismatch("--reset-heads", "--init, whose heads they are", "none"))


@dataclass(frozen=True, slots=True)
class Course:
    """Which pictures a run draws, and how it shows them."""

    sides_px: Sides
    how: Augmentation = field(default_factory=Augmentation)
    source_weights: dict[str, float] = field(default_factory=dict)  # over those that the data bring
    old: Path | None = None  # a folder of an earlier training, mixed in against forgetting
    old_share: float = 0.0  # of the pictures drawn
    side_px: int | None = None  # of the square input it ends with; None: what the network was designed for
    inherited: Sequence[dict[str, Any]] = ()  # rows of data that the weights were trained on before

    @property
    def mixed_in(self) -> Path | None:
        """The old folder, if any of it is drawn."""
        return self.old if self.old_share else None

    def plan(self, job: Job, crew: crews.Crew) -> Plan:
        """The batches of one process. Raises `DatasetError`."""
        samples = load_split(job.data, Split.TRAIN)
        old = load_split(self.mixed_in, Split.TRAIN) if self.mixed_in else []
        known = {**(known_sources(self.mixed_in) if self.mixed_in else {}), **known_sources(job.data)}
        self._require_sources({sample.source for sample in (*samples, *old)})
        return Plan(
            samples,
            job.batch_size,
            self.sides_px,
            job.steps,
            job.seed,
            self.how,
            {**weights_of([*samples, *old], known), **self.source_weights},
            old,
            self.old_share if self.mixed_in else 0.0,
            crew.rank,
            crew.ranks,
        )

    def learnt(self, data: Path, plan: Plan) -> Rows:
        """Rows for the card: what the weights learn from here, in the folder and the old one, and did before."""
        old = listed("train (old)", plan.old, known_sources(self.mixed_in)) if self.mixed_in else []
        return each_once([*listed("train", plan.samples, known_sources(data)), *old, *self.inherited])

    def _require_sources(self, there: set[str]) -> None:
        """A misspelt name would weigh nothing, and nobody would know."""
        if strangers := sorted(self.source_weights.keys() - there):
            known = f"sources of the data ({', '.join(sorted(there))})"
            raise ConfigError(mismatch("source_weights", known, ", ".join(strangers)))


def train_command(job: Job, listener: Listener) -> None:
    """Train (or go on), then measure and write the model with its card into `job.out`."""
    sizes = read_priors(job.priors) if job.priors else None
    ordered = read_recipe_file(job.recipe, job.architecture) if job.recipe else Ordered()
    recipe = ordered.applied(
        Recipe(
            job.architecture,
            time_budget_s=job.time_budget_s,
            device=job.device,
            workers=job.workers,
            prior_sizes=sizes,
        )
    )
    network, before = None, None
    if job.init is not None:
        if before := origin_of(job.init):
            require_same_priors(before, sizes)
        network = recipe.network()
        imported = import_checkpoint(job.init, network, reset_heads=job.reset_heads)
        as_built = f", new: {', '.join(imported.as_built)}" if imported.as_built else ""
        recipe = replace(recipe, start=f"{job.init.name} ({imported.layout} layout{as_built})")
    sides = ordered.sides_px or growing_sides(job.architecture)
    inherited = before.learnt if before else []
    teacher = teacher_for(recipe, job.teacher) if job.teacher else None
    if teacher is not None:
        recipe, inherited = replace(recipe, teacher=teacher.words), [*inherited, *teacher.data]
        goes_on = (job.out / CHECKPOINT).exists()
        start = None if network else slim_start(recipe, teacher, load_split(job.data, Split.TRAIN), goes_on=goes_on)
        if start is not None:
            network, recipe = start[0], replace(recipe, start=start[1])
    course = Course(sides, ordered.augmentation, ordered.source_weights, inherited=inherited)
    _trained(job, recipe, course, network, listener, teacher=teacher.network if teacher else None)


def fine_tune_command(job: Job, model: str, name: str, old: fine_tuning.Old, listener: Listener) -> None:
    """Fine-tune `model` on `job.data`; ends with a model called `name` in `job.out` and a table.

    With `old` pictures the table tells, too, what became of the model on those.
    """
    require_file_name(name)
    base = fine_tuning.load_base(model)
    judged = old.judged(job.data)
    require_near_hand(judged[fine_tuning.SITE], job.data)
    before = {
        where: fine_tuning.measured(base.files, val, listener.progress) for where, val in judged.items()
    }
    recipe = Recipe(
        base.card.architecture,
        fine_tuning.LEARNING_RATE,
        warmup_steps=fine_tuning.WARMUP_STEPS,
        device=job.device,
        workers=job.workers,
        start=base.words,
        prior_sizes=base.card.prior_sizes,
    )
    job = replace(job, architecture=base.card.architecture)
    course = Course(
        fine_tuning.steady_sides(base.card),
        old=old.data,
        old_share=old.share,
        side_px=base.side_px,
        inherited=base.data,
    )
    files = _trained(job, recipe, course, base.network, listener, name)
    if files is None:
        return
    after = {fine_tuning.SITE: cards.read_card(files).metrics}
    for where in judged.keys() - after.keys():
        after[where] = fine_tuning.measured(files, judged[where], listener.progress)
    tables = {where: fine_tuning.compared(before[where], after[where]) for where in judged}
    found = {
        "model": name,
        "from": base.words,
        "old_share": course.old_share if course.old else 0.0,
        "tables": tables,
    }
    write_numbers(found, job.out / "before-after.json")
    listener.tell(fine_tuning.told(tables, files.weights))


def _trained(
    job: Job,
    recipe: Recipe,
    course: Course,
    init: Ssd | None,
    listener: Listener,
    name: str | None = None,
    teacher: Ssd | None = None,
) -> cards.ModelFiles | None:
    """Train and write the model; the files in the leading process, None in the others."""
    val = load_split(job.data, Split.VAL)
    require_near_hand(val, job.data)
    crew = crews.gather(job.device)
    plan = course.plan(job, crew)
    require_batch(recipe, plan)
    recipe = replace(recipe, learnt=course.learnt(job.data, plan))
    if job.in_memory:
        plan = _kept(plan, job.workers, listener)
    evaluate = evaluator(recipe, val, course.side_px)
    train(recipe, plan, job.out, evaluate, reporter(listener, crew, recipe, job.out), init, crew, teacher)
    files = None
    if crew.leads and job.packaged:
        order = Order(
            job.out / CHECKPOINT,
            job.data,
            name or job.architecture,
            job.out,
            wishes=job.wishes,
            side_px=course.side_px,
            learnt=recipe.learnt,
            quiet=course.old,
        )
        files = write_model(order, listener)
    crew.disband()
    return files


def _kept(plan: Plan, processes: int, listener: Listener) -> Plan:
    """The plan with its pictures in memory."""
    pictures, new = in_memory(plan.pictures, processes, listener.progress), len(plan.samples)
    listener.tell(f"{len(pictures):,} pictures are in memory")
    return replace(plan, samples=pictures[:new], old=pictures[new:])


def read_priors(path: Path) -> list[list[list[float]]]:
    """Sizes from a file of `handguard dataset priors`. Raises `DatasetError`."""
    try:
        return [[[float(v) for v in size] for size in one] for one in json.loads(path.read_text())["sizes"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(mismatch(str(path), 'prior sizes, {"sizes": [[[w, h], …], …]}', error)) from error


def write_model(order: Order, listener: Listener) -> cards.ModelFiles:
    """Package, and say where it lies and what it is worth."""
    files = package(order, listener.progress)
    card = cards.read_card(files)
    listener.tell(f"{files.weights}\n{files.card}")
    for line in (
        *card.notes,
        f"Operating point {card.operating_point.min_score}: {card.operating_point.chosen}",
    ):
        listener.tell(line)
    return files


def growing_sides(architecture: str) -> Sides:
    """Small inputs first (cheap, and most is learnt there), then up to the size of deployment and past it."""
    member = member_of(architecture)
    side, multiple = max(member.input_px), member.any_multiple_of_px
    if multiple is None:
        return ((1.0, (side,)),)
    small, middle, large = ([side - n * multiple for n in steps] for steps in ((4, 3, 2), (2, 1, 0), (0, -1)))
    return ((0.45, tuple(small)), (0.8, tuple(middle)), (1.0, tuple(large)))


def evaluator(
    recipe: Recipe, val: Sequence[Sample], side_px: int | None
) -> Callable[[Ssd], dict[str, float]]:
    """Numbers of a network in training, at the input size of deployment."""
    input_px = member_of(recipe.architecture).input_px if side_px is None else (side_px, side_px)

    def evaluate(average: Ssd) -> dict[str, float]:
        network = recipe.network(side_px)
        network.load_state_dict(average.state_dict())
        network.to(average.priors.device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        return summary(list(answered(network, val, input_px)))

    return evaluate


def package_command(order: Order, recipe: Path | None, listener: Listener) -> None:
    """Measure a checkpoint and write it as a model, also while its training goes on."""
    if recipe is not None:
        order = replace(order, recipe=read_recipe(recipe))
    write_model(order, listener)


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe kept apart from its checkpoint. Raises `DatasetError`."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(mismatch(str(path), "a recipe as JSON", error)) from error
