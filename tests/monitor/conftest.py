"""Real runs of the real program: its own process, a simulated board on a real pty, a video that is made here."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CALM = {
    "version": 1,
    "camera": {"source": "calm.mp4", "max_frame_age_ms": 250},
    "zones": [
        {
            "name": "blades",
            "role": "stop",
            "units": "norm",
            "polygon": [[0.3, 0.6], [0.7, 0.6], [0.7, 1], [0.3, 1]],
        }
    ],
    "interlock": {"free_frames": 3},
    "relay": {"driver": "simulated", "deadline_ms": 250},
    "reset": {"input": "simulated", "after_free_s": 0.3},
}


@pytest.fixture(scope="session")
def calm_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty seconds of a dull, slightly noisy table: nothing to find, and no two frames alike."""
    path = tmp_path_factory.mktemp("video") / "calm.mp4"
    rng = np.random.default_rng(0)
    table = np.full((240, 320, 3), (96, 104, 110), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.bit_rate = 320, 240, 4_000_000
        for _ in range(900):
            noisy = table + rng.integers(0, 12, table.shape, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="bgr24")))
        container.mux(stream.encode())
    return path


@dataclass
class Run:
    """One started monitor."""

    process: subprocess.Popen[str]
    out: Path

    def board(self) -> list[dict]:
        log = self.out / "board.jsonl"
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def contacts(self) -> list[tuple[int, bool]]:
        return [(line["ns"], line["closed"]) for line in self.board() if line["event"] == "contact"]

    def is_on(self) -> bool:
        contacts = self.contacts()
        return bool(contacts) and contacts[-1][1]

    def wait(self, condition: Callable[[], bool], limit_s: float = 60.0) -> None:
        give_up = time.monotonic() + limit_s
        while not condition():
            if self.process.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"waited in vain (exit {self.process.poll()}): {self.said()}")
            time.sleep(0.01)

    def said(self) -> str:
        if self.process.poll() is None:
            self.process.kill()
        return "\n".join(self.process.communicate())

    def summary(self) -> dict:
        return json.loads((self.out / "summary.json").read_text())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


Starter = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path, calm_video: Path) -> Iterator[Starter]:
    """`start(arguments…, **changes of the configuration)` starts a monitor on the calm video."""
    runs: list[Run] = []

    def begin(*arguments: str, **changes: object) -> Run:
        config = tmp_path / f"config{len(runs)}.yaml"
        camera = {**CALM["camera"], "source": str(calm_video)}
        evidence = {"dir": str(tmp_path / "runs")}
        config.write_text(yaml.safe_dump({**CALM, "camera": camera, "evidence": evidence, **changes}))
        out = tmp_path / f"out{len(runs)}"
        command = [sys.executable, str(ROOT / "run_monitor.py"), "--no-realtime"]  # tests share the cores
        command += ["--config", str(config), "--out", str(out)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        runs.append(Run(subprocess.Popen([*command, *arguments], cwd=tmp_path, **pipes), out))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
        run.process.communicate()
