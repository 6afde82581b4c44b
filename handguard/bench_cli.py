"""`handguard bench`: how fast the stop path is on this machine, and what makes it slower.

Exit 0 when everything was measured, 2 for a wrong input; files that cannot be written are such, and are
told before anything is measured.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from handguard.errors import DiskRefusals

# Rooms are imported inside the command: `handguard --help` must not wait for them.
benching = typer.Typer()
SCENE = Path(__file__).parents[1] / "configs" / "demo.yaml"


@benching.command()
def bench(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="A site's settings. Default: the simulated scene.")
    ] = SCENE,
    source: Annotated[
        str | None, typer.Option(help="Footage in place of camera.source: file.mp4, folder/ or simulated.")
    ] = None,
    frames: Annotated[int, typer.Option(min=60, help="To be timed, for each camera.")] = 900,
    recorder: Annotated[bool, typer.Option(help="Film the moments round each trip, as the settings say.")] = True,
    viewer: Annotated[bool, typer.Option(help="A program that copies every frame from the shared memory.")] = True,
    hogs: Annotated[int, typer.Option("--hog", min=0, help="Programs beside it that burn time.")] = 0,
    cameras: Annotated[int, typer.Option(min=1, max=64, help="Live runs at the same time.")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Of each network, in place of detector.threads.")] = None,
    realtime: Annotated[bool, typer.Option(help="Ask for real-time priority, as `handguard run` does.")] = True,
    starts: Annotated[int, typer.Option(min=0, help="Also time the start of the program, so often.")] = 3,
    bare: Annotated[bool, typer.Option(help="Also time the detector against the bare network.")] = True,
    json_out: Annotated[Path | None, typer.Option("--json", help="Where the numbers go, with the machine's.")] = None,
    histogram: Annotated[Path | None, typer.Option(help="Where a picture of the times goes (PNG).")] = None,
) -> None:
    """Time the stop path: frame in memory → decision → OFF bytes at a simulated board behind a real pty.

    It is the live program itself that runs, at the camera's pace, with its keeper, recorder and evidence, on
    the site's own footage. No real relay is touched, whatever the settings say.
    """
    from handguard.atomic import write_json
    from handguard.bench.bench import Request
    from handguard.bench.bench import bench as measure
    from handguard.bench.telling import draw_histogram, told

    for option, path in (("--json", json_out), ("--histogram", histogram)):
        if path is not None:
            _require_place(option, path)
    request = Request(config, source, frames, recorder, viewer, realtime, hogs, cameras, threads, starts, bare)
    errors = Console(stderr=True)
    result = measure(request, lambda line: errors.print(line, style="dim", highlight=False))
    Console().print(told(result))
    if json_out is not None:
        with _writing("--json", json_out):
            write_json(json_out, result)
    if histogram is not None:
        with _writing("--histogram", histogram):
            draw_histogram(result["streams"], histogram)


def _require_place(option: str, path: Path) -> None:
    """Whether a file can be put there; none is. Raises `DeviceError`."""
    with _writing(option, path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=path.parent).close()


def _writing(option: str, path: Path) -> DiskRefusals:
    """What the disk refuses is told with the option and its file."""
    return DiskRefusals(f"{option} {path}", "a file that can be written")
