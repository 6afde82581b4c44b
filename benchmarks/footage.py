"""Real recordings through the shipped network: `python benchmarks/footage.py FOOTAGE`.

Replays every recording of the folder with benchmarks/site.yaml, runs one live-paced
with the simulated board, writes benchmarks/results/footage.json and the table of the
README from it. A recording NAME.mp4 with a NAME.json beside it is held against
the approaches in it; the others show no hand near anything, and must not trip.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine

from handguard.config import load, with_source
from handguard.detection.card import DEFAULT, locate, read_card
from handguard.evidence.decisions import read_decisions
from handguard.replay.approaches import judge_approaches, read_approaches
from handguard.replay.replay import replay_video
from handguard.watch import Options, watch

HERE = Path(__file__).parent
SITE = HERE / "site.yaml"
RESULTS = HERE / "results" / "footage.json"
README = HERE.parent / "README.md"
LIVE = "bottle-picking.mp4"
LIVE_S = 40.0


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
        "times_real_time": round(done.times_real_time, 1),
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
            "tripped": sum(answer.tripped_frame is not None for answer in report.answers),
            "frames_from_entering_the_picture_to_stop": late,
            "nuisance_frames": len(report.nuisance_frames),
            "free_frames": report.free_frames,
        }
    return row


def live(video: Path, scratch: Path) -> dict[str, Any]:
    """One recording at its own pace, with keeper and simulated board."""
    settings = with_source(load(SITE), str(video))
    options = Options(scratch / "live", LIVE_S, panel=False)
    summary = watch(settings, options, print)
    names = ("frames", "judged", "dropped", "judged_ms", "response_ms", "board_response_ms")
    return {"video": video.name, "trips": len(summary["trips"]), **{name: summary[name] for name in names}}


def table(results: dict[str, Any]) -> str:
    """The README's table."""
    card = read_card(locate(results["model"]))
    lines = [
        f"Shipped network `{results['model']}` on {results['machine']['cores']} cores of a shared"
        f" {results['machine']['processor']}; `make numbers` makes this section from"
        " [benchmarks/results/footage.json](benchmarks/results/footage.json).",
        "",
        "| recording | frames | approaches warned / tripped / all | trips where nobody reaches | replay |",
        "|---|---|---|---|---|",
    ]
    for name, row in results["replay"].items():
        known = "approaches" in row
        reached = f"{row['warned']} / {row['tripped']} / {row['approaches']}" if known else "–"
        nuisance = row["nuisance_frames"] if known else row["trips"] if name in results["no_hands"] else "–"
        lines.append(
            f"| {name} | {row['frames']} | {reached} | {nuisance} | {row['times_real_time']} × real time |"
        )
    board, judged = results["live"]["board_response_ms"], results["live"]["judged_ms"]
    lines += [
        "",
        f"Live at 30 frames/s, simulated board on a pty: capture → decision p50 {judged['p50']:.1f} ms, p99"
        f" {judged['p99']:.1f} ms; capture → OFF bytes at the board over {board['count']} trips p50"
        f" {board['p50']:.1f} ms, max {board['max']:.1f} ms. A shared machine: read them as orders of size.",
        "",
        f"How many hands it finds and misses on pictures: [models/{card.name}.json](models/{card.name}.json).",
    ]
    return "\n".join(lines)


def main(footage: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        videos = sorted([*footage.glob("*.mp4"), *footage.glob("*/*.mkv")])
        results = {
            "command": "python benchmarks/footage.py FOOTAGE",
            "machine": machine.described(),
            "model": DEFAULT,
            "no_hands": ["cars-no-hands.mp4", "passers-by-far.mp4"],
            "live": live(footage / LIVE, scratch),
            "replay": {video.name: replayed(video, scratch) for video in videos},
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    section = re.compile(r"(<!-- numbers:begin -->\n).*(<!-- numbers:end -->)", re.DOTALL)
    text = section.sub(lambda found: f"{found[1]}{table(results)}\n{found[2]}", README.read_text())
    README.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
