"""Our own board: a small microcontroller that drops the relay when it is not told to run, again and again.

The protocol and what the board must do are written in docs/heartbeat-protocol.md,
the firmware in firmware/. In short: STOP is obeyed always. RUN is obeyed only with
the number (*nonce*) of the board's last answer, so that neither a stuck nor a
repeated stream of bytes can keep the machine running, and for 95 ms only. A board
that fell silent, or saw a wrong RUN, latches until its own button is pressed.

This driver sends RUN only when the board has answered the one before; a board that
does not answer, or that answers without running, is an error, and so OFF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from handguard.errors import DeviceError
from handguard.relay.board import BoardSettings, Capabilities, Command
from handguard.relay.modbus import crc16
from handguard.relay.options import channel_within, choice, known_only
from handguard.relay.serial_port import HEARD_LIMIT, SerialPort, baud_option

VERSION = 1
BAUD = 115200  # any will do over USB
HW_TIMEOUT_MS = 100
_REQUEST, _ANSWER, _CRC = struct.Struct("<BBBBH"), struct.Struct("<BBBBBBHH"), struct.Struct("<H")
_REQUEST_MARK, _ANSWER_MARK = 0xA5, 0x5A
ANSWER_SIZE = _ANSWER.size + _CRC.size
_BUTTON_BIT = 0b100
_FEEDBACK_BITS = {0: 0b00, 1: 0b01, 2: 0b11}  # of the contactors wired back to the board


class Word(IntEnum):
    """What the board can be told; any two differ in at least four bits."""

    STOP = 0x96
    RUN = 0x69
    QUERY = 0x3C


class BoardState(IntEnum):
    STOPPED = 0
    RUNNING = 1
    LATCHED = 2


class Cause(IntEnum):
    """Why the board stopped by itself, or refused to run."""

    NONE = 0
    SILENCE = 1
    NONCE = 2
    SEQUENCE = 3
    FEEDBACK = 4
    UNKNOWN_WORD = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What the board says, whatever it was told."""

    seq: int
    state: BoardState
    cause: Cause
    inputs: int  # bits 0, 1: the contactors have dropped; 2: button down; 3: button stuck
    nonce: int
    uptime_ms: int  # modulo 65536


def request(seq: int, word: Word, nonce: int) -> bytes:
    """Eight bytes to the board."""
    body = _REQUEST.pack(_REQUEST_MARK, VERSION, seq, word, nonce)
    return body + _CRC.pack(crc16(body))


def answers(heard: bytes) -> Iterator[Answer]:
    """Every whole answer in what was heard, noise skipped."""
    start = 0
    while start <= len(heard) - ANSWER_SIZE:
        answer = _answer(heard[start : start + ANSWER_SIZE])
        start += ANSWER_SIZE if answer else 1
        if answer:
            yield answer


def _answer(frame: bytes) -> Answer | None:
    mark, version, seq, state, cause, inputs, nonce, uptime_ms = _ANSWER.unpack(frame[: _ANSWER.size])
    if (mark, version) != (_ANSWER_MARK, VERSION) or crc16(frame[:-2]) != _CRC.unpack(frame[-2:])[0]:
        return None
    try:
        return Answer(seq, BoardState(state), Cause(cause), inputs, nonce, uptime_ms)
    except ValueError:
        return None


class Heartbeat:
    """The board's single output. Implements `board.Relay`; one thread only."""

    def __init__(self, settings: BoardSettings, *, exclusive: bool = True) -> None:
        """Open the port; nothing is written yet. Raises `ConfigError` or `DeviceMissing`."""
        self._capabilities = self.promise(settings)
        self._feedback = _FEEDBACK_BITS[_contactors(settings)]
        self._port = SerialPort(settings.port, baud_option(settings, BAUD), exclusive=exclusive)
        self._name = settings.port
        self._told = Command.OFF
        self._seq = 0
        self._heard = b""
        self._nonce: int | None = None
        self._unanswered_run: int | None = None  # its number
        self._asked: set[int] = set()  # numbers whose answers are news
        self._contact: bool | None = None
        self._button: bool | None = None

    @classmethod
    def promise(cls, settings: BoardSettings) -> Capabilities:
        """What the driver will declare for these settings, without opening anything."""
        known_only(settings, {"baud", "contactors"})
        channel_within(settings, 1)
        return Capabilities(
            readback=_contactors(settings) > 0,
            ack=True,
            hw_timeout_ms=HW_TIMEOUT_MS,
            min_interval_ms=0,
            channels=1,
            button=_contactors(settings) > 0,  # only a board with feedback is asked often enough
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def write(self, command: Command) -> None:
        """Raises `DeviceError` also for a RUN that the board could not accept: nothing is sent then."""
        if command is Command.OFF:
            self._turn(Command.OFF)
            self._unanswered_run = None
            self._say(Word.STOP, 0)
            return
        self._hear()
        if self._nonce is None or self._unanswered_run is not None:
            raise DeviceError(f"{self._name}: the relay board did not answer the last command")
        self._turn(Command.ON)
        self._unanswered_run = self._say(Word.RUN, self._nonce)

    def ask(self) -> None:
        self._asked, self._contact = set(), None
        self._say(Word.QUERY, 0)

    def contactor_open(self) -> bool | None:
        self._hear()
        return self._contact

    def reset_down(self) -> bool | None:
        return self._button

    def close(self) -> None:
        self._port.close()

    def _turn(self, command: Command) -> None:
        """What was answered before a change is no news after it."""
        if command is not self._told:
            self._told, self._asked, self._contact = command, set(), None

    def _say(self, word: Word, nonce: int) -> int:
        self._seq = (self._seq + 1) % 256
        self._asked.add(self._seq)
        self._port.send(request(self._seq, word, nonce))
        return self._seq

    def _hear(self) -> None:
        self._heard = (self._heard + self._port.heard())[-HEARD_LIMIT:]
        for answer in answers(self._heard):
            self._heed(answer)
        self._heard = self._heard[-ANSWER_SIZE + 1 :]

    def _heed(self, answer: Answer) -> None:
        """Only answers to what was said since the last question or change tell of the contact."""
        if answer.seq not in self._asked and answer.seq != self._unanswered_run:
            return
        self._nonce, self._button = answer.nonce, bool(answer.inputs & _BUTTON_BIT)
        if answer.seq == self._unanswered_run:
            self._unanswered_run = None
            if answer.state is not BoardState.RUNNING:
                state, cause = answer.state.name.lower(), answer.cause.name.lower()
                raise DeviceError(f"{self._name}: the relay board is {state} and will not run: {cause}")
        if self._feedback and answer.seq in self._asked:
            self._contact = self._dropped(answer.inputs & self._feedback)

    def _dropped(self, feedback: int) -> bool:
        """Two contactors that disagree are the one that disobeys."""
        if self._told is Command.OFF:
            return feedback == self._feedback
        return feedback != 0


def _contactors(settings: BoardSettings) -> int:
    return int(choice(settings, "contactors", _FEEDBACK_BITS, 1))
