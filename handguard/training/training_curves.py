"""The curves of a training run as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from handguard.atomic import appearing_whole
from handguard.training.meter import read_rows

LOSSES = ("loss_classes", "loss_boxes")


def draw_curves(metrics: Path, picture: Path) -> None:
    """Loss, AP50 and speed over steps, from metrics.csv to a PNG. Does nothing before the first row."""
    rows = read_rows(metrics)
    if not rows:
        return
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    quality = [name for name in rows[0] if name.startswith("ap50")]
    for axes, (title, names) in zip(
        figure.subplots(1, 3),
        (("loss", LOSSES), ("AP50 on val", quality), ("pictures a second", ("images_per_s",))),
        strict=True,
    ):
        for name in names:
            axes.plot([row["step"] for row in rows], [row[name] for row in rows], marker=".", label=name)
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    with appearing_whole(picture) as fresh:
        figure.savefig(fresh, format="png", dpi=110)
