"""The monitor's end of the pipe to the relay keeper: starts it, feeds it, watches it.

`send` and `report` never wait and never raise, so they may stand in the stop
path. A thread of its own listens to the keeper. When the keeper dies, or says
nothing for `silence_ms` although it reports twenty times a second, that thread
kills what is left of it, opens the port beside any lock and writes OFF itself,
again and again, for hours if need be, until the port has taken the whole series.
From then on the link is lost for good: `report` shows why, and only a restart of
the monitor brings a new keeper.

If the monitor dies instead, the end of the pipe tells the keeper. A child that
was forked while the link was open would keep the pipe open; start children with
`spawn`. (The keeper's deadline covers even that.)
"""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from handguard.errors import DeviceError, DeviceMissing, HandguardError
from handguard.relay.board import BoardSettings, Command
from handguard.relay.boards import located, open_board, promised
from handguard.relay.keeper_child import ended, spawned
from handguard.relay.keeper_state import KeeperLimits
from handguard.relay.reserve import Reserve
from handguard.relay.serial_port import port_notice
from handguard.relay.wire import (
    REPORT_SIZE,
    Fault,
    Trait,
    WireError,
    WirePermit,
    WireReport,
    decode_report,
    encode_permit,
)
from handguard.types import KeeperReport, Output, Permit

START_LIMIT_S = 15.0  # a new interpreter on a busy machine
READBACK_LIMIT_S = 4.0  # a board that needs rest is asked once a second
CLOSE_LIMIT_S = 8.0  # above the keeper's own limit for a lost board
EMERGENCY_LIMIT_S = 10.0  # from then on tried once a second; a link that is closed does not wait longer
EMERGENCY_RETRY_S, EMERGENCY_REMINDER_S = 0.05, 1.0
SILENT = "relay board: it answers no question about its contact, so that one that does not follow is not seen"
_COMMANDS = {Output.OFF: Command.OFF, Output.ON: Command.ON}
_OUTPUTS = {command: output for output, command in _COMMANDS.items()}

# Faults the link adds to those of `wire.Fault`:
KEEPER_DEAD = "keeper-dead"  # the process ended
KEEPER_SILENT = "keeper-silent"  # alive, perhaps, but no report came in time
KEEPER_GARBLED = "keeper-garbled"  # its report was damaged
PERMIT_UNSENT = "permit-unsent"  # the pipe did not take a permit
LOST = {KEEPER_DEAD, KEEPER_SILENT, KEEPER_GARBLED}
RELAY_UNREACHED = "relay-unreached"  # an OFF was not taken by the port at the first attempt


class KeeperLink:
    """Implements `ports.PermitLine`. `send`, `report` and `close` belong to one thread.

    Raises `ConfigError` or `DeviceMissing` on construction when the keeper cannot
    begin; once constructed, the board has been told OFF.
    """

    def __init__(self, board: BoardSettings, limits: KeeperLimits | None = None, *, silence_ms: int = 300) -> None:
        self._board = located(board)
        self._silence_ms = silence_ms
        self._faults: frozenset[str] = frozenset()  # replaced, never changed; written under _lock
        self._unread = Fault.NONE  # of all reports since somebody looked; under _lock
        self._lock = threading.Lock()
        self._is_closing = False
        self._off_taken_ns: int | None = None  # by an emergency OFF
        self._told, self._turned_seq = Output.OFF, -1  # what was asked for last, and by which permit first
        self._keeper, self._socket = spawned(self._board, limits or KeeperLimits())
        self._newest = self._first_report()
        self._reserve = Reserve()
        self._listener = threading.Thread(target=self._listen, name="keeper-link", daemon=True)
        self._listener.start()

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know about this relay, in sentences: weak port name, missing rights."""
        traits = self._newest.traits
        missing = {
            "real-time scheduling": Trait.REALTIME not in traits,
            "locked memory": Trait.LOCKED_MEMORY not in traits,
        }
        refused = [f"relay keeper: {what} was not granted" for what, is_so in missing.items() if is_so]
        boards = (self._board, self._board.second)
        weak = [notice for one in boards if one and (notice := port_notice(one.port))]
        silent = [SILENT] if promised(self._board).readback and not self.readback else []
        return (*weak, *silent, *refused)

    @property
    def readback(self) -> bool:
        """True once the board has answered a question about its contact."""
        return Trait.READBACK in self._newest.traits

    def wait_for_readback(self, limit_s: float = READBACK_LIMIT_S) -> bool:
        """Wait until the board has answered a question about its contact; False if it has not by then."""
        return _waited_for(lambda: self.readback, limit_s)

    def wait_for_button(self, limit_s: float = READBACK_LIMIT_S) -> bool:
        """Wait until the board has told of its reset button; False if it has not by then."""
        return _waited_for(lambda: self.reset_down is not None, limit_s)

    @property
    def reset_down(self) -> bool | None:
        """The button at the board; None: it has none, has not told yet, or can no longer be heard."""
        return None if self._faults & LOST else self._newest.reset_down

    @property
    def keeper_pid(self) -> int:
        """For the records."""
        return self._keeper.pid

    def send(self, permit: Permit) -> None:
        """Hand over a permit without blocking. Never raises; what failed shows in `report`."""
        if permit.output is not self._told:
            self._told, self._turned_seq = permit.output, permit.seq
        command = _COMMANDS[permit.output]
        wire = WirePermit(permit.seq, permit.frame_seq, permit.captured_ns, permit.judged_ns, command)
        try:
            self._socket.send(encode_permit(wire), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except (OSError, WireError):
            self._add_fault(PERMIT_UNSENT)

    def report(self) -> KeeperReport:
        """The newest report, without blocking, with the link's own faults and those of the reports before it.

        A fault that came and went between two looks is told once. A report from before the
        last change of the output tells nothing of the contact: it may just not have been heard yet.
        """
        with self._lock:
            newest, unread, self._unread = self._newest, self._unread, Fault.NONE
        off_taken_ns = self._off_taken_ns
        is_news = off_taken_ns is None and newest.permit_seq >= self._turned_seq
        return KeeperReport(
            permit_seq=newest.permit_seq,
            output=_OUTPUTS[newest.command] if off_taken_ns is None else Output.OFF,
            written_ns=newest.written_ns if off_taken_ns is None else off_taken_ns,
            contactor_open=newest.contactor_open if is_news else None,
            reset_down=self.reset_down,
            faults=(newest.faults | unread).names | self._faults,
        )

    def emergency_off(self) -> bool:
        """Open the port beside any lock and write OFF once. True if the port took it; never raises."""
        self._reserve.release()
        try:
            board = open_board(self._board, exclusive=False)
        except HandguardError:
            return False
        try:
            board.write(Command.OFF)
        except DeviceError:
            return False
        finally:
            board.close()
        self._off_taken_ns = self._off_taken_ns or time.monotonic_ns()
        return True

    def close(self) -> None:
        """End the pipe, wait until the keeper has said OFF and left. Safe to call twice."""
        if self._is_closing:
            return
        self._is_closing = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        status = ended(self._keeper, CLOSE_LIMIT_S)
        self._listener.join(CLOSE_LIMIT_S + EMERGENCY_LIMIT_S)
        if status != 0 and self._off_taken_ns is None:
            self.emergency_off()
        self._reserve.release()
        self._socket.close()
        _, said = self._keeper.communicate()
        if said.strip():
            logging.getLogger(__name__).error("the relay keeper left these words: %s", " ".join(said.split()))

    # The listening thread ------------------------------------------------------------------

    def _first_report(self) -> WireReport:
        """Wait until the keeper has told the board OFF. Raises `DeviceMissing` if it never does."""
        try:
            return self._written_report(time.monotonic() + START_LIMIT_S)
        except _Lost as lost:
            said = self._abandoned()
            found = said or f"relay keeper on {self._board.port}: expected OFF to be written, found {lost}"
            raise DeviceMissing(found) from None

    def _written_report(self, give_up_s: float) -> WireReport:
        while True:
            self._await_message(START_LIMIT_S * 1000)
            report = self._receive()
            if report.written_ns >= 0:
                return report
            if time.monotonic() > give_up_s:
                raise _Lost(RELAY_UNREACHED)

    def _abandoned(self) -> str:
        """End a keeper that could not begin; returns what it said."""
        self._keeper.kill()
        self._socket.close()
        _, said = self._keeper.communicate()
        return said.strip()

    def _listen(self) -> None:
        try:
            while True:
                self._await_message(self._silence_ms)
                self._hear(self._receive())
        except _Lost as lost:
            if not self._is_closing:
                self._lose(str(lost))

    def _hear(self, report: WireReport) -> None:
        with self._lock:
            self._newest, self._unread = report, self._unread | report.faults

    def _await_message(self, timeout_ms: float) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(timeout_ms):
            raise _Lost(KEEPER_SILENT)

    def _receive(self) -> WireReport:
        try:
            message = self._socket.recv(REPORT_SIZE + 1)
        except OSError:
            message = b""
        if not message:
            raise _Lost(KEEPER_DEAD)
        try:
            return decode_report(message)
        except WireError:
            raise _Lost(KEEPER_GARBLED) from None

    def _lose(self, fault: str) -> None:
        """The keeper cannot be trusted any more: end it, and say OFF in its place."""
        self._add_fault(fault)
        self._keeper.kill()
        self._say_off_repeatedly()
        self._keeper.wait()

    def _say_off_repeatedly(self) -> None:
        """OFF three times 100 ms apart, as the keeper would; lost attempts are repeated, after the limit slowly."""
        patient_s, taken = time.monotonic() + EMERGENCY_LIMIT_S, 0
        while taken < 3:
            is_taken = self.emergency_off()
            taken += is_taken
            if not is_taken:
                self._add_fault(RELAY_UNREACHED)
            is_late = time.monotonic() > patient_s
            if is_late and self._is_closing:
                return
            pause_s = EMERGENCY_REMINDER_S if is_late else EMERGENCY_RETRY_S
            time.sleep(2 * EMERGENCY_RETRY_S if is_taken else pause_s)

    def _add_fault(self, fault: str) -> None:
        with self._lock:
            self._faults |= {fault}


class _Lost(Exception):
    """The keeper is gone; the message is the fault to report."""


def _waited_for(holds: Callable[[], bool], limit_s: float) -> bool:
    give_up_s = time.monotonic() + limit_s
    while not holds() and time.monotonic() < give_up_s:
        time.sleep(0.01)
    return holds()
