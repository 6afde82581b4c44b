"""Real boards for the tests: the simulated one, as its own program behind a pseudo-terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from handguard.relay.board import BoardSettings
from handguard.relay.simulated_board import SimulatedBoard
from handguard.relay.simulated_lcus import BoardFaults

MakeBoard = Callable[..., SimulatedBoard]


@pytest.fixture
def make_board(tmp_path) -> Iterator[MakeBoard]:
    """`make_board(silent=True, …)`: a running board with these faults; stopped after the test."""
    boards: list[SimulatedBoard] = []

    def make(**faults) -> SimulatedBoard:
        number = len(boards)
        board = SimulatedBoard(tmp_path / f"tty{number}", tmp_path / f"log{number}", BoardFaults(**faults))
        boards.append(board)
        return board

    yield make
    for board in boards:
        board.stop()


@pytest.fixture
def board(make_board) -> SimulatedBoard:
    """A good board of the common family."""
    return make_board()


@pytest.fixture
def settings(board) -> BoardSettings:
    return BoardSettings("lcus", str(board.link))
