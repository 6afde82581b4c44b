"""The terminal: a live panel where there is a terminal, plain lines of events where there is none.

A program of its own, `python -m handguard.desk.panel FEED`, so that a slow or stuck terminal
can never hold the stop path. It rings the bell too, once when a warning begins.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from handguard.desk.feed import FeedReader, Snapshot
from handguard.errors import HandguardError

REFRESH_S = 0.1
COLORS = {
    "RUN": "green",
    "TRIPPED": "red",
    "AWAIT_RESET": "yellow",
    "SELF_TEST": "blue",
    "LOCKOUT": "magenta",
}
MEANING = {
    "RUN": "machine may run",
    "TRIPPED": "machine stopped",
    "AWAIT_RESET": "stopped · free · press reset",
    "SELF_TEST": "starting · machine stopped",
    "LOCKOUT": "stopped for service",
}


def render(snapshot: Snapshot) -> Panel:
    """One picture of the panel."""
    state = str(snapshot["state"])
    color = COLORS.get(state, "white")
    banner = Text(f" {state.replace('_', ' ')} ", style=f"bold white on {color}")
    banner.append(f"  {MEANING.get(state, '')}", style=color)
    banner.append(f"   {snapshot['cause']}", style="dim")
    rows: list[RenderableType] = [_numbers(snapshot), Text(), _hands(snapshot), Text(), _events(snapshot)]
    body = Group(banner, Text(), *rows, *_cautions(snapshot))
    return Panel(body, title="handguard", subtitle=f"{snapshot['seconds']} s", border_style=color)


def _numbers(snapshot: Snapshot) -> Table:
    table = Table.grid(padding=(0, 3))
    faults = ", ".join(snapshot["faults"]) or "none"
    table.add_row(
        f"rate [b]{snapshot['fps']}[/b]/s",
        f"age [b]{snapshot['age_ms']}[/b] ms",
        f"detect [b]{snapshot['detect_ms']}[/b] ms",
        f"dropped [b]{snapshot['dropped']}[/b]",
    )
    table.add_row(
        f"relay [b]{snapshot['relay'].upper()}[/b]",
        f"warnings [b]{snapshot['warnings']}[/b]",
        f"trips [b]{snapshot['trips']}[/b]",
        f"faults [b]{faults}[/b]",
    )
    return table


def _hands(snapshot: Snapshot) -> Text:
    hands = [f"{hand['label']} {hand['score']:.2f}" for hand in snapshot["hands"]]
    zones = [name for name, _, intruded, *_ in snapshot["zones"] if intruded]
    text = Text("hands  ", style="dim")
    text.append(", ".join(hands) or "none", style="bold")
    if zones:
        text.append(f"   in {', '.join(zones)}", style="bold red")
    return text


def _events(snapshot: Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    for seconds, what in snapshot["events"]:
        table.add_row(Text(f"{seconds:>6} s", style="dim"), Text(what, style="red" if "TRIP" in what else ""))
    return table


def _cautions(snapshot: Snapshot) -> list[Text]:
    """As long as the run lasts, not only when it began."""
    return [Text.assemble(("CAUTION ", "bold yellow"), (words, "yellow")) for words in snapshot["cautions"]]


class Bell:
    """Rings once at the start of each warning."""

    def __init__(self, enabled: bool) -> None:
        self._enabled, self._warned = enabled, False

    def hear(self, snapshot: Snapshot) -> None:
        starts = bool(snapshot["warning"]) and not self._warned
        self._warned = bool(snapshot["warning"])
        if starts and self._enabled:
            sys.stderr.write("\a")
            sys.stderr.flush()


def follow(reader: FeedReader, bell: Bell, console: Console) -> None:
    """Show the feed until the monitor ends."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=1 / REFRESH_S, transient=True) as live:
            _watch(reader, bell, lambda snapshot: live.update(render(snapshot)))
        return
    printed = Lines(console)
    _watch(reader, bell, printed.show)


class Lines:
    """Plain output: one line for each new event."""

    def __init__(self, console: Console) -> None:
        self._console, self._shown = console, [""]

    def show(self, snapshot: Snapshot) -> None:
        events = [f"{seconds:>7} s  {what}" for seconds, what in snapshot["events"]]
        fresh = events[events.index(self._shown[-1]) + 1 :] if self._shown[-1] in events else events
        for line in fresh:
            self._console.print(line, highlight=False, markup=False)
        self._shown = events or self._shown


def _watch(reader: FeedReader, bell: Bell, show: Callable[[Snapshot], None]) -> None:
    parent, turn = os.getppid(), 0
    while not reader.closed and os.getppid() == parent:
        view = reader.newest(turn, picture=False)
        if view is not None:
            turn = view.turn
            bell.hear(view.snapshot)
            show(view.snapshot)
        time.sleep(REFRESH_S)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="handguard.desk.panel", description=__doc__)
    parser.add_argument("feed", help="name of the monitor's shared memory")
    parser.add_argument("--no-bell", action="store_true")
    options = parser.parse_args(arguments)
    try:
        reader = FeedReader(options.feed)
    except HandguardError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    try:
        follow(reader, Bell(not options.no_bell), Console())
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    finally:
        reader.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
