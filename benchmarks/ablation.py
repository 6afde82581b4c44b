"""What each part of the recipe is worth: short equal runs, one row each.

    python benchmarks/ablation.py run DATA SCRATCH [--hours H]   train rows, one after the other
    python benchmarks/ablation.py table SCRATCH                  write results/ablation.json and docs/ablation.md

Every row trains from scratch on the same number of pictures with the same seed (the
base row twice, with two seeds: rows that differ by less than those two prove nothing),
on one thread. A row that is killed goes on from its checkpoint, a finished one is kept, so
`run` may be started again at any time; `table` tells the finished rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from kept import keep
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
from handguard.training.dataset_report import priors as fitted_priors
from handguard.training.datasets import Split, load_split
from handguard.training.loop import Recipe, train
from handguard.training.meter import METRICS, Progress, read_rows
from handguard.training.sources import known_sources, weights_of
from handguard.training.validation import answered, summary

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "ablation.json"
DOC = HERE.parent / "docs" / "ablation.md"
SIDE_PX = 160
BATCH = 16
STEPS = 400
EVERY_NTH_VAL = 2  # picture is judged on
BASE = replace(Augmentation(), edge_cut=0.0)  # of all rows; cut hands came after most of them had been trained


@dataclass(frozen=True)
class Row:
    """One run. `how` changes the augmentation, `network` and `side_px` what is trained."""

    name: str
    says: str
    how: dict[str, Any] = field(default_factory=dict)
    network: str = "palmnet"
    side_px: int = SIDE_PX
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
    Row("input 224", "the same pictures, twice the pixels", side_px=224),
)  # fmt: skip


@dataclass(frozen=True)
class Variant(Recipe):
    """A recipe whose network may be one that the family does not have."""

    kind: str = "palmnet"

    def network(self, side_px: int | None = None) -> Ssd:
        side = side_px or SIDE_PX
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


def run(data: Path, scratch: Path, hours: float) -> None:
    """Rows that are not finished, until the time is used up; a row under way stops at its next checkpoint."""
    torch.set_num_threads(1)
    until = time.monotonic() + hours * 3600
    learn, judge = load_split(data, Split.TRAIN), load_split(data, Split.VAL)[::EVERY_NTH_VAL]
    weights = weights_of(learn, known_sources(data))
    for row in ROWS:
        out = scratch / slug(row)
        if finished(out) is None:
            kmeans = fitted_priors(data, len(STRIDES_PX), 2)["sizes"] if row.network == "kmeans" else None
            found = trained(row, learn, judge, weights, kmeans, out, until)
            keep(out / "row.json", found)
            _tell(f"{row.name}: {found}")


def trained(
    row: Row,
    learn: list[Sample],
    judge: list[Sample],
    weights: dict[str, float],
    sizes: list[list[list[float]]] | None,
    out: Path,
    until: float,
) -> dict[str, Any]:
    """One row's numbers; raises `SystemExit` when the time is up."""
    began_s = time.process_time()
    recipe = Variant(
        "palmnet-s", warmup_steps=60, workers=0, checkpoint_every_s=60, evaluate_every_s=1e9,
        prior_sizes=sizes, kind=row.network, focal_loss=row.focal_loss,
    )  # fmt: skip
    plan = Plan(
        learn, BATCH, ((1.0, (row.side_px,)),), STEPS, row.seed,
        replace(BASE, **row.how), weights,
    )  # fmt: skip

    def evaluate(average: Ssd) -> dict[str, float]:
        network = recipe.network(row.side_px)
        network.load_state_dict(average.state_dict())
        network.to(memory_format=torch.channels_last).eval()
        return summary(list(answered(network, judge, (row.side_px, row.side_px))))

    def report(progress: Progress) -> None:
        if time.monotonic() > until and progress.step < STEPS:
            raise SystemExit(f"time is up in {row.name}, step {progress.step}")
        if progress.step % 25 == 0:
            _tell(f"{row.name}: step {progress.step}, loss {float(progress.loss.total):.3f}")

    train(recipe, plan, out, evaluate, report)
    cpu_s = round(time.process_time() - began_s, 1)  # of this start
    last = read_rows(out / METRICS)[-1]  # also of a run that was over before this start
    numbers = {name: round(value, 4) for name, value in last.items() if name.startswith("ap50")}
    return {**numbers, "cpu_s": cpu_s}


def finished(out: Path) -> dict[str, Any] | None:
    """A row's numbers; None where it has none, or not all of them, yet."""
    file = out / "row.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    return found if COLUMNS.keys() <= found.keys() else None


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def slug(row: Row) -> str:
    """A folder's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in row.name).split())


COLUMNS = {
    "ap50_any": "any hand",
    "ap50_any_near": "near",
    "ap50_hand_near": "bare, near",
    "ap50_gloved_hand_near": "gloved, near",
}


def table(scratch: Path) -> None:
    """From the finished rows: the JSON, and the page made from it."""
    done = [(row, finished(scratch / slug(row))) for row in ROWS]
    rows = [{"name": row.name, "says": row.says, **numbers} for row, numbers in done if numbers]
    found = {
        "command": "python benchmarks/ablation.py run DATA SCRATCH",
        "machine": machine.described(),
        "steps": STEPS,
        "batch_size": BATCH,
        "side_px": SIDE_PX,
        "rows": rows,
        "not_finished": [row.name for row, numbers in done if not numbers],
    }
    keep(RESULTS, found)
    write_atomically(DOC, page(found).encode())


def page(found: dict[str, Any]) -> str:
    """docs/ablation.md."""
    rows = {row["name"]: row for row in found["rows"]}
    base, other = rows.get("base"), rows.get("base, other seed")
    noise = [_noise_line(base, other)] if base and other else []
    missing = "; ".join(found["not_finished"])
    return "\n".join(
        [
            "# What each part of the recipe is worth",
            "",
            "Short, equal runs from scratch: PalmNet-S,"
            f" {found['steps'] * found['batch_size']:,} pictures each at {found['side_px']} px, one thread,"
            " batches of " + f"{found['batch_size']}; AP50 (class-agnostic, then by class) on every second"
            " validation picture, all sizes and *near* (hands of at least 1/12 of the picture's longer side)."
            " These runs end long before training has converged: they say which part helps early, and parts"
            " that make pictures harder look worse here than at the end of a long run.",
            "",
            "| row | what is different | " + " | ".join(COLUMNS.values()) + " | near − base |",
            "|---|---|" + "---|" * (len(COLUMNS) + 1),
            *(_table_line(row, base) for row in found["rows"]),
            "",
            *noise,
            *([f"Not finished: {missing}.", ""] if missing else []),
            f"Made by `{found['command']}` and `python benchmarks/ablation.py table SCRATCH`, from"
            " [benchmarks/results/ablation.json](../benchmarks/results/ablation.json).",
            "",
        ]
    )


def _table_line(row: dict[str, Any], base: dict[str, Any] | None) -> str:
    cells = [f"{row[key]:.3f}" for key in COLUMNS]
    change = "" if base is None or row is base else f"{row['ap50_any_near'] - base['ap50_any_near']:+.3f}"
    return "| " + " | ".join([row["name"], row["says"], *cells, change]) + " |"


def _noise_line(base: dict[str, Any], other: dict[str, Any]) -> str:
    apart = {title: abs(base[key] - other[key]) for key, title in COLUMNS.items()}
    told = ", ".join(f"{title} {value:.3f}" for title, value in apart.items())
    return (
        f"Two seeds of the base row are apart by: {told}. Two runs are a poor estimate of chance: take a"
        " difference for real only where it is several times that.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("do", choices=["run", "table"])
    parser.add_argument("folders", type=Path, nargs="+", help="DATA SCRATCH, or SCRATCH for the table")
    parser.add_argument("--hours", type=float, default=24.0)
    asked = parser.parse_args()
    if asked.do == "run":
        run(asked.folders[0], asked.folders[1], asked.hours)
    else:
        table(asked.folders[-1])


if __name__ == "__main__":
    main()
