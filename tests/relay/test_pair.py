"""Two boards in series: both must drop, whatever happens to one."""

from __future__ import annotations

import time

import pytest

from handguard.errors import ConfigError, DeviceError, DeviceMissing
from handguard.relay.board import BoardSettings, Command
from handguard.relay.boards import open_board, promised
from handguard.relay.link import KeeperLink
from handguard.types import Output, Permit

OFF, ON = Command.OFF, Command.ON


def settings_of(first, second, kind: str = "lcus") -> BoardSettings:
    return BoardSettings(kind, first.port, second=BoardSettings("lcus", second.port))


@pytest.fixture
def boards(make_board):
    return make_board(tells_contact=True), make_board(tells_contact=True)


@pytest.fixture
def relay(boards):
    relay = open_board(settings_of(*boards))
    yield relay
    relay.close()


def both(boards, closed: bool) -> bool:
    return all(board.wait_until(lambda b: b.closed() is closed) for board in boards)


def answer(relay, limit_s: float = 1.0) -> bool | None:
    relay.ask()
    give_up_s = time.monotonic() + limit_s
    while (found := relay.contactor_open()) is None and time.monotonic() < give_up_s:
        time.sleep(0.005)
    return found


def test_a_button_is_promised_only_where_no_board_has_to_rest():
    """One that rests is asked once a second: a short press goes unheard, and a bounce may look like a long one."""
    beside = {"numato": False, "heartbeat": True}
    for kind, promises in beside.items():
        settings = BoardSettings("heartbeat", "/dev/a", second=BoardSettings(kind, "/dev/b"))
        assert promised(settings).button is promises


def test_an_option_of_the_second_board_is_refused_by_its_name():
    second = BoardSettings("modbus-rtu", "/dev/b", options={"flash_ms": 50})
    with pytest.raises(ConfigError, match=r"^relay\.second: relay\.options\.flash_ms: expected"):
        promised(BoardSettings("lcus", "/dev/a", second=second))


def test_both_follow(boards, relay):
    assert answer(relay) is True
    relay.write(ON)
    assert both(boards, closed=True)
    assert answer(relay) is False
    relay.write(OFF)
    assert both(boards, closed=False)
    assert answer(relay) is True


def test_one_that_welds_is_the_answer_of_both(make_board):
    boards = make_board(tells_contact=True), make_board(tells_contact=True, welded=True)
    relay = open_board(settings_of(*boards))
    relay.write(ON)
    assert both(boards, closed=True)
    relay.write(OFF)
    assert boards[0].wait_until(lambda b: not b.closed())
    assert answer(relay) is False
    relay.close()


def test_one_that_is_silent_leaves_both_unknown(make_board):
    relay = open_board(settings_of(make_board(), make_board(silent=True)))
    assert answer(relay, limit_s=0.2) is None
    relay.close()


@pytest.mark.parametrize("lost", [0, 1])
def test_when_one_is_unplugged_the_other_is_told_off_at_once(boards, relay, lost):
    relay.write(ON)
    assert both(boards, closed=True)
    boards[lost].unplug()
    with pytest.raises(DeviceError):
        relay.contactor_open()
    assert both(boards, closed=False)


@pytest.mark.parametrize("lost", [0, 1])
def test_off_reaches_the_other_when_one_is_gone(boards, relay, lost):
    relay.write(ON)
    assert both(boards, closed=True)
    boards[lost].unplug()
    with pytest.raises(DeviceError):
        relay.write(OFF)
    assert both(boards, closed=False)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_pair_of_which_one_is_missing_tells_the_other_off_and_does_not_open(boards, lost):
    boards[lost].unplug()
    settings = BoardSettings(
        "lcus", str(boards[0].link), second=BoardSettings("lcus", str(boards[1].link))
    )
    with pytest.raises(DeviceMissing, match="no such device"):
        open_board(settings)
    assert boards[1 - lost].wait_until(lambda b: len(b.off_bytes_ns()) == 1)


def test_a_wrong_option_of_one_closes_the_other(boards):
    settings = BoardSettings(
        "lcus", boards[0].port, second=BoardSettings("lcus", boards[1].port, options={"colour": 1})
    )
    with pytest.raises(ConfigError, match="found colour"):
        open_board(settings)
    open_board(BoardSettings("lcus", boards[0].port)).close()  # not in use


def test_one_port_cannot_be_both_channels(boards):
    with pytest.raises(ConfigError, match=r"relay.second.port: expected a port of its own"):
        open_board(settings_of(boards[0], boards[0]))


def test_three_boards_are_refused():
    second = BoardSettings("lcus", "b", second=BoardSettings("lcus", "c"))
    with pytest.raises(ConfigError, match=r"relay.second: expected at most two boards"):
        BoardSettings("lcus", "a", second=second)


def test_boards_that_cannot_keep_the_pace_of_one_another_are_refused():
    settings = BoardSettings("heartbeat", "a", second=BoardSettings("lcus", "b"))
    with pytest.raises(ConfigError, match=r"relay.second: expected boards that go together.*100 ms"):
        promised(settings)


def test_a_renewal_goes_to_the_board_with_a_time_limit_alone(make_board):
    timed, plain = make_board("heartbeat"), make_board("numato")
    relay = open_board(BoardSettings("heartbeat", timed.port, second=BoardSettings("numato", plain.port)))
    relay.write(OFF)
    time.sleep(0.05)
    for _ in range(5):
        relay.write(ON)
        time.sleep(0.03)
    relay.write(OFF)
    assert timed.wait_until(lambda b: len(b.on_bytes_ns()) == 5)
    assert plain.wait_until(lambda b: len(b.on_bytes_ns()) == 1)
    relay.close()


# With the keeper ---------------------------------------------------------------------------


@pytest.fixture
def link(boards):
    link = KeeperLink(settings_of(*boards))
    yield link
    link.close()


def permits(link, boards, output: Output, holds, limit_s: float = 15.0) -> bool:
    """At 50 frames a second, until it holds."""
    give_up_s = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > give_up_s:
            return False
        now_ns = time.monotonic_ns()
        link.send(Permit(now_ns, now_ns, now_ns - 20_000_000, now_ns, output))
        time.sleep(0.02)
    return True


def run(link, boards) -> None:
    assert permits(link, boards, Output.OFF, lambda: link.readback)
    assert permits(link, boards, Output.ON, lambda: all(board.closed() for board in boards))


def test_the_keeper_holds_and_drops_both(boards, link):
    run(link, boards)
    assert both(boards, closed=False)  # no permit comes any more


@pytest.mark.parametrize("lost", [0, 1])
def test_the_keeper_says_off_to_the_one_that_is_left_again_and_again(boards, link, lost):
    run(link, boards)
    boards[lost].unplug()
    left = boards[1 - lost]
    assert left.wait_until(lambda b: not b.closed())
    count = len(left.off_bytes_ns())
    assert left.wait_until(lambda b: len(b.off_bytes_ns()) >= count + 3)
    assert "relay-port" in link.report().faults
    boards[lost].replug()  # a keeper that ends would wait for it


def test_when_the_keeper_is_killed_the_monitor_says_off_to_both(boards, link):
    run(link, boards)
    link._keeper.kill()
    assert both(boards, closed=False)
    assert all(board.wait_until(lambda b: len(b.off_bytes_ns()) >= 4) for board in boards)
