"""Fine-tune a model on a site's own pictures, and tell whether it was worth it.

A short run at a low learning rate and at the size of deployment, starting from a
model's weights. Before and after are measured on the site's val pictures, through
the detector of the stop path, both in float32: an int8 twin that stands beside the old
weights is not what the new ones are to be better than. Weights that became worse there
should stay unused, and the table says so.

A network that sees nothing but one site forgets the rest of the world. Where the
pictures of the earlier training are at hand, a share of what is drawn comes from
them, and a second table tells what was forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handguard.detection import card as cards
from handguard.detection.loading import Choice
from handguard.detection.ssd import Ssd
from handguard.detection.weights import load_network
from handguard.errors import ModelError, mismatch
from handguard.training.card_making import CLASSES
from handguard.training.coco import Sample
from handguard.training.datasets import Split, load_split
from handguard.training.evaluation import OnProgress, numbers, run_detector
from handguard.training.origin import inherited

LEARNING_RATE = 3e-4
WARMUP_STEPS = 50

Numbers = dict[str, Any]
Rows = list[dict[str, Any]]


SITE, ELSEWHERE = "this folder", "the old folder"


@dataclass(frozen=True, slots=True)
class Old:
    """Pictures of the earlier training, if there are any, and the share of them among those drawn."""

    data: Path | None = None
    share: float = 0.0

    def __post_init__(self) -> None:
        if self.data is not None and not 0 <= self.share < 1:
            raise ValueError(f"a share from 0 to below 1 is needed, got {self.share}")

    def judged(self, site: Path) -> dict[str, list[Sample]]:
        """What to judge by: the site's val pictures, and the old ones. Raises `DatasetError`."""
        folders = {SITE: site} | ({ELSEWHERE: self.data} if self.data else {})
        return {where: load_split(folder, Split.VAL) for where, folder in folders.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """The model to start from."""

    card: cards.Card
    files: cards.ModelFiles
    network: Ssd

    @property
    def words(self) -> str:
        """What it was, for the recipe."""
        return f"the weights of {self.card.name} ({self.card.weights_sha256[:12]})"

    @property
    def side_px(self) -> int | None:
        """Of its square input; None for a network that takes one size only."""
        return None if self.card.any_multiple_of_px is None else max(self.card.input_px)

    @property
    def data(self) -> Rows:
        """What it was trained on, for the card of what becomes of it."""
        return inherited(self.card.data, self.card.name)


def load_base(model: str) -> Base:
    """A shipped model by name, or any by path. Raises `ModelError`, also for other classes than ours."""
    files = cards.locate(model)
    card = cards.read_card(files)
    if card.classes != CLASSES:
        raise ModelError(mismatch(f"{files.card}: classes", " and ".join(CLASSES), ", ".join(card.classes)))
    network = load_network(files, card, card.input_px).requires_grad_(True)
    return Base(card, files, network)


def steady_sides(card: cards.Card) -> tuple[tuple[float, tuple[int, ...]], ...]:
    """Input sides round the one of deployment, from the first step on."""
    side, multiple = max(card.input_px), card.any_multiple_of_px
    return ((1.0, (side,) if multiple is None else (side - multiple, side, side + multiple)),)


def measured(files: cards.ModelFiles, samples: list[Sample], progress: OnProgress) -> Numbers:
    """A model's numbers at its own operating point."""
    score = cards.read_card(files).operating_point.min_score
    return numbers(run_detector(Choice(str(files.weights), precision="float32"), samples, progress), score)


ROWS = (
    ("AP50, any hand", lambda n: n["ap50"]["any"]),
    ("AP50, any near hand", lambda n: n["ap50_near"]["any"]),
    ("AP50, bare hands", lambda n: n["ap50"]["hand"]),
    ("AP50, gloved hands", lambda n: n["ap50"]["gloved_hand"]),
    ("score of the operating point", lambda n: n["at_operating_point"]["min_score"]),
    ("hands found there", lambda n: n["at_operating_point"]["recall"]["any"]["all"]["share"]),
    ("near hands found there", lambda n: n["at_operating_point"]["recall"]["any"]["near"]["share"]),
    ("false hits a picture", lambda n: n["at_operating_point"]["false_per_picture"]),
    ("false hits a hand-free picture", lambda n: n["at_operating_point"]["false_per_hand_free_picture"]),
)


def compared(before: Numbers, after: Numbers) -> Rows:
    """One row per number: what, before, after; None where there was nothing to measure."""
    return [{"what": what, "before": of(before), "after": of(after)} for what, of in ROWS]


def told(tables: dict[str, Rows], out: Path) -> str:
    """The tables as text, and a plain word on them."""
    lines = [line for where, rows in tables.items() for line in _table(where, rows)]
    before, after = near_ap50(tables[SITE])
    if before is not None and after is not None and after <= before:
        lines.append(f"No better on near hands: keep the model you had; {out} is for study.")
    if ELSEWHERE not in tables:
        lines.append(
            "Measured on this folder's val pictures alone. How the new weights do elsewhere is not known: "
            "check them on pictures of other places before relying on them there."
        )
    return "\n".join(lines)


def near_ap50(rows: Rows) -> tuple[float | None, float | None]:
    """Before and after, of any near hand."""
    return rows[1]["before"], rows[1]["after"]


def _table(where: str, rows: Rows) -> list[str]:
    cells = [f"{row['what']:34}{_cell(row['before']):>9}{_cell(row['after']):>9}" for row in rows]
    return [f"{'on val of ' + where:34}{'before':>9}{'after':>9}", *cells]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
