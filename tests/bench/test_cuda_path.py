"""The measurement of the CUDA path, rehearsed on a CPU: every part of it runs, and tells what it could not do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from handguard.detection.card import locate, read_card
from handguard.detection.detector import Region
from handguard.detection.loading import Choice, load_detector
from handguard.types import Frame

ROOT = Path(__file__).parents[2]


def ran(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / program), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_the_rehearsal_measures_every_part_and_keeps_it(tmp_path: Path) -> None:
    out = tmp_path / "cuda.json"
    few = ("--device", "cpu", "--frames", 4, "--seconds", 5, "--within", 60, "--out", out)
    done = ran("cuda_path.py", *few, "--model", "palmnet-s", "--model", "nosuch", "--peer", "nosuch")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    assert "nosuch" in found["networks"]["nosuch"]["failed"]
    network = found["networks"]["palmnet-s"]
    assert network["latency_ms"]["float32"]["count"] == 4
    assert set(network["stages_ms"]["float32"]) > {"upload", "letterbox", "network", "boxes and suppression"}
    for told in network["parity"].values():
        assert told["hand_or_none_differs"] == 0
    assert network["parity"]["float32 against torch on the CPU"]["all_priors"]["score_largest"] < 1e-3
    left_out = list(network["peers_left_out"])
    assert left_out and all(name.startswith("torchvision nosuch") for name in left_out)


@pytest.mark.slow
def test_an_untrained_model_for_the_bench_finds_no_hand(tmp_path: Path) -> None:
    done = ran("cuda_networks.py", "palmnet-s", tmp_path)
    assert done.returncode == 0, done.stderr
    files = locate(str(tmp_path / "palmnet-s.safetensors"))
    width, height = read_card(files).input_px
    detector = load_detector(Choice(str(files.weights), "torch-cpu"), Region(0, 0, width, height))
    picture = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8).numpy()
    assert len(detector.detect(Frame(0, 0, picture))) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a graphics card")
def test_without_a_card_it_says_how_to_rehearse() -> None:
    done = ran("cuda_path.py")
    assert done.returncode != 0
    assert "expected a CUDA device" in done.stderr and "--device cpu" in done.stderr
