"""What every test may ask for, and how a test may be left out.

A test that cannot run says so in one of three ways, and every one of them is
listed at the end of the run:

    @pytest.mark.needs_footage("bottle-picking.mp4")   recordings that are not part of the repository
    @pytest.mark.needs_program("ffprobe")              a program
    @pytest.mark.needs_module("onnx")                  a Python module

Where CI is set, only data, graphics cards, gpio-sim (few kernels have it) and the right to make
memory cgroups (containers often lack it) may be absent: any other skip fails, whichever way it
was asked for, because there set-up should have installed the thing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "house",
    deadline=None,  # a loaded machine is not a wrong answer
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("house")

pytest_plugins = ["tests.stalls"]

ROOT = Path(__file__).parents[1]
FOOTAGE = Path(os.environ.get("HANDGUARD_FOOTAGE", ROOT.parent / "shared" / "footage"))
MAY_BE_ABSENT = re.compile(r"footage|data ?set|graphics card|GPU|CUDA|gpio-sim|memory cgroup", re.IGNORECASE)
MARKERS = {
    "needs_footage(*names)": "needs these recordings; skipped where they are absent",
    "needs_program(name)": "needs a program on the PATH",
    "needs_module(name)": "needs a Python module",
    "slow": "takes more than a few seconds",
}


def _footage_missing(*names: str) -> str | None:
    missing = [name for name in names or ("",) if not (FOOTAGE / name).exists()]
    return f"footage is absent: {', '.join(str(FOOTAGE / name) for name in missing)}" if missing else None


def _program_missing(name: str) -> str | None:
    return None if shutil.which(name) else f"the program {name} is not installed"


def _module_missing(name: str) -> str | None:
    return None if importlib.util.find_spec(name) else f"the Python module {name} is not installed"


NEEDS: dict[str, Callable[..., str | None]] = {
    "needs_footage": _footage_missing,
    "needs_program": _program_missing,
    "needs_module": _module_missing,
}


@pytest.fixture
def footage() -> Path:
    """The folder of recordings; the test is skipped where it is absent."""
    reason = _footage_missing()
    if reason:
        pytest.skip(reason)
    return FOOTAGE


@pytest.fixture
def one_thread() -> Generator[None, None, None]:
    """torch on one thread: networks this small are slower on two cores than on one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def children() -> Callable[[int, str], list[int]]:
    """`children(pid, having)`: the processes below `pid` whose command line has this text."""

    def below(pid: int, having: str) -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if parent == pid and having in command:
                    found.append(int(entry.name))
        return found

    return below


@pytest.fixture
def mounted_disk(tmp_path: Path) -> Generator[Callable[[str], Path], None, None]:
    """`mounted_disk("1m")`: a real file system of that size; skipped without the right to mount one."""
    mounted: list[Path] = []

    def of_size(size: str) -> Path:
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "handguard-test", str(disk)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"NOT SHOWN: a full disk needs the right to mount a tmpfs ({error})")
        mounted.append(disk)
        return disk

    yield of_size
    for disk in mounted:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, missing in NEEDS.items():
        for mark in item.iter_markers(name):
            if reason := missing(*mark.args):
                pytest.skip(reason)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return told.removeprefix("Skipped: ")


def _hold_to_account(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where the thing it lacks should have been installed."""
    excused = MAY_BE_ABSENT.search(_reason(report)) or hasattr(report, "wasxfail")
    if report.skipped and os.environ.get("CI") and not excused:
        report.longrepr = f"skipped although CI is set: {_reason(report)}"
        report.outcome = "failed"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _hold_to_account(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _hold_to_account(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("NOT SHOWN HERE: these tests were skipped", sep="!", yellow=True, bold=True)
    for report in skipped:
        terminalreporter.line(f"{report.nodeid}: {_reason(report)}", yellow=True)
