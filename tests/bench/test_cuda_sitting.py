"""A sitting before a card: the most important first, and nothing is lost by a step that hangs or dies."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SPAN = {"count": 100, "p50": 1.25, "p99": 2.5, "p999": None, "max": 3.0, "min": 1.0}


@pytest.fixture
def sitting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # as when it is run as a program
    import cuda_sitting

    yield cuda_sitting
    sys.modules.pop("cuda_sitting")


def ordered(sitting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps, *more: str) -> dict:
    monkeypatch.setattr(sitting, "steps", lambda wanted: steps(wanted))
    words = ["--out", str(tmp_path / "out"), "--scratch", str(tmp_path / "scratch"), "--device", "cpu", *more]
    monkeypatch.setattr(sys, "argv", ["cuda_sitting.py", *words])
    sitting.main()
    return json.loads((tmp_path / "out" / sitting.RESULT).read_text())


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_step_that_hangs_and_one_that_dies_cost_the_others_nothing(sitting, monkeypatch, tmp_path: Path, capsys):
    child = tmp_path / "child"
    hangs = (
        "import subprocess, time, pathlib; p = subprocess.Popen(['sleep', '60']);"
        f" pathlib.Path({str(child)!r}).write_text(str(p.pid)); time.sleep(60)"
    )

    def steps(wanted):
        networks = {"networks": {"small": {"latency_ms": {"fp16": SPAN}}}}
        writes = f"open({str(wanted.scratch / 'fast.json')!r}, 'w').write({json.dumps(networks)!r})"
        return [
            sitting.Step("hangs", 2, python(hangs)),
            sitting.Step("dies", 20, python("raise SystemExit(3)")),
            sitting.Step("fast", 20, python(writes)),
        ]

    began = time.monotonic()
    found = ordered(sitting, monkeypatch, tmp_path, steps)
    assert time.monotonic() - began < 30
    assert [one["how"] for one in found["steps"].values()] == ["stopped after 2 s", "exit 3", "exit 0"]
    assert found["fast"]["networks"]["small"]["latency_ms"]["fp16"]["p50"] == 1.25
    assert f"{'fast small fp16':66}{100:>7}{'1.250':>9}{'2.500':>9}{'–':>9}{'3.000':>9}" in capsys.readouterr().out
    gone = int(child.read_text())
    for _ in range(50):
        if not Path(f"/proc/{gone}").exists() or " Z " in Path(f"/proc/{gone}/stat").read_text():
            break
        time.sleep(0.1)
    else:
        os.kill(gone, 9)
        pytest.fail("what the step had started went on")


def test_without_time_a_step_is_left_out_and_told_so(sitting, monkeypatch, tmp_path: Path):
    found = ordered(
        sitting, monkeypatch, tmp_path, lambda _: [sitting.Step("late", 9, python(""))], "--seconds", "5"
    )
    assert found["steps"] == {"late": {"how": "left out: no time", "seconds": 0.0}}


def test_only_what_is_asked_for_is_run_and_old_numbers_go(sitting, monkeypatch, tmp_path: Path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "one.json").write_text('{"networks": {}}')
    steps = [sitting.Step(name, 20, python("")) for name in ("one", "two")]
    found = ordered(sitting, monkeypatch, tmp_path, lambda _: steps, "--only", "one")
    assert list(found) == ["steps"] and list(found["steps"]) == ["one"]


def test_the_steps_are_programs_that_are_there(sitting, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(sys, "argv", ["cuda_sitting.py", "--out", str(tmp_path), "--scratch", str(tmp_path)])
    steps = sitting.steps(sitting.orders())
    assert [one.name for one in steps][:3] == ["tests", "fast", "live"]
    for one in steps:
        assert all(Path(word).exists() for word in one.command if word.endswith(".py")), one.name
        assert sum(one.limit_s for one in steps) < 600
