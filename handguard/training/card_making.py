"""From a checkpoint to a model that can be shipped: weights, and a card that hides nothing.

The weights are the moving average of the checkpoint. They are measured on the
validation set through the detector of the stop path, the operating point is chosen
there and on recordings without a hand, if there are any, and the card tells: the
recipe, how far training got, the sources of the pictures with their licences (those of
earlier trainings, too), every number, and every target that is missed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from handguard.detection.architectures import build, member_of
from handguard.detection.card import Card, ModelFiles, OperatingPoint
from handguard.detection.loading import Choice
from handguard.detection.ssd import Ssd
from handguard.detection.weights import save_model
from handguard.errors import ModelError, mismatch
from handguard.training import checkpoints
from handguard.training.beforehand import require_file_name, require_near_hand
from handguard.training.coco import Sample
from handguard.training.datasets import Split, load_split
from handguard.training.evaluation import OnProgress, Run, numbers, run_detector
from handguard.training.footage import empty_scene
from handguard.training.golden_making import with_golden
from handguard.training.measures import hand_free
from handguard.training.operating_point import LOWEST, Chosen, Wishes, choose
from handguard.training.sources import known_sources, listed
from handguard.training.targets import judged_targets, told_targets
from handguard.training.writing import writing
from handguard.types import HandClass

CLASSES = tuple(kind.title for kind in HandClass)
OPTIMISTIC = (
    "The operating point was chosen and measured on the same validation pictures; expect a little less elsewhere, "
    "and check it on the site's own recordings."
)
FAR_FROM_HERE = (
    "The pictures come from other places than your machine. "
    "No number here says how often a hand is missed there."
)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be packaged, and what the checkpoint does not know by itself."""

    checkpoint: Path
    data: Path  # folder with train and val
    name: str
    out: Path
    architecture: str | None = None  # None: as in the checkpoint's recipe
    recipe: dict[str, Any] = field(default_factory=dict)  # for a checkpoint without one
    notes: tuple[str, ...] = ()
    wishes: Wishes = field(default_factory=Wishes)
    side_px: int | None = None  # of a square input of about the cost wanted; None: what the network was designed for
    learnt: Sequence[dict[str, Any]] = ()  # rows of data that the weights were trained on; (): as the recipe has them
    quiet: Path | None = None  # a folder whose hand-free val pictures count false hits, where `data` has none

    def __post_init__(self) -> None:
        require_file_name(self.name)


def package(order: Order, progress: OnProgress) -> ModelFiles:
    """Measure and write `NAME.safetensors` and `NAME.json` into `order.out`. Raises `ModelError`, `DatasetError`."""
    saved = checkpoints.read(order.checkpoint)
    recipe = order.recipe or saved.recipe
    architecture = order.architecture or recipe.get("architecture")
    if architecture is None:
        raise ModelError(
            mismatch(f"{order.checkpoint}: recipe", "an architecture, here or by --architecture", "none")
        )
    sizes = recipe.get("prior_sizes")
    side = order.side_px
    network = build(architecture, input_px=None if side is None else (side, side), sizes=sizes)
    _fill(network, saved, order.checkpoint, architecture)
    train, val = (load_split(order.data, split) for split in (Split.TRAIN, Split.VAL))
    require_near_hand(val, order.data)
    draft = replace(_draft(order.name, architecture, network, side), prior_sizes=sizes)
    with _unsaved(network, draft) as choice:
        run = run_detector(choice, val, progress)
        borrowed = None if hand_free(run.answers) else order.quiet
        elsewhere = run_detector(choice, _hand_free_of(borrowed), progress).answers if borrowed else []
        empty = empty_scene(choice, order.wishes.empty, progress) if order.wishes.empty else None
    chosen = choose(run.answers, order.wishes, elsewhere, empty)
    card = with_golden(network, _with_numbers(draft, run, chosen))
    known = known_sources(order.data)
    learnt = order.learnt or recipe.get("learnt") or listed("train", train, known)  # older checkpoints lack them
    told = {key: value for key, value in recipe.items() if key != "learnt"}
    card = replace(
        card,
        data=[*learnt, *listed("val", val, known)],
        recipe={**told, **_progress_made(saved, recipe, len(train))},
        notes=[_how_far(saved, recipe, len(train)), *card.notes, *order.notes],
    )
    with writing(order.out / order.name):
        return save_model(network, card, order.out)


def _hand_free_of(folder: Path) -> list[Sample]:
    """Of the val pictures of an earlier training, those where nothing is to be seen."""
    return [sample for sample in load_split(folder, Split.VAL) if len(sample.boxes_px) == 0]


@contextmanager
def _unsaved(network: Ssd, draft: Card) -> Iterator[Choice]:
    """Weights that no model holds yet, for the detector of the stop path."""
    with tempfile.TemporaryDirectory() as folder:
        yield Choice(str(save_model(network, draft, Path(folder)).weights))


def _fill(network: Ssd, saved: checkpoints.Checkpoint, path: Path, architecture: str) -> None:
    try:
        network.load_state_dict(saved.average)
    except RuntimeError as error:
        told = str(error).splitlines()[-1].strip()
        raise ModelError(mismatch(str(path), f"weights of {architecture}", told)) from error
    network.eval()


def _draft(name: str, architecture: str, network: Ssd, side_px: int | None) -> Card:
    member = member_of(architecture)
    input_px = member.input_px if side_px is None else (side_px, side_px)
    point = OperatingPoint(LOWEST, chosen="not chosen yet")
    multiple = member.any_multiple_of_px
    return Card(name, architecture, CLASSES, input_px, point, "", network.score_kind.value, multiple)


def _with_numbers(draft: Card, run: Run, chosen: Chosen) -> Card:
    found = numbers(run, chosen.min_score)
    rows = judged_targets(found)
    return replace(
        draft,
        operating_point=OperatingPoint(chosen.min_score, chosen=chosen.words),
        metrics={**found, "targets": rows},
        notes=[told_targets(rows), OPTIMISTIC, FAR_FROM_HERE],
    )


def _progress_made(saved: checkpoints.Checkpoint, recipe: dict[str, Any], pictures: int) -> dict[str, Any]:
    a_step = int(recipe["batch_size"]) * int(recipe.get("processes", 1)) if "batch_size" in recipe else 0
    seen = saved.step * a_step or None
    return {
        "steps_done": saved.step,
        "pictures_seen": seen,
        "passes": round(seen * (1 - recipe.get("old_share", 0.0)) / pictures, 1) if seen else None,
        "trained_hours": None if saved.trained_s is None else round(saved.trained_s / 3600, 2),
    }


def _how_far(saved: checkpoints.Checkpoint, recipe: dict[str, Any], pictures: int) -> str:
    """How far training got, in one or two sentences."""
    made = _progress_made(saved, recipe, pictures)
    steps, budget_s = recipe.get("steps"), recipe.get("time_budget_s")
    planned = None if budget_s else steps  # with a budget, the time is the plan, and `steps` only a bound
    done = (steps and saved.step >= steps) or (budget_s and (saved.trained_s or 0.0) >= budget_s)
    told = f"Trained for {saved.step:,} steps" + (f" of the {planned:,} planned" if planned else "")
    if made["pictures_seen"]:
        told += f": {made['pictures_seen']:,} pictures seen, {made['passes']} times each"
    if made["trained_hours"] is not None:
        told += f", {made['trained_hours']} hours on {recipe.get('device', 'an unknown device')}"
    start = recipe.get("start", "scratch (no weights from elsewhere)")
    told += f", from {start}."
    if (steps or budget_s) and not done:
        told += (
            " Training was still going on: the learning rate had not come down, so these are early weights."
        )
    return told
