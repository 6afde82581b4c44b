"""One board, one monitor: the second program is refused in one sentence, and the first does not notice."""

from __future__ import annotations

import pytest

from handguard.relay.simulated_board import SimulatedBoard

START_S = 180.0  # on a machine that does much else


@pytest.fixture
def board(tmp_path):
    with SimulatedBoard(tmp_path / "tty", tmp_path / "board.jsonl") as board:
        yield board


def test_a_second_monitor_on_the_board_of_the_first_is_refused(start, board):
    relay = {"driver": "lcus", "port": str(board.link), "deadline_ms": 250}
    endless = {"source": "simulated", "width_px": 640, "height_px": 360, "max_frame_age_ms": 250}
    first = start(relay=relay, camera=endless)
    first.wait(lambda: bool(board.off_bytes_ns()), START_S)
    second = start(relay=relay)
    assert second.process.wait(START_S) == 2
    complaint = [line for line in second.process.stderr.read().splitlines() if line.startswith("handguard: ")]
    assert complaint == [
        f"handguard: relay.port: {board.link}: expected a free port, found it in use by another process"
    ]
    assert first.stop() == 0
    assert not [trip for trip in first.summary()["trips"] if "relay" in trip["cause"]]
    assert not board.closed()
