"""Real recordings through the shipped network: every approach is found, and nothing else trips."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from handguard.config import load
from handguard.evidence.decisions import read_decisions
from handguard.replay.approaches import judge_approaches, read_approaches
from handguard.replay.replay import replay_video

SITE = {
    "version": 1,
    "camera": {"source": "replayed"},
    "zones": [
        {"name": "bench", "role": "stop", "units": "norm", "polygon": [[0, 0.3], [1, 0.3], [1, 1], [0, 1]]},
        {"name": "edge", "role": "warning", "units": "norm", "polygon": [[0, 0], [1, 0], [1, 0.3], [0, 0.3]]},
    ],
    "relay": {"driver": "none"},
    "reset": {"input": "simulated", "after_free_s": 0.5},
}
# a bottle comes into the picture up to half a second before the hand that holds it, and leaves it after; it
# may stop the machine, for a hand is where it is
BOTTLE_FRAMES = 15


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(SITE))
    return path


@pytest.mark.slow
@pytest.mark.needs_footage("bottle-picking.mp4", "bottle-picking.json")
def test_every_approach_is_warned_and_stopped_and_nothing_else_stops(footage: Path, site: Path, tmp_path: Path):
    replay_video(footage / "bottle-picking.mp4", load(site), tmp_path / "out")
    lines = list(read_decisions(tmp_path / "out" / "decisions.jsonl"))
    approaches = read_approaches(footage / "bottle-picking.json")
    report = judge_approaches(approaches, lines, margin_frames=BOTTLE_FRAMES)
    assert len(report.answers) == 7
    assert all(answer.warned_frame is not None for answer in report.answers)
    assert not report.missed
    assert report.nuisance_frames == ()


@pytest.mark.slow
@pytest.mark.needs_footage("cars-no-hands.mp4")
def test_a_recording_without_people_never_trips(footage: Path, site: Path, tmp_path: Path):
    done = replay_video(footage / "cars-no-hands.mp4", load(site), tmp_path / "out")
    assert done.summary["judged"] > 300
    assert done.summary["trips"] == []
