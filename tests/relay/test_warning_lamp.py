"""The lamp: never in the way of a stop, and never the end of anything."""

from __future__ import annotations

import time

import pytest

from handguard.errors import ConfigError
from handguard.relay import warning_lamp
from handguard.relay.board import BoardSettings
from handguard.relay.warning_lamp import WarningLamp
from handguard.types import Decision, Output, Permit, StageTimes, State, ZoneRole, ZoneStatus


@pytest.fixture
def lamp(settings):
    lamp = WarningLamp(settings, keeper_ports=["/dev/handguard/relayA"])
    yield lamp
    lamp.close()


def test_the_lamp_follows_the_wish(board, lamp):
    lamp.show(True)
    assert board.wait_until(lambda b: b.closed())
    lamp.show(False)
    assert board.wait_until(lambda b: not b.closed())


def test_the_lamp_is_lit_while_a_zone_is_intruded(board, lamp):
    intruded = ZoneStatus("belt", ZoneRole.WARNING, True, 0.8, 0.0)
    free = ZoneStatus("belt", ZoneRole.WARNING, False)
    for zone, is_lit in ((intruded, True), (free, False)):
        times = StageTimes(1, 2, 3, 4)
        decision = Decision(1, times, None, (zone,), State.RUN, Output.ON, "free")
        lamp.record(decision, Permit(1, 1, 1, 4, Output.ON))
        assert board.wait_until(lambda b, is_lit=is_lit: b.closed() is is_lit)


def test_a_wish_never_waits_and_the_last_one_wins(board, lamp):
    began_s = time.monotonic()
    for number in range(1001):
        lamp.show(number % 2 == 0)
    assert time.monotonic() - began_s < 0.5
    assert board.wait_until(lambda b: b.closed())
    assert len(board.on_bytes_ns()) < 20


def test_a_lamp_on_the_port_of_the_keeper_is_refused(tmp_path, board, settings):
    alias = tmp_path / "alias"
    alias.symlink_to(board.link)
    with pytest.raises(ConfigError, match=r"warning\.lamp\.port: expected a board of its own"):
        WarningLamp(BoardSettings("lcus", str(alias)), keeper_ports=["/dev/another", settings.port])


@pytest.mark.parametrize(
    ("board", "message"),
    [
        (BoardSettings("heartbeat", "/dev/x"), r"warning\.lamp: expected a board that holds its contact .* heartbeat"),
        (BoardSettings("lcus", "/dev/x", options={"color": 1}), r"warning\.lamp: relay\.options: expected one of"),
        (BoardSettings("devantech", "/dev/x", channel=20), r"warning\.lamp: relay\.channel: expected a number from 1"),
        (BoardSettings("icse01x", "/dev/x"), r"warning\.lamp: relay\.driver: expected a board that a restart"),
    ],
    ids=lambda value: value.kind if isinstance(value, BoardSettings) else "",
)
def test_a_board_that_is_no_lamps_is_refused_before_anything_is_opened(board, message):
    with pytest.raises(ConfigError, match=message):
        WarningLamp(board, keeper_ports=["/dev/y"])


def test_an_address_without_sense_is_a_fault_and_ends_nothing(board, monkeypatch):
    monkeypatch.setattr(warning_lamp, "REOPEN_S", 0.02)
    lamp = WarningLamp(BoardSettings("modbus-tcp", "io..lan:502"), keeper_ports=[])
    lamp.show(True)
    assert board.wait_until(lambda _: lamp.faults == {"lamp-port"})
    lamp.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # a lamp that breaks
def test_a_lamp_that_broke_is_a_fault(board, settings, monkeypatch):
    monkeypatch.setattr(warning_lamp, "open_board", lambda _: 1 // 0)
    lamp = WarningLamp(settings, keeper_ports=[])
    lamp.show(True)
    assert board.wait_until(lambda _: lamp.faults == {"lamp-port"})
    lamp.close()


def test_an_unplugged_lamp_is_a_fault_and_comes_back(board, lamp, monkeypatch):
    monkeypatch.setattr(warning_lamp, "REOPEN_S", 0.02)
    board.unplug()
    lamp.show(True)
    assert board.wait_until(lambda _: lamp.faults == {"lamp-port"})
    board.replug()
    assert board.wait_until(lambda b: b.closed() and not lamp.faults)


def test_closing_leaves_it_dark(board, settings):
    lamp = WarningLamp(settings, keeper_ports=[])
    lamp.show(True)
    assert board.wait_until(lambda b: b.closed())
    lamp.close()
    lamp.close()
    assert board.wait_until(lambda b: not b.closed())
