"""Measurements as a person reads them: tables, and a histogram as a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from handguard.atomic import appearing_whole
from handguard.bench.stopwatch import STAGES

COLUMNS = ("p50", "p99", "p999", "max")
MM_PER_MS = 2.0  # a reaching hand, ISO 13855
SUMS = {
    "frame to permit": "frame → permit sent",
    "outside the network": "  all but the network",
}
EXPLAINED = {
    "mailbox": "mailbox: camera thread to loop",
    "trust": "senses; picture alive and lit?",
    "preprocess": "preprocess: crop, resize",
    "network": "network alone",
    "decode": "decode: scores, boxes, NMS",
    "zones": "zones",
    "permit": "interlock; permit sent",
}
ON_A_DEVICE = {  # whose one launch does the whole path
    "preprocess": "preprocess: crop alone",
    "network": "device: resize, network, boxes, NMS",
    "decode": "decode: back to the frame's pixels",
    "outside the network": "  all but the device",
}


def told(result: dict[str, Any]) -> RenderableType:
    """Everything in one page."""
    parts: list[RenderableType] = [Text(), _machine(result["machine"])]
    for number, stream in enumerate(result["streams"]):
        parts += [Text(), stop_path(stream, f"camera {number + 1}" if len(result["streams"]) > 1 else "stop path")]
        parts += [Text(line, style="dim") for line in _circumstances(stream)]
        parts += [Text(f"notice: {notice}", style="yellow") for notice in _notices(stream)]
    if "bare" in result:
        parts += [Text(), _bare(result["bare"])]
    if "start" in result:
        parts += [Text(), _start(result["start"])]
    return Group(*parts)


def stop_path(stream: dict[str, Any], title: str) -> Table:
    """Stage by stage, in milliseconds."""
    heading = f"{title}: {stream['judged']} frames of {stream['picture']}, {stream['detector']}"
    table = Table(title=heading, title_justify="left", title_style="bold", header_style="dim", box=None, padding=(0, 1))
    table.add_column("ms")
    for name in ("p50", "p99", "p99.9", "max"):
        table.add_column(name, justify="right")
    named = EXPLAINED | SUMS | (ON_A_DEVICE if stream["whole_path"] else {})
    for stage in STAGES:
        table.add_row(named[stage], *_cells(stream["ms"][stage]))
    table.add_section()
    for name in SUMS:
        table.add_row(named[name], *_cells(stream["ms"][name]), style="bold" if name == "frame to permit" else "")
    trips = stream["frame_to_board_ms"]
    table.add_row(f"permit → OFF bytes, {trips['count']} trips", *_cells(stream["permit_to_board_ms"]))
    table.add_row(f"frame → OFF bytes, {trips['count']} trips", *_cells(trips), style="bold")
    if trips["p50"] is not None:
        hand = [f"{value * MM_PER_MS:.0f} mm" for value in (trips[name] for name in COLUMNS)]
        table.add_row("  a hand at 2 mm/ms goes", *hand, style="dim")
    return table


def _cells(numbers: dict[str, Any]) -> list[str]:
    return ["–" if numbers[name] is None else f"{numbers[name]:.2f}" for name in COLUMNS]


def _circumstances(stream: dict[str, Any]) -> Iterator[str]:
    """Under what conditions these numbers came about."""
    yield f"granted: {stream['granted']}"
    faults, memory = stream["page_faults_per_frame"], stream["resident_mb"]
    yield (
        f"the loop's memory: {faults['p50']} page faults a frame (p99 {faults['p99']}); "
        f"the process {memory[0]:.0f} MB at first, {memory[-1]:.0f} MB at last; "
        f"{stream['cpu_ms_per_frame']:.1f} ms of CPU a frame, all threads"
    )


def _notices(stream: dict[str, Any]) -> Iterator[str]:
    yield from stream["notices"]
    if stream["dropped"]:
        yield f"{stream['dropped']} frames came while another was being judged, and were replaced by newer ones"
    if not stream["trips"]:
        yield "no picture of this footage shows a hand in a stop zone: the way to the board was not timed"
    if stream["locked_out_by"]:
        yield f"the run locked itself out on the way, and timed no stop after that: {stream['locked_out_by']}"
    if stream["faults"]:
        yield f"faults: {', '.join(stream['faults'])}"


def _machine(machine: dict[str, Any]) -> Text:
    words = (
        f"{machine['cores']} cores of {machine['processor']}, kernel {machine['kernel']}, "
        f"Python {machine['python']}, OpenVINO {machine['openvino']}, busy {machine['busy'][0]}"
    )
    return Text(words, style="dim")


def _bare(bare: dict[str, Any]) -> Text:
    call, alone = bare["call_ms"], bare["bare_ms"]
    return Text.assemble(
        ("detector call against the bare network, in turns: ", "bold"),
        f"{bare['ratio_of_medians']:.2f} × (medians {call['p50']:.2f} and {alone['p50']:.2f} ms), "
        f"{bare['ratio_of_smallest']:.2f} × (smallest {call['min']:.2f} and {alone['min']:.2f} ms)",
        "; the call is one launch, the bare network one for each operation" if bare["whole_path"] else "",
    )


def _start(start: dict[str, Any]) -> Table:
    title = (
        f"from nothing to the first judged frame: {start['total_s']:.2f} s, "
        f"without what is simulated {start['as_on_a_machine_s']:.2f} s"
    )
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 1))
    for stage, took_s in start["stages_s"].items():
        table.add_row(stage, f"{took_s:.2f} s")
    return table


def draw_histogram(streams: list[dict[str, Any]], path: Path) -> None:
    """How long frames took to a permit, and trips to OFF bytes at the board, as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    frames = [value for stream in streams for value in stream["every_frame_ms"]]
    networks = [value for stream in streams for value in stream["every_network_ms"]]
    boards = [value for stream in streams for value in stream["every_board_ms"]]
    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    limit = max([*frames, *boards])
    bins = [limit * i / 120 for i in range(121)]
    alone = "whole path on the device" if streams[0]["whole_path"] else "network alone"
    axes.hist(networks, bins, color="0.8", label=alone)
    axes.hist(frames, bins, histtype="step", color="C0", linewidth=1.5, label="frame in memory → permit sent")
    if boards:
        axes.hist(boards, bins, color="C3", label="frame in memory → OFF bytes at the board (trips)")
    axes.set(xlabel="ms (1 ms is 2 mm of hand)", ylabel="frames", yscale="log")
    axes.legend(frameon=False)
    with appearing_whole(path) as fresh:
        figure.savefig(fresh, format="png", dpi=130)
    pyplot.close(figure)
