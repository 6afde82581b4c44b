"""Who is told what a training run does: a bar, lines of text, and curves drawn after every evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from handguard.training.crew import Crew
from handguard.training.evaluation import OnProgress
from handguard.training.loop import Recipe
from handguard.training.meter import Progress
from handguard.training.training_curves import draw_curves
from handguard.training.writing import writing

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told: a bar's `progress(done, total)`, and lines of text."""

    progress: OnProgress
    tell: Tell


def reporter(
    listener: Listener, crew: Crew, recipe: Recipe, out: Path
) -> Callable[[Progress], None]:
    """Feeds the bar, draws the curves after every evaluation, and tells loss and speed every 50 steps."""

    def report(progress: Progress) -> None:
        if not crew.leads:
            return
        listener.progress(*_how_far(progress, recipe.time_budget_s))
        if progress.metrics:
            with writing(out / "curves.png"):
                draw_curves(out, out / "curves.png")
        if progress.metrics or progress.step % 50 == 0:
            listener.tell(told(progress))

    return report


def _how_far(progress: Progress, time_budget_s: float | None) -> tuple[int, int]:
    """Done, and in all: steps, or seconds where the time is the plan."""
    if time_budget_s is None:
        return progress.step, progress.steps
    return int(min(progress.trained_s, time_budget_s)), int(time_budget_s)


def told(progress: Progress) -> str:
    """One line about a step."""
    loss = f"classes {float(progress.loss.classes):.3f} boxes {float(progress.loss.boxes):.3f}"
    speed = f"{progress.images_per_s:.0f} pictures/s, {100 * progress.waited_share:.0f} % waiting for data"
    line = f"step {progress.step}: loss {loss}; {speed}"
    if progress.metrics:
        line += "; " + ", ".join(f"{name} {value:.3f}" for name, value in progress.metrics.items())
    return line
