"""Commands of the learning room: train, fine-tune, package, evaluate.

They stand apart from `cli` only to keep both short; `cli` adds them to the program.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from handguard.training.listening import Listener
    from handguard.training.operating_point import Wishes

STEPS, WITHOUT_END = 8000, 10**9
MISSES, FALSE_HITS = 0.03, 0.1  # as `training.operating_point.Wishes` has them

# Rooms are imported inside the commands: `handguard --help` must not wait for torch.
learning = typer.Typer()

DataFolder = Annotated[Path, typer.Option(help="Folder with train/ and val/: COCO, VOC or YOLO.")]
RunFolder = Annotated[
    Path,
    typer.Option("--out", "-o", help="Folder for checkpoints, metrics and model; an earlier run goes on."),
]
Steps = Annotated[int, typer.Option(min=1)]
Seed = Annotated[int, typer.Option(min=0)]
MissBudget = Annotated[
    float,
    typer.Option(min=0.0, max=0.99, help="Share of near hands that the operating point may miss on one picture."),
]
FalseHits = Annotated[
    float,
    typer.Option(min=0.0, help="False hits a hand-free picture; they decide where both cannot be had."),
]
EmptyFootage = Annotated[
    Path | None,
    typer.Option(
        "--empty-footage",
        help="A recording, or a folder of them, in which no hand is: the operating point lies above all that is "
        "seen there.",
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures a step, in each process.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that prepare pictures.")]
InMemory = Annotated[
    bool,
    typer.Option(
        "--in-memory", help="Decode every picture once, before training, and keep it: for many workers before a card."
    ),
]
Packaged = Annotated[
    bool,
    typer.Option(
        "--package/--no-package",
        help="Measure the result and write the model with its card. Without, `handguard package` does it later, "
        "maybe on another computer.",
    ),
]
Hours = Annotated[
    float | None,
    typer.Option(help="Hours of training in all; the learning rate comes down in time.", min=0.001),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        help="A model, by name or path, whose answers are learnt in place of the labels. Its own -slim architecture "
        "starts from the best of its channels."
    ),
]
RecipeFile = Annotated[
    Path | None,
    typer.Option(
        "--recipe", help="Learning rate, input sides, augmentation … (YAML or JSON; docs/training.md)."
    ),
]


@learning.command()
def train(
    data: DataFolder,
    out: RunFolder,
    architecture: Annotated[
        str, typer.Option(help="One of the family; a wrong name lists them.")
    ] = "palmnet-s",
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Default: 8000, or as many as fit into --time-budget."),
    ] = None,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    device: Device = "cpu",
    workers: Workers = 1,
    time_budget: Hours = None,
    init: Annotated[
        Path | None, typer.Option(help="Weights to start from: .safetensors, or a public checkpoint.")
    ] = None,
    teacher: Teacher = None,
    reset_heads: Annotated[
        bool, typer.Option("--reset-heads", help="Of --init, leave out what belongs to other classes.")
    ] = False,
    priors: Annotated[Path | None, typer.Option(help="Prior sizes of `handguard dataset priors`.")] = None,
    recipe: RecipeFile = None,
    in_memory: InMemory = False,
    packaged: Packaged = True,
    miss_budget: MissBudget = MISSES,
    false_hits: FalseHits = FALSE_HITS,
    empty_footage: EmptyFootage = None,
) -> None:
    """Train a detector, and end with a model and its card in OUT.

    Killed and started again, it goes on where it was. `torchrun --nproc-per-node N -m handguard train …`
    trains with N processes.
    """
    from handguard.training.command import Job, train_command

    budget_s = time_budget * 3600 if time_budget else None
    steps = steps or (STEPS if budget_s is None else WITHOUT_END)
    wishes = _wishes(miss_budget, false_hits, empty_footage)
    job = Job(
        data, out, architecture, steps, batch_size, seed, device, workers, budget_s, init, teacher, reset_heads,
        priors, recipe, in_memory, packaged, wishes,
    )  # fmt: skip
    with listening("train") as listener:
        train_command(job, listener)


@learning.command()
def fine_tune(
    data: DataFolder,
    out: RunFolder,
    model: Annotated[str, typer.Option("--from", help="A model under models/ by name, or a path.")] = "",
    name: Annotated[str, typer.Option(help="What the new model will be called.")] = "site",
    steps: Steps = 600,
    batch_size: BatchSize = 16,
    seed: Seed = 0,
    device: Device = "cpu",
    workers: Workers = 1,
    old: Annotated[
        Path | None,
        typer.Option(help="Folder of the earlier training, mixed in so that the model does not forget it."),
    ] = None,
    old_share: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.95, help="Share of --old among the pictures drawn; 0 only measures on it."
        ),
    ] = 0.3,
    in_memory: InMemory = False,
    miss_budget: MissBudget = MISSES,
    false_hits: FalseHits = FALSE_HITS,
    empty_footage: EmptyFootage = None,
) -> None:
    """Teach a model a site's own pictures; ends with a table of before and after on their val pictures."""
    from handguard.detection.card import DEFAULT
    from handguard.training.command import Job, fine_tune_command
    from handguard.training.fine_tuning import Old

    wishes = _wishes(miss_budget, false_hits, empty_footage)
    job = Job(data, out, "", steps, batch_size, seed, device, workers, in_memory=in_memory, wishes=wishes)
    with listening("fine-tune") as listener:
        fine_tune_command(job, model or DEFAULT, name, Old(old, old_share), listener)


@learning.command()
def package(
    checkpoint: Annotated[Path, typer.Option(help="checkpoint.pt of a training run, finished or not.")],
    data: DataFolder,
    name: Annotated[str, typer.Option(help="What the model will be called.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for NAME.safetensors and NAME.json.")],
    architecture: Annotated[str | None, typer.Option(help="Where the checkpoint does not say.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="The recipe as JSON, where the checkpoint has none.")
    ] = None,
    note: Annotated[list[str] | None, typer.Option(help="A sentence for the card. May be repeated.")] = None,
    side: Annotated[
        int | None,
        typer.Option(
            "--input-side",
            help="Pixels of a square input; a camera gets one of its own shape at the same cost. A larger one "
            "finds smaller hands and takes longer. Default: what the network was designed for.",
        ),
    ] = None,
    miss_budget: MissBudget = MISSES,
    false_hits: FalseHits = FALSE_HITS,
    empty_footage: EmptyFootage = None,
) -> None:
    """Measure a checkpoint on val, choose its operating point, and write it as a model with its card."""
    from handguard.training.card_making import Order
    from handguard.training.command import package_command

    wishes, notes = _wishes(miss_budget, false_hits, empty_footage), tuple(note or ())
    order = Order(checkpoint, data, name, out, architecture, notes=notes, wishes=wishes, side_px=side)
    with listening("measure") as listener:
        package_command(order, recipe, listener)


@learning.command()
def golden(
    model: Annotated[
        str | None, typer.Option(help="A model under models/ by name, or a path. Default: the shipped one.")
    ] = None,
) -> None:
    """Write into a model's card what it answers for the golden picture, so that it can be checked as it runs.

    `package`, `train` and `fine-tune` do so by themselves; this is for a card that has no answer yet.
    """
    from handguard.detection.card import DEFAULT, locate
    from handguard.training.golden_making import fill_in

    files = locate(model or DEFAULT)
    made = fill_in(files)
    typer.echo(
        f"{files.card}: answers for {len(made.answers)} sizes of input; scores may differ by "
        f"{made.max_score_change:g}, boxes must overlap by {made.min_overlap:g}"
    )


@learning.command()
def evaluate(
    json_out: Annotated[Path, typer.Option("--json", help="Where the numbers go.")],
    annotations: Annotated[Path | None, typer.Option(help="COCO annotations.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of their pictures.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A model under models/ by name, or a path. Default: the shipped one.")
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, openvino, torch-cpu, torch-cuda or onnxruntime.")] = "auto",
    min_score: Annotated[
        float | None, typer.Option(min=0.01, max=0.99, help="Operating point. Default: the model card's.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for curves, and a page of the worst misses and false hits.")
    ] = None,
    footage: Annotated[
        Path | None,
        typer.Option(
            help="A recording, or a folder of them; NAME.json beside NAME.mp4 tells its approaches."
        ),
    ] = None,
    stop_zone: Annotated[
        str, typer.Option(help="Part of the picture that counts on --footage: x1,y1,x2,y2 as fractions.")
    ] = "0,0,1,1",
) -> None:
    """Measure a model: AP, recall and false hits at an operating point, per class, size and source.

    With --footage also, or only, by approach: found or missed, how many frames after the hand came
    into the picture, and false hits a hand-free minute.
    """
    from handguard.detection.card import DEFAULT
    from handguard.detection.loading import Choice
    from handguard.training.footage import read_stop_zone
    from handguard.training.judging import Wanted, evaluate_command

    choice, zone = Choice(model or DEFAULT, backend, min_score=min_score), read_stop_zone(stop_zone)
    wanted = Wanted(json_out, choice, annotations, images, plots, footage, zone)
    with listening("evaluate") as listener:
        evaluate_command(wanted, listener)


def _wishes(miss_budget: float, false_hits: float, empty_footage: Path | None) -> Wishes:
    from handguard.training.footage import empty_recordings
    from handguard.training.operating_point import Wishes

    return Wishes(1 - miss_budget, false_hits, tuple(empty_recordings(empty_footage)))


@contextmanager
def listening(what: str) -> Iterator[Listener]:
    """A bar on stderr for a command that takes minutes, and the lines it tells, on stdout."""
    from handguard.desk.closing import progress_bar
    from handguard.training.listening import Listener

    console = Console(highlight=False, markup=False, soft_wrap=True)
    with progress_bar(what) as progress:
        yield Listener(progress, console.print)
