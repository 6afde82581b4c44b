"""A test of real time is repeated if the computer stood still, and only then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.stalls import STALL_S
from tests.witness import Witness

ROOT = Path(__file__).parents[1]


def stop_for(process: subprocess.Popen[bytes], seconds: float) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGCONT)
    time.sleep(0.1)


def test_a_witness_that_got_no_time_says_so() -> None:
    with Witness() as witness:
        time.sleep(0.5)  # until it runs
        began_s = time.monotonic()
        stop_for(witness._process, 3 * STALL_S)
        seen_s = witness.longest_s(began_s)
        assert 2 * STALL_S < seen_s < 30
        assert witness.longest_s(began_s) == seen_s, "what was seen is remembered"
        assert witness.longest_s(time.monotonic() + 60) == 0
    assert witness._process.returncode == 0


SUITE = """
from __future__ import annotations

from pathlib import Path

from tests.stalls import WITNESS

TRIES = Path(__file__).with_name("tries")


def test_fails_at_first(pytestconfig) -> None:
    tries = int(TRIES.read_text()) if TRIES.exists() else 0
    TRIES.write_text(str(tries + 1))
    pytestconfig.stash[WITNESS].longest_s = lambda since_s: {late_s}
    assert tries == 1
"""


@pytest.mark.slow
@pytest.mark.parametrize(("late_s", "folder", "tries"), [(0.25, "relay", 2), (0.0, "relay", 1), (0.25, "safety", 1)])
def test_only_a_stall_and_only_real_time_gives_a_second_try(
    tmp_path: Path, late_s: float, folder: str, tries: int
) -> None:
    place = tmp_path / folder
    place.mkdir()
    (place / "test_drawn.py").write_text(SUITE.replace("{late_s}", str(late_s)))
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.stalls"]')
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", str(place)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert (place / "tries").read_text() == str(tries), run.stdout + run.stderr
    assert (run.returncode == 0) == (tries == 2)
    assert ("DONE AGAIN" in run.stdout) == (tries == 2)
