"""The table of ablations is of rows that are whole; a row that was over before it could be written is written."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from handguard.training.datasets import Split, load_split
from handguard.training.meter import METRICS, read_rows
from tests.training.conftest import DrawnSet

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NUMBERS = {"ap50_any": 0.5, "ap50_any_near": 0.7, "ap50_hand_near": 0.6, "ap50_gloved_hand_near": 0.4}


@pytest.fixture
def ablation(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # as when it is run as a program
    import ablation

    monkeypatch.setattr("handguard.training.command.summary", lambda answers: dict(NUMBERS))
    yield ablation
    for name in ("ablation", "ablation_page", "kept"):
        sys.modules.pop(name)


def test_a_row_that_was_over_before_this_start_has_its_numbers(ablation, drawn: DrawnSet, tmp_path: Path):
    row, size = ablation.Row("small", "says", larger=0.5), ablation.Size("cpu", 128, 2, 2, 0, 1)
    samples = [load_split(drawn.root, split) for split in Split]
    long_ago = 0.0
    first = ablation.trained(row, size, *samples, {}, None, tmp_path, until=long_ago + 1e12)
    again = ablation.trained(row, size, *samples, {}, None, tmp_path, until=long_ago)  # over: it stops at no step
    for found in (first, again):
        assert {name: found[name] for name in NUMBERS} == NUMBERS
        assert found["side_px"] == 64
    assert [one["step"] for one in read_rows(tmp_path / METRICS)] == [2]


def test_a_row_without_numbers_is_not_finished(ablation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = [ablation.Row("base", "whole"), ablation.Row("killed", "without numbers"), ablation.Row("new", "none yet")]
    monkeypatch.setattr(ablation, "ROWS", rows)
    for row, numbers in zip(rows, (NUMBERS, {}), strict=False):
        (tmp_path / ablation.slug(row)).mkdir()
        (tmp_path / ablation.slug(row) / "row.json").write_text(json.dumps({**numbers, "cpu_s": 1.0}))
    monkeypatch.setattr(ablation, "RESULTS", tmp_path)
    monkeypatch.setattr(ablation, "DOC", tmp_path / "ablation.md")
    cpu = ablation.SIZES_BY_DEVICE["cpu"]
    ablation.table(tmp_path, cpu)
    told = json.loads((tmp_path / "ablation-cpu.json").read_text())
    assert [row["name"] for row in told["rows"]] == ["base"] and told["not_finished"] == ["killed", "new"]
    assert "Not finished: killed; new." in (tmp_path / "ablation.md").read_text()
    (tmp_path / "base" / "row.json").write_text(json.dumps({**NUMBERS, "ap50_gloved_hand_near": None, "wall_s": 1.0}))
    ablation.table(tmp_path, replace(cpu, device="cuda"))
    page = (tmp_path / "ablation.md").read_text()
    assert page.index("a card;") < page.index("one thread of a CPU;"), "the larger runs first"
    assert "| base | whole | 0.500 | 0.700 | 0.600 | – |  |" in page
