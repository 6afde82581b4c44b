"""Commands that look at annotated pictures before anything is learnt from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from handguard.learning_cli import RecipeFile, Seed, listening

dataset_app = typer.Typer(help="Look at annotated pictures: COCO, VOC or YOLO.", no_args_is_help=True)

DataArgument = Annotated[Path, typer.Argument(help="Folder with train/ and val/: COCO, VOC or YOLO.")]


@dataset_app.command("check")
def dataset_check(data: DataArgument) -> None:
    """Read every annotation and decode every picture. Exit 2 if anything is wrong with them."""
    from handguard.training.dataset_report import check

    with listening("check") as listener:
        checked = check(data, listener.progress)
    for line in (*checked.remarks, *checked.problems):
        typer.echo(line)
    typer.echo(
        f"{checked.pictures} pictures, {len(checked.problems)} problems, {len(checked.remarks)} remarks"
    )
    if checked.problems:
        raise typer.Exit(2)


@dataset_app.command("augmented")
def dataset_augmented(
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the sheets; git will pass it by.")],
    recipe: RecipeFile = None,
    seed: Seed = 0,
) -> None:
    """Show what training shows the network: one sheet of inputs for each part of the augmentation."""
    from handguard.training.datasets import Split, load_split
    from handguard.training.input_sheet import draw_inputs
    from handguard.training.recipe_file import Ordered, read_recipe_file

    ordered = read_recipe_file(recipe, "palmnet-s") if recipe else Ordered()
    for line in draw_inputs(load_split(data, Split.TRAIN), ordered.augmentation, out, seed):
        typer.echo(line)


@dataset_app.command("stats")
def dataset_stats(data: DataArgument) -> None:
    """Pictures, hands by class and size, and sources, as JSON."""
    from handguard.training.dataset_report import stats

    _print_json(stats(data))


@dataset_app.command("priors")
def dataset_priors(
    data: DataArgument,
    maps: Annotated[int, typer.Option(min=1, help="Feature maps of the network.")] = 4,
    per_map: Annotated[int, typer.Option(min=1, help="Priors a cell.")] = 2,
) -> None:
    """Prior sizes fitted to the training hands by k-means, as JSON for `train --priors`."""
    from handguard.training.dataset_report import priors

    _print_json(priors(data, maps, per_map))


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=1))
