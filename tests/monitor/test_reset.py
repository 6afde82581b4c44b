"""The reset button of a whole running monitor: pressed at the board, taped down, not there."""

from __future__ import annotations

import time

import pytest

from handguard.evidence.reading import read_records
from handguard.relay.simulated_board import SimulatedBoard
from handguard.relay.simulated_model import BoardFaults
from handguard.replay.book import read_book
from handguard.replay.reproduce import reproduce


@pytest.fixture
def at_board(start, tmp_path):
    """`at_board(faults…)`: a monitor on a heartbeat board whose button resets, and that board."""
    boards = []

    def begin(**faults):
        boards.append(
            SimulatedBoard(tmp_path / "hb", tmp_path / "hb.jsonl", BoardFaults(**faults), "heartbeat")
        )
        relay = {"driver": "heartbeat", "port": boards[-1].port, "deadline_ms": 250}
        return start("--duration", "40", relay=relay, reset={"input": "board"}), boards[-1]

    yield begin
    for board in boards:
        board.stop()


def records(run, kind: str) -> list[dict]:
    return [record for record in read_records(run.out / "evidence") if record["kind"] == kind]


def has_state(run, name: str) -> bool:
    try:
        return any(record.get("after") == name for record in records(run, "event"))
    except Exception:  # noqa: BLE001  the book is being written, or not there yet
        return False


def test_a_press_at_the_board_lets_the_machine_run(at_board):
    run, board = at_board()
    run.wait(lambda: has_state(run, "AWAIT_RESET"), 200)
    assert not board.closed()
    give_up_s = time.monotonic() + 30
    while not board.closed() and time.monotonic() < give_up_s:
        board.press()  # a blind moment of a busy machine may void a press
        board.wait_until(lambda b: b.closed(), limit_s=2.0)
    assert board.closed()
    run.stop()
    assert board.wait_until(lambda b: not b.closed())
    assert reproduce(read_book(run.out)).divergence is None


def test_a_taped_button_never_starts_the_machine_and_is_told_and_recorded(at_board):
    run, board = at_board(taped=True)
    run.wait(lambda: has_state(run, "AWAIT_RESET"), 200)
    time.sleep(1.0)
    run.stop()
    assert not board.on_bytes_ns()
    assert "reset_stuck" in {record["event"] for record in records(run, "event")}
    assert "free: reset button stuck" in {record["cause"] for record in records(run, "decision")}


def test_a_board_without_a_button_is_refused_before_the_keeper_starts(start):
    run = start(reset={"input": "board"})
    assert run.process.wait(300) == 2
    assert "reset.input: expected gpio, keyboard or none" in run.said()
