"""Monitor, keeper and board as real processes, and what is left when one of them dies.

Limits on times are generous, for a shared machine; the measured ones are printed.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from handguard.errors import ConfigError, DeviceMissing
from handguard.relay import link as link_module
from handguard.relay.board import BoardSettings
from handguard.relay.keeper_state import MS, KeeperLimits
from handguard.relay.link import KeeperLink
from handguard.types import Output, Permit

OFF, ON = Output.OFF, Output.ON
SLACK_MS = 400  # of a machine that is doing something else
SENDER = Path(__file__).parent / "permit_sender.py"


class Monitor:
    """Sends permits over a link as the live loop would."""

    def __init__(self, link: KeeperLink) -> None:
        self.link, self.seq = link, 0

    def send(self, output: Output, **over: int) -> int:
        """Send one permit; returns when it was judged."""
        self.seq += 1
        now_ns = time.monotonic_ns()
        fields = {
            "seq": self.seq,
            "frame_seq": self.seq,
            "captured_ns": now_ns - 20 * MS,
            "judged_ns": now_ns,
        }
        self.link.send(Permit(**(fields | over), output=output))
        return now_ns

    def until(self, holds, output: Output | None = None, limit_s: float = 10.0) -> bool:
        """Keep sending this output (None: nothing) at 60 Hz until `holds()`."""
        give_up_s = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > give_up_s:
                return False
            if output is not None:
                self.send(output)
            time.sleep(1 / 60)
        return True

    def run(self, board) -> Monitor:
        """Reset and permit until the contact is closed."""
        self.send(OFF)
        assert self.until(board.closed, ON), "the relay did not close"
        return self


@pytest.fixture
def link(settings):
    link = KeeperLink(settings)
    yield link
    link.close()


@pytest.fixture
def monitor(link):
    return Monitor(link)


@pytest.fixture
def sender(board):
    """A monitor process in RUN with the contact closed, and its keeper's pid."""
    process = subprocess.Popen([sys.executable, SENDER, str(board.link)], stdout=subprocess.PIPE, text=True)
    keeper_pid = int(process.stdout.readline())
    assert board.wait_until(lambda b: b.closed())
    yield process, keeper_pid
    process.kill()
    process.communicate()


def first_off_after(board, start_ns: int) -> float:
    """Milliseconds from `start_ns` to the first OFF that reached the board, waiting for it."""
    assert board.wait_until(lambda b: any(ns >= start_ns for ns in b.off_bytes_ns())), "no OFF came"
    return (min(ns for ns in board.off_bytes_ns() if ns >= start_ns) - start_ns) / MS


def opens(board) -> bool:
    """Wait for the contact, which is slower than the bytes."""
    return board.wait_until(lambda b: not b.closed())


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# Obedience ---------------------------------------------------------------------------------


def test_the_board_has_been_told_off_once_the_link_exists(board, link):
    assert board.wait_until(lambda b: b.off_bytes_ns())
    assert link.report().output is OFF
    assert link.report().faults == frozenset()


def test_a_report_from_before_a_change_tells_nothing_of_the_contact(link, monitor):
    assert link.wait_for_readback()
    assert monitor.until(lambda: link.report().contactor_open is True, OFF)
    os.kill(link.keeper_pid, signal.SIGSTOP)
    try:
        monitor.send(OFF)
        assert link.report().contactor_open is True
        monitor.send(ON)
        assert link.report().contactor_open is None
        monitor.send(OFF)
        assert link.report().contactor_open is None
    finally:
        os.kill(link.keeper_pid, signal.SIGCONT)


def test_the_relay_follows_the_permits(board, monitor):
    monitor.run(board)
    assert monitor.until(lambda: monitor.link.report().output is ON, ON)
    judged_ns = monitor.send(OFF)
    assert first_off_after(board, judged_ns) < SLACK_MS
    assert opens(board)
    assert monitor.until(lambda: monitor.link.report().output is OFF)
    assert monitor.link.report().permit_seq == monitor.seq


def test_from_permit_to_off_bytes(board, monitor):
    times_ms = []
    for _ in range(10):
        monitor.run(board)
        times_ms.append(first_off_after(board, monitor.send(OFF)))
        assert monitor.until(lambda: not board.closed())
    print(f"\npermit to OFF bytes: p50 {statistics.median(times_ms):.2f} ms, max {max(times_ms):.2f} ms")
    assert statistics.median(times_ms) < SLACK_MS


def test_the_contact_is_reported_where_the_board_tells(board, monitor):
    assert monitor.until(lambda: monitor.link.report().contactor_open is True)
    assert monitor.link.readback


def test_a_silent_board_has_no_feedback_and_still_works(make_board):
    board = make_board(silent=True)
    link = KeeperLink(BoardSettings("lcus", str(board.link)))
    Monitor(link).run(board)
    assert link.report().contactor_open is None
    assert not link.readback
    link.close()


def test_a_welded_contact_that_the_board_admits_is_a_fault(make_board):
    board = make_board(welded=True, tells_contact=True)
    link = KeeperLink(BoardSettings("lcus", str(board.link)))
    monitor = Monitor(link).run(board)
    assert monitor.until(lambda: "relay-disobeys" in link.report().faults, OFF)
    assert link.report().contactor_open is False
    link.close()


def test_a_busy_board_that_misses_the_stop_gets_it_again(make_board):
    board = make_board(busy_ms=90.0, pull_in_ms=1.0)
    link = KeeperLink(BoardSettings("lcus", str(board.link)))
    monitor = Monitor(link)
    monitor.send(OFF)
    assert monitor.until(board.on_bytes_ns, ON)
    missed = len(board.events("deaf"))  # a stalled machine may have pushed two early OFFs together
    monitor.send(OFF)
    assert board.wait_until(lambda b: len(b.events("deaf")) > missed)
    assert board.wait_until(lambda b: b.contact_changes() and not b.closed())
    link.close()


def test_a_bad_permit_stops_and_holds_until_off_and_on(board, monitor):
    monitor.run(board)
    sent_ns = monitor.send(ON, judged_ns=time.monotonic_ns() + 10_000 * MS)
    assert first_off_after(board, sent_ns) < SLACK_MS
    assert opens(board)
    assert monitor.until(lambda: "permit-bad" in monitor.link.report().faults, ON)
    assert not monitor.until(board.closed, ON, limit_s=0.5)
    monitor.run(board)


def test_the_keeper_has_no_numpy(link):
    maps = Path(f"/proc/{link.keeper_pid}/maps").read_text()
    assert "numpy" not in maps
    assert "torch" not in maps


def test_importing_the_keeper_imports_no_numpy():
    code = (
        "import sys, handguard.relay.keeper_process, handguard.relay.simulated; print('numpy' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


@pytest.mark.parametrize("kind", ["lcus", "heartbeat", "modbus-rtu", "modbus-tcp"])
def test_a_second_keeper_of_one_board_is_refused_in_one_sentence_and_the_first_works_on(kind, make_board, request):
    board = make_board(kind)
    first = KeeperLink(BoardSettings(kind, board.port))
    request.addfinalizer(first.close)
    with pytest.raises(DeviceMissing) as refused:
        KeeperLink(BoardSettings(kind, board.port.replace("127.0.0.1", "localhost")))
    where = board.port  # names are looked up first
    assert str(refused.value) == f"relay.port: {where}: expected a free port, found it in use by another process"
    monitor = Monitor(first)
    monitor.send(OFF)
    give_up_s = time.monotonic() + 10
    while not board.closed() and time.monotonic() < give_up_s:
        monitor.send(ON)
        time.sleep(0.02)
    assert board.closed()
    monitor.send(OFF)
    assert board.wait_until(lambda one: not one.closed())


def test_the_last_words_of_a_keeper_are_told_when_all_is_over(settings, caplog):
    link = KeeperLink(settings)
    Path(f"/proc/{link.keeper_pid}/fd/2").write_text("Traceback\n  something that nobody foresaw\n")
    os.kill(link.keeper_pid, signal.SIGKILL)
    link.close()
    assert caplog.messages == ["the relay keeper left these words: Traceback something that nobody foresaw"]


def test_the_board_of_a_killed_keeper_is_free_at_once(make_board):
    board = make_board("modbus-tcp")
    settings = BoardSettings("modbus-tcp", board.port)
    first = KeeperLink(settings)
    os.kill(first.keeper_pid, signal.SIGKILL)
    give_up_s = time.monotonic() + 10
    while not first.report().faults and time.monotonic() < give_up_s:
        time.sleep(0.01)
    second = KeeperLink(settings)
    second.close()
    first.close()


def test_a_board_that_answers_no_question_is_told_and_one_that_cannot_is_not(link, make_board, request):
    assert link.wait_for_readback()
    assert not any("answers no question" in notice for notice in link.notices)
    mute = make_board(silent=True)
    silent = KeeperLink(BoardSettings("lcus", mute.port))
    request.addfinalizer(silent.close)
    assert any("answers no question" in notice for notice in silent.notices)
    silent._board = BoardSettings("lcus", mute.port, options={"query": "none"})
    assert not any("answers no question" in notice for notice in silent.notices)


def test_notices_name_a_weak_port_and_missing_rights(link, monkeypatch):
    assert not any("relay.port" in notice for notice in link.notices)
    monkeypatch.setattr(link, "_board", BoardSettings("lcus", "/dev/ttyUSB0"))
    assert any("by-path" in notice for notice in link.notices)


def test_a_fault_between_two_looks_is_told_at_the_next(board, monitor):
    """A contact that bounced, say, and settled before the monitor looked again."""
    monitor.run(board)
    monitor.link.report()
    monitor.send(ON, seq=0)  # out of order: a bad permit, held until the OFF permit
    assert monitor.until(lambda: monitor.link._newest.faults)
    assert monitor.until(lambda: not monitor.link._newest.faults, OFF)
    assert "permit-bad" in monitor.link.report().faults
    assert monitor.link.report().faults == frozenset()


# Deaths ------------------------------------------------------------------------------------


def test_a_killed_monitor_ends_in_off(board, sender):
    process, keeper_pid = sender
    killed_ns = time.monotonic_ns()
    process.kill()
    took_ms = first_off_after(board, killed_ns)
    print(f"\nkill -9 of the monitor to OFF bytes: {took_ms:.2f} ms")
    assert took_ms < SLACK_MS
    assert opens(board)
    assert board.wait_until(lambda _: not is_alive(keeper_pid)), "the keeper was left behind"


def test_a_stopped_monitor_ends_in_off_within_the_deadline(board, sender):
    process, _ = sender
    stopped_ns = time.monotonic_ns()
    process.send_signal(signal.SIGSTOP)
    took_ms = first_off_after(board, stopped_ns)
    print(f"\nSIGSTOP of the monitor to OFF bytes: {took_ms:.2f} ms")
    assert took_ms < 100 + SLACK_MS
    assert opens(board)
    process.send_signal(signal.SIGCONT)
    assert not board.wait_until(lambda b: b.closed(), limit_s=1), "ON permits alone must not restart it"


def test_a_killed_keeper_is_seen_at_once_and_the_monitor_says_off(board, monitor):
    monitor.run(board)
    killed_ns = time.monotonic_ns()
    os.kill(monitor.link.keeper_pid, signal.SIGKILL)
    took_ms = first_off_after(board, killed_ns)
    print(f"\nkill -9 of the keeper to OFF bytes: {took_ms:.2f} ms")
    assert took_ms < SLACK_MS
    assert monitor.until(lambda: monitor.link.report().output is OFF)
    report = monitor.link.report()
    assert "keeper-dead" in report.faults
    assert report.contactor_open is None
    assert report.written_ns >= killed_ns
    assert opens(board)
    monitor.send(ON)
    assert "permit-unsent" in monitor.link.report().faults
    assert not monitor.until(board.closed, ON, limit_s=0.3)


def test_a_stopped_keeper_is_silent_and_is_replaced_by_off(board, monitor):
    monitor.run(board)
    stopped_ns = time.monotonic_ns()
    os.kill(monitor.link.keeper_pid, signal.SIGSTOP)
    took_ms = first_off_after(board, stopped_ns)
    print(f"\nSIGSTOP of the keeper to OFF bytes: {took_ms:.2f} ms")
    assert took_ms < 300 + SLACK_MS
    assert "keeper-silent" in monitor.link.report().faults


def test_a_keeper_killed_with_unread_permits_is_dead_all_the_same(board, settings):
    link = KeeperLink(settings, silence_ms=60_000)
    monitor = Monitor(link).run(board)
    os.kill(link.keeper_pid, signal.SIGSTOP)
    monitor.send(ON)
    killed_ns = time.monotonic_ns()
    os.kill(link.keeper_pid, signal.SIGKILL)
    assert first_off_after(board, killed_ns) < SLACK_MS
    assert "keeper-dead" in link.report().faults
    link.close()


def test_a_keeper_asked_to_stop_says_off_and_is_then_dead(board, monitor):
    monitor.run(board)
    asked_ns = time.monotonic_ns()
    os.kill(monitor.link.keeper_pid, signal.SIGTERM)
    assert first_off_after(board, asked_ns) < SLACK_MS
    assert monitor.until(lambda: "keeper-dead" in monitor.link.report().faults)
    assert "terminated" in monitor.link.report().faults


def test_ctrl_c_does_not_reach_the_keeper(board, monitor):
    monitor.run(board)
    os.kill(monitor.link.keeper_pid, signal.SIGINT)
    assert not monitor.until(lambda: not board.closed(), ON, limit_s=0.5)


def test_unplugging_is_a_fault_and_replugging_stays_off_until_a_reset(board, monitor):
    monitor.run(board)
    board.unplug()
    assert monitor.until(lambda: "relay-port" in monitor.link.report().faults, ON)
    assert monitor.link.report().output is OFF
    replugged_ns = time.monotonic_ns()
    board.replug()
    assert first_off_after(board, replugged_ns) < 1000 + SLACK_MS
    assert not monitor.until(board.closed, ON, limit_s=0.5)
    assert "relay-port" in monitor.link.report().faults
    monitor.run(board)
    assert monitor.until(lambda: monitor.link.report().faults == frozenset(), ON)


def test_an_emergency_off_is_repeated_until_the_port_is_back(board, monitor):
    monitor.run(board)
    board.unplug()
    os.kill(monitor.link.keeper_pid, signal.SIGKILL)
    assert monitor.until(lambda: "relay-unreached" in monitor.link.report().faults)
    replugged_ns = time.monotonic_ns()
    board.replug()
    assert first_off_after(board, replugged_ns) < SLACK_MS


def test_an_emergency_off_is_said_however_late_the_port_is_back(board, monitor, monkeypatch):
    monkeypatch.setattr(link_module, "EMERGENCY_LIMIT_S", 0.1)
    monkeypatch.setattr(link_module, "EMERGENCY_REMINDER_S", 0.2)
    monitor.run(board)
    board.unplug()
    os.kill(monitor.link.keeper_pid, signal.SIGKILL)
    assert not monitor.until(lambda: not monitor.link._listener.is_alive(), limit_s=1)
    replugged_ns = time.monotonic_ns()
    board.replug()
    assert first_off_after(board, replugged_ns) < 200 + SLACK_MS
    assert {"keeper-dead", "relay-unreached"} <= monitor.link.report().faults


def test_a_link_that_is_closed_does_not_wait_for_a_port_for_ever(board, settings, monkeypatch):
    monkeypatch.setattr(link_module, "EMERGENCY_LIMIT_S", 0.2)
    link = KeeperLink(settings)
    board.unplug()
    os.kill(link.keeper_pid, signal.SIGKILL)
    link.close()
    assert not link._listener.is_alive()


def test_a_board_that_comes_back_to_the_network_is_told_off_by_the_same_keeper(make_board, request):
    """Who connects meanwhile hears nothing, and a keeper that waits for that too long looks dead."""
    board = make_board("modbus-tcp")
    link = KeeperLink(BoardSettings("modbus-tcp", board.port))
    request.addfinalizer(link.close)
    monitor = Monitor(link).run(board)
    board.unplug()
    assert monitor.until(lambda: "relay-port" in link.report().faults, ON)
    assert not monitor.until(lambda: link.report().faults & link_module.LOST, OFF, limit_s=2)
    replugged_ns = time.monotonic_ns()
    board.replug()
    assert first_off_after(board, replugged_ns) < 1000 + SLACK_MS
    monitor.run(board)


def test_a_name_that_nobody_knows_is_refused_in_one_sentence():
    complaint = r"relay\.port: board\.invalid:502: expected a name that has an IPv4 address"
    with pytest.raises(DeviceMissing, match=complaint):
        KeeperLink(BoardSettings("modbus-tcp", "board.invalid:502"))


def test_a_name_is_looked_up_once_at_the_start(make_board, request, monkeypatch):
    """A name server that hangs later would keep the keeper, or an emergency OFF, waiting."""
    board = make_board("modbus-tcp")
    link = KeeperLink(BoardSettings("modbus-tcp", board.port.replace("127.0.0.1", "localhost")))
    request.addfinalizer(link.close)
    assert board.port in " ".join(Path(f"/proc/{link.keeper_pid}/cmdline").read_text().split("\0"))
    assert link._board.port == board.port


def test_an_emergency_off_to_a_port_that_takes_nothing_is_no_success(link, monkeypatch):
    terminal_main, terminal = os.openpty()
    board = BoardSettings("lcus", os.ttyname(terminal), options={"off": "00" * 60_000})
    monkeypatch.setattr(link, "_board", board)
    assert link.emergency_off() is False
    os.close(terminal_main)
    os.close(terminal)


def test_a_damaged_report_counts_as_a_lost_keeper(board, settings, monkeypatch):
    monkeypatch.setattr(link_module, "spawned", spawn_liar)
    link = KeeperLink(settings)
    monitor = Monitor(link)
    assert monitor.until(lambda: "keeper-garbled" in link.report().faults)
    assert board.wait_until(lambda b: b.off_bytes_ns())
    link.close()


def spawn_liar(board, limits):
    """A keeper whose first report is sound and whose second is noise."""
    from handguard.relay.board import Command
    from handguard.relay.wire import WireReport, encode_report

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(["sleep", "60"], stderr=subprocess.PIPE, text=True)
    theirs.send(encode_report(WireReport(-1, Command.OFF, 1, 1)))
    theirs.send(b"noise")
    theirs.close()
    return process, ours


# Start and end -----------------------------------------------------------------------------


def test_close_says_off_and_waits_for_the_end(board, settings):
    link = KeeperLink(settings)
    Monitor(link).run(board)
    closed_ns = time.monotonic_ns()
    link.close()
    assert not is_alive(link.keeper_pid)
    assert first_off_after(board, closed_ns) < SLACK_MS
    assert opens(board)
    link.close()


def test_close_of_a_hung_keeper_still_ends_in_off(board, settings, monkeypatch):
    monkeypatch.setattr(link_module, "CLOSE_LIMIT_S", 0.2)
    link = KeeperLink(settings, silence_ms=60_000)
    Monitor(link).run(board)
    os.kill(link.keeper_pid, signal.SIGSTOP)
    closed_ns = time.monotonic_ns()
    link.close()
    assert first_off_after(board, closed_ns) < 1000 + SLACK_MS
    assert not is_alive(link.keeper_pid)


def test_a_missing_port_is_one_clear_message(tmp_path):
    with pytest.raises(
        DeviceMissing, match=r"^relay.port: .*/gone: expected a relay board .* no such device$"
    ):
        KeeperLink(BoardSettings("lcus", str(tmp_path / "gone")))


def test_a_busy_port_is_one_clear_message(settings, link):
    with pytest.raises(DeviceMissing, match="expected a free port"):
        KeeperLink(settings)


def test_a_board_that_takes_no_off_does_not_start(settings, monkeypatch):
    monkeypatch.setattr(link_module, "START_LIMIT_S", 0.5)
    terminal_main, terminal = os.openpty()
    board = BoardSettings("lcus", os.ttyname(terminal), options={"off": "00" * 60_000})
    with pytest.raises(DeviceMissing, match="expected OFF to be written, found"):
        KeeperLink(board)
    os.close(terminal_main)
    os.close(terminal)


def test_limits_are_checked_before_anything_starts():
    with pytest.raises(ConfigError, match="deadline"):
        KeeperLimits(deadline_ns=2000 * MS)


def test_a_relative_port_is_found(board, monkeypatch):
    monkeypatch.chdir(board.link.parent)
    link = KeeperLink(BoardSettings("lcus", board.link.name))
    assert link.report().output is OFF
    link.close()
