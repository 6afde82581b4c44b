"""Precedence over ordinary programs: taken where Linux grants it, told where it does not, never inherited."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from handguard.scheduling import Granted

ROOT = Path(__file__).parents[1]
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="real-time scheduling and locked memory need root here")
THREADS = """
import os, subprocess, sys, threading
from handguard.scheduling import Precedence
over = threading.Event()
camera = threading.Thread(target=over.wait, name="camera 0")
beside = threading.Thread(target=over.wait, name="evidence-writer")
precedence = Precedence()
granted = precedence.take()
for thread in (camera, beside):
    thread.start()
precedence.extend()
def shown(tid):
    return os.sched_getscheduler(tid) & ~os.SCHED_RESET_ON_FORK, os.sched_getparam(tid).sched_priority
print([shown(tid) for tid in (0, camera.native_id, beside.native_id)])
started = []
def start():
    code = "import os; print(os.sched_getscheduler(0))"
    started.append(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip())
late = threading.Thread(target=lambda: (ready.wait(), start()))
ready = threading.Event()
late.start(); precedence.extend(); ready.set(); late.join()
print(started)
precedence.give_back()
print([shown(tid) for tid in (0, camera.native_id, beside.native_id)])
over.set()
"""
PINNED = """
import os, threading
from handguard.scheduling import Precedence
over = threading.Event()
camera = threading.Thread(target=over.wait, name="camera 0")
beside = threading.Thread(target=over.wait, name="evidence-writer")
every = sorted(os.sched_getaffinity(0))
precedence = Precedence(every[-1:])
granted = precedence.take()
print(granted.cores == tuple(every[-1:]), granted.refusals)
for thread in (camera, beside):
    thread.start()
precedence.extend()
def cores(tid):
    return "own" if os.sched_getaffinity(tid) == set(every[-1:]) else "all"
print([cores(tid) for tid in (0, camera.native_id, beside.native_id)])
precedence.give_back()
print([sorted(os.sched_getaffinity(tid)) == every for tid in (0, camera.native_id, beside.native_id)])
over.set()
"""
REFUSED = """
import os, resource
from handguard.scheduling import Precedence
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
os.setgid(65534); os.setuid(65534)
precedence = Precedence()
print(precedence.take())
precedence.extend(); precedence.give_back()
bytearray(64 << 20)
"""


def lines_of(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@ROOT_ONLY
def test_the_loop_and_the_camera_come_first_then_those_beside_them_and_no_program_inherits_it():
    during, inherited, after = lines_of(THREADS)
    fifo = int(os.SCHED_FIFO)
    assert during == str([(fifo, 40), (fifo, 40), (fifo, 30)])
    assert inherited == str([str(int(os.SCHED_OTHER))])
    assert after == str([(int(os.SCHED_OTHER), 0)] * 3)


@ROOT_ONLY
def test_what_is_refused_is_told_and_the_program_goes_on():
    (told,) = lines_of(REFUSED)
    assert "ordinary priority (real-time was not granted)" in told
    assert "memory not locked (not granted)" in told


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="keeping to one core needs a second one")
def test_loop_and_camera_keep_to_the_cores_that_were_asked_for_and_those_beside_them_do_not():
    granted, during, after = lines_of(PINNED)
    assert granted.startswith("True")
    assert "cores" not in granted.removeprefix("True")
    assert during == str(["own", "own", "all"])
    assert after == str([True, True, True])


def test_cores_that_are_not_there_are_told_and_nothing_is_pinned():
    program = """
import os
from handguard.scheduling import Precedence
before = os.sched_getaffinity(0)
granted = Precedence((0, 1023)).take()
print(granted.refusals, os.sched_getaffinity(0) == before)
"""
    (told,) = lines_of(program)
    assert "live loop: keeping to cores 0, 1023 was not granted" in told
    assert told.endswith("True")


def test_what_was_refused_is_said_in_sentences():
    assert Granted(True, True, (0,)).refusals == ()
    assert Granted(False, False, (0,)).refusals == (
        "live loop: real-time scheduling was not granted",
        "live loop: locked memory was not granted",
    )


@ROOT_ONLY
def test_locked_memory_shows_in_the_kernels_own_account():
    program = (
        "from handguard.scheduling import Precedence; p = Precedence(); print(p.take());"
        "import pathlib; print([l for l in pathlib.Path('/proc/self/status').read_text().splitlines() if 'VmLck' in l])"
    )
    told, locked = lines_of(program)
    assert "memory locked" in told
    assert "VmLck:\t       0 kB" not in locked
