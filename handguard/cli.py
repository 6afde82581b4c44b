"""handguard: watch hands near a hand-fed machine and drop its relay when one comes too close."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from handguard import __version__
from handguard.errors import HandguardError

if TYPE_CHECKING:
    from handguard.training.command import Listener

# Rooms are imported inside the commands: `handguard --help` must not wait for torch.
app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
board_app = typer.Typer(help="Simulated relay boards, as programs of their own.", no_args_is_help=True)
config_app = typer.Typer(help="Look at a configuration.", no_args_is_help=True)
events_app = typer.Typer(help="Look at recorded evidence.", no_args_is_help=True)
app.add_typer(board_app, name="board")
app.add_typer(config_app, name="config")
app.add_typer(events_app, name="events")

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="Settings (YAML). `handguard config show` explains them.")
]
OutFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for everything this run writes.")
]
Model = Annotated[
    str | None, typer.Option(help="A model under models/ by name, or a path. Default: the shipped one.")
]

DataFolder = Annotated[Path, typer.Option(help="Folder with train/ and val/: COCO, VOC or YOLO.")]


@app.command()
def run(
    config: ConfigFile,
    source: Annotated[
        str | None,
        typer.Option(
            help="Instead of camera.source: 0, /dev/video0, rtsp://…, file.mp4, folder/ or simulated."
        ),
    ] = None,
    duration: Annotated[float | None, typer.Option(help="Stop after so many seconds.", min=0.1)] = None,
    out: OutFolder = None,
    window: Annotated[bool, typer.Option("--window", help="Show the picture with zones and hands.")] = False,
) -> None:
    """Watch, judge, and let the machine run or drop it. Ends with a summary.

    Ctrl-C stops it; the relay is off afterwards. Exit 0 after a clean stop, 2 on a wrong input.
    """
    from handguard.config import load, with_source
    from handguard.desk.closing import told
    from handguard.watch import Options, watch

    console = Console()
    settings = load(config)
    if source is not None:
        settings = with_source(settings, source)
    summary = watch(settings, Options(out, duration, window), lambda line: console.print(line, markup=False))
    console.print(told(summary))


@app.command()
def replay(
    video: Annotated[Path, typer.Argument(help="A video file, or a folder of pictures.")],
    config: ConfigFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for decisions.jsonl and summary.json.")],
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Also write annotated.mp4 with zones and hands.")
    ] = False,
) -> None:
    """Judge a recording frame by frame, with the same rules as live and faster than real time.

    Run twice, the decisions are byte for byte the same.
    """
    from handguard.config import load
    from handguard.desk.closing import progress_bar, told
    from handguard.replay.replay import replay_video

    settings = load(config)
    with progress_bar(f"replay {video.name}") as progress:
        done = replay_video(video, settings, out, annotate=annotate, progress=progress)
    Console().print(told(done.summary))


@app.command()
def detect(
    images: Annotated[list[Path], typer.Argument(help="Pictures.")],
    json_out: Annotated[Path, typer.Option("--json", help="Where the boxes go: one JSON file.")],
    model: Model = None,
    min_score: Annotated[
        float | None, typer.Option(help="Instead of the model's operating point.")
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, openvino, torch-cpu or torch-cuda.")] = "auto",
) -> None:
    """Find hands in pictures. Boxes are x1 y1 x2 y2 in pixels of each original picture."""
    from handguard.desk.closing import progress_bar
    from handguard.detection.card import DEFAULT
    from handguard.detection.loading import Choice
    from handguard.detection.pictures import detect_pictures

    choice = Choice(model or DEFAULT, backend, min_score=min_score)
    with progress_bar("detect") as progress:
        detect_pictures(images, choice, json_out, progress)


@config_app.command("show")
def config_show(file: Annotated[Path, typer.Argument(help="A configuration file.")]) -> None:
    """Print a configuration with every default, its hash, and what a person must be told."""
    from handguard.config import show

    print(show(file), end="")


@board_app.command(
    "lcus",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def board_lcus(context: typer.Context) -> None:
    """A simulated LCUS relay board behind a real pty. `handguard board lcus --help` lists its options."""
    from handguard.relay.simulated import main as board_main

    raise typer.Exit(board_main(list(context.args)))


@events_app.command("verify")
def events_verify(
    folder: Annotated[Path, typer.Argument(help="The evidence folder of a run.")],
    key: Annotated[
        str | None, typer.Option(help="Public key, hex or file. Without it, the record's own.")
    ] = None,
) -> None:
    """Prove that nobody has changed a record: edits, deletions, order, truncation, signatures, clocks."""
    from handguard.evidence.signing import PublicKey
    from handguard.evidence.verify import verify

    result = verify(folder, PublicKey.read(key) if key else None)
    print(result.text())
    result.raise_if_damaged()


@app.command()
def train(
    data: DataFolder,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for checkpoints and metrics; an earlier run goes on.")
    ],
    architecture: Annotated[
        str, typer.Option(help="One of the family; a wrong name lists them.")
    ] = "palmnet-s",
    steps: Annotated[int, typer.Option(min=1)] = 8000,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    seed: int = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare pictures.")] = 1,
    time_budget: Annotated[
        float | None, typer.Option(help="Hours of training in all; the learning rate comes down in time.", min=0)
    ] = None,
) -> None:
    """Train a detector from scratch, and end with a model and its card in OUT.

    Killed and started again, it goes on where it was. `torchrun --nproc-per-node N -m handguard train …`
    trains with N processes, --batch-size pictures each.
    """
    from handguard.training.command import Job, train_command

    budget_s = time_budget * 3600 if time_budget else None
    job = Job(data, out, architecture, steps, batch_size, seed, device, workers, budget_s)
    with _listening("train") as listener:
        train_command(job, listener)


@app.command()
def package(
    checkpoint: Annotated[Path, typer.Option(help="checkpoint.pt of a training run, finished or not.")],
    data: DataFolder,
    name: Annotated[str, typer.Option(help="What the model will be called.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for NAME.safetensors and NAME.json.")],
    architecture: Annotated[
        str | None, typer.Option(help="Where the checkpoint does not say.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="The recipe as JSON, where the checkpoint has none.")
    ] = None,
    note: Annotated[list[str] | None, typer.Option(help="A sentence for the card. May be repeated.")] = None,
) -> None:
    """Measure a checkpoint on val, choose its operating point, and write it as a model with its card."""
    from handguard.training.card_making import Order
    from handguard.training.command import package_command

    order = Order(checkpoint, data, name, out, architecture, notes=tuple(note or ()))
    with _listening("measure") as listener:
        package_command(order, recipe, listener)


@app.command()
def evaluate(
    annotations: Annotated[Path, typer.Option(help="COCO annotations.")],
    images: Annotated[Path, typer.Option(help="Folder of their pictures.")],
    json_out: Annotated[Path, typer.Option("--json", help="Where the numbers go.")],
    model: Model = None,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for curves (PNG) and the worst misses.")
    ] = None,
) -> None:
    """Measure a model: AP, recall and false alarms at its operating point, per class, size and source."""
    from handguard.training.command import evaluate_command

    with _listening("evaluate") as listener:
        evaluate_command(annotations, images, json_out, model, plots, listener)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


@contextmanager
def _listening(what: str) -> Iterator[Listener]:
    """A bar on stderr, and lines above it, for a command that takes minutes."""
    from handguard.desk.closing import progress_bar
    from handguard.training.command import Listener

    with progress_bar(what) as progress:
        yield Listener(progress, lambda line: print(line, file=sys.stderr))


def main(arguments: Sequence[str] | None = None) -> Any:
    """The console script. Every error made on purpose is one message and its exit code."""
    try:
        app(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="handguard")
    except HandguardError as error:
        Console(stderr=True).print(f"handguard: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
