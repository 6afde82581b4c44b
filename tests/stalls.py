"""A failure of a test of real time counts only if the computer itself kept time.

A virtual machine that is not run, or a host that swaps, holds up camera, keeper and
board all together for longer than their limits; a product that then ends in OFF is
right, and a test of real time that expected it to run tells nothing. Such a failure
counts only if it comes again: the test is done once more, and the end of the run says so.
A failure while the computer kept time counts at once, and so does any failure in the
rooms where nothing depends on time.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial

import pytest

from tests.witness import Witness

STALL_S = 0.1  # the witness woke later than that: nearly half of what a stop path allows a picture
REAL_TIME = {"bench", "capture", "desk", "evidence", "faults", "monitor", "relay", "replay", "soak"}  # folders
WITNESS, BEGAN_S = pytest.StashKey[Witness](), pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    watching = ExitStack()
    config.add_cleanup(watching.close)
    config.stash[WITNESS] = watching.enter_context(Witness())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in REAL_TIME:
            item.add_marker(pytest.mark.flaky(reruns=1, condition=partial(_stood_still, item)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[BEGAN_S] = time.monotonic()


def _stood_still(item: pytest.Item) -> bool:
    return item.config.stash[WITNESS].longest_s(item.stash[BEGAN_S]) >= STALL_S


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if again := terminalreporter.stats.get("rerun", []):
        terminalreporter.section("DONE AGAIN: these failed while the computer stood still", sep="!", yellow=True)
        for report in again:
            terminalreporter.line(f"{report.nodeid}: {report.longreprtext.splitlines()[-1]}", yellow=True)
