"""Which measurements are made, and in what order; each in a process of its own (`worker`).

    start      a run from nothing to the first judged frame, some times
    bare       the detector's call and the compiled network alone, in turns
    cameras    so many live runs at once, each with its own keeper and board; with one, the stop path
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handguard.bench import machine
from handguard.bench.company import hogs
from handguard.bench.course import Order
from handguard.bench.worker import Worker, measured

ROUNDS = 300
PERIOD_S = 1 / 30  # of a usual camera


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for."""

    config: Path
    source: str | None = None
    frames: int = 900
    recorder: bool = True
    viewer: bool = True
    realtime: bool = True
    hogs: int = 0
    cameras: int = 1
    threads: int | None = None  # of each network; None: as the settings say
    starts: int = 3
    bare: bool = True


def bench(request: Request, say: Any = lambda line: None) -> dict[str, Any]:
    """Everything that was asked for, as plain values. Raises `HandguardError`."""
    site = {"config": str(request.config.resolve()), "source": request.source, "threads": request.threads}
    alone = {**site, "realtime": request.realtime}
    asked = asdict(request) | {"config": request.config.name}
    result: dict[str, Any] = {"machine": machine.described(), "asked": asked}
    if request.starts:
        say("from nothing to the first judged frame …")
        result["start"] = _starts(alone, request.starts)
    with hogs(request.hogs):
        if request.bare:
            say("the detector and the bare network in turns …")
            result["bare"] = measured({"do": "bare", "rounds": ROUNDS, **alone})
        say(f"{request.cameras} × {request.frames} frames at the camera's pace …")
        result["streams"] = streams(site, request)
    return result


def _starts(order: dict[str, Any], count: int) -> dict[str, Any]:
    """The fastest of some starts: the others were kept waiting by something else."""
    runs = [measured({"do": "start", **order}) for _ in range(count)]
    return min(runs, key=lambda run: run["total_s"]) | {"all_totals_s": sorted(run["total_s"] for run in runs)}


def streams(site: dict[str, Any], request: Request) -> list[dict[str, Any]]:
    """One result for each camera; all of them run at the same time. Raises `DeviceError`."""
    with ExitStack() as stack:
        workers = [stack.enter_context(_stream(site, request, number, stack)) for number in range(request.cameras)]
        for worker in workers:
            worker.wait_until_ready()
        for worker in workers:
            worker.begin()
        return [worker.ended() for worker in workers]


def _stream(site: dict[str, Any], request: Request, number: int, stack: ExitStack) -> Worker:
    """Cameras are not synchronized: each captures at another moment of the period."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="handguard-bench-"))
    late_by_s = number / request.cameras * PERIOD_S
    order = Order(
        request.frames, request.recorder, request.viewer, realtime=request.realtime, late_by_s=late_by_s
    )
    return Worker({"do": "course", "course": asdict(order), **site}, Path(folder))
