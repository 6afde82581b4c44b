"""Pictures of an evaluation: precision over recall, misses over false hits, and the worst faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from handguard.atomic import appearing_whole, write_atomically
from handguard.training.contact_sheet import draw_sheet, keep_out_of_repositories
from handguard.training.faults import false_hits, misses
from handguard.training.measures import Answer, curves
from handguard.training.metrics import Curve

LINES = {"all": "--", "near": "-"}
COLORS = {"any": "black", "hand": "tab:blue", "gloved_hand": "tab:orange"}


def draw_plots(answers: Sequence[Answer], min_score: float, folder: Path) -> None:
    """Four PNG files and a page of them into `folder`, which git will pass by: some show people."""
    keep_out_of_repositories(folder)
    views = curves(answers)
    _precision_recall(views, min_score, folder / "precision-recall.png")
    _misses_over_false_hits(views, len(answers), min_score, folder / "misses-over-false-hits.png")
    draw_sheet(misses(answers, min_score), folder / "worst-misses.png")
    draw_sheet(false_hits(answers, min_score), folder / "worst-false-hits.png")
    write_atomically(folder / "index.html", _page(min_score).encode())


SHOWN = {
    "worst-misses.png": "The worst misses: hands not found, largest first",
    "worst-false-hits.png": "The worst false hits: found where no hand is, most certain first",
    "precision-recall.png": "Precision over recall",
    "misses-over-false-hits.png": "Hands missed over false hits",
}


def _page(min_score: float) -> str:
    """The pictures below each other, for a browser."""
    figures = "".join(f"<h2>{title}</h2><img src='{name}'>" for name, title in SHOWN.items())
    return (
        "<!doctype html><meta charset='utf-8'><title>evaluation</title>"
        "<style>body{font-family:sans-serif;margin:2em}img{max-width:100%}</style>"
        f"<h1>At the score {min_score:g}</h1>{figures}\n"
    )


def _precision_recall(views: dict[str, dict[str, Curve]], min_score: float, path: Path) -> None:
    figure, axes = _sheet("precision over recall (dot: operating point)")
    for name, group, one in _each(views):
        label = f"{name}, {group}: AP50 {one.average_precision():.3f}"
        axes.plot(one.recall, one.precision, LINES[group], color=COLORS[name], label=label)
        at = int(np.sum(one.scores >= min_score))
        if at:
            axes.plot(one.recall[at - 1], one.precision[at - 1], "o", color=COLORS[name])
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    _save(figure, axes, path)


def _misses_over_false_hits(
    views: dict[str, dict[str, Curve]], pictures: int, min_score: float, path: Path
) -> None:
    figure, axes = _sheet("hands missed over false hits (dot: operating point)")
    for name, group, one in _each(views):
        false = np.maximum(np.cumsum(~one.right) / max(pictures, 1), 1e-3)
        missed = np.maximum(1 - one.recall, 1e-3)
        axes.plot(false, missed, LINES[group], color=COLORS[name], label=f"{name}, {group}")
        at = int(np.sum(one.scores >= min_score))
        if at:
            axes.plot(false[at - 1], missed[at - 1], "o", color=COLORS[name])
    axes.set(xlabel="false hits a picture", ylabel="share of hands missed", xscale="log", yscale="log")
    _save(figure, axes, path)


def _each(views: dict[str, dict[str, Curve]]) -> list[tuple[str, str, Curve]]:
    """The curves that have something to show."""
    return [
        (name, group, one)
        for name, view in views.items()
        for group, one in view.items()
        if one.wanted and len(one.scores)
    ]


def _sheet(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title)
    axes.grid(alpha=0.3, which="both")
    return figure, axes


def _save(figure: Figure, axes: Axes, path: Path) -> None:
    if axes.lines:
        axes.legend(fontsize="small")
    with appearing_whole(path) as fresh:
        figure.savefig(fresh, format="png", dpi=110)
