"""The bench as a person starts it, and the parts of it that could lie."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml

from handguard.bench.course import _result, rehearsal, spans_ms
from handguard.bench.pictures import Footage, PictureLoop, free_frames_needed
from handguard.bench.stopwatch import STAGES, NetworkClock, Stopwatch
from handguard.bench.worker import measured, settings_of
from handguard.config import load
from handguard.errors import DeviceError, EndOfVideo
from handguard.types import PictureFormat

ROOT = Path(__file__).parents[2]
REAL = """
version: 1
camera: {source: 0}
zones: {orientation: left-right, warning_percent: 9, stop_percent: 5}
relay: {driver: gpio, port: /dev/gpiochip0, second: {driver: lcus, port: /dev/ttyUSB0}, deadline_ms: 120}
warning: {lamp: {driver: lcus, port: /dev/ttyUSB1}}
"""


def footage(free: int = 3, hands: int = 2, fps: float = 1000.0) -> Footage:
    """Pictures that carry their number: 0, 1, … free ones, 100, 101, … with a hand."""
    pictures = [np.full((8, 8, 3), number, np.uint8) for number in (*range(free), *range(100, 100 + hands))]
    return Footage("numbers", PictureFormat(8, 8, fps), tuple(pictures[:free]), tuple(pictures[free:]))


def test_the_whole_command_times_every_stage_and_every_trip_reaches_the_board(tmp_path: Path):
    out, picture = tmp_path / "bench.json", tmp_path / "bench.png"
    site = tmp_path / "site.yaml"
    demo = (ROOT / "configs/demo.yaml").read_text()
    site.write_text(demo.replace("1280", "640").replace("720", "360"))  # the scene is drawn sooner
    options = ["--config", str(site), "--frames", "90", "--no-recorder", "--no-bare", "--starts", "1"]
    options += ["--json", str(out), "--histogram", str(picture)]
    done = subprocess.run(
        [sys.executable, "-m", "handguard", "bench", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "frame → OFF bytes" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    result = json.loads(out.read_text())
    (stream,) = result["streams"]
    assert stream["judged"] > 30
    assert stream["trips"] >= 1
    assert 1 <= stream["frame_to_board_ms"]["count"] <= stream["trips"]
    assert stream["frame_to_board_ms"]["max"] < 250  # the keeper's deadline would have done it by then
    assert all(stream["ms"][stage]["p50"] > 0 for stage in STAGES)
    assert stream["frame_to_board_ms"]["p50"] > stream["ms"]["network"]["p50"]
    assert set(stream["states"]) >= {"RUN", "TRIPPED"}
    assert stream["faults"] == []
    assert result["start"]["total_s"] > result["start"]["as_on_a_machine_s"] > 0


def test_a_measurement_touches_nothing_real(tmp_path: Path):
    file = tmp_path / "site.yaml"
    file.write_text(REAL)
    settings = rehearsal(load(file), tmp_path, recorder=False)
    told = yaml.safe_dump(settings.model_dump(mode="json"))
    assert "/dev/" not in told
    assert settings.relay.driver == "simulated"
    assert settings.relay.deadline_ms == 120
    assert settings.warning.lamp is None
    assert settings.evidence.dir == str(tmp_path / "runs")
    assert not settings.evidence.clips.enabled


def test_pictures_come_in_turns_stamped_anew_and_end():
    loop = PictureLoop(footage(), frames=10, free_frames=4)
    frames = [loop.read() for _ in range(10)]
    assert [int(frame.image[0, 0, 0]) for frame in frames[:6]] == [0, 1, 2, 0, 100, 101]
    assert [frame.seq for frame in frames] == list(range(10))
    stamps = [frame.captured_ns for frame in frames]
    assert stamps == sorted(set(stamps))
    with pytest.raises(EndOfVideo):
        loop.read()


def test_footage_without_hands_is_shown_all_the_same():
    loop = PictureLoop(footage(hands=0), frames=6, free_frames=2)
    assert [int(loop.read().image[0, 0, 0]) for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_an_interrupted_loop_says_so():
    loop = PictureLoop(footage(), frames=10, free_frames=4)
    loop.interrupt()
    with pytest.raises(DeviceError, match="closed"):
        loop.read()


def test_a_hand_comes_only_when_the_machine_can_run_again():
    settings = load(ROOT / "configs/demo.yaml")
    pause_s = settings.reset.after_free_s
    assert free_frames_needed(settings, 30.0) >= settings.interlock.free_frames + (pause_s + 0.3) * 30


def test_stages_add_up_to_the_whole():
    rows = np.cumsum([[5.0, 1, 2, 4, 8, 16, 32, 64]], axis=1)
    spans = spans_ms(rows)
    assert spans["frame to permit"] == 127
    assert sum(spans[stage][0] for stage in STAGES) == 127
    assert spans["network"] == 8
    assert spans["outside the network"] == 119
    assert spans["detector call"] == 4 + 8 + 16


def test_a_run_in_which_nothing_was_judged_is_no_measurement():
    detector = SimpleNamespace(network=NetworkClock(), asked_ns=0)
    with pytest.raises(DeviceError, match="frames judged"):
        _result(Stopwatch(detector, SimpleNamespace(sent_ns=0), 10), np.empty((0, 3), np.int64))


def test_a_wrong_setting_is_one_message_and_exit_2(tmp_path: Path):
    file = tmp_path / "site.yaml"
    file.write_text(REAL.replace("deadline_ms: 120", "deadline_ms: 9999"))
    done = subprocess.run(
        [sys.executable, "-m", "handguard", "bench", "--config", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "deadline_ms" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_measurement_finds_footage_and_network_from_the_folder_that_it_is_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "pics").mkdir()
    noise = np.random.default_rng(0)
    for number in range(4):
        picture = noise.integers(90, 120, (180, 320, 3), np.uint8)
        assert cv2.imwrite(str(tmp_path / "pics" / f"{number}.png"), picture)
    (tmp_path / "m").mkdir()
    for name in ("palmnet-s.json", "palmnet-s.safetensors"):
        shutil.copy(ROOT / "models" / name, tmp_path / "m" / name)
    (tmp_path / "queue.py").write_text("raise ImportError('a file of the person took part')")
    (tmp_path / "site.yaml").write_text(REAL + "detector: {model: m/palmnet-s, min_score: 0.9}\n")
    monkeypatch.chdir(tmp_path)
    order = {"do": "bare", "rounds": 2, "realtime": False, "config": "site.yaml", "source": "pics", "threads": 1}
    result = measured(order)
    assert result["detector"].startswith("palmnet-s ")
    assert result["call_ms"]["count"] == 2


@pytest.mark.parametrize("option", ["--json", "--histogram"])
@pytest.mark.parametrize(("name", "why"), [("nowhere/a.out", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, option: str, name: str, why: str
):
    done = subprocess.run(
        [sys.executable, "-m", "handguard", "bench", option, str(tmp_path / name)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()  # and none of those that tell what is being measured
    assert f"{option} {tmp_path / name}: expected a file that can be written, found {why}" in line
    assert list(tmp_path.iterdir()) == []


def test_a_strict_site_is_measured_with_a_film_in_place_of_its_camera(tmp_path: Path):
    """Nothing real is behind it, so what the profile refuses of a real board does not matter."""
    site = tmp_path / "site.yaml"
    site.write_text(
        "version: 1\ncamera: {source: 0}\nsafety: {profile: strict}\nrelay: {driver: heartbeat, port: /dev/a}\n"
        "reset: {input: keyboard}\nzones: {orientation: left-right, warning_percent: 60, stop_percent: 30}\n"
    )
    settings = settings_of({"config": str(site), "source": "film.mp4"})
    assert (settings.camera.source, settings.safety.profile) == ("film.mp4", "basic")
