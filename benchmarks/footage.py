"""Real recordings through the shipped network: `python benchmarks/footage.py FOOTAGE`.

Replays every recording of the folder with benchmarks/site.yaml, and writes
benchmarks/results/footage.json and the table of the README from it. A recording
NAME.mp4 with a NAME.json beside it is held against the approaches in it; those named in
`NO_HANDS` show no hand near anything, and must not trip.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from kept import keep, orders
from marked import rewrite

from handguard.bench import machine
from handguard.config import load
from handguard.detection.card import locate, read_card
from handguard.detection.loading import Choice, files_of
from handguard.evidence.decisions import read_decisions
from handguard.replay.approaches import judge_approaches, read_approaches
from handguard.replay.replay import replay_video
from handguard.replay.score import episodes

HERE = Path(__file__).parent
SITE = HERE / "site.yaml"
RESULTS = HERE / "results" / "footage.json"
README = HERE.parent / "README.md"
NO_HANDS = ["cars-no-hands.mp4", "passers-by-far.mp4"]
ZONES = (
    "The zones are those of [benchmarks/site.yaml](benchmarks/site.yaml), the whole picture; so on passers-by-far the"
    " hands of people who walk by trip it, as they should, and so does what is no hand. The operating point was"
    " held to cars-no-hands.mp4, and weights and operating point were looked at on the others: expect less elsewhere"
    " ([audit](docs/audit.md))."
)


def replayed(video: Path, scratch: Path) -> dict[str, Any]:
    """One recording, judged frame by frame."""
    out = scratch / video.stem
    done = replay_video(video, load(SITE), out)
    lines = list(read_decisions(out / "decisions.jsonl"))
    truth = video.with_suffix(".json")
    row: dict[str, Any] = {
        "frames": done.summary["frames"],
        "trips": len(done.summary["trips"]),
        "frames_with_hands": sum(bool(line.hands) for line in lines),
    }
    if truth.exists():
        report = judge_approaches(read_approaches(truth), lines)
        late = [
            answer.stopped_frame - answer.approach.first_frame
            for answer in report.answers
            if answer.stopped_frame is not None
        ]
        row |= {
            "approaches": len(report.answers),
            "warned": sum(answer.warned_frame is not None for answer in report.answers),
            "stopped": sum(not answer.missed for answer in report.answers),
            "tripped": sum(answer.tripped_frame is not None for answer in report.answers),
            "frames_from_entering_the_picture_to_stop": late,
            "nuisances": episodes(report.nuisance_frames),
            "nuisance_frames": len(report.nuisance_frames),
            "free_frames": report.free_frames,
        }
    return row


def table(results: dict[str, Any]) -> str:
    """The README's section."""
    model, place = results["model"], results["machine"]
    metrics = read_card(locate(model)).metrics
    lines = [
        f"Shipped network `{model}` on {place['cores']} cores of a shared {place['processor']}; `make numbers`",
        "makes this section from [benchmarks/results/footage.json](benchmarks/results/footage.json).",
        "",
        "| recording | frames | with hands found | approaches warned / stopped / all | trips where nobody reaches |",
        "|---|---|---|---|---|",
        *(_row(name, row, name in results["no_hands"]) for name, row in results["replay"].items()),
        "",
        *(_on_trips(name, row) for name, row in results["replay"].items() if "approaches" in row),
        ZONES,
        "",
        *_on_pictures(model, metrics),
    ]
    return "\n".join(lines)


def _row(name: str, row: dict[str, Any], is_empty: bool) -> str:
    reached, nuisance = "–", str(row["trips"]) if is_empty else "–"
    if "approaches" in row:
        reached = f"{row['warned']} / {row['stopped']} / {row['approaches']}"
        nuisance = str(row["nuisances"])
    cells = (name, row["frames"], row["frames_with_hands"], reached, nuisance)
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _on_trips(name: str, row: dict[str, Any]) -> str:
    late, off = row["frames_from_entering_the_picture_to_stop"], row["stopped"] - row["tripped"]
    seen = f"a hand was in a stop zone {min(late)} to {max(late)} frames after it came into the picture"
    return (
        f"{name}: {seen if late else 'no hand was seen in a stop zone'}. In {off}"
        f" of the {row['approaches']} reaches the machine was off already; {row['nuisance_frames']} of the"
        f" {row['free_frames']} frames in which nobody reaches would have stopped it."
    )


def _on_pictures(model: str, metrics: dict[str, Any]) -> list[str]:
    """What the card says, in a sentence a person can use."""
    point = metrics["at_operating_point"]
    near = {name: point["recall"][name]["near"] for name in ("any", "hand", "gloved_hand")}
    shares = {name: f"{100 * found['share']:.0f} %" for name, found in near.items()}
    low, high = (f"{100 * share:.0f}" for share in near["any"]["interval_95"])
    return [
        f"On {metrics['pictures']} annotated pictures of people and places it was not trained on, from its card"
        f" [models/{model}.json](models/{model}.json): of the hands of at least 1/12 of the picture it finds"
        f" {shares['any']} (95 % interval {low} to {high} %), bare {shares['hand']}, gloved"
        f" {shares['gloved_hand']}, with {point['false_per_hand_free_picture']:.2f} false hits a hand-free picture;"
        f" AP50 {metrics['ap50_near']['any']:.2f} on those, {metrics['ap50']['any']:.2f} over all sizes."
        " **That is not enough to trust a hand to.** On one picture; a reach is seen in many.",
    ]


def main(footage: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        videos = sorted([*footage.glob("*.mp4"), *footage.glob("*/*.mkv")])
        if not videos:
            sys.exit(f"{footage}: expected recordings (*.mp4, */*.mkv), found none")
        results = {
            "command": "python benchmarks/footage.py FOOTAGE",
            "machine": machine.described(),
            "model": files_of(Choice()).card.stem,
            "no_hands": NO_HANDS,
            "replay": {video.relative_to(footage).as_posix(): replayed(video, scratch) for video in videos},
        }
    keep(RESULTS, results)
    rewrite(README, "numbers", table(results))


if __name__ == "__main__":
    main(orders(__doc__, footage="recordings").footage)
