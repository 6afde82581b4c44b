"""Real recordings through replay. The hands come from a script here: the network has its own tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from handguard.evidence.decisions import read_decisions
from handguard.replay.approaches import judge_approaches, read_approaches
from handguard.replay.replay import Replayed, replay_video

CONFIG = """
version: 1
camera: {source: simulated}
zones:
  - {name: table, role: warning, units: norm, polygon: [[0, 0.1], [1, 0.1], [1, 0.35], [0, 0.35]]}
  - {name: intake, role: stop, units: norm, polygon: [[0, 0.35], [1, 0.35], [1, 1], [0, 1]]}
relay: {driver: simulated}
reset: {input: simulated, after_free_s: 0.4}
"""
APPROACHES = 7


@pytest.fixture
def replayed(footage: Path, settings_from, scripted, tmp_path: Path):
    """Replays a recording; in each approach of the truth a hand reaches down from the top edge and back."""

    def go(name: str, out: str = "out") -> Replayed:
        video = footage / name
        truth = video.with_suffix(".json")
        approaches = read_approaches(truth) if truth.exists() else ()

        def hand(seq: int):
            for each in approaches:
                if each.holds(seq):
                    deep = min(seq - each.first_frame, each.last_frame - seq) * 14.0
                    return [(250.0, 0.0, 330.0, 20.0 + deep)]
            return ()

        return replay_video(
            video, settings_from(CONFIG), tmp_path / out, detector_for=lambda *_: scripted(hand)
        )

    return go


@pytest.mark.needs_footage("bottle-picking.mp4", "bottle-picking.json")
def test_every_approach_is_warned_first_and_tripped_and_nothing_else_is(replayed, footage) -> None:
    result = replayed("bottle-picking.mp4")
    truth = read_approaches(footage / "bottle-picking.json")
    report = judge_approaches(truth, read_decisions(result.out / "decisions.jsonl"))
    assert len(report.answers) == APPROACHES
    assert report.missed == ()
    assert report.nuisance_frames == ()
    for answer in report.answers:
        assert answer.warned_frame is not None
        assert answer.tripped_frame == answer.stopped_frame
        assert answer.warned_frame <= answer.tripped_frame
    assert result.summary["judged"] == 1189
    assert [trip["zone"] for trip in result.summary["trips"]] == ["intake"] * APPROACHES


@pytest.mark.needs_footage("bottle-picking.mp4", "bottle-picking.json")
def test_a_real_recording_replayed_twice_gives_equal_bytes(replayed) -> None:
    one, two = replayed("bottle-picking.mp4", "one"), replayed("bottle-picking.mp4", "two")
    for name in ("decisions.jsonl", "summary.json"):
        assert (one.out / name).read_bytes() == (two.out / name).read_bytes()


@pytest.mark.needs_footage("cars-no-hands.mp4")
def test_a_recording_without_hands_runs_and_never_trips(replayed) -> None:
    summary = replayed("cars-no-hands.mp4").summary
    assert (summary["judged"], summary["trips"], summary["gaps"]) == (377, [], 0)
    assert summary["states_visited"][-1] == "RUN"


@pytest.mark.needs_footage("passers-by-far.mp4", "cups.mp4", "gestures/walk.mkv")
@pytest.mark.parametrize("name", ["passers-by-far.mp4", "cups.mp4", "gestures/walk.mkv"])
def test_every_real_recording_is_judged_to_its_last_frame(replayed, name: str) -> None:
    summary = replayed(name).summary
    assert summary["judged"] == summary["frames"] > 50
    assert "LOCKOUT" not in summary["states_visited"]
