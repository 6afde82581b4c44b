"""LCUS relay boards: a CH340 serial port, four bytes a command, no watchdog.

A command is `A0 channel op sum` at 9600 baud, the sum being that of the first
three bytes. Two families share it. The common one answers no command, but a
single byte FF with a line a channel (`CH1: OFF`); many of its clones do not
answer at all. The other answers op 5 with `A0 channel state sum`. Look-alikes use
one byte a command, so the bytes are a table that the configuration may replace.

The family is never guessed with op 5: a clone that takes any op but zero for ON
would energize the machine. `query: auto` sends FF alone, followed by three zeros
which end the frame that a simple parser may have begun with it; if nothing
answers, the board has no feedback and the keeper stops asking.

What the board reports is the contact it commands, not the contact: a welded
relay still says OFF.
"""

from __future__ import annotations

import errno
import re
import termios
from contextlib import suppress
from dataclasses import dataclass

import serial

from handguard.errors import ConfigError, DeviceError, DeviceMissing, mismatch
from handguard.relay.board import BoardSettings, Capabilities, Command

BAUD = 9600
MIN_INTERVAL_MS = 100  # what published LCUS programs keep between two commands
WRITE_TIMEOUT_S = 0.02
_HEARD_LIMIT = 256  # bytes kept while waiting for an answer; eight lines are 80
_PORT_ERRORS = (OSError, termios.error, ValueError, serial.SerialException)
_OPTIONS = {"query", "on", "off", "baud"}
_QUERIES = ("auto", "op5", "none")
_OPEN_REASONS: dict[int | None, str] = {
    errno.ENOENT: "a relay board on this port, found no such device",
    errno.EAGAIN: "a free port, found it in use by another process",
    errno.EBUSY: "a free port, found it in use by another process",
    errno.EACCES: "permission to open it (is the user in group dialout?), found none",
}


@dataclass(frozen=True, slots=True)
class ByteTable:
    """The bytes of one channel. `answer` finds an answer in what was heard; its group `open` says OFF."""

    on: bytes
    off: bytes
    query: bytes | None = None
    answer: re.Pattern[bytes] | None = None

    def __post_init__(self) -> None:
        if not self.on or not self.off or self.on == self.off:
            found = f"on={self.on.hex(' ')!r} off={self.off.hex(' ')!r}"
            raise ConfigError(mismatch("relay.options", "two different commands for on and off", found))


def frame(channel: int, op: int) -> bytes:
    """`A0 channel op sum`."""
    return bytes((0xA0, channel, op, (0xA0 + channel + op) & 0xFF))


def byte_table(settings: BoardSettings) -> ByteTable:
    """The commands for one channel, after the options. Raises `ConfigError`."""
    unknown = set(settings.options) - _OPTIONS
    if unknown:
        expected = "one of " + ", ".join(sorted(_OPTIONS))
        raise ConfigError(mismatch("relay.options", expected, ", ".join(sorted(unknown))))
    on = _hex_option(settings, "on", frame(settings.channel, 1))
    off = _hex_option(settings, "off", frame(settings.channel, 0))
    return ByteTable(on, off, *_question(settings))


def _question(settings: BoardSettings) -> tuple[bytes | None, re.Pattern[bytes] | None]:
    query, channel = settings.options.get("query", "auto"), settings.channel
    if query == "auto":
        return b"\xff\x00\x00\x00", re.compile(rb"CH%d:\s*(?:(?P<open>OFF)|ON)\s*\r\n" % channel)
    if query == "op5":
        is_open, is_closed = (re.escape(frame(channel, state)) for state in (0, 1))
        return frame(channel, 5), re.compile(b"(?P<open>" + is_open + b")|" + is_closed)
    if query == "none":
        return None, None
    raise ConfigError(mismatch("relay.options.query", "one of " + ", ".join(_QUERIES), query))


def _hex_option(settings: BoardSettings, key: str, default: bytes) -> bytes:
    text = settings.options.get(key)
    if text is None:
        return default
    try:
        return bytes.fromhex(str(text))
    except ValueError:
        expected = "bytes in hexadecimal, like 'A0 01 01 A2'"
        raise ConfigError(mismatch(f"relay.options.{key}", expected, repr(text))) from None


def _baud(settings: BoardSettings) -> int:
    baud = settings.options.get("baud", BAUD)
    if baud not in serial.Serial.BAUDRATES:
        raise ConfigError(mismatch("relay.options.baud", "a standard baud rate", repr(baud)))
    return int(baud)


def port_notice(port: str) -> str | None:
    """A warning for a name that may mean another board after the next plugging; else None."""
    if re.fullmatch(r"/dev/tty(USB|ACM)\d+", port) is None:
        return None
    return f"relay.port: {port} may name another device tomorrow; use its /dev/serial/by-path or by-id name"


class Lcus:
    """One channel of an LCUS board. Implements `board.Relay`; one thread only."""

    def __init__(self, settings: BoardSettings, *, exclusive: bool = True) -> None:
        """Open the port; nothing is written yet.

        Raises `ConfigError` for bad options and `DeviceMissing` for a port that is
        not there, in use, or not permitted. `exclusive=False` gets in beside another
        user: only for an emergency OFF.
        """
        self._table = byte_table(settings)
        self._name = settings.port
        self._port = _open(settings, exclusive)
        self._heard = b""
        self._contact: bool | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            readback=self._table.query is not None,
            ack=False,
            hw_timeout_ms=None,
            min_interval_ms=MIN_INTERVAL_MS,
            channels=8,
        )

    def write(self, command: Command) -> None:
        self._send(self._table.on if command is Command.ON else self._table.off)

    def ask(self) -> None:
        self._heard, self._contact = b"", None
        if self._table.query is not None:
            self._send(self._table.query)

    def contactor_open(self) -> bool | None:
        try:
            self._heard = (self._heard + self._port.read(_HEARD_LIMIT))[-_HEARD_LIMIT:]
        except _PORT_ERRORS as error:
            raise DeviceError(f"{self._name}: reading from the relay board failed: {error}") from error
        for found in self._table.answer.finditer(self._heard) if self._table.answer else ():
            self._contact = found["open"] is not None
        return self._contact

    def close(self) -> None:
        with suppress(*_PORT_ERRORS):  # a port that is gone is as good as closed
            self._port.close()

    def _send(self, message: bytes) -> None:
        """A timeout may come after all bytes were taken: what arrived is unknown, so it counts as failed."""
        try:
            self._port.write(message)
        except _PORT_ERRORS as error:
            raise DeviceError(f"{self._name}: writing to the relay board failed: {error}") from error


def _open(settings: BoardSettings, exclusive: bool) -> serial.Serial:
    options = {"timeout": 0, "write_timeout": WRITE_TIMEOUT_S, "exclusive": exclusive}
    try:
        return serial.Serial(settings.port, _baud(settings), **options)
    except _PORT_ERRORS as error:
        reason = _OPEN_REASONS.get(getattr(error, "errno", None), f"a serial port, found: {error}")
        raise DeviceMissing(f"relay.port: {settings.port}: expected {reason}") from error
