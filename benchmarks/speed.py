"""Every number of speed in the README: `python benchmarks/speed.py [--source FOOTAGE.mp4]`.

    guarding     the stop path with recorder, a viewer and a hog beside it
    ordinary     the same without asking for real-time priority
    alone        with nothing beside it
    cameras      two and four live runs at once, one thread for each network
    steadiness   a stopped viewer and a frozen disk, in turns with calm, in one run
    start        from nothing to the first judged frame
    bare         the detector's call against the bare network

Writes benchmarks/results/bench.json, docs/pictures/stop-path.png and the README's section, which
takes the peers from benchmarks/results/peers.json (`python -m benchmarks.peers`) and says which of
them are missing, and why. A real machine needs no more than `handguard bench`; this is the
same, with the company that the README speaks of.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from kept import keep
from marked import rewrite

from handguard.bench import machine
from handguard.bench.bench import Request, bench
from handguard.bench.telling import draw_histogram
from handguard.bench.worker import measured
from handguard.errors import DeviceError

HERE = Path(__file__).parent
SITE, README = HERE / "bench.yaml", HERE.parent / "README.md"
RESULTS, PEERS = HERE / "results" / "bench.json", HERE / "results" / "peers.json"
PICTURE = HERE.parent / "docs" / "pictures" / "stop-path.png"
MANY = (2, 4)
SHORT = 1500  # frames of what only compares: a minute or less each


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def measure(source: str | None, frames: int) -> dict[str, Any]:
    """All of it, one after the other: the guarding at full length, what it is compared with in short."""
    asked, place = Request(SITE, source, frames, hogs=1), machine.described()  # before it is our own load
    say("guarding")
    guarding = bench(asked, say)
    frames = min(frames, SHORT)
    say("ordinary")
    ordinary = bench(replace(asked, frames=frames // 3, realtime=False, starts=0, bare=False), say)
    quiet = replace(asked, recorder=False, viewer=False, hogs=0, starts=0, bare=False)
    say("alone")
    alone = bench(replace(quiet, frames=frames // 2), say)
    cameras = {}
    for count in MANY:
        say(f"{count} cameras")
        order = replace(quiet, frames=frames // 3, cameras=count, threads=1)
        cameras[str(count)] = bench(order, say)["streams"]
    say("steadiness")
    return {
        "command": "python benchmarks/speed.py --source FOOTAGE/cups.mp4",
        "machine": place,
        "start": guarding["start"],
        "bare": guarding["bare"],
        "guarding": guarding["streams"][0],
        "ordinary": ordinary["streams"][0],
        "alone": alone["streams"][0],
        "cameras": cameras,
        "steadiness": steadiness(source, frames),
    }


def steadiness(source: str | None, frames: int) -> dict[str, Any]:
    """Calm and trouble; or why it could not be measured here (it takes root and a loop device)."""
    order = {"frames": frames, "recorder": True, "viewer": True, "in_turns": True}
    try:
        return measured({"do": "course", "config": str(SITE), "source": source, "course": order})
    except DeviceError as error:
        say(f"LEFT OUT  {error}")
        return {"left_out": str(error)}


def section(result: dict[str, Any], peers: dict[str, Any] | None) -> str:
    """The README's section, in Markdown."""
    guarding, place, unit_ms = result["guarding"], result["machine"], result["bare"]["bare_ms"]["p50"]
    lines = [
        f"{place['cores']} cores of a shared {place['processor']} (about {place['busy'][0]:.0f} other programs wanted"
        f" a core), {guarding['picture']}, `{guarding['detector']}`; recorder, a viewer and a CPU hog beside it."
        " `make bench FOOTAGE=folder` makes this section from"
        " [benchmarks/results/bench.json](benchmarks/results/bench.json); what it means is told in"
        " [docs/performance.md](docs/performance.md) and [docs/latency-budget.md](docs/latency-budget.md)."
        " Milliseconds of a shared machine say little of yours; so all times are in units of the bare compiled"
        " network's own median in the same run.",
        "",
        "| × the bare network | p50 | p99 | p99.9 | max |",
        "|---|---|---|---|---|",
        _row("frame in memory → permit sent", guarding["ms"]["frame to permit"], unit_ms),
        _row("of that, all but the network", guarding["ms"]["outside the network"], unit_ms),
        _row("frame in memory → OFF bytes at the board", guarding["frame_to_board_ms"], unit_ms),
        _row("frame in memory → permit, ordinary priority", result["ordinary"]["ms"]["frame to permit"], unit_ms),
        _row("frame in memory → permit, nothing beside it", result["alone"]["ms"]["frame to permit"], unit_ms),
        *(row for count, streams in result["cameras"].items() for row in _of_cameras(count, streams, unit_ms)),
        "",
        *_sentences(result),
        "",
        *_peers(peers),
    ]
    return "\n".join(lines)


def _of_cameras(count: str, streams: list[dict[str, Any]], unit_ms: float) -> list[str]:
    permits = _worst([stream["ms"]["frame to permit"] for stream in streams])
    boards = _worst([stream["frame_to_board_ms"] for stream in streams])
    return [
        _row(f"{count} cameras, the worst of them: → permit", permits, unit_ms),
        _row(f"{count} cameras, the worst of them: → OFF bytes at the board", boards, unit_ms),
    ]


def _worst(of_streams: list[dict[str, Any]]) -> dict[str, Any]:
    """Each number of the stream that is worst in it, None where none has one; the count of all together."""
    keys = ("p50", "p99", "p999", "max")
    worst = {key: max((n[key] for n in of_streams if n[key] is not None), default=None) for key in keys}
    return {"count": sum(numbers["count"] for numbers in of_streams), **worst}


def _row(name: str, numbers: dict[str, Any], unit_ms: float) -> str:
    cells = ["–" if numbers[key] is None else f"{numbers[key] / unit_ms:.2f}" for key in ("p50", "p99", "p999", "max")]
    return f"| {name} ({numbers['count']}) | {' | '.join(cells)} |"


def _sentences(result: dict[str, Any]) -> list[str]:
    bare, steady = result["bare"], result["steadiness"]
    memory = result["guarding"]["resident_mb"]
    lines = [
        f"- Whole detector call against the bare compiled network, in turns: {bare['ratio_of_medians']:.2f} ×.",
        f"- Memory of the monitor: {memory[0]:.0f} MB at first, {memory[-1]:.0f} MB at last.",
    ]
    if "left_out" not in steady:
        calm, trouble = (steady[name]["frame to permit"] for name in ("calm_ms", "troubled_ms"))
        lines.append(
            "- With a stopped viewer and a frozen disk, in turns with calm: p50"
            f" {trouble['p50'] / calm['p50']:.2f} ×, p99 {trouble['p99'] / calm['p99']:.2f} × that of calm."
        )
    return lines


def _peers(peers: dict[str, Any] | None) -> list[str]:
    if peers is None:
        return ["Peers were not measured."]
    lines = [f"Beside its peers, {peers['pictures']}, {peers['priority']}, in turns:", ""]
    lines += ["| program | × ours (median) |", "|---|---|"]
    lines += [f"| {one['is']} | {one['times_ours']:.1f} |" for one in peers["programs"]]
    missing = _missing(peers)
    return [*lines, "", *(f"- {line}" for line in missing)] if missing else lines


def _missing(peers: dict[str, Any]) -> list[str]:
    """Which peers the numbers lack, and which a newer run lacked, so that these numbers are older."""
    lacked = peers.get("newer_run_lacked", {})
    return [
        *(f"Not measured: {name} ({why})." for name, why in peers["left_out"].items()),
        *(f"From an earlier run, for the newest had to do without {name} ({why})." for name, why in lacked.items()),
    ]


def kept(result: dict[str, Any]) -> dict[str, Any]:
    """Without the single frames, which are for the histogram."""
    if isinstance(result, dict):
        return {name: kept(value) for name, value in result.items() if not name.startswith("every_")}
    return [kept(one) for one in result] if isinstance(result, list) else result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="real footage in place of the simulated scene")
    parser.add_argument(
        "--frames", type=int, default=SHORT, help="of the guarding; 24000 give a thousand stops for the p99.9"
    )
    asked = parser.parse_args()
    peers = json.loads(PEERS.read_text()) if PEERS.exists() else None
    result = measure(asked.source, asked.frames)
    PICTURE.parent.mkdir(exist_ok=True)
    draw_histogram([result["guarding"]], PICTURE)
    keep(RESULTS, kept(result))
    rewrite(README, "speed", section(result, peers))
    for line in _missing(peers) if peers else _peers(peers):
        say(f"PEERS     {line}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
