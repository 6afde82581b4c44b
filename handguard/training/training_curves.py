"""The curves of a training run as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from handguard.atomic import appearing_whole
from handguard.training.meter import LOSSES, METRICS, read_rows

PANELS = (
    ("loss, mean since the checkpoint before", LOSSES, "loss_", None),
    ("AP50 on val", METRICS, "ap50", 1.0),
    ("pictures a second", LOSSES, "images_per_s", None),
)


def draw_curves(run: Path, picture: Path) -> None:
    """Loss, AP50 and speed over steps, from the two tables in the folder of a run, to a PNG."""
    tables = {name: read_rows(run / name) for name in (LOSSES, METRICS)}
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, table, prefix, top) in zip(figure.subplots(1, 3), PANELS, strict=True):
        rows = tables[table]
        for name in [name for name in (rows[0] if rows else ()) if name.startswith(prefix)]:
            axes.plot([row["step"] for row in rows], [row[name] for row in rows], marker=".", label=name)
        axes.set(title=title, xlabel="step")
        axes.set_ylim(0, top)
        axes.grid(alpha=0.3)
        if rows:
            axes.legend(fontsize="small")
    with appearing_whole(picture) as fresh:
        figure.savefig(fresh, format="png", dpi=110)
