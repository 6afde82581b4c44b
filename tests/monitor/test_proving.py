"""The whole program proves itself: at the start, while it runs, and with a hand, on a board behind a real pty."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import yaml

from handguard.checkup import DIFFERS
from handguard.config import load
from handguard.evidence.reading import read_records
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify
from handguard.watch import LiveRun, Options

ROOT = Path(__file__).parents[2]
INTAKE = {
    "name": "intake", "role": "stop", "units": "norm",
    "polygon": [[0.27, 0], [0.73, 0], [0.73, 0.36], [0.27, 0.36]],
}  # fmt: skip
BELT = {
    "name": "belt", "role": "warning", "units": "norm",
    "polygon": [[0.27, 0.36], [0.73, 0.36], [0.73, 0.6], [0.27, 0.6]],
}  # fmt: skip
SITE = {
    "version": 1,
    "camera": {"source": "simulated", "width_px": 640, "height_px": 360, "fps": 20, "max_frame_age_ms": 250},
    "zones": [INTAKE, BELT],
    "detector": {"region": "full"},
    "interlock": {"free_frames": 3},
    "relay": {"driver": "simulated", "deadline_ms": 250, "edm_timeout_ms": 500},
    "reset": {"input": "simulated", "after_free_s": 0.3},
}  # fmt: skip


def site(folder: Path, **changes: object) -> Path:
    path = folder / "site.yaml"
    evidence = {"dir": str(folder / "runs"), "clips": {"enabled": False}}
    path.write_text(yaml.safe_dump({**SITE, "evidence": evidence, **changes}))
    return path


def handguard(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "handguard", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=400, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def words(folder: Path, action: str) -> list[dict]:
    """Every operator's record of that action."""
    return [one for one in read_records(folder / "evidence") if one.get("action") == action]


def test_a_damaged_compiled_network_is_not_armed(tmp_path: Path):
    config, cache = site(tmp_path, detector={"precision": "float32"}), tmp_path / "cache"
    good = handguard("self-test", "-c", config, "--out", tmp_path / "good", XDG_CACHE_HOME=str(cache))
    assert good.returncode == 0, good.stderr
    assert [line.split()[0] for line in good.stdout.splitlines()] == [
        "room", "clock", "configuration", "detector", "proof", "contact",
    ]  # fmt: skip
    assert words(tmp_path / "good", "arm") == []
    (weights,) = cache.rglob("*.bin")
    numbers = np.frombuffer(weights.read_bytes(), np.float32).copy()
    numbers[: len(numbers) // 2] *= np.float32(0.9)
    weights.write_bytes(numbers.tobytes())
    bad = handguard("run", "-c", config, "--out", tmp_path / "bad", XDG_CACHE_HOME=str(cache))
    assert bad.returncode == 2, bad.stdout
    assert "detector: the golden picture gives another answer than its card says" in bad.stderr
    assert not (tmp_path / "bad" / "board.jsonl").exists()  # no relay was ever opened
    assert verify(tmp_path / "bad" / "evidence").verdict is Verdict.INTACT
    faults = [one["name"] for one in read_records(tmp_path / "bad" / "evidence") if one["kind"] == "fault"]
    assert faults == ["self-test"]
    assert words(tmp_path / "bad", "arm") == []


class Drifted:
    """An engine whose answers have become a little weaker: on an empty table nobody sees it."""

    def __init__(self, engine) -> None:
        self._engine = engine
        self.canvas, self.priors, self.description = engine.canvas, engine.priors, engine.description

    def infer(self):
        logits, offsets = self._engine.infer()
        return logits - 0.5, offsets


def test_a_detector_that_drifts_while_the_machine_runs_ends_in_off_and_lockout(calm_video: Path, tmp_path: Path):
    camera = {"source": str(calm_video), "max_frame_age_ms": 250}
    config = load(site(tmp_path, camera=camera, detector={"self_check_s": 1.0}))
    out = tmp_path / "out"
    with ExitStack() as stack:
        live = LiveRun(config, Options(out, panel=False, realtime=False), out, stack)
        assert live.board is not None
        assert live.checkup is not None
        loop = threading.Thread(target=live.monitor.run, args=(25.0,))
        loop.start()
        assert live.board.wait_until(lambda board: board.closed() and live.checkup.asked > 0, 25)
        live.parts.detector.engine = Drifted(live.parts.detector.engine)
        assert live.board.wait_until(lambda board: "LOCKOUT" in live.summary._states and not board.closed(), 25)
        live.monitor.stop()  # a late frame may have opened the contact before, on a busy machine
        loop.join()
        live.finish()
    summary = live.written()
    assert summary["states_visited"][-1] == "LOCKOUT"
    assert summary["self_check"]["asked"] >= 2
    (fault,) = [one for one in read_records(out / "evidence") if one["kind"] == "fault"]
    assert fault["name"] == DIFFERS
    assert "missing" in fault["detail"]
    print(f"the check took {summary['self_check']['longest_ms']} ms at most")


def test_a_proof_test_on_a_board_is_signed_and_opens_the_way_to_arm_until_something_changes(tmp_path: Path):
    steps = [{"name": "hand", "piece": "bare hand", "zone": "intake"}, {"name": "glove", "piece": "glove"}]
    proof = {"max_age_h": 1, "max_response_ms": 500, "step_limit_s": 120, "steps": steps}
    config, record = site(tmp_path, safety={"proof_test": proof}), tmp_path / "runs" / "20260101-000000Z-proof-test"
    refused = handguard("run", "-c", config, "--duration", 1)
    assert refused.returncode == 2
    assert "a passed one within 1 h is needed" in refused.stderr
    done = handguard("proof-test", "-c", config, "--who", "A. Person", "--out", record)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Step 2 of 2, glove: keep the zones free, press reset" in done.stdout
    assert verify(record / "evidence").verdict is Verdict.INTACT
    assert [one["detail"] for one in words(record, "arm")] == ["proof test"]
    (word,) = words(record, "proof_test")
    said = json.loads(word["detail"])
    assert (word["who"], said["passed"], said["ended_early"]) == ("A. Person", True, "")
    last = [step["attempts"][-1] for step in said["steps"]]
    assert all(one["passed"] and one["zone"] == "intake" and one["response_ms"] <= 500 for one in last)
    assert all(one["confirmed_ms"] is not None for one in last)
    assert "Proof test by A. Person: PASSED" in (record / "proof-test.txt").read_text()
    armed = handguard("run", "-c", config, "--duration", 1, "--out", tmp_path / "armed")
    assert armed.returncode == 0, armed.stderr
    site(tmp_path, safety={"proof_test": {**proof, "max_age_h": 2}})
    changed = handguard("run", "-c", config, "--duration", 1, "--out", tmp_path / "changed")
    assert changed.returncode == 2
    assert "the configuration has changed since" in changed.stderr


@pytest.mark.slow
def test_a_proof_test_that_nobody_does_is_not_passed(tmp_path: Path, calm_video: Path):
    proof = {"step_limit_s": 2, "attempts": 3, "steps": [{"name": "hand", "piece": "bare hand"}]}
    camera = {"source": str(calm_video), "max_frame_age_ms": 250}
    config = site(tmp_path, camera=camera, safety={"proof_test": proof})
    done = handguard("proof-test", "-c", config, "--who", "A. Person", "--out", tmp_path / "record")
    assert done.returncode == 1, done.stderr
    (word,) = words(tmp_path / "record", "proof_test")
    said = json.loads(word["detail"])
    assert said["passed"] is False
    failures = [one["why"] for one in said["steps"][0]["attempts"]]
    assert "no stop within 2 s" in failures, failures  # on a busy machine, another may be a frame that came late
    assert "FAILED: no stop within 2 s" in done.stdout
