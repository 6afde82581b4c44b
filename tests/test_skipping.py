"""A test that is left out is seen, and under CI only absent data excuses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
ROOT = Path(__file__).parents[1]

SUITE = """
import pytest

@pytest.mark.needs_footage("no-such-clip.mp4")
def test_on_footage(): ...

@pytest.mark.needs_program("no-such-program")
def test_with_a_program(): ...

@pytest.mark.needs_module("no_such_module")
def test_with_a_module(): ...

def test_that_skips_by_itself():
    pytest.importorskip("no_such_module_either")

@pytest.mark.xfail(strict=True)
def test_known_to_fail():
    assert False
"""


def run_suite(folder: Path, *, ci: bool) -> tuple[int, str]:
    folder.joinpath("conftest.py").write_text(CONFTEST.read_text())
    folder.joinpath("test_suite.py").write_text(SUITE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CI": "true" if ci else ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    return done.returncode, done.stdout


def test_on_a_desk_every_skip_is_listed_with_its_reason(tmp_path: Path) -> None:
    status, output = run_suite(tmp_path, ci=False)
    assert status == 0
    assert "4 skipped, 1 xfailed" in output
    assert "NOT SHOWN HERE" in output
    assert "test_with_a_program: the program no-such-program is not installed" in output


def test_under_ci_only_absent_footage_is_excused(tmp_path: Path) -> None:
    status, output = run_suite(tmp_path, ci=True)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "1 skipped, 1 xfailed" in output
    for name in ("test_with_a_program", "test_with_a_module", "test_that_skips_by_itself"):
        assert name in output
    assert "skipped although CI is set: the program no-such-program is not installed" in output
    assert "test_on_footage: footage is absent" in output
