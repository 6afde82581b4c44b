"""The plots and the page: memory of every process, and the two delays, over the hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

from benchmarks.soak.memory import Point

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PAGE = Path(__file__).with_name("page.md")


def draw_memory(memory: dict[str, list[Point]], file: Path) -> None:
    """Resident memory of each role, through all its lives."""
    figure, axes = plt.subplots(figsize=(9, 4.5))
    for role, points in memory.items():
        seconds, kib, _ = zip(*points, strict=True)
        axes.plot([s / 60 for s in seconds], [one / 1024 for one in kib], ".", markersize=2, label=role)
    axes.set(xlabel="minutes", ylabel="resident memory, MiB", ylim=(0, None), title="Memory of each process")
    axes.legend(markerscale=5, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, file)


def draw_delays(per_window: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """p50 and p99 of each five minutes."""
    figure, axes = plt.subplots(figsize=(9, 4.5))
    for name, color in (("capture_to_open_ms", "tab:red"), ("capture_to_judged_ms", "tab:blue")):
        rows = per_window[name]
        minutes = [row["minute"] + 2.5 for row in rows]
        label = name.removesuffix("_ms").replace("_", " ")
        axes.plot(minutes, [row["p50"] for row in rows], "o-", color=color, label=f"{label}, p50")
        axes.plot(minutes, [row["p99"] for row in rows], "o--", color=color, label=f"{label}, p99")
    axes.set(xlabel="minutes", ylabel="ms", ylim=(0, None), title="Delays, every five minutes")
    axes.legend()
    _save(figure, file)


def _save(figure: Any, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)


def page(told: dict[str, Any], calm: dict[str, Any]) -> str:
    """docs/soak.md, of a soak and of a calm one."""
    rows = {
        "wrong states": told["wrong_states"],
        "hours": told["hours"],
        "pictures sent by the camera / judged": f"{told['frames_sent']} / {told['frames_judged']}",
        "hands that came into the stop zone": told["approaches"],
        "stops by a hand": told["stops_by_hand"],
        "hands the network saw late, while the machine could run": told["hands_seen_late_by_the_network"],
        "faults injected": sum(told["faults_injected"].values()),
        "trips of any cause": sum(told["trips"].values()),
        "resets pressed / machine switched on": f"{told['resets_pressed']} / {told['machine_switched_on']}",
        "records: books that verify": ", ".join(f"{n} {verdict}" for verdict, n in told["records"].items()),
        "starts of the program / calls for service": f"{told['starts']} / {told['services']}",
    }
    table = "\n".join(f"| {what} | {value} |" for what, value in rows.items())
    faults = "\n".join(f"| {name} | {count} |" for name, count in sorted(told["faults_injected"].items()))
    delays = "\n".join(_delay_row(told, name) for name in ("capture_to_open_ms", "capture_to_judged_ms"))
    made_from = {"seed": told["seed"], "commit": told["commit"], "sizes": _sizes(told)}
    of_calm = {"calm_commit": calm["commit"], "calm_sizes": _sizes(calm)}
    of_calm |= {f"calm_{name}": calm[name] for name in ("hours", "frames_judged", "stops_by_hand", "wrong_states")}
    return PAGE.read_text().format(table=table, faults=faults, delays=delays, **made_from, **of_calm)


def _sizes(told: dict[str, Any]) -> str:
    rows = told["memory_mib"].items()
    return "\n".join(
        f"| {role} | {of['median']} | {of['most']} | {_or_dash(of['drift_per_hour'])} |" for role, of in rows
    )


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"


def _delay_row(told: dict[str, Any], name: str) -> str:
    of = told[name]
    return f"| {name.removesuffix('_ms').replace('_', ' ')} | {of['p50']} | {of['p99']} | {of['max']} |"
