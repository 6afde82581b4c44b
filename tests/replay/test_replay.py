"""From a video file to results that are whole, equal every time, or not there."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from handguard.errors import ConfigError, DeviceMissing, RecordingError
from handguard.evidence.decisions import read_decisions
from handguard.replay.replay import replay_video
from handguard.types import Output, State

IN_STOP, IN_WARNING = (10.0, 40.0, 30.0, 60.0), (10.0, 20.0, 30.0, 30.0)
HANDS = {35: [IN_WARNING], 36: [IN_WARNING], 37: [IN_WARNING, IN_STOP], 38: [IN_STOP]}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def replayed(make_video, settings, scripted, tmp_path):
    """Replays a clip of 60 frames with a hand in frames 35 to 38 into `out`."""

    def go(out: Path = tmp_path / "out", video: Path | None = None, with_settings=settings, **options):
        video = video or make_video()
        return replay_video(video, with_settings, out, detector_for=lambda *_: scripted(HANDS), **options)

    return go


def test_a_line_has_the_agreed_fields_and_no_others(replayed) -> None:
    text = (replayed().out / "decisions.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["frame"] for line in lines] == list(range(60))
    assert {tuple(line) for line in lines} == {
        ("frame", "t_ms", "hands", "zones", "state", "output", "cause")
    }
    hit = lines[37]
    assert hit["t_ms"] == 1480.0
    assert [tuple(hand) for hand in hit["hands"]] == [("box_px", "score", "label")] * 2
    assert hit["hands"][0] == {"box_px": [10.0, 20.0, 30.0, 30.0], "score": 0.9123, "label": "hand"}
    assert hit["hands"][1]["label"] == "gloved_hand"
    assert hit["zones"] == {"warning": True, "stop": True}
    assert (hit["state"], hit["output"], hit["cause"]) == ("TRIPPED", "off", "intruded: stop")
    assert lines[34]["hands"] == []


def test_the_summary_counts_frames_warnings_and_trips(replayed) -> None:
    result = replayed()
    summary = json.loads((result.out / "summary.json").read_text())
    assert summary == result.summary
    assert (summary["frames"], summary["judged"], summary["dropped"], summary["warnings"]) == (60, 60, 0, 1)
    (trip,) = summary["trips"]
    assert (trip["frame"], trip["time"], trip["zone"]) == (37, 1.48, "stop")
    assert summary["states_visited"] == ["SELF_TEST", "AWAIT_RESET", "RUN", "TRIPPED"]
    assert set(summary["response_ms"]) >= {"p50", "p99", "p999", "max"}
    assert summary["operator"] == "simulated, presses reset 0.2 s after free"
    assert summary["gaps"] == 0
    decisions = (result.out / "decisions.jsonl").read_bytes()
    assert summary["decisions_sha256"] == hashlib.sha256(decisions).hexdigest()


def test_virtual_time_is_not_passed_off_as_measured_time(replayed) -> None:
    summary = replayed().summary
    assert summary["response_ms"]["max"] is None
    assert summary["judged_ms"]["max"] is None


def test_two_replays_are_byte_for_byte_equal(replayed, tmp_path, make_video) -> None:
    video = make_video()
    one = replayed(tmp_path / "one", video).out
    two = replayed(tmp_path / "two", video).out
    for name in ("decisions.jsonl", "summary.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_site_with_a_real_button_is_replayed_by_the_simulated_operator_who_says_so(
    replayed, settings_from
) -> None:
    text = """
    version: 1
    camera: {source: 0}
    zones: {orientation: top-bottom, warning_percent: 80, stop_percent: 40}
    relay: {driver: lcus, port: /dev/ttyUSB0}
    reset: {input: keyboard, after_free_s: 0.4}
    """
    summary = replayed(with_settings=settings_from(textwrap.dedent(text))).summary
    said = "simulated, presses reset 0.4 s after free; live, the settings say: keyboard"
    assert summary["operator"] == said
    assert "RUN" in summary["states_visited"]


def test_a_phone_video_of_uneven_rate_keeps_its_times_and_none_of_its_frames(replayed, make_video) -> None:
    gaps = [17, 33, 50, 34, 41, 90]
    times_ms = [sum(gaps[k % 6] for k in range(i)) for i in range(60)]
    out = replayed(video=make_video("vfr.mkv", times_ms=times_ms)).out
    lines = list(read_decisions(out / "decisions.jsonl"))
    assert [line.t_ms for line in lines] == times_ms
    assert lines[34].state is State.RUN
    assert lines[37].output is Output.OFF


def test_a_gap_in_the_recording_is_counted_and_trips(replayed, make_video) -> None:
    times_ms = [40 * i + (500 if i >= 30 else 0) for i in range(60)]
    summary = replayed(video=make_video("gap.mkv", times_ms=times_ms)).summary
    assert summary["gaps"] == 1
    assert [(trip["frame"], trip["cause"]) for trip in summary["trips"]] == [
        (30, "blind: gap between frames")
    ]


def test_a_folder_of_pictures_is_a_recording_too(replayed, make_video, tmp_path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    with av.open(str(make_video())) as container:
        for i, shown in enumerate(container.decode(video=0)):
            assert cv2.imwrite(str(folder / f"{i}.png"), shown.to_ndarray(format="bgr24"))
    assert replayed(video=folder).summary["judged"] == 60


def test_progress_is_told_frame_by_frame_with_the_stated_length(replayed) -> None:
    told: list[tuple[int, int | None]] = []
    replayed(progress=lambda done, of: told.append((done, of)))
    assert told == [(i, 60) for i in range(1, 61)]


def test_the_annotated_film_has_every_frame_at_its_time(replayed, make_video) -> None:
    times_ms = [40 * i + 13 * (i % 2) for i in range(60)]
    out = replayed(video=make_video("odd.mkv", times_ms=times_ms), annotate=True).out
    with av.open(str(out / "annotated.mp4")) as container:
        shown = list(container.decode(video=0))
    assert len(shown) == 60
    assert [round(float(each.pts * each.time_base) * 1000) for each in shown] == times_ms
    assert (shown[0].width, shown[0].height) == (96, 64)
    intruded, free = (redness(shown[i].to_ndarray(format="bgr24")[39:45, 85:94]) for i in (37, 30))
    assert intruded > free + 15  # beside the names, the stop zone lights up with the hand in it


def redness(image: np.ndarray) -> float:
    return float(image[..., 2].mean() - image[..., 0].mean())


def test_a_picture_of_odd_size_can_be_annotated(scripted, settings, tmp_path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for i in range(3):
        assert cv2.imwrite(str(folder / f"{i}.png"), _noise(i))
    out = replay_video(
        folder, settings, tmp_path / "out", annotate=True, detector_for=lambda *_: scripted({})
    ).out
    with av.open(str(out / "annotated.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (98, 66)


def _noise(seed: int):
    return np.random.default_rng(seed).integers(60, 200, (65, 97, 3)).astype(np.uint8)


def test_without_annotate_there_is_no_film(replayed) -> None:
    result = replayed()
    assert sorted(path.name for path in result.out.iterdir()) == ["decisions.jsonl", "summary.json"]
    assert result.summary["annotated"] is None


@pytest.mark.parametrize("content", [b"", b"this is no video at all"])
def test_a_file_that_is_no_video_is_refused_by_name_and_leaves_nothing(replayed, tmp_path, content) -> None:
    video = tmp_path / "broken.mp4"
    video.write_bytes(content)
    with pytest.raises(DeviceMissing, match=r"broken\.mp4: expected") as caught:
        replayed(video=video)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_truncated_video_is_a_damaged_recording_and_leaves_nothing(replayed, make_video, tmp_path) -> None:
    whole = make_video("whole.mkv", frames=200, size_px=(320, 240))
    video = tmp_path / "cut.mkv"
    video.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(RecordingError, match=r"cut\.mkv: after frame \d+") as caught:
        replayed(video=video, annotate=True)
    assert caught.value.exit_code == 3
    assert list((tmp_path / "out").iterdir()) == []


def test_a_failed_replay_leaves_the_results_of_the_one_before(replayed, make_video, tmp_path) -> None:
    out = replayed().out
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    cut = tmp_path / "cut.mkv"
    whole = make_video("whole.mkv", frames=200, size_px=(320, 240)).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingError):
        replayed(video=cut)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_zones_that_do_not_fit_the_video_are_refused_before_anything_is_written(
    replayed, settings_from, tmp_path
) -> None:
    drawn = "[{name: far, role: stop, polygon: [[0, 0], [640, 0], [640, 360]]}]"
    text = f"version: 1\ncamera: {{source: 0}}\nzones: {drawn}\nrelay: {{driver: none}}\n"
    with pytest.raises(ConfigError, match=r"zones\[0\].polygon: expected corners inside the 96x64 picture"):
        replayed(with_settings=settings_from(text))
    assert not (tmp_path / "out").exists()


def test_a_place_where_no_folder_can_be_is_named(replayed, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--out .*file/out"):
        replayed(tmp_path / "file" / "out")


def test_a_disk_that_is_full_is_named_and_leaves_nothing(make_video, settings, scripted, tmp_path) -> None:
    def full(done: int, of: int | None) -> None:
        if done == 10:
            raise OSError(28, "No space left on device")

    options = {"progress": full, "detector_for": lambda *_: scripted({})}
    with pytest.raises(RecordingError, match=r"out: expected a place to write .* No space left"):
        replay_video(make_video(), settings, tmp_path / "out", **options)
    assert list((tmp_path / "out").iterdir()) == []


PROGRAM = """
import sys, time
from pathlib import Path
import numpy as np
from handguard.config import load
from handguard.replay.replay import replay_video
from handguard.types import Detections

class Slow:
    description = "slow"
    def detect(self, frame):
        print(frame.seq, flush=True)
        time.sleep(0.05)
        none = np.zeros(0, np.float32)
        return Detections(none.reshape(0, 4), none, none.astype(np.int64), frame.seq, frame.captured_ns)

video, config, out = map(Path, sys.argv[1:])
replay_video(video, load(config), out, annotate=True, detector_for=lambda *_: Slow())
"""


def test_kill_9_in_the_middle_leaves_nothing_under_the_final_names(
    make_video, settings_from, tmp_path
) -> None:
    settings_from()
    out = tmp_path / "out"
    arguments = [str(make_video(frames=200)), str(tmp_path / "site.yaml"), str(out)]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "20":
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    names = [path.name for path in out.iterdir()]
    assert any(name.startswith(".decisions.jsonl.") for name in names)
    assert not {"decisions.jsonl", "summary.json", "annotated.mp4"} & set(names)
