"""`handguard evaluate`: measure a model, write the numbers, and tell the ones a person wants first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from handguard.detection import card as cards
from handguard.detection.loading import Choice, files_of
from handguard.errors import DatasetError, mismatch
from handguard.training import footage
from handguard.training.coco import Sample, load_coco
from handguard.training.contact_sheet import keep_out_of_repositories
from handguard.training.evaluation import numbers, run_detector, write_numbers
from handguard.training.footage import StopZone
from handguard.training.listening import Listener
from handguard.training.operating_point import choose
from handguard.training.plots import draw_plots
from handguard.training.writing import writing


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `evaluate` is to look at: annotated pictures, recordings, or both."""

    json_out: Path
    choice: Choice = field(default_factory=Choice)  # the model, and how it is run
    annotations: Path | None = None  # COCO
    images: Path | None = None  # their folder
    plots: Path | None = None
    footage: Path | None = None  # a recording or a folder of them
    stop_zone: StopZone = field(default_factory=StopZone)

    def __post_init__(self) -> None:
        if (self.annotations is None) != (self.images is None):
            raise DatasetError(
                mismatch("evaluate", "--annotations together with --images", "one without the other")
            )
        if self.annotations is None and self.footage is None:
            raise DatasetError(mismatch("evaluate", "--annotations and --images, or --footage", "neither"))


def evaluate_command(wanted: Wanted, listener: Listener) -> None:
    """Measure a model at its operating point, the card's unless chosen; numbers as JSON, pictures into `plots`."""
    choice = wanted.choice
    card = cards.read_card(files_of(choice))
    score = card.counts_from(choice.min_score)
    found: dict[str, Any] = {"model": card.name, "weights_sha256": card.weights_sha256}
    if wanted.annotations is not None and wanted.images is not None:
        samples = load_coco(wanted.annotations, wanted.images)
        found |= _on_pictures(choice, samples, score, wanted.plots, listener)
        listener.tell(short(found))
    if wanted.footage is not None:
        found["footage"] = _on_footage(choice, wanted.footage, wanted.stop_zone, listener)
        listener.tell(f"{card.name} on recordings:\n{footage.short(found['footage'])}")
    write_numbers(found, wanted.json_out)


def _on_pictures(
    choice: Choice, samples: list[Sample], score: float, plots: Path | None, listener: Listener
) -> dict[str, Any]:
    if plots is not None:
        with writing(plots):
            keep_out_of_repositories(plots)  # a folder that may not be used is told before the work
    run = run_detector(choice, samples, listener.progress)
    found = numbers(run, score)
    if any(len(sample.boxes_px) for sample in samples):
        found["would_choose"] = would_choose(run.answers)
    if plots is not None:
        with writing(plots):
            draw_plots(run.answers, score, plots)
    return found


def _on_footage(choice: Choice, place: Path, zone: StopZone, listener: Listener) -> dict[str, Any]:
    videos = footage.recordings(place)
    names = [video.relative_to(place).as_posix() if place.is_dir() else video.name for video in videos]
    all_of = [footage.watched(choice, video, zone, listener.progress) for video in videos]
    return {
        "stop_zone": asdict(zone),
        "recordings": {name: footage.told(one) for name, one in zip(names, all_of, strict=True)},
        "together": footage.together(all_of),
    }


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
        *_quiet_line(found["at_quiet"]),
        *_table("source", {name: row["recall"] for name, row in found["sources"].items()}),
        *_table("longer side of the hand", {name: row["recall"] for name, row in found["sizes"].items()}),
    ]
    return "\n".join(lines)


def _quiet_line(at: dict[str, Any] | None) -> list[str]:
    if at is None:
        return []
    allowed, row = at["false_hits_allowed"], at["recall"]["any"]
    where = f"  with at most {allowed} false hits a hand-free picture (score {at['min_score']})"
    return [f"{where}: found {_told(row['all'])}; near: {_told(row['near'])}"]


def _table(title: str, rows: dict[str, dict[str, Any]]) -> list[str]:
    return [f"  found by {title}:", *(f"    {name:20} {_told(share)}" for name, share in rows.items())]


def _told(share: dict[str, Any]) -> str:
    if share["share"] is None:
        return "none to find"
    low, high = share["interval_95"]
    return f"{share['found']} of {share['hands']} = {100 * share['share']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
