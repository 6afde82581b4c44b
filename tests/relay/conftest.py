"""Real boards for the tests: the simulated ones, as their own programs behind terminals and ports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from handguard.relay.board import BoardSettings
from handguard.relay.simulated_board import SimulatedBoard
from handguard.relay.simulated_model import BoardFaults

MakeBoard = Callable[..., SimulatedBoard]
GPIO_SIM = Path("/sys/kernel/config/gpio-sim")


@pytest.fixture
def make_board(tmp_path) -> Iterator[MakeBoard]:
    """`make_board("lcus", silent=True, …)`: a running board with these faults; stopped after the test."""
    boards: list[SimulatedBoard] = []

    def make(kind: str = "lcus", program: tuple[str, ...] | None = None, **faults) -> SimulatedBoard:
        link, log = (tmp_path / f"{name}{len(boards)}" for name in ("tty", "log"))
        more = {} if program is None else {"program": program}
        board = SimulatedBoard(link, log, BoardFaults(**faults), kind, **more)
        boards.append(board)
        return board

    yield make
    for board in boards:
        board.stop()


@pytest.fixture
def promptly() -> Iterator[None]:
    """This process before others, where that is allowed: boards that time us do not know that others compute."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    yield
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture
def board(make_board) -> SimulatedBoard:
    """A good board of the common family."""
    return make_board()


@pytest.fixture
def settings(board) -> BoardSettings:
    return BoardSettings("lcus", str(board.link))


@pytest.fixture
def simulated_chip() -> Iterator[tuple[str, Path]]:
    """`(path of the chip, folder of its lines)`: a gpio-sim of eight lines."""
    if not GPIO_SIM.exists():
        pytest.skip(f"gpio-sim is absent from this kernel: {GPIO_SIM}")
    device = GPIO_SIM / "handguard"
    bank = device / "bank0"
    bank.mkdir(parents=True)
    (bank / "num_lines").write_text("8")
    (device / "live").write_text("1")
    name = (bank / "chip_name").read_text().strip()
    yield f"/dev/{name}", Path("/sys/devices/platform") / (device / "dev_name").read_text().strip() / name
    (device / "live").write_text("0")
    bank.rmdir()
    device.rmdir()
