"""What a person reads at the end of a run, and the progress bar while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

OnProgress = Callable[[int, int | None], None]  # done so far, of how many (None: not known)


@contextmanager
def progress_bar(what: str) -> Iterator[OnProgress]:
    """A bar with rate, elapsed and remaining time on stderr; yields what to call with (done, total)."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        task = progress.add_task(escape(what), total=None, rate="")

        def update(done: int, total: int | None) -> None:
            speed = progress.tasks[task].speed
            progress.update(task, completed=done, total=total, rate=f"{speed:.0f}/s" if speed else "")

        yield update


def told(summary: dict[str, Any]) -> RenderableType:
    """The summary of a run in the words of a person who stood beside it."""
    table = Table.grid(padding=(0, 3))
    for name, value in _rows(summary):
        table.add_row(Text(name, style="dim"), value)
    return Group(Text(), Text("Summary", style="bold"), table, *_trips(summary))


def _rows(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "frames", f"{summary['frames']}, judged {summary['judged']}, dropped {summary['dropped']}"
    yield "warnings", str(summary["warnings"])
    yield "trips", str(len(summary["trips"]))
    yield from _truth_rows(summary.get("truth"))
    response, board = summary["response_ms"], summary.get("board_response_ms")
    if response["count"]:
        yield "capture → OFF written", _percentiles(response)
    if board and board["count"]:
        yield "capture → OFF at the board", _percentiles(board)
    yield "capture → decision", _percentiles(summary["judged_ms"])
    yield "states visited", " → ".join(summary["states_visited"])
    for name in ("operator", "evidence", "decisions"):
        if summary.get(name):
            yield name, escape(str(summary[name]))


def _truth_rows(truth: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """The scene's truth, where there is one."""
    if not truth:
        return
    yield "true approaches", str(truth["approaches"])
    for role in ("warning", "stop"):
        if told_role := truth.get(role):
            missed = told_role["missed"]
            yield (
                f"  into the {role} zone",
                f"{told_role['entered']}, seen {told_role['seen']}, "
                + (f"[bold red]MISSED {missed}[/]" if missed else "missed 0"),
            )


def _percentiles(values: dict[str, Any]) -> str:
    if not values["count"]:
        return "nothing to measure"
    parts = [f"p50 {values['p50']:.1f}", f"p99 {values['p99']:.1f}", f"max {values['max']:.1f} ms"]
    return ", ".join(parts)


def _trips(summary: dict[str, Any]) -> list[RenderableType]:
    if not summary["trips"]:
        return []
    table = Table("trip at", "frame", "cause", "response", box=None, padding=(0, 3), header_style="dim")
    for trip in summary["trips"]:
        response = "" if trip["response_ms"] is None else f"{trip['response_ms']:.1f} ms"
        table.add_row(f"{trip['time']:.2f} s", str(trip["frame"]), escape(trip["cause"]), response)
    return [Text(), table]
