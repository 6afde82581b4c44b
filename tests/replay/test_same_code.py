"""Replay decides nothing by itself: what judges here is what judges live."""

from __future__ import annotations

import ast
from pathlib import Path

import handguard.pipeline
from handguard.replay import ticks as ticks_module

REPLAY = Path(ticks_module.__file__).parent
JUDGES = {"handguard.safety.interlock", "handguard.safety.zones", "handguard.safety.camera_trust"}


def imported() -> set[str]:
    names = set()
    for path in REPLAY.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
    return names


def calls(name: str) -> int:
    nodes = [node for path in REPLAY.glob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    return sum(isinstance(func, ast.Name) and func.id == name for func in called)


def test_the_tick_of_replay_is_the_tick_of_the_monitor() -> None:
    assert ticks_module.advance is handguard.pipeline.advance
    assert calls("advance") == 1


def test_no_other_judge_is_imported() -> None:
    assert not imported() & JUDGES
    of_detection = {name for name in imported() if name.startswith("handguard.detection")}
    assert all(name.startswith("handguard.detection.card") for name in of_detection)  # a card only tells


def test_only_the_speed_of_a_replay_is_measured_on_a_real_clock() -> None:
    with_clock = {path.name for path in REPLAY.glob("*.py") if "import time" in path.read_text()}
    assert with_clock == {"replay.py", "job.py"}
