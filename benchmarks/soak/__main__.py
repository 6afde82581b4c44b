"""`python -m benchmarks.soak --hours 2`: run it, and write the account when it ends or is ended by Ctrl-C.

Everything is logged as it happens under --out, so that a soak that was killed
leaves what it had; `--only-account` makes the account of such a folder again.
With `--calm` nothing goes wrong but reaching hands: the memory of one life of every
process is watched, which a soak with its lives of minutes cannot show.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.kept import keep
from benchmarks.soak import account, memory
from benchmarks.soak.faults import Trouble
from benchmarks.soak.observer import Observer
from benchmarks.soak.person import Person
from benchmarks.soak.pictures import draw_delays, draw_memory, page
from benchmarks.soak.site import (
    ROOT,
    Boards,
    CameraProgram,
    Places,
    Service,
    command_line,
    memory_kib,
    mounted,
)
from handguard.bench.machine import described

LAG_NS = 500_000_000  # events of so long ago have surely reached their logs
LOOK_S, MEMORY_EVERY_S = 0.05, 10.0
LINE_EVERY_S = 60.0  # where there is no terminal for a bar
ORPHAN_AFTER_S = 12.0
FIRST_RUN_S = 120.0  # a machine that has not been switched on by then is not being tested
RESULTS = ROOT / "benchmarks" / "results"
LOGS = ("camera", "board-a", "board-b", "world")


class Logs:
    """The logs of camera, boards and world as one stream in the order of time."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._read = dict.fromkeys(LOGS, 0)
        self._waiting: list[tuple[int, int, dict[str, Any]]] = []
        self._count = 0

    def until(self, ns: int) -> Iterator[dict[str, Any]]:
        """Every event up to `ns` that has not been given yet."""
        for name in LOGS:
            self._fetch(name)
        self._waiting.sort(key=lambda one: one[:2])
        ready = bisect_right(self._waiting, ns, key=lambda one: one[0])
        told, self._waiting = self._waiting[:ready], self._waiting[ready:]
        yield from (event for *_, event in told)

    def _fetch(self, name: str) -> None:
        log = self._places.log(name)
        if not log.exists():
            return
        with log.open("rb") as file:
            file.seek(self._read[name])
            got = file.read()
        whole = got[: got.rfind(b"\n") + 1]
        self._read[name] += len(whole)
        for line in whole.splitlines():
            if b'"bytes"' in line or b'"reply"' in line:
                continue  # what was said on the wire is not judged
            event = json.loads(line) | ({"board": name[-1]} if name.startswith("board") else {})
            self._count += 1
            self._waiting.append((event["ns"], self._count, event))


class Soak:
    """One soak. `run` returns when the time is up or somebody stops it."""

    def __init__(self, out: Path, seed: int, stack: ExitStack, is_calm: bool = False) -> None:
        self._places = places = Places(out)
        self._world = os.open(places.log("world"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.note("begin", seed=seed, commit=commit())
        has_disk = mounted(places.disk)
        places.runs.mkdir(parents=True, exist_ok=True)
        self.observer, self._logs = Observer(), Logs(places)
        self.camera = CameraProgram(places.log("camera"), seed)
        stack.callback(self.camera.close)
        self.boards = Boards(places)
        stack.callback(self.boards.close)
        self.service = Service(places, self.camera.port, self.note)
        stack.callback(self.service.close)
        self.person = Person(self.observer, self.boards, self.service, self.note)
        does = (self.camera, self.boards, self.service, self.note, self.person.press)
        self.trouble = Trouble(seed, places, *does, has_disk, is_calm)
        self._begun_s, self._memory_due_s = time.monotonic(), 0.0
        self._known: dict[int, tuple[str, float]] = {}  # pid -> role, last seen as a child

    def note(self, event: str, **facts: object) -> None:
        """One line of the world's log."""
        line = {"ns": time.monotonic_ns(), "event": event, **facts}
        os.write(self._world, (json.dumps(line) + "\n").encode())

    def look(self) -> None:
        """One turn: let everybody act, and hear what happened. Raises `RuntimeError` when the machine never runs."""
        self.service.look_after()
        self.trouble.look()
        self.person.look()
        for event in self._logs.until(time.monotonic_ns() - LAG_NS):
            self.observer.hear(event)
        if not self.observer.closings and time.monotonic() - self._begun_s > FIRST_RUN_S:
            raise RuntimeError(f"the machine has not run once; {self._places.log('world')} has what was said")
        if time.monotonic() >= self._memory_due_s:
            self._memory_due_s = time.monotonic() + MEMORY_EVERY_S
            self._weigh()

    def _weigh(self) -> None:
        """Memory of everybody, and whether a part outlived its monitor."""
        living = self.service.processes()
        others = {"camera": self.camera.pid, "board": self.boards.pid("a"), "soak": os.getpid()}
        sizes = {role: kib for role, pid in (living | others).items() if (kib := memory_kib(pid))}
        self.note("memory", kib=sizes)
        now_s = time.monotonic()
        self._known |= {pid: (role, now_s) for role, pid in living.items()}
        for pid, (role, seen_s) in list(self._known.items()):
            if not command_line(pid):
                del self._known[pid]
            elif now_s - seen_s > ORPHAN_AFTER_S:
                self.note("orphan", role=role, pid=pid)
                del self._known[pid]


def commit() -> str:
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return told.stdout.strip()


@contextmanager
def stopping() -> Iterator[list[int]]:
    """A list that is no longer empty once Ctrl-C or SIGTERM came."""
    came: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: came.append(got))
    yield came


def run(out: Path, seconds: float, seed: int, is_calm: bool) -> None:
    """Soak for so long, or until a signal comes."""
    columns = [TextColumn("soak"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}")]
    with ExitStack() as stack, stopping() as came, Progress(*columns) as bar:
        soak = Soak(out, seed, stack, is_calm)
        task = bar.add_task("", total=seconds)
        begin_s = line_due_s = time.monotonic()
        while not came and time.monotonic() - begin_s < seconds:
            soak.look()
            bar.update(task, completed=time.monotonic() - begin_s, description=_now(soak))
            if not bar.console.is_terminal and time.monotonic() >= line_due_s:
                line_due_s += LINE_EVERY_S
                bar.console.print(f"{time.monotonic() - begin_s:.0f} s", _now(soak))
            time.sleep(LOOK_S)
        soak.note("end_of_soak", services=soak.person.services)


def _now(soak: Soak) -> str:
    seen = soak.observer
    faults = sum(soak.trouble.counts.values())
    return (
        f"frames {seen.frames} approaches {seen.approaches} faults {faults} "
        f"on {seen.closings} starts {soak.service.starts} wrong {len(seen.wrong)} late {len(seen.late)}"
    )


def account_of(out: Path) -> tuple[dict[str, Any], dict[str, list[memory.Point]]]:
    """What the logs and records of a folder amount to, and every weighing."""
    places, observer = Places(out), Observer()
    world = [json.loads(line) for line in places.log("world").read_text().splitlines()]
    begin_ns, end_ns = world[0]["ns"], world[-1]["ns"]
    for event in Logs(places).until(end_ns):
        observer.hear(event)
    observer.end(end_ns)
    told = account.summary(observer, account.read_runs(places.runs), begin_ns, end_ns) | _of_world(world)
    return told | {"records": account.verdicts(places.runs)}, memory.points_of(world)


def write_account(out: Path, results: Path, docs: Path, name: str) -> dict[str, Any]:
    """From the logs and records of a folder to JSON, plots and page."""
    told, points = account_of(out)
    keep(results / f"{name}.json", told)
    draw_delays(told["per_five_minutes"], docs / "pictures" / f"{name}-delays.png")
    draw_memory(points, docs / "pictures" / f"{name}-memory.png")
    (docs / "soak.md").write_text(page(_kept(results, "soak"), _kept(results, "soak-calm")))
    return told


def _kept(results: Path, name: str) -> dict[str, Any]:
    """What `results` has under this name, or else the repository's own."""
    file = results / f"{name}.json"
    told: dict[str, Any] = json.loads((file if file.exists() else RESULTS / file.name).read_text())
    return told


def _of_world(world: list[dict[str, Any]]) -> dict[str, Any]:
    """What the soak itself did."""
    faults: dict[str, int] = {}
    for event in world:
        if event["event"] == "fault":
            faults[event["name"]] = faults.get(event["name"], 0) + 1
    exits = [event["status"] for event in world if event["event"] == "exited"]
    return {
        "seed": world[0]["seed"],
        "commit": world[0]["commit"],
        "faults_injected": faults,
        "starts": sum(event["event"] == "started" for event in world),
        "services": sum(event["event"] == "serviced" for event in world),
        "exits": {str(status): exits.count(status) for status in sorted(set(exits))},
        "orphans": [event["role"] for event in world if event["event"] == "orphan"],
        "memory_mib": {role: memory.told(points) for role, points in memory.points_of(world).items()},
        "machine": described(),
    }


def main() -> int:
    """The command line; exit 1 after a wrong state."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "soak", help="logs and records; must be new")
    parser.add_argument("--calm", action="store_true", help="no faults: soak-calm.json, for the memory of one life")
    parser.add_argument("--results", type=Path, default=RESULTS, help="soak.json goes here")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="soak.md and pictures/ go here")
    parser.add_argument("--only-account", action="store_true", help="of an --out that is there")
    wanted = parser.parse_args()
    out = wanted.out.absolute()
    if not wanted.only_account:
        out.mkdir(parents=True)
        run(out, wanted.hours * 3600, wanted.seed, wanted.calm)
    told = write_account(out, wanted.results, wanted.docs, "soak-calm" if wanted.calm else "soak")
    sys.stdout.write(f"records and films stay in {out / 'disk'}, a disk of its own: unmount it when you have them\n")
    short = {name: value for name, value in told.items() if name not in ("per_five_minutes", "machine")}
    sys.stdout.write(json.dumps(short, indent=2) + "\n")
    return 1 if told["wrong_states"] else 0


if __name__ == "__main__":
    sys.exit(main())
