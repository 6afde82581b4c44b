"""Approaches on recordings: found, how late, missed, and false hits between them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from handguard.cli import main
from handguard.detection.architectures import build
from handguard.detection.card import Card, OperatingPoint
from handguard.detection.loading import Choice
from handguard.detection.weights import save_model
from handguard.errors import DatasetError
from handguard.evidence.truth import Approach
from handguard.training import judging
from handguard.training.card_making import CLASSES
from handguard.training.footage import (
    StopZone,
    Watched,
    empty_recordings,
    empty_scene,
    frames_late,
    read_stop_zone,
    recordings,
    short,
    together,
    told,
)
from handguard.training.listening import Listener
from handguard.types import Detections
from tests.training.conftest import filmed

FOOTAGE = Path(__file__).parents[3] / "shared" / "footage"


def hits(*frames: int, of: int = 100) -> tuple[bool, ...]:
    return tuple(i in frames for i in range(of))


def seen(*frames: int, approaches: tuple[Approach, ...] | None, of: int = 100) -> Watched:
    return Watched("one.mp4", 10.0, hits(*frames, of=of), approaches)


REACH = Approach(40, 50)


@pytest.mark.parametrize(
    ("frames", "late"),
    [((40,), 0), ((42, 45), 2), ((36,), None), ((37,), -3), ((53,), 13), ((54,), None), ((), None)],
)
def test_lateness_counts_from_the_first_frame_with_the_hand(
    frames: tuple[int, ...], late: int | None
) -> None:
    assert frames_late(REACH, hits(*frames)) == late


def test_an_approach_without_a_hit_is_missed_and_hits_elsewhere_are_false() -> None:
    row = told(seen(5, 6, 9, 20, 42, approaches=(REACH, Approach(80, 90))))
    assert row["frames_late"] == [2, None]
    assert (row["missed"]["found"], row["missed"]["hands"]) == (1, 2)
    assert row["missed"]["interval_95"] == pytest.approx([0.0945, 0.9055], abs=1e-4)
    assert row["seen_within_frames"] == {"0": 0, "1": 0, "2": 1, "5": 1, "10": 1}
    assert row["false_hits"] == [(5, 9), (20, 20)], "neighboring frames are one false hit"
    free = 100 - (3 + 11 + 3) - (3 + 11 + 3)
    assert row["hand_free_minutes"] == pytest.approx(free / 600, abs=1e-3)
    assert row["false_hits_a_hand_free_minute"] == pytest.approx(2 / (free / 600), abs=1e-3)


def test_a_recording_without_truth_is_told_by_its_hits_and_counts_for_nothing_else() -> None:
    unknown = seen(1, 2, approaches=None)
    assert told(unknown) == {"frames": 100, "hit_frames": 2, "truth": "not known"}
    both = together([unknown, seen(41, approaches=(REACH,))])
    assert both["recordings"] == 1 and both["missed"]["share"] == 0
    words = short({"recordings": {"one.mp4": told(unknown)}, "together": both})
    assert "truth not known" in words and "0 of 1 approaches missed" in words


def test_a_recording_in_which_nobody_reaches_has_only_false_hits() -> None:
    row = told(seen(7, approaches=()))
    assert row["missed"]["share"] is None and row["false_hits"] == [(7, 7)]
    assert "0 of 0 approaches missed;" in short(
        {"recordings": {}, "together": together([seen(7, approaches=())])}
    )


def test_no_recording_at_all_promises_nothing() -> None:
    nothing = together([])
    assert nothing["missed"]["share"] is None and nothing["false_hits_a_hand_free_minute"] is None


@pytest.mark.parametrize(
    ("box", "touches"),
    [((0, 0, 10, 49), False), ((0, 0, 10, 50), True), ((60, 60, 70, 70), True), ((90, 90, 99, 99), False)],
)
def test_a_hand_that_touches_the_stop_zone_hits(box: tuple[int, ...], touches: bool) -> None:
    hand = Detections(np.array([box], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), 0, 0)
    assert StopZone(0.0, 0.5, 0.8, 0.8).touched(hand, (100, 100)) is touches
    nobody = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), 0, 0)
    assert not StopZone().touched(nobody, (100, 100))


@pytest.mark.parametrize("text", ["", "0,0,1", "0,0,0,1", "0.5,0,0.4,1", "0,0,1,1.1", "a,b,c,d", "nan,0,1,1"])
def test_a_stop_zone_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="stop zone: expected x1,y1,x2,y2"):
        read_stop_zone(text)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected a recording"):
        recordings(tmp_path)
    with pytest.raises(DatasetError, match="expected a recording"):
        recordings(tmp_path / "nowhere.mp4")


def test_recordings_of_one_name_in_two_folders_are_both_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films = [tmp_path / "a" / "cam.avi", tmp_path / "b" / "cam.avi"]
    for film in films:
        film.parent.mkdir()
        film.touch()

    def watched(choice: Choice, video: Path, zone: StopZone, progress: object) -> Watched:
        return Watched(video.name, 10.0, hits(of=3 if video == films[0] else 5), None)

    monkeypatch.setattr(judging.footage, "watched", watched)
    silent = Listener(lambda done, of: None, lambda line: None)
    found = judging._on_footage(Choice(), tmp_path, StopZone(), silent)["recordings"]
    assert {name: row["frames"] for name, row in found.items()} == {"a/cam.avi": 3, "b/cam.avi": 5}
    alone = judging._on_footage(Choice(), films[1], StopZone(), silent)["recordings"]
    assert {name: row["frames"] for name, row in alone.items()} == {"cam.avi": 5}


@pytest.mark.parametrize("arguments", [(), ("--annotations", "a.json")])
def test_evaluate_wants_pictures_or_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--json", str(tmp_path / "out.json"), *arguments])
    assert ended.value.code == 2
    assert "evaluate: expected --annotations" in capsys.readouterr().err.replace("\n", " ")


def test_the_highest_score_of_an_empty_scene_is_that_of_any_of_its_frames(tmp_path: Path) -> None:
    first, second = filmed(tmp_path / "a.avi", 4), filmed(tmp_path / "b.avi", 3)
    network = build("palmnet-s", input_px=(64, 64))
    card = Card("blank", "palmnet-s", CLASSES, (64, 64), OperatingPoint(0.9), "", network.score_kind.value, 32)
    choice = Choice(str(save_model(network, card, tmp_path / "model").weights), "torch-cpu")
    steps: list[int] = []
    empty = empty_scene(choice, [first, second], lambda done, of: steps.append(done))
    assert empty.frames == 7 and steps == [1, 2, 3, 4, 1, 2, 3]
    assert 0 < empty.highest < 0.9, "below the operating point, too"
    assert empty_scene(choice, [first], lambda *_: None).highest <= empty.highest


def test_a_recording_with_a_reach_is_no_empty_scene(tmp_path: Path) -> None:
    film = filmed(tmp_path / "a.avi", 3)
    truth = film.with_suffix(".json")
    truth.write_text('{"approaches": []}')
    assert empty_recordings(tmp_path) == [film]
    truth.write_text('{"approaches": [{"first_frame": 1, "last_frame": 2}]}')
    with pytest.raises(DatasetError, match=r"a\.json: expected a recording in which nobody reaches, found 1"):
        empty_recordings(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not FOOTAGE.is_dir(), reason=f"the recordings are not here: {FOOTAGE}")
def test_the_shipped_network_on_a_real_recording(tmp_path: Path) -> None:
    """The first approach of the bottle picker and the empty stretch before it."""
    import av

    clip = tmp_path / "first.mp4"
    with av.open(str(FOOTAGE / "bottle-picking.mp4")) as source, av.open(str(clip), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is None or packet.pts > 215 * packet.duration:
                break
            packet.stream = copy
            out.mux(packet)
    truth = {"approaches": [{"first_frame": 171, "last_frame": 207}]}
    clip.with_suffix(".json").write_text(json.dumps(truth))
    numbers = tmp_path / "numbers.json"
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", "--footage", str(clip), "--json", str(numbers)])
    assert not ended.value.code
    row = json.loads(numbers.read_text())["footage"]["recordings"]["first.mp4"]
    assert row["approaches"] == 1 and row["missed"]["found"] == 0
    assert row["frames"] > 200
