"""What weights to start from bring along: the priors that they learnt with, and the rows of data for the card.

A model has both in its card, a checkpoint of ours in its recipe (see `loop.described`; older ones
lack the rows). Public weights have neither.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handguard.detection import card as cards
from handguard.errors import ModelError, mismatch
from handguard.training import checkpoints

Sizes = list[list[list[float]]] | None  # of priors, as in `Recipe.prior_sizes`
Rows = list[dict[str, Any]]  # of data, as in a card


@dataclass(frozen=True, slots=True)
class Origin:
    """Weights of ours to start from."""

    prior_sizes: Sizes
    where: str  # that stands
    learnt: Rows  # what they were trained on, in the words of a card that inherits it


def origin_of(init: Path) -> Origin | None:
    """Of a model with its card, or of a checkpoint with its recipe; None for other weights. Raises `ModelError`."""
    card = init.with_suffix(".json")
    if init.suffix == cards.WEIGHTS:
        return _of_card(cards.ModelFiles(init, card)) if card.is_file() else None
    try:
        recipe = checkpoints.read(init).recipe
    except ModelError:  # what it is instead, or what is wrong with it, is for the import to tell
        return None
    if "prior_sizes" not in recipe:
        return None
    name = f"{init.resolve().parent.name}/{init.name}"
    return Origin(recipe["prior_sizes"], f"{init}: prior_sizes", inherited(recipe.get("learnt", ()), name))


def _of_card(files: cards.ModelFiles) -> Origin:
    card = cards.read_card(files)
    return Origin(card.prior_sizes, f"{files.card}: prior_sizes", inherited(card.data, card.name))


def require_same_priors(origin: Origin, sizes: Sizes) -> None:
    """Our own weights learnt boxes as offsets from priors; shapes alone would not tell which.

    Raises `ModelError` where the network has others.
    """
    if origin.prior_sizes != sizes:
        words = {True: "the network's own rule", False: "sizes of their own"}
        expected = f"the priors that its weights learnt with ({words[origin.prior_sizes is None]})"
        raise ModelError(mismatch(origin.where, expected, f"{words[sizes is None]} (--priors)"))


def inherited(data: Iterable[dict[str, Any]], name: str) -> Rows:
    """Of a model's rows of data those that it was trained on, for the card of what becomes of it."""
    return [{**row, "split": f"{row['split']} of {name}"} for row in data if str(row["split"]).startswith("train")]


def each_once(rows: Iterable[dict[str, Any]]) -> Rows:
    """Without those that say, under another split, what a row before them says."""
    kept: Rows = []
    for row in rows:
        if not any({**row, "split": ""} == {**other, "split": ""} for other in kept):
            kept.append(row)
    return kept
