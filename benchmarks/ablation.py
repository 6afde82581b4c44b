"""What each part of the recipe is worth: short equal runs, one row each.

    python benchmarks/ablation.py run DATA SCRATCH [--hours H]   train rows, one after the other
    python benchmarks/ablation.py table SCRATCH                  write results/ablation-DEVICE.json and docs/ablation.md

Every row trains from scratch on the same number of pictures with the same seed (the
base row twice, with two seeds: rows that differ by less than those two prove nothing),
on one thread, or, with `--device cuda`, longer and larger on a card. A row that is killed goes on from its
checkpoint, a finished one is kept, so `run` may be started again at any time; `table` tells the finished rows.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from ablation_page import COLUMNS, page
from kept import keep, say
from torch import Tensor

from handguard.atomic import write_atomically
from handguard.bench import machine
from handguard.detection import priors
from handguard.detection.architectures import OCTAVE_SIDES, build
from handguard.detection.backbones.palmnet import SIZES, STRIDES_PX, PalmNet, Pyramid
from handguard.detection.heads import pointwise_head, started_xavier
from handguard.detection.scores import ScoreKind
from handguard.detection.ssd import Ssd
from handguard.training.augment import Augmentation
from handguard.training.batches import Plan
from handguard.training.coco import Sample
from handguard.training.command import evaluator
from handguard.training.dataset_report import priors as fitted_priors
from handguard.training.datasets import Split, load_split
from handguard.training.in_memory import in_memory
from handguard.training.loop import Recipe, train
from handguard.training.meter import METRICS, Progress, read_rows
from handguard.training.sources import known_sources, weights_of

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOC = HERE.parent / "docs" / "ablation.md"
SIDE_STEP_PX = 32
BASE = replace(Augmentation(), edge_cut=0.0)  # of all rows; cut hands came after most of them had been trained


@dataclass(frozen=True)
class Size:
    """How long and how large all rows are."""

    device: str
    side_px: int
    batch: int
    steps: int
    workers: int
    every_nth_val: int  # picture is judged on


SIZES_BY_DEVICE = {"cpu": Size("cpu", 160, 16, 400, 0, 2), "cuda": Size("cuda", 224, 64, 600, 4, 1)}


@dataclass(frozen=True)
class Row:
    """One run. `how` changes the augmentation, `network` and `larger`, the input's side, what is trained."""

    name: str
    says: str
    how: dict[str, Any] = field(default_factory=dict)
    network: str = "palmnet"
    larger: float = 1.0
    seed: int = 0
    focal_loss: bool = False


# most telling first: what is not finished is at the end
ROWS = (
    Row("base", "PalmNet-S, aligned label rule, all of the augmentation but cut hands"),
    Row("base, other seed", "how much chance alone moves the numbers", seed=1),
    Row("paper's rule", "prior matched at IoU 0.5, softmax, hard negatives 3:1, smooth L1", network="multibox"),
    Row("paper's rule, focal loss", "every prior counts, the less the surer it is",
        network="multibox", focal_loss=True),
    Row("− mosaic", "one picture an input", {"mosaic": 0.0}),
    Row("− pasted hands", "no cut-and-paste", {"paste": 0.0}),
    Row("− quarter turns", "upright pictures, ±12° only", {"quarter_turns": 0.0}),
    Row("− glove texture", "gloves keep their material", {"glove_texture": 0.0}),
    Row("− glove color", "gloves keep their color", {"glove_recolor": 0.0}),
    Row("− blur, low resolution, harsh light", "sharp, well lit pictures",
        {"motion_blur": 0.0, "low_resolution": 0.0, "harsh_light": 0.0}),
    Row("priors by k-means", "two a cell, fitted to the training hands", network="kmeans"),
    Row("− pyramid", "each map sees its own stage alone", network="flat"),
    Row("larger input", "the same pictures, twice the pixels", larger=1.4),
)  # fmt: skip


@dataclass(frozen=True)
class Variant(Recipe):
    """A recipe whose network may be one that the family does not have."""

    kind: str = "palmnet"
    own_side_px: int = 160

    def network(self, side_px: int | None = None) -> Ssd:
        side = side_px or self.own_side_px
        return NETWORKS[self.kind](self, (side, side))


def _palmnet(recipe: Variant, input_px: tuple[int, int]) -> Ssd:
    return build(recipe.architecture, input_px=input_px, sizes=recipe.prior_sizes)


def _multibox(recipe: Variant, input_px: tuple[int, int]) -> Ssd:
    """The same backbone, tower and priors; background as a class, as the paper's loss wants it."""
    plain = _palmnet(recipe, input_px)
    backbone = PalmNet(SIZES["s"])
    maps = [priors.octave_map(input_px, stride, OCTAVE_SIDES) for stride in STRIDES_PX]
    per_cell = [one.per_cell for one in maps]
    heads = [started_xavier(pointwise_head(backbone.channels, per_cell, n)) for n in (3, 4)]
    return Ssd(backbone, *heads, plain.priors, ScoreKind.SOFTMAX, tower=plain.tower)


def _flat(recipe: Variant, input_px: tuple[int, int]) -> Ssd:
    """Without the way down: nothing is added to a finer map from a coarser one."""
    network = _palmnet(recipe, input_px)
    size = SIZES["s"]
    network.backbone.pyramid = Flat(size.widths[2:], size.pyramid)
    return network


class Flat(Pyramid):
    """The layers of the pyramid, with nothing handed down."""

    def forward(self, *maps: Tensor) -> list[Tensor]:
        pairs = zip(self.lateral, self.smooth, maps, strict=True)
        smooth = [layer(lateral(x)) for lateral, layer, x in pairs]
        return [*smooth, self.coarser(smooth[-1])]


NETWORKS: dict[str, Callable[[Variant, tuple[int, int]], Ssd]] = {
    "palmnet": _palmnet,
    "kmeans": _palmnet,
    "multibox": _multibox,
    "flat": _flat,
}


def run(data: Path, scratch: Path, hours: float, size: Size) -> None:
    """Rows that are not finished, until the time is used up; a row under way then stops, and goes on from its
    newest checkpoint."""
    torch.set_num_threads(1)
    until = time.monotonic() + hours * 3600
    learn, judge = load_split(data, Split.TRAIN), load_split(data, Split.VAL)[:: size.every_nth_val]
    weights = weights_of(learn, known_sources(data))
    if size.workers:
        learn = in_memory(learn, os.cpu_count() or 1, lambda *_: None)
    for row in ROWS:
        out = scratch / slug(row)
        if finished(out) is None:
            kmeans = fitted_priors(data, len(STRIDES_PX), 2)["sizes"] if row.network == "kmeans" else None
            found = trained(row, size, learn, judge, weights, kmeans, out, until)
            keep(out / "row.json", found)
            say(f"{row.name}: {found}")


def trained(
    row: Row,
    size: Size,
    learn: list[Sample],
    judge: list[Sample],
    weights: dict[str, float],
    sizes: list[list[list[float]]] | None,
    out: Path,
    until: float,
) -> dict[str, Any]:
    """One row's numbers; raises `SystemExit` when the time is up."""
    began_s = time.monotonic()
    side_px = round(size.side_px * row.larger / SIDE_STEP_PX) * SIDE_STEP_PX
    recipe = Variant(
        "palmnet-s", warmup_steps=60, device=size.device, workers=size.workers, checkpoint_every_s=60,
        evaluate_every_s=1e9, prior_sizes=sizes, kind=row.network, focal_loss=row.focal_loss, own_side_px=side_px,
    )  # fmt: skip
    how = replace(BASE, **row.how)
    plan = Plan(learn, size.batch, ((1.0, (side_px,)),), size.steps, row.seed, how, weights)

    def report(progress: Progress) -> None:
        if time.monotonic() > until and progress.step < size.steps:
            raise SystemExit(f"time is up in {row.name}, step {progress.step}")
        if progress.step % 25 == 0:
            say(f"{row.name}: step {progress.step}, loss {float(progress.loss.total):.3f}")

    train(recipe, plan, out, evaluator(recipe, judge, side_px), report)
    last = read_rows(out / METRICS)[-1]  # also of a run that was over before this start
    numbers = {name: round(value, 4) for name, value in last.items() if name.startswith("ap50")}
    return {**numbers, "side_px": side_px, "wall_s": round(time.monotonic() - began_s, 1)}  # of this start


def finished(out: Path) -> dict[str, Any] | None:
    """A row's numbers; None where it has none, or not all of them, yet."""
    file = out / "row.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    return found if COLUMNS.keys() <= found.keys() else None


def slug(row: Row) -> str:
    """A folder's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in row.name).split())


def table(scratch: Path, size: Size) -> None:
    """From the finished rows: this device's JSON, and the page made from those of all devices."""
    done = [(row, finished(scratch / slug(row))) for row in ROWS]
    found = {
        "command": f"python benchmarks/ablation.py run DATA SCRATCH --device {size.device}",
        "machine": machine.described(),
        **asdict(size),
        "rows": [{"name": row.name, "says": row.says, **numbers} for row, numbers in done if numbers],
        "not_finished": [row.name for row, numbers in done if not numbers],
    }
    keep(RESULTS / f"ablation-{size.device}.json", found)
    every = [RESULTS / f"ablation-{device}.json" for device in ("cuda", "cpu")]
    write_atomically(DOC, page([json.loads(one.read_text()) for one in every if one.exists()]).encode())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("do", choices=["run", "table"])
    parser.add_argument("folders", type=Path, nargs="+", help="DATA SCRATCH, or SCRATCH for the table")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--device", choices=SIZES_BY_DEVICE, default="cpu")
    asked = parser.parse_args()
    size = SIZES_BY_DEVICE[asked.device]
    if asked.do == "run":
        run(asked.folders[0], asked.folders[1], asked.hours, size)
    else:
        table(asked.folders[-1], size)


if __name__ == "__main__":
    main()
