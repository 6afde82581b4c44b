"""Small recordings, a detector that follows a script, and settings for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml

from handguard.assembly import card_of, rules_of
from handguard.config import fingerprint, load
from handguard.config.schema import Settings
from handguard.errors import EndOfVideo
from handguard.evidence.ledger import WritePolicy
from handguard.evidence.schema import Genesis
from handguard.evidence.signing import SigningKey
from handguard.evidence.writer import EvidenceWriter
from handguard.pipeline import Senses, permit_of
from handguard.ports import Detector
from handguard.relay.operator import SimulatedOperator
from handguard.replay.ticks import Course
from handguard.types import Detections, Frame, PictureFormat

ROOT = Path(__file__).parents[2]
WIDTH_PX, HEIGHT_PX, FPS = 96, 64, 25
MS = 1_000_000
Boxes = Sequence[tuple[float, float, float, float]]
IN_STOP, IN_WARNING, AWAY = (10.0, 40.0, 30.0, 60.0), (10.0, 20.0, 30.0, 30.0), (10.0, 0.0, 30.0, 8.0)

CONFIG = """
version: 1
camera: {source: simulated}
zones: {orientation: top-bottom, warning_percent: 80, stop_percent: 40}
interlock: {free_frames: 3}
relay: {driver: simulated}
reset: {input: simulated, after_free_s: 0.2}
"""
SITE = CONFIG.replace("zones:", "detector: {min_score: 0.9}\nzones:")  # a network that finds little


def picture(seq: int, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> np.ndarray:
    """Never the same picture twice: noise on gray, as a camera gives."""
    noise = np.random.default_rng(seq).integers(-20, 20, (height_px, width_px, 3))
    return (128 + noise).astype(np.uint8)


class Scripted:
    """A `Detector` that finds what the script says for each frame number; otherwise nothing."""

    description = "scripted"

    def __init__(self, script: Mapping[int, Boxes] | Callable[[int], Boxes]) -> None:
        self._boxes = script if callable(script) else lambda seq: script.get(seq, ())
        self.frames: list[int] = []

    def detect(self, frame: Frame) -> Detections:
        self.frames.append(frame.seq)
        boxes = np.array(self._boxes(frame.seq), np.float32).reshape(-1, 4)
        count = len(boxes)
        scores = np.linspace(0.91234, 0.6, count, dtype=np.float32)
        return Detections(boxes, scores, np.arange(count) % 2, frame.seq, frame.captured_ns)


class Pictures:
    """A finite `FrameSource`; `times_ms` gives each frame its time, an exception breaks it off."""

    name = "pictures"

    def __init__(self, times_ms: Sequence[float], *, fails: Exception | None = None) -> None:
        self.format = PictureFormat(WIDTH_PX, HEIGHT_PX, float(FPS))
        self._frames: Iterator[tuple[int, float]] = iter(enumerate(times_ms))
        self._fails = fails
        self.closed = 0

    def read(self) -> Frame:
        seq, at_ms = next(self._frames, (-1, 0.0))
        if seq < 0:
            raise self._fails or EndOfVideo("pictures: ended")
        return Frame(seq, round(at_ms * MS), picture(seq))

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture
def pictures() -> type[Pictures]:
    return Pictures


@pytest.fixture
def settings_from(tmp_path: Path) -> Callable[[str], Settings]:
    """Settings from YAML text."""

    def make(text: str = CONFIG) -> Settings:
        path = tmp_path / "site.yaml"
        path.write_text(text)
        return load(path)

    return make


@pytest.fixture
def settings(settings_from: Callable[[str], Settings]) -> Settings:
    """Stop zone in the lower 40 % of the picture, warning zone in the lower 80 %."""
    return settings_from(CONFIG)


@pytest.fixture
def rules(settings: Settings):
    return rules_of(settings, PictureFormat(WIDTH_PX, HEIGHT_PX, float(FPS)))


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """`make_video(name, frames, times_ms=…)` writes a real video of noisy pictures."""

    def make(
        name: str = "clip.mp4",
        frames: int = 60,
        *,
        times_ms: Sequence[int] | None = None,
        size_px: tuple[int, int] = (WIDTH_PX, HEIGHT_PX),
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=FPS, options={"crf": "18", "preset": "ultrafast"})
            stream.width, stream.height = size_px
            stream.pix_fmt = "yuv420p"
            if times_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            for seq in range(frames):
                shown = av.VideoFrame.from_ndarray(picture(seq, *size_px), format="bgr24")
                if times_ms is not None:
                    shown.pts, shown.time_base = times_ms[seq], Fraction(1, 1000)
                container.mux(stream.encode(shown))
            container.mux(stream.encode(None))
        return path

    return make


class _Now:
    """A clock that a test sets, in ns."""

    ns = 0

    def now_ns(self) -> int:
        return self.ns


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """`make_run(settings, detector, frames=60)` writes the record of a run, as live, without waiting for time."""

    def make(
        settings: Settings, detector: Detector, frames: int = 60, *, name: str = "run", weights: str | None = None
    ) -> Path:
        clock, format_ = _Now(), PictureFormat(WIDTH_PX, HEIGHT_PX, float(FPS))
        course = Course(detector, clock, rules_of(settings, format_))
        operator = SimulatedOperator(settings.reset.after_free_s)
        genesis = Genesis(
            "machine", "0.1.0", fingerprint(settings), weights or card_of(settings).weights_sha256, "boot",
            settings=settings.model_dump(mode="json"),
            picture={"width_px": WIDTH_PX, "height_px": HEIGHT_PX, "fps": float(FPS)},
        )  # fmt: skip
        folder = tmp_path / name
        with EvidenceWriter.open(folder / "evidence", genesis, SigningKey.generate(), WritePolicy()) as book:
            for seq in range(frames):
                clock.ns = (1 + seq) * 1000 * MS // FPS
                operator.look(course.memory.interlock.state, clock.ns)
                frame = Frame(seq, clock.ns, picture(seq))
                decision = course.step(Senses(clock.ns, frame, operator.read().down))
                book.record(decision, permit_of(course.memory, decision, seq + 1))
        return folder

    return make


SCENE = {
    "version": 1,
    "camera": {"source": "simulated", "width_px": 480, "height_px": 270, "fps": 8, "max_frame_age_ms": 250},
    "zones": [
        {"name": "a", "role": "stop", "units": "norm", "polygon": [[0.27, 0], [0.73, 0], [0.73, 0.36], [0.27, 0.36]]},
        {"name": "b", "role": "warning", "units": "norm", "polygon": [[0, 0], [1, 0], [1, 0.6], [0, 0.6]]},
    ],
    "interlock": {"free_frames": 3},
    "relay": {"driver": "simulated", "deadline_ms": 250},
    "reset": {"input": "simulated", "after_free_s": 0.2},
}


@pytest.fixture
def scene() -> dict[str, Any]:
    """The settings of `live_run`, but for its folders."""
    return SCENE


@pytest.fixture(scope="session")
def live_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of fifteen seconds over the simulated scene, with keeper and board."""
    folder = tmp_path_factory.mktemp("live")
    quiet = {"dir": str(folder / "runs"), "clips": {"enabled": False}}
    (folder / "site.yaml").write_text(yaml.safe_dump({**SCENE, "evidence": quiet}))
    command = [sys.executable, str(ROOT / "run_monitor.py"), "--config", str(folder / "site.yaml"), "--no-realtime"]
    command += ["--duration", "15", "--out", str(folder / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=180)
    assert done.returncode == 0, done.stderr
    return folder / "out"
