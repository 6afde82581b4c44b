"""All that is to be known of a card, in one command of a few minutes: `python benchmarks/cuda_sitting.py --out FOLDER`.

For a card that is lent for minutes. The most important comes first; every step is a program of its own with a limit
of its own, so that one that hangs or dies costs none of the others, and what it wrote until then stays.

    tests      the tests that need a card
    fast       cuda_path of the fast network in every precision, beside torchvision's fastest
    live       handguard bench: frame in memory → OFF bytes at a simulated board, by the live program
    ssd300     cuda_path of the paper's network with random weights, beside torchvision's
    cameras    handguard bench with four cameras at once
    streams    1, 4 and 16 cameras in one program
    large      cuda_path of ssd512-vgg16 and palmnet-s
    live300    handguard bench of an untrained ssd300-vgg16: no stops, for it finds no hands

    python benchmarks/cuda_sitting.py --device cpu --frames 20 --out FOLDER     the rehearsal

FOLDER then holds tests.log, sitting.log with what the programs said, and cuda-sitting.json with all numbers, written
after every step; the last lines told are a table.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kept import say

from handguard.atomic import write_json
from handguard.detection.card import DEFAULT

ROOT = Path(__file__).parents[1]
HERE = ROOT / "benchmarks"
SITE = HERE / "bench.yaml"
CARD_TESTS = ("tests/detection/test_tensor_path.py", "-k", "card or captured_graph")
START_S = 12.0  # of a program that imports torch and wakes the card; with less than that left, none is started
GRACE_S = 2.0
RESULT = "cuda-sitting.json"
PERCENTILES = ("p50", "p99", "p999", "max")


@dataclass(frozen=True, slots=True)
class Step:
    """One program, and for how long at most."""

    name: str
    limit_s: float
    command: tuple[str, ...]


def steps(wanted: argparse.Namespace) -> list[Step]:
    """The most important first."""
    large = ("--model", "palmnet-s", "--architecture", "ssd512-vgg16", "--others-every", "20", "--seconds", "22")
    ssd300 = ("--architecture", "ssd300-vgg16", "--peer", "ssd300_vgg16", "--others-every", "10", "--seconds", "40")
    fast = ("--model", DEFAULT, "--peer", "ssdlite320_mobilenet_v3_large", "--seconds", "60")
    streams = ("--model", DEFAULT, "--streams", "--seconds", "1", "--precision", _fastest(wanted))
    few = ("--frames", str(min(wanted.frames, 600)), "--starts", "0", "--no-bare")
    long = ("--frames", str(min(wanted.frames, 1000)), "--starts", "1", "--bare")
    return [
        Step("tests", 60, _tests()),
        Step("fast", 115, _path(wanted, "fast", *fast)),
        Step("live", 90, _bench(wanted, "live", DEFAULT, *long)),
        Step("ssd300", 85, _path(wanted, "ssd300", *ssd300)),
        Step("cameras", 60, _bench(wanted, "cameras", DEFAULT, *few, "--cameras", "4")),
        Step("large", 75, _path(wanted, "large", *large)),
        Step("streams", 45, _path(wanted, "streams", *streams)),
        Step("live300", 60, _untrained(wanted, "live300", "ssd300-vgg16", *few)),
    ]


def _fastest(wanted: argparse.Namespace) -> str:
    return "fp16" if wanted.device == "cuda" else "bf16"


def _tests() -> tuple[str, ...]:
    loosely = ("-o", "addopts=--import-mode=importlib", "-o", "filterwarnings=default", "-o", "minversion=7.0")
    return (sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *loosely, *CARD_TESTS)


def _path(wanted: argparse.Namespace, name: str, *options: str) -> tuple[str, ...]:
    """`cuda_path`, told how much time there is when it is started."""
    asked = ["--device", wanted.device, "--frames", str(wanted.frames), "--out", str(_found(wanted, name))]
    asked += ["--footage", str(wanted.footage)] if wanted.footage else []
    return (sys.executable, str(HERE / "cuda_path.py"), *asked, *options, "--within", "{left}")


def _bench(wanted: argparse.Namespace, name: str, model: str, *options: str) -> tuple[str, ...]:
    site = _site(wanted, name, model)
    videos = sorted(wanted.footage.glob("cups.mp4")) if wanted.footage else []
    source = ["--source", str(videos[0])] if videos else []
    out = str(_found(wanted, name))
    return (sys.executable, "-m", "handguard", "bench", "-c", str(site), *source, "--json", out, *options)


def _untrained(wanted: argparse.Namespace, name: str, architecture: str, *options: str) -> tuple[str, ...]:
    """The same with a model of random weights that finds nothing, made before."""
    make = (sys.executable, str(HERE / "cuda_networks.py"), architecture, str(wanted.scratch))
    bench = _bench(wanted, name, str(wanted.scratch / f"{architecture}.safetensors"), *options)
    return ("sh", "-c", f"{shlex.join(make)} && {shlex.join(bench)}")


def _found(wanted: argparse.Namespace, name: str) -> Path:
    """Where a step writes its numbers."""
    path: Path = wanted.scratch / f"{name}.json"
    return path


def _site(wanted: argparse.Namespace, name: str, model: str) -> Path:
    """The site of the speed measurements, on this device."""
    told = yaml.safe_load(SITE.read_text())
    told["detector"] |= {"backend": f"torch-{wanted.device}", "model": model}
    path: Path = wanted.scratch / f"{name}.yaml"
    path.write_text(yaml.safe_dump(told))
    return path


def run(step: Step, left_s: float, out: Path) -> str:
    """How it ended. Whatever it left running is ended with it."""
    limit_s = min(step.limit_s, left_s)
    command = [part.replace("{left}", f"{max(limit_s - START_S, 1):.0f}") for part in step.command]
    with (out / f"{'tests' if step.name == 'tests' else 'sitting'}.log").open("a") as log:
        log.write(f"\n=== {step.name}: {' '.join(command)}\n")
        log.flush()
        program = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            return f"exit {program.wait(limit_s)}"
        except subprocess.TimeoutExpired:
            return f"stopped after {limit_s:.0f} s"
        finally:
            _end(program)


def _end(program: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(program.pid, number)
            program.wait(GRACE_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    program.wait()


def together(wanted: argparse.Namespace, ended: dict[str, Any]) -> dict[str, Any]:
    """How the steps ended, and the numbers of those that wrote any."""
    written = {name: json.loads(_found(wanted, name).read_text()) for name in ended if _found(wanted, name).exists()}
    return {"steps": ended, **written}


def table(found: dict[str, Any]) -> list[str]:
    """The most telling numbers, in milliseconds."""
    lines = [f"{'ms':66}{'count':>7}" + "".join(f"{name:>9}" for name in PERCENTILES)]
    for step in found["steps"]:
        numbers = found.get(step, {})
        for name, network in numbers.get("networks", {}).items():
            lines += _of_network(f"{step} {name}", network)
        for number, stream in enumerate(numbers.get("streams", ())):
            spans = {what: stream["ms"][what] for what in ("network", "frame to permit")}
            spans["frame to OFF bytes"] = stream["frame_to_board_ms"]
            lines += [_row(f"{step} camera {number + 1} {what}", one) for what, one in spans.items()]
    return lines


def _of_network(name: str, found: dict[str, Any]) -> list[str]:
    """Latencies, the stages in the first precision, and what is missing."""
    lines = [f"{name}: {found['failed'][:200]}"] if "failed" in found else []
    stages = found.get("stages_ms", {})
    told = [found.get("latency_ms", {}), *[found[key] for key in found if key.startswith("streams_ms")]]
    told += [stages[precision] for precision in list(stages)[:1]]
    lines += [_row(f"{name} {what}", one) for numbers in told for what, one in numbers.items()]
    return [*lines, *(f"{name} {peer}: {why}" for peer, why in found.get("peers_left_out", {}).items())]


def _row(name: str, numbers: dict[str, float | None]) -> str:
    cells = "".join(f"{'–' if numbers[key] is None else format(numbers[key], '.3f'):>9}" for key in PERCENTILES)
    return f"{name[:66]:66}{numbers['count']:>7}{cells}"


def orders() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for what is found")
    parser.add_argument("--footage", type=Path, help="folder of recordings; default: the simulated scene")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--frames", type=int, default=20_000, help="of each network in its first precision")
    parser.add_argument("--seconds", type=float, default=270.0, help="for everything")
    parser.add_argument("--only", action="append", help="a step; may be repeated; default: all of them")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/handguard-sitting"), help="folder for what may go")
    return parser.parse_args()


def main() -> None:
    wanted = orders()
    until = time.monotonic() + wanted.seconds
    wanted.out, wanted.scratch = wanted.out.resolve(), wanted.scratch.resolve()
    for folder in (wanted.out, wanted.scratch):
        folder.mkdir(parents=True, exist_ok=True)
    for stale in wanted.scratch.glob("*.json"):
        stale.unlink()
    ended = {}
    for step in steps(wanted):
        left_s, began = until - time.monotonic(), time.monotonic()
        if wanted.only and step.name not in wanted.only:
            continue
        how = run(step, left_s, wanted.out) if left_s > START_S else "left out: no time"
        ended[step.name] = {"how": how, "seconds": round(time.monotonic() - began, 1)}
        say(f"{step.name:10}{how:28}{ended[step.name]['seconds']:>7} s")
        write_json(wanted.out / RESULT, together(wanted, ended))
    say("\n".join(table(together(wanted, ended))))


if __name__ == "__main__":
    main()
