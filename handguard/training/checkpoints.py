"""Checkpoints: all that a killed run needs to go on, written whole or not at all."""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handguard.atomic import write_atomically
from handguard.detection.ssd import Ssd
from handguard.errors import ModelError, mismatch
from handguard.training.writing import writing

CHECKPOINT = "checkpoint.pt"
# what may change when a run goes on: how long, where, how often it looks up, and what is told of its pictures
FREE = {
    "steps", "time_budget_s", "device", "workers", "processes", "checkpoint_every_s", "evaluate_every_s", "learnt"
}  # fmt: skip
KEPT = "; the checkpoint before it, if any, is whole, and the same command goes on from there"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is on disk. `recipe` says how the run was meant (see `loop.described`); older files lack it."""

    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]
    step: int
    recipe: dict[str, Any] = field(default_factory=dict)
    trained_s: float | None = None  # all time spent training so far; None: not known


def save(
    path: Path,
    model: Ssd,
    average: Ssd,
    optimizer: torch.optim.Optimizer,
    step: int,
    recipe: dict[str, Any],
    trained_s: float,
) -> None:
    """Put a checkpoint in the place of the old one. Raises `DeviceError`; then the old one is untouched."""
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "recipe": recipe,
        "trained_s": trained_s,
    }
    buffer = io.BytesIO()  # torch writing straight to a full disk ends in its destructor, not in an error
    torch.save(state, buffer)
    with writing(path, KEPT):
        write_atomically(path, buffer.getvalue())


def read(path: Path) -> Checkpoint:
    """Raises `ModelError` for anything that is not one of our checkpoints."""
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except OSError as error:
        raise ModelError(mismatch(str(path), "a checkpoint of `handguard train`", error.strerror)) from error
    except (RuntimeError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(mismatch(str(path), "a checkpoint of `handguard train`", told)) from error


def resume(
    path: Path, model: Ssd, average: Ssd, optimizer: torch.optim.Optimizer, recipe: dict[str, Any]
) -> Checkpoint | None:
    """Fill the three from the file; None when there is none yet.

    Raises `ModelError` when they do not fit, or when the run that left the file was
    meant otherwise than `recipe` (see `loop.described`): nobody would know what the
    weights come from.
    """
    if not path.exists():
        return None
    saved = read(path)
    _require_same_run(path, saved.recipe, recipe)
    try:
        model.load_state_dict(saved.model)
        average.load_state_dict(saved.average)
        optimizer.load_state_dict(saved.optimizer)
    except (RuntimeError, ValueError) as error:
        told = str(error).splitlines()[0]
        raise ModelError(mismatch(str(path), "a checkpoint of the same architecture", told)) from error
    return saved


def _require_same_run(path: Path, began: dict[str, Any], now: dict[str, Any]) -> None:
    """Keys that an older version did not know are left alone."""
    began, now = (json.loads(json.dumps(recipe)) for recipe in (began, now))  # a pair is a list, then
    for key in sorted(began.keys() & now.keys() - FREE):
        if began[key] != now[key]:
            told = mismatch(f"{path}: {key}", f"{began[key]}, as this run began with", now[key])
            raise ModelError(f"{told}; go on with the same, or give another folder with --out")
