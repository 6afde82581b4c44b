"""The LCUS driver against a board program that knows nothing of it."""

from __future__ import annotations

import os
import time

import pytest

from handguard.errors import ConfigError, DeviceError, DeviceMissing
from handguard.relay.board import BoardSettings, Command
from handguard.relay.boards import open_board
from handguard.relay.lcus import Lcus, frame
from handguard.relay.serial_port import port_notice
from handguard.relay.simulated_lcus import LcusBoard
from handguard.relay.simulated_model import BoardFaults

OFF, ON = Command.OFF, Command.ON


def settings_for(board, **options) -> BoardSettings:
    return BoardSettings("lcus", str(board.link), options=options)


def heard(board) -> str:
    return " ".join(str(one["hex"]) for one in board.events("bytes"))


def answer(relay, limit_s: float = 0.5) -> bool | None:
    """Ask, then look until an answer is there or the limit is over."""
    relay.ask()
    give_up_s = time.monotonic() + limit_s
    while time.monotonic() < give_up_s:
        if (contactor_open := relay.contactor_open()) is not None:
            return contactor_open
        time.sleep(0.005)
    return None


@pytest.fixture
def relay(settings):
    relay = open_board(settings)
    yield relay
    relay.close()


# Bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "op", "expected"),
    [
        (1, 0, "a0 01 00 a1"), (1, 1, "a0 01 01 a2"), (2, 0, "a0 02 00 a2"), (2, 1, "a0 02 01 a3"),
        (4, 1, "a0 04 01 a5"), (8, 0, "a0 08 00 a8"), (8, 1, "a0 08 01 a9"), (1, 5, "a0 01 05 a6"),
    ],
)  # fmt: skip
def test_frames_match_the_published_table(channel, op, expected):
    assert frame(channel, op).hex(" ") == expected


def test_opening_writes_nothing(board, relay):
    assert not board.events("bytes")


def test_the_contact_follows_the_command(board, relay):
    relay.write(ON)
    assert board.wait_until(lambda b: b.closed())
    relay.write(OFF)
    assert board.wait_until(lambda b: not b.closed())
    assert [closed for _, closed in board.contact_changes()] == [True, False]
    assert not board.contact_changes(channel=2)


def test_another_channel_moves_alone(board):
    relay = open_board(BoardSettings("lcus", str(board.link), channel=2))
    relay.write(ON)
    assert board.wait_until(lambda b: b.closed(channel=2))
    assert not board.closed(channel=1)
    relay.close()


def test_the_byte_table_can_be_replaced(board):
    relay = open_board(settings_for(board, on="AA", off="BB", query="none"))
    relay.write(ON)
    relay.write(OFF)
    assert board.wait_until(
        lambda b: "".join(str(e["hex"]) for e in b.events("bytes")).replace(" ", "") == "aabb"
    )
    relay.close()


# Answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [{"op5": False}, {"op5": True}], ids=["ascii", "op5"])
def test_both_families_tell_what_they_command(make_board, family):
    board = make_board(**family)
    relay = open_board(settings_for(board, query="op5" if family["op5"] else "auto"))
    assert answer(relay) is True
    relay.write(ON)
    assert answer(relay) is False
    relay.write(OFF)
    assert answer(relay) is True
    relay.close()


@pytest.mark.parametrize(
    ("faults", "query"),
    [
        ({"silent": True}, "auto"),
        ({"silent": True, "op5": True}, "op5"),
        ({"wrong_sum": True}, "auto"),
        ({"wrong_sum": True, "op5": True}, "op5"),
        ({"op5": True}, "auto"),
        ({}, "op5"),
        ({"reply_ms": 400.0}, "auto"),
    ],
    ids=["silent", "silent-op5", "misspelt", "wrong-sum", "not-its-query", "not-its-query-op5", "late"],
)
def test_no_valid_answer_is_none_and_never_a_guess(make_board, faults, query):
    relay = open_board(settings_for(make_board(**faults), query=query))
    assert answer(relay, limit_s=0.2) is None
    relay.close()


def test_an_answer_is_found_between_garbage(make_board):
    board = make_board(echo_garbage=True)
    relay = open_board(settings_for(board))
    assert answer(relay) is True
    relay.close()


def test_a_new_question_forgets_the_old_answer(board, relay):
    assert answer(relay) is True
    relay.ask()
    assert relay.contactor_open() is None


def test_a_board_without_a_question_says_so(board):
    relay = open_board(settings_for(board, query="none"))
    assert relay.capabilities.readback is False
    assert answer(relay, limit_s=0.05) is None
    assert not board.events("bytes")
    relay.close()


def test_the_driver_does_not_promise_what_the_board_cannot_do(relay):
    can = relay.capabilities
    assert (can.readback, can.ack, can.hw_timeout_ms, can.min_interval_ms) == (True, False, None, 100)


def test_a_question_leaves_a_simple_parser_at_the_start_of_a_frame(board, relay):
    relay.ask()
    relay.write(ON)
    assert board.wait_until(lambda b: b.closed())


# Trouble -----------------------------------------------------------------------------------


def test_an_unplugged_board_is_an_error_of_every_word(board, relay):
    board.unplug()
    for act in (lambda: relay.write(OFF), relay.ask, relay.contactor_open):
        with pytest.raises(DeviceError, match="relay board failed"):
            act()
    relay.close()
    relay.close()


def test_a_board_that_reads_nothing_ends_the_write_in_time(tmp_path):
    master, slave = os.openpty()
    relay = Lcus(BoardSettings("lcus", os.ttyname(slave), options={"on": "AA" * 60_000}))
    began_s = time.monotonic()
    with pytest.raises(DeviceError, match="only a part was taken"):
        relay.write(ON)
    assert time.monotonic() - began_s < 1
    os.close(master)
    relay.close()
    os.close(slave)


def test_a_missing_port_is_named(tmp_path):
    with pytest.raises(DeviceMissing, match=r"relay.port: .*/nothing: expected .* no such device"):
        Lcus(BoardSettings("lcus", str(tmp_path / "nothing")))


def test_a_busy_port_is_named(settings, relay):
    with pytest.raises(DeviceMissing, match="expected a free port, found it in use by another process"):
        Lcus(settings)


def test_an_emergency_gets_in_beside_another_user(board, settings, relay):
    relay.write(ON)
    assert board.wait_until(lambda b: b.closed())
    beside = Lcus(settings, exclusive=False)
    beside.write(OFF)
    assert board.wait_until(lambda b: not b.closed())
    beside.close()


def test_a_plain_file_is_no_port(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(DeviceMissing, match="expected a serial port"):
        Lcus(BoardSettings("lcus", str(path)))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"speed": 3}, "relay.options: expected one of baud, off, on, query, found speed"),
        ({"query": "op9"}, "relay.options.query: expected one of auto, op5, none, found op9"),
        ({"on": "xx"}, "relay.options.on: expected bytes in hexadecimal"),
        ({"on": "AA", "off": "AA"}, "two different commands"),
        ({"off": ""}, "two different commands"),
        ({"baud": 9601}, "relay.options.baud: expected a standard baud rate, found 9601"),
    ],
)
def test_a_wrong_option_is_named(settings, options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        Lcus(BoardSettings("lcus", settings.port, options=options))


def test_an_unknown_kind_is_named():
    with pytest.raises(ConfigError, match=r"relay.kind: expected one of .*, lcus, .*, found toaster"):
        open_board(BoardSettings("toaster", "/dev/null"))


@pytest.mark.parametrize(
    "settings", [{"port": ""}, {"port": "x", "channel": 0}, {"port": "x", "channel": 33}]
)
def test_settings_that_name_no_contact_are_refused(settings):
    with pytest.raises(ConfigError, match="relay"):
        BoardSettings("lcus", **settings)


@pytest.mark.parametrize(
    ("port", "is_weak"),
    [
        ("/dev/ttyUSB0", True), ("/dev/ttyACM12", True), ("/dev/serial/by-id/usb-1a86", False),
        ("/dev/handguard/relayA", False), ("/dev/pts/3", False),
    ],
)  # fmt: skip
def test_a_name_that_may_change_gets_a_notice(port, is_weak):
    assert (port_notice(port) is not None) == is_weak


# The simulated board itself ----------------------------------------------------------------


def commands(board: LcusBoard, data: str, now_ns: int = 0) -> list[tuple[str, int, bool]]:
    return [(p.event, p.channel, p.closed) for p in board.hear(bytes.fromhex(data), now_ns)]


@pytest.mark.parametrize("data", ["a0 01 01 a3", "a0 03 01 a4", "a0 01 04 a5", "01 02 03", "a0 01 01"])
def test_the_simulated_board_ignores_what_is_no_command(data):
    assert commands(LcusBoard(BoardFaults()), data) == []


def test_the_simulated_board_finds_a_command_in_pieces_after_noise():
    board = LcusBoard(BoardFaults())
    assert commands(board, "13 a0 01") == []
    assert commands(board, "01 a2")[0] == ("command", 1, True)


def test_a_busy_simulated_board_is_deaf():
    board = LcusBoard(BoardFaults(busy_ms=100))
    assert commands(board, "a0 01 01 a2")[0] == ("command", 1, True)
    assert commands(board, "a0 01 00 a1", 99_000_000) == [("deaf", 1, False)]
    assert commands(board, "a0 01 00 a1", 100_000_000)[0] == ("command", 1, False)


def test_a_welded_contact_never_opens():
    board = LcusBoard(BoardFaults(welded=True))
    assert board.move(1, True)
    assert not board.move(1, False)
    assert board.lose_power() == []


def test_a_stop_just_after_a_start_wins_over_the_slower_pull_in(make_board):
    board = make_board(pull_in_ms=60.0)
    relay = open_board(settings_for(board))
    relay.write(ON)
    relay.write(OFF)
    assert board.wait_until(lambda b: b.off_bytes_ns())
    time.sleep(0.1)
    assert not board.closed()
    relay.close()


def test_unplugging_opens_the_contacts_and_removes_the_node(board, relay):
    relay.write(ON)
    assert board.wait_until(lambda b: b.closed())
    board.unplug()
    assert board.wait_until(lambda b: not b.closed())
    assert not board.link.exists()
    board.replug()
    assert board.link.exists()


def test_a_board_can_be_unplugged_by_the_clock(make_board):
    board = make_board(unplug_after_s=0.05, replug_after_s=0.05)
    assert board.wait_until(lambda b: len(b.events("plugged")) == 2)


def test_a_file_in_the_place_of_the_link_is_not_removed(tmp_path, make_board):
    (tmp_path / "tty0").write_text("precious")
    with pytest.raises(DeviceError, match=r"--link .*: expected a path that is free"):
        make_board()
    assert (tmp_path / "tty0").read_text() == "precious"
