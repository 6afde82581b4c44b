"""`handguard bench`: how fast the stop path is on this machine, and what makes it slower.

Exit 0 when everything was measured, 2 for a wrong input.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

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

    request = Request(config, source, frames, recorder, viewer, realtime, hogs, cameras, threads, starts, bare)
    errors = Console(stderr=True)
    result = measure(request, lambda line: errors.print(line, style="dim", highlight=False))
    Console().print(told(result))
    if json_out is not None:
        write_json(json_out, result)
    if histogram is not None:
        draw_histogram(result["streams"], histogram)
