"""The site of a soak: the program with all that the strict profile asks, which only a run of it shows."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack

import pytest

from benchmarks.soak import __main__ as soaking
from benchmarks.soak.__main__ import Soak
from benchmarks.soak.account import verdicts
from benchmarks.soak.site import as_urgent_as_us

QUIET_SEED = 52  # nothing goes wrong by chance in 46 s


@pytest.fixture
def soak(tmp_path):
    with ExitStack() as stack:
        out = tmp_path / "soak"
        out.mkdir()
        stack.callback(subprocess.run, ["umount", out / "disk"], capture_output=True)
        yield Soak(out, QUIET_SEED, stack)


def until(soak, holds, limit_s=60.0):
    end_s = time.monotonic() + limit_s
    while not holds():
        soak.look()
        time.sleep(soaking.LOOK_S)
        assert time.monotonic() < end_s, soak.service.console.text[-2000:].decode(errors="replace")


def test_the_machine_runs_and_after_a_lockout_a_technician_lets_it_run_again(soak, tmp_path):
    until(soak, lambda: soak.observer.closings)
    os.kill(soak.service.processes()["keeper"], signal.SIGKILL)
    until(soak, lambda: soak.observer.openings)
    until(soak, lambda: soak.observer.closings > 1)
    assert soak.person.services == 1
    assert soak.observer.wrong == []
    soak.service.close()
    assert verdicts(tmp_path / "soak" / "disk" / "runs").keys() <= {"intact", "never begun"}


def test_a_soak_in_which_the_machine_never_runs_is_no_soak(soak, monkeypatch):
    monkeypatch.setattr(soaking, "FIRST_RUN_S", 0.0)
    with pytest.raises(RuntimeError, match=r"the machine has not run once; .*world\.jsonl has what was said"):
        soak.look()


@pytest.mark.parametrize("told", ["", "/autogroup-1 nice 0\n"], ids=["in a container", "in a session"])
def test_a_session_has_the_weight_of_ours_where_there_is_one(told, monkeypatch):
    written = []
    monkeypatch.setattr("benchmarks.soak.site.Path.read_text", lambda path: told)
    monkeypatch.setattr("benchmarks.soak.site.Path.write_text", lambda path, text: written.append((str(path), text)))
    as_urgent_as_us(7)
    assert written == ([("/proc/7/autogroup", "0")] if told else [])
