"""The keeper's loop, in this process, on a real pipe and a real terminal."""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from handguard.errors import DeviceError, DeviceMissing
from handguard.relay import keeper
from handguard.relay.board import BoardSettings, Capabilities, Command
from handguard.relay.boards import open_board
from handguard.relay.keeper_process import KeeperProcess, main, settings_json
from handguard.relay.keeper_state import MS, KeeperLimits
from handguard.relay.wire import Fault, Trait, WirePermit, decode_report, encode_permit

OFF, ON = Command.OFF, Command.ON
LIMITS = KeeperLimits()


class Pipe:
    """The monitor's end of a keeper's pipe, and its SIGTERM."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.setblocking(False)
        self.wake_fd, self._wakes_fd = os.pipe()
        self.seq = 0

    def permit(self, command: Command) -> None:
        self.seq += 1
        now_ns = time.monotonic_ns()
        self.ours.send(encode_permit(WirePermit(self.seq, self.seq, now_ns - 5 * MS, now_ns, command)))

    def terminate(self) -> None:
        os.write(self._wakes_fd, b"\x0f")

    def newest_report(self):
        """The newest report that has come, after waiting for at least one."""
        message = self.ours.recv(4096)
        while select.select([self.ours], [], [], 0)[0]:
            message = self.ours.recv(4096)
        return decode_report(message)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()
        for fd in (self.wake_fd, self._wakes_fd):
            os.close(fd)


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    pipe.close()


class Running:
    """A keeper in a thread of this process."""

    def __init__(self, pipe: Pipe, settings: BoardSettings, opens=open_board) -> None:
        process = KeeperProcess(pipe.theirs.fileno(), pipe.wake_fd, settings, LIMITS, Trait.REALTIME, opens)
        self.said_off: bool | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(process,), daemon=True)
        self._thread.start()

    def _run(self, process: KeeperProcess) -> None:
        try:
            self.said_off = process.run()
        except ZeroDivisionError as error:
            self.error = error

    def wait(self) -> Running:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self


def energize(pipe: Pipe, board) -> None:
    pipe.permit(OFF)
    give_up_s = time.monotonic() + 10
    while not board.closed():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)
        pipe.permit(ON)


def test_the_loop_follows_permits_and_ends_with_the_pipe(board, settings, pipe):
    running = Running(pipe, settings)
    energize(pipe, board)
    assert pipe.newest_report().command is ON
    pipe.ours.shutdown(socket.SHUT_WR)
    assert running.wait().said_off is True
    assert board.wait_until(lambda b: not b.closed())
    assert pipe.newest_report().faults == Fault.PIPE_CLOSED


def test_sigterm_ends_it_with_off(board, settings, pipe):
    running = Running(pipe, settings)
    energize(pipe, board)
    pipe.terminate()
    assert running.wait().said_off is True
    assert board.wait_until(lambda b: not b.closed())


def test_noise_in_the_pipe_is_a_bad_permit(board, settings, pipe):
    running = Running(pipe, settings)
    energize(pipe, board)
    pipe.ours.send(b"\x00" * 9000)
    assert board.wait_until(lambda b: not b.closed())
    assert pipe.newest_report().faults == Fault.PERMIT_BAD
    pipe.terminate()
    running.wait()


def test_silence_is_too_late(board, settings, pipe):
    running = Running(pipe, settings)
    energize(pipe, board)
    assert board.wait_until(lambda b: not b.closed())
    assert pipe.newest_report().faults == Fault.PERMIT_LATE
    pipe.terminate()
    running.wait()


def test_a_reset_connection_is_the_end_of_the_pipe(board, settings, pipe):
    running = Running(pipe, settings)
    energize(pipe, board)
    pipe.ours.close()  # with reports unread: the other side sees a reset, not an end
    assert running.wait().said_off is True
    assert board.wait_until(lambda b: not b.closed())


def test_an_unplugged_board_is_opened_again_and_told_off(board, settings, pipe):
    running = Running(pipe, settings)
    energize(pipe, board)
    board.unplug()
    give_up_s = time.monotonic() + 5
    while Fault.RELAY_PORT not in pipe.newest_report().faults:
        assert time.monotonic() < give_up_s
    replugged_ns = time.monotonic_ns()
    board.replug()
    assert board.wait_until(lambda b: any(ns > replugged_ns for ns in b.off_bytes_ns()))
    pipe.terminate()
    assert running.wait().said_off is True


def test_leaving_without_a_board_admits_that_off_was_not_said(board, settings, pipe, monkeypatch):
    monkeypatch.setattr(keeper, "CLOSING_LIMIT_NS", 100 * MS)
    running = Running(pipe, settings)
    energize(pipe, board)
    board.unplug()
    pipe.terminate()
    assert running.wait().said_off is False


def test_a_bug_in_the_loop_still_ends_in_off(board, settings, pipe, monkeypatch):
    running = Running(pipe, settings)
    energize(pipe, board)
    monkeypatch.setattr("handguard.relay.keeper_process.next_due_ns", lambda _: 1 // 0)
    assert isinstance(running.wait().error, ZeroDivisionError)
    assert board.wait_until(lambda b: not b.closed())


class StiffBoard:
    """A board whose contact can be read, and that refuses every word from the third on."""

    capabilities = Capabilities(readback=True, ack=True, hw_timeout_ms=None, min_interval_ms=0, channels=1)

    def __init__(self) -> None:
        self.words: list[str] = []

    def write(self, command: Command) -> None:
        self._say(command.value)

    def ask(self) -> None:
        self._say("ask")

    def contactor_open(self) -> bool | None:
        return True

    def reset_down(self) -> bool | None:
        return None

    def close(self) -> None:
        self.words.append("close")

    def _say(self, word: str) -> None:
        self.words.append(word)
        if len(self.words) > 3:
            raise DeviceError("stiff")


def test_a_refused_word_closes_the_port_and_is_a_fault(pipe, monkeypatch):
    monkeypatch.setattr(keeper, "CLOSING_LIMIT_NS", 100 * MS)
    boards = [StiffBoard()]

    def opens(_: BoardSettings) -> StiffBoard:
        if boards[-1].words:
            raise DeviceMissing("gone")
        return boards[-1]

    running = Running(pipe, BoardSettings("lcus", "/dev/null"), opens)
    give_up_s = time.monotonic() + 5
    while pipe.newest_report().faults != Fault.RELAY_PORT | Fault.RELAY_WRITE:
        assert time.monotonic() < give_up_s
    assert boards[0].words == ["off", "off", "off", "ask", "close"]
    pipe.terminate()
    assert running.wait().said_off is False


# The program -------------------------------------------------------------------------------


@pytest.fixture
def own_signals():
    """`main` takes over the signals of its process; give them back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
def test_the_program_ends_with_0_after_its_last_off(board, settings, pipe):
    pipe.ours.close()
    arguments = [str(pipe.theirs.fileno()), settings_json(settings, LIMITS)]
    assert main(arguments, harden=lambda: Trait.NONE) == 0
    assert board.wait_until(lambda b: len(b.off_bytes_ns()) >= 3)


@pytest.mark.usefixtures("own_signals")
def test_the_program_ends_with_1_when_its_last_off_was_not_taken(board, settings, pipe, monkeypatch):
    monkeypatch.setattr(keeper, "CLOSING_LIMIT_NS", 50 * MS)
    threading.Timer(0.3, lambda: (board.unplug(), os.kill(os.getpid(), signal.SIGTERM))).start()
    arguments = [str(pipe.theirs.fileno()), settings_json(settings, LIMITS)]
    assert main(arguments, harden=lambda: Trait.NONE) == 1


@pytest.mark.usefixtures("own_signals")
def test_the_program_ends_with_2_and_one_line_when_it_cannot_begin(tmp_path, pipe, capsys):
    board = BoardSettings("lcus", str(tmp_path / "gone"))
    assert main([str(pipe.theirs.fileno()), settings_json(board, LIMITS)], harden=lambda: Trait.NONE) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("own_signals")
def test_limits_beyond_the_bounds_are_refused_by_the_keeper_too(pipe, settings, capsys):
    text = json.loads(settings_json(settings, LIMITS))
    text["limits"]["deadline_ns"] = 5000 * MS
    assert main([str(pipe.theirs.fileno()), json.dumps(text)], harden=lambda: Trait.NONE) == 2
    assert "relay.deadline_ms: expected from 10 to 1000 ms, found 5000" in capsys.readouterr().err


@pytest.mark.usefixtures("own_signals")
def test_it_runs_as_a_module(tmp_path, pipe, monkeypatch):
    board = BoardSettings("nonsense", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["keeper", str(pipe.theirs.fileno()), settings_json(board, LIMITS)])
    monkeypatch.delitem(sys.modules, "handguard.relay.keeper_process")
    monkeypatch.setattr("handguard.relay.realtime.harden", lambda: Trait.NONE)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("handguard.relay.keeper_process", run_name="__main__")
    assert ended.value.code == 2


def test_hardening_reports_what_was_granted():
    code = "from handguard.relay.realtime import harden; import gc; print(int(harden()), gc.isenabled())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    granted, gc_enabled = said.split()
    assert gc_enabled == "False"
    assert int(granted) in range(4)
    if os.geteuid() == 0:
        assert Trait(int(granted)) & Trait.LOCKED_MEMORY
    assert gc.isenabled()


def test_without_the_right_nothing_is_claimed():
    code = (
        "import os, resource; from handguard.relay.realtime import harden;"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0)); os.setuid(65534); print(int(harden()))"
    )
    if os.geteuid() != 0:
        pytest.skip("needs root in order to give up its rights")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.stdout == "0\n", said.stderr
