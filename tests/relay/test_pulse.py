"""The contact moved once, on real ptys, by the process that the self-test starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from handguard.errors import DeviceError
from handguard.relay.board import BoardSettings
from handguard.relay.pulse import Followed, moved
from handguard.relay.simulated_board import SimulatedBoard
from handguard.relay.simulated_model import BoardFaults

LIMIT_MS = 500


def pulse(board: SimulatedBoard, kind: str, **options: str | int) -> tuple[Followed, ...]:
    return moved(BoardSettings(kind, board.port, 1, options), LIMIT_MS)


@pytest.mark.parametrize(("kind", "options"), [("lcus", {"query": "auto"}), ("modbus-rtu", {}), ("kmtronic", {})])
def test_a_good_contact_follows_and_ends_open(tmp_path: Path, kind: str, options: dict[str, str]):
    with SimulatedBoard(tmp_path / "board", tmp_path / "log", kind=kind) as board:
        steps = pulse(board, kind, **options)
        assert [step.command for step in steps] == ["off", "on", "off"]
        assert all(step.after_ms is not None and step.after_ms <= LIMIT_MS for step in steps)
        assert [closed for _, closed in board.contact_changes()] == [True, False]


def test_a_welded_contact_is_told_and_off_is_the_last_word(tmp_path: Path):
    faults = BoardFaults(welded=True, tells_contact=True)
    with SimulatedBoard(tmp_path / "board", tmp_path / "log", faults) as board:
        steps = pulse(board, "lcus", query="auto")
        followed = [(step.command, step.after_ms is not None) for step in steps]
        assert followed == [("off", True), ("on", True), ("off", False)]
        assert board.off_bytes_ns()[-1] > max(board.on_bytes_ns())


def test_a_silent_board_is_never_told_on(tmp_path: Path):
    with SimulatedBoard(tmp_path / "board", tmp_path / "log", BoardFaults(silent=True)) as board:
        assert pulse(board, "lcus", query="auto") == (Followed("off", None),)
        assert board.on_bytes_ns() == []


def test_a_board_that_is_not_there_is_an_error(tmp_path: Path):
    with pytest.raises(DeviceError, match="nowhere"):
        moved(BoardSettings("lcus", str(tmp_path / "nowhere"), 1, {}), LIMIT_MS)
