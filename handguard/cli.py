"""handguard: watch hands near a hand-fed machine and drop its relay when one comes too close."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from handguard import __version__
from handguard.approvals_cli import approving
from handguard.bench_cli import benching
from handguard.dataset_cli import dataset_app
from handguard.errors import ConfigError, HandguardError, mismatch
from handguard.events_cli import events_app
from handguard.export_cli import exporting
from handguard.learning_cli import learning
from handguard.relay_cli import relay_app
from handguard.replay_cli import replaying
from handguard.service_cli import service_app

# Rooms are imported inside the commands: `handguard --help` must not wait for torch.
app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Look at a configuration.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(dataset_app, name="dataset")
app.add_typer(events_app, name="events")
app.add_typer(relay_app, name="relay")
app.add_typer(service_app, name="service")
app.add_typer(learning)
app.add_typer(replaying)
app.add_typer(benching)
app.add_typer(approving)
app.add_typer(exporting)

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="Settings (YAML). `handguard config show` explains them.")
]
OutFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for everything this run writes.")
]
Model = Annotated[
    str | None, typer.Option(help="A model under models/ by name, or a path. Default: the shipped one.")
]



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
    realtime: Annotated[
        bool, typer.Option(help="Ask Linux for precedence over ordinary programs, and say what was granted.")
    ] = True,
) -> None:
    """Watch, judge, and let the machine run or drop it. Ends with a summary.

    Ctrl-C stops it; the relay is off afterwards. Exit 0 after a clean stop, 2 on a wrong input.
    """
    from handguard.config import load, with_source
    from handguard.desk.closing import told
    from handguard.watch import Options, watch

    if duration is not None and not math.isfinite(duration):
        raise ConfigError(mismatch("--duration", "a number of seconds", duration))
    console = Console()
    settings = load(config)
    if source is not None:
        settings = with_source(settings, source)
    options = Options(out, duration, window, realtime=realtime)
    summary = watch(settings, options, lambda line: console.print(line, markup=False))
    console.print(told(summary))


@app.command()
def detect(
    images: Annotated[list[Path], typer.Argument(help="Pictures.")],
    json_out: Annotated[Path, typer.Option("--json", help="Where the boxes go: one JSON file.")],
    model: Model = None,
    min_score: Annotated[
        float | None, typer.Option(min=0.01, max=0.99, help="Instead of the model's operating point.")
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, openvino, torch-cpu, torch-cuda or onnxruntime.")] = "auto",
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


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def board(context: typer.Context) -> None:
    """A simulated relay board, behind a real pty or TCP port. `handguard board --help` lists kinds and faults."""
    from handguard.relay.simulated import main as board_main

    raise typer.Exit(board_main(list(context.args)))


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main(arguments: Sequence[str] | None = None) -> Any:
    """The console script. Every error made on purpose is one message and its exit code."""
    try:
        app(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="handguard")
    except HandguardError as error:
        Console(stderr=True).print(f"handguard: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
