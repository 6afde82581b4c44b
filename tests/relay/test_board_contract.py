"""What every driver promises the keeper, held against a board program that knows nothing of the driver.

A `Case` is a driver, its options and the program it speaks to: a process of its own
behind a real terminal or a real TCP port. What only one kind does is tested in that
kind's own file.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from handguard.errors import ConfigError, DeviceError, DeviceMissing
from handguard.relay.board import BoardSettings, Command, Relay
from handguard.relay.boards import DRIVERS, open_board, promised
from handguard.relay.link import KeeperLink
from handguard.relay.simulated import KINDS
from handguard.types import Output, Permit

OFF, ON = Command.OFF, Command.ON
SLACK_MS = 400  # of a machine that is doing something else
ATTEMPTS = 5  # where such a machine, standing still for 95 ms, rightly makes a board drop out
NOT_BEHIND_A_PORT = {"gpio", "dcttech"}  # tested in files of their own, against models in this process
COMMISSIONED = {"flash_ms": 500, "again_ms": 300, "held_ms": 770}


@dataclass(frozen=True)
class Case:
    name: str
    kind: str
    off: str  # the bytes of OFF for channel 1, a number that counts up as ..
    options: dict[str, str | int] = field(default_factory=dict)
    channels: int = 8

    def settings(self, board, channel: int = 1) -> BoardSettings:
        return BoardSettings(self.kind, board.port, channel, self.options)


CASES = [
    Case("lcus", "lcus", "a0 01 00 a1", channels=2),
    Case("kmtronic", "kmtronic", "ff 01 00"),
    Case("numato", "numato", b"\rrelay off 0\r".hex(" ")),
    Case("devantech", "devantech", "6f"),
    Case("modbus-rtu", "modbus-rtu", "01 05 00 00 00 00 cd ca"),
    Case("modbus-rtu-flash", "modbus-rtu", "01 05 00 00 00 00 cd ca", COMMISSIONED),
    Case("modbus-tcp", "modbus-tcp", ".. .. 00 00 00 06 01 05 00 00 00 00"),
    Case("modbus-tcp-flash", "modbus-tcp", ".. .. 00 00 00 06 01 05 00 00 00 00", COMMISSIONED),
    Case("heartbeat", "heartbeat", "a5 01 .. 96 00 00 .. ..", channels=1),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture
def opened() -> Iterator:
    """`opened(settings)`: the driver, closed after the test."""
    relays: list[Relay] = []

    def opens(settings: BoardSettings, **more) -> Relay:
        relays.append(open_board(settings, **more))
        return relays[-1]

    yield opens
    for relay in relays:
        relay.close()


def answer(relay: Relay, limit_s: float = 1.0) -> bool | None:
    """Ask, then look until an answer is there or the limit is over."""
    relay.ask()
    give_up_s = time.monotonic() + limit_s
    while time.monotonic() < give_up_s:
        if (contactor_open := relay.contactor_open()) is not None:
            return contactor_open
        time.sleep(0.002)
    return None


def begin(relay: Relay) -> Relay:
    """The keeper's beginning: OFF, then a question."""
    relay.write(OFF)
    answer(relay)
    return relay


def running(board, relay: Relay) -> None:
    begin(relay).write(ON)
    assert board.wait_until(lambda b: any(closed for _, closed in b.contact_changes()))


def heard(board) -> str:
    return " ".join(str(one["hex"]) for one in board.events("bytes"))


def test_every_driver_is_held_to_the_contract():
    assert {case.kind for case in CASES} == set(KINDS) == set(DRIVERS) - NOT_BEHIND_A_PORT


# The good board ----------------------------------------------------------------------------


@every_case
def test_opening_and_closing_write_nothing(case, make_board, opened):
    board = make_board(case.kind)
    relay = opened(case.settings(board))
    relay.close()
    relay.close()
    time.sleep(0.05)
    assert not board.events("bytes")


@every_case
def test_off_is_one_message_and_waits_for_nobody(case, make_board, opened, promptly):
    board = make_board(case.kind, silent=True)
    relay, took_s = opened(case.settings(board)), []
    for _ in range(5):
        began_s = time.monotonic()
        relay.write(OFF)
        took_s.append(time.monotonic() - began_s)
    assert statistics.median(took_s) < 0.02
    assert board.wait_until(lambda b: len(b.off_bytes_ns()) == 5)
    length = len(case.off) // 3 + 1
    found = heard(board).split()[:length]
    assert all(told in ("..", byte) for told, byte in zip(case.off.split(), found, strict=True)), found


@every_case
def test_the_contact_follows_the_command(case, make_board, opened):
    board = make_board(case.kind)
    relay = opened(case.settings(board))
    running(board, relay)
    relay.write(OFF)
    assert board.wait_until(lambda b: not b.closed())
    assert {one["channel"] for one in board.events("contact")} == {1}


@every_case
def test_the_board_tells_what_its_contact_does(case, make_board, opened, promptly):
    def told() -> list[bool | None]:
        relay, answers = opened(case.settings(make_board(case.kind))), []
        for command in (OFF, ON, OFF):
            relay.write(command)
            time.sleep(0.04)
            answers.append(answer(relay, limit_s=0.2))
        return answers

    assert any(told() == [True, False, True] for _ in range(ATTEMPTS))


@pytest.mark.parametrize("case", [case for case in CASES if case.channels > 1], ids=lambda case: case.name)
def test_the_last_channel_moves_alone(case, make_board, opened):
    board = make_board(case.kind)
    relay = opened(case.settings(board, channel=case.channels))
    begin(relay).write(ON)
    assert board.wait_until(lambda b: b.closed(case.channels))
    assert {one["channel"] for one in board.events("contact")} == {case.channels}


@every_case
def test_a_driver_declares_before_opening_what_it_declares_afterwards(case, make_board, opened):
    settings = case.settings(make_board(case.kind))
    can = opened(settings).capabilities
    assert can == promised(settings)
    assert can.readback
    assert (can.hw_timeout_ms is not None) == ("flash" in case.name or case.kind == "heartbeat")


# The bad board -----------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("fault", ["silent", "wrong_sum", "late"])
def test_no_valid_answer_is_none_and_never_a_guess(case, fault, make_board, opened):
    faults = {"reply_ms": 1000.0} if fault == "late" else {fault: True}
    relay = opened(case.settings(make_board(case.kind, **faults)))
    relay.write(OFF)
    assert answer(relay, limit_s=0.2) is None


@every_case
def test_garbage_never_becomes_an_answer(case, make_board, opened):
    relay = opened(case.settings(make_board(case.kind, echo_garbage=True, silent=True)))
    relay.write(OFF)
    assert all(answer(relay, limit_s=0.03) is None for _ in range(10))


@every_case
def test_an_answer_from_before_a_change_is_no_news_after_it(case, make_board, opened):
    board = make_board(case.kind, reply_ms=30.0)
    relay = begin(opened(case.settings(board)))
    for command in (ON, OFF):
        relay.write(command)
        assert relay.contactor_open() is None, command
        answer(relay)


@pytest.mark.parametrize("case", [case for case in CASES if case.kind != "heartbeat"], ids=lambda case: case.name)
def test_an_answer_on_its_way_at_a_change_is_no_news_after_it(case, make_board, opened):
    """The heartbeat board numbers its answers; that of the change itself tells of the contact."""
    board = make_board(case.kind, reply_ms=30.0)
    relay = begin(opened(case.settings(board)))
    before = len(heard(board))
    relay.ask()
    assert board.wait_until(lambda b: len(heard(b)) > before)
    relay.write(ON)
    time.sleep(0.1)
    assert relay.contactor_open() is None


@every_case
def test_a_new_question_forgets_the_old_answer(case, make_board, opened):
    relay = opened(case.settings(make_board(case.kind, reply_ms=30.0)))
    relay.write(OFF)
    assert answer(relay) is True
    relay.ask()
    assert relay.contactor_open() is None


@every_case
def test_a_board_that_sees_its_contact_shows_that_it_is_welded(case, make_board, opened, promptly):
    board = make_board(case.kind, welded=True, tells_contact=True)
    relay = opened(case.settings(board))
    running(board, relay)
    relay.write(OFF)
    time.sleep(0.1)
    assert answer(relay) is False


@every_case
def test_an_unplugged_board_is_an_error_of_every_word(case, make_board, opened):
    board = make_board(case.kind)
    relay = opened(case.settings(board))
    begin(relay)
    board.unplug()
    for act in (relay.contactor_open, relay.ask, lambda: relay.write(OFF), lambda: relay.write(ON)):
        assert fails_soon(act)
    relay.close()


def fails_soon(act, limit_s: float = 2.0) -> bool:
    """A network only learns of the loss when it has sent something."""
    give_up_s = time.monotonic() + limit_s
    while time.monotonic() < give_up_s:
        try:
            act()
        except DeviceError:
            return True
        time.sleep(0.01)
    return False


@every_case
def test_a_board_that_comes_back_is_off_and_can_be_opened(case, make_board, opened):
    board = make_board(case.kind)
    settings = case.settings(board)
    before = opened(settings)
    running(board, before)
    board.unplug()
    assert board.wait_until(lambda b: not b.closed())
    before.close()
    with pytest.raises(DeviceMissing, match=r"relay.port: .*: expected"):
        open_board(settings)
    board.replug()
    assert answer(begin(opened(settings))) is True
    assert not board.closed()


@every_case
def test_an_emergency_off_gets_in_beside_another_user(case, make_board, opened):
    board = make_board(case.kind)
    running(board, opened(case.settings(board)))
    count = len(board.off_bytes_ns())
    opened(case.settings(board), exclusive=False).write(OFF)
    assert board.wait_until(lambda b: len(b.off_bytes_ns()) > count and not b.closed())


# Settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(DRIVERS))
def test_an_unknown_option_is_named_before_anything_is_opened(kind):
    settings = BoardSettings(kind, "host:1", options={"colour": "red"})
    for refuses in (promised, open_board):
        with pytest.raises(ConfigError, match=r"relay.options: expected .*, found colour"):
            refuses(settings)


@pytest.mark.parametrize("kind", sorted({"devantech", "kmtronic", "dcttech", "heartbeat"}))
def test_a_channel_that_the_board_does_not_have_is_named(kind):
    with pytest.raises(ConfigError, match=r"relay.channel: expected a number from 1 to \d, .*, found 9"):
        promised(BoardSettings(kind, "/dev/null", 9))


def test_a_family_that_restarts_dangerously_is_refused_with_the_reason():
    for refuses in (promised, open_board):
        with pytest.raises(ConfigError, match=r"relay.driver: expected .*ICSE012A.* close contacts"):
            refuses(BoardSettings("icse01x", "/dev/ttyUSB0"))


# With the keeper ---------------------------------------------------------------------------


class Permits:
    """What the live loop sends."""

    def __init__(self, link: KeeperLink) -> None:
        self._link, self._seq = link, 0

    def send(self, output: Output) -> None:
        self._seq += 1
        now_ns = time.monotonic_ns()
        self._link.send(Permit(self._seq, self._seq, now_ns - 20_000_000, now_ns, output))

    def until(self, holds, output: Output, limit_s: float = 15.0) -> bool:
        """At 50 frames a second."""
        give_up_s = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > give_up_s:
                return False
            self.send(output)
            time.sleep(0.02)
        return True

    def run(self, board) -> None:
        """As after a start: the board has answered long before a person presses reset."""
        assert self.until(lambda: self._link.readback, Output.OFF)
        assert self.until(board.closed, Output.ON), (self._link.report().faults, board.events()[-6:])


@pytest.fixture
def linked(make_board, promptly):
    links: list[KeeperLink] = []

    def link(case: Case, **faults):
        board = make_board(case.kind, **faults)
        links.append(KeeperLink(case.settings(board)))
        return board, links[-1], Permits(links[-1])

    yield link
    for one in links:
        one.close()


@every_case
def test_permits_keep_it_on_and_their_end_drops_it(case, linked):
    def is_held() -> bool:
        board, _, permits = linked(case)
        permits.run(board)
        until_s = time.monotonic() + 1.0
        permits.until(lambda: time.monotonic() > until_s, Output.ON)
        held = board.closed()
        assert board.wait_until(lambda b: not b.closed())
        return held

    assert any(is_held() for _ in range(ATTEMPTS))


@every_case
def test_an_off_permit_drops_the_contact(case, linked):
    board, _, permits = linked(case)
    permits.run(board)
    told_ns = time.monotonic_ns()
    permits.send(Output.OFF)
    assert board.wait_until(lambda b: not b.closed())
    opened_ns = board.contact_changes()[-1][0]
    print(f"{case.name}: {(opened_ns - told_ns) / 1e6:.2f} ms from permit to open contact")
    assert (opened_ns - told_ns) / 1e6 < 200 + SLACK_MS


timed = pytest.mark.parametrize(
    "case", [case for case in CASES if "flash" in case.name or case.kind == "heartbeat"], ids=lambda c: c.name
)


@timed
def test_a_board_with_a_time_limit_drops_out_when_nobody_is_left_to_say_off(case, make_board, opened):
    board = make_board(case.kind)
    relay = opened(case.settings(board))
    running(board, relay)
    limit_ms = relay.capabilities.hw_timeout_ms
    assert board.wait_until(lambda b: not b.closed())
    lasted_ms = (board.contact_changes()[-1][0] - board.on_bytes_ns()[-1]) / 1e6
    print(f"{case.name}: open {lasted_ms:.1f} ms after the last word")
    assert lasted_ms < limit_ms + SLACK_MS
    assert len(board.off_bytes_ns()) == 1  # the beginning's


@timed
def test_a_board_that_stops_answering_is_dropped_while_it_runs(case, linked):
    board, link, permits = linked(replace(case))
    permits.run(board)
    board.unplug()
    assert permits.until(lambda: "relay-write" in link.report().faults, Output.ON)
    assert link.report().output is Output.OFF
    board.replug()  # a keeper that ends would wait for it


def test_a_board_ends_soon_after_whoever_started_it_was_killed(tmp_path):
    starter = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, pathlib, signal\n"
            "from handguard.relay.simulated_board import SimulatedBoard\n"
            f"SimulatedBoard(pathlib.Path({str(tmp_path / 'link')!r}), pathlib.Path({str(tmp_path / 'log')!r}))\n"
            "os.kill(os.getpid(), signal.SIGKILL)",
        ],
        check=False,
    )
    assert starter.returncode == -signal.SIGKILL
    give_up = time.monotonic() + 60
    while '"end"' not in (tmp_path / "log").read_text() and time.monotonic() < give_up:
        time.sleep(0.1)
    assert '"end"' in (tmp_path / "log").read_text()
    assert not (tmp_path / "link").exists()
