"""`handguard evaluate`: measure a model, write the numbers, and tell the ones a person wants first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handguard.detection import card as cards
from handguard.detection.loading import Choice
from handguard.errors import DatasetError
from handguard.training.coco import load_coco
from handguard.training.command import Listener
from handguard.training.evaluation import numbers, run_detector, write_numbers
from handguard.training.operating_point import choose
from handguard.training.plots import draw_plots
from handguard.training.writing import writing


def evaluate_command(
    annotations: Path, images: Path, json_out: Path, model: str | None, plots: Path | None, listener: Listener
) -> None:
    """Measure a model over a COCO set at its card's operating point; numbers as JSON, pictures into `plots`."""
    choice = Choice(model or cards.DEFAULT)
    card = cards.read_card(cards.locate(choice.model))
    samples = load_coco(annotations, images)
    run = run_detector(choice, samples, listener.progress)
    score = card.operating_point.min_score
    found = {"model": card.name, "weights_sha256": card.weights_sha256, **numbers(run, score)}
    if any(len(sample.boxes_px) for sample in samples):
        found["would_choose"] = would_choose(run.answers)
    write_numbers(found, json_out)
    if plots is not None:
        with writing(plots):
            draw_plots(run.answers, score, plots)
    listener.tell(short(found))


def would_choose(answers: list[Any]) -> dict[str, Any]:
    """The operating point these pictures would give, beside the card's; None where they cannot."""
    try:
        chosen = choose(answers)
    except DatasetError as error:
        return {"min_score": None, "chosen": str(error)}
    return {"min_score": chosen.min_score, "chosen": chosen.words}


def short(found: dict[str, Any]) -> str:
    """What a person wants to know first."""
    at = found["at_operating_point"]
    lines = [
        f"{found['model']} on {found['pictures']} pictures, {found['measured_with']}",
        *(
            f"  AP50 {name}: {found['ap50'][name]} (near {found['ap50_near'][name]})"
            for name in found["ap50"]
        ),
        f"  at score {at['min_score']}:",
        *(
            f"  found, {name}: {_told(row['all'])}; near: {_told(row['near'])}"
            for name, row in at["recall"].items()
        ),
        f"  false hits a picture: {at['false_per_picture']}, "
        f"a hand-free picture: {at['false_per_hand_free_picture']}",
    ]
    return "\n".join(lines)


def _told(share: dict[str, Any]) -> str:
    if share["share"] is None:
        return "none to find"
    low, high = share["interval_95"]
    return f"{share['found']} of {share['hands']} = {100 * share['share']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
