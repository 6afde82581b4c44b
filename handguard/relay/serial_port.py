"""A serial port that never makes anyone wait: opened, written, read and closed, and nothing else.

Every error of the port becomes a `DeviceError` that names it. A port whose cable
was pulled raises four kinds of exception, one of which (`termios.error`) is neither
an `OSError` nor pyserial's own; all of them are caught here and nowhere else.

A write goes straight to the descriptor, which never blocks: pyserial's own waits
afterwards until there is room for more, and reports a timeout for bytes that were
taken when this process merely did not get its turn. One that "succeeds" has reached
a buffer of the kernel, not the board.
"""

from __future__ import annotations

import errno
import os
import re
import termios
from contextlib import suppress
from typing import Protocol

import serial

from handguard.errors import ConfigError, DeviceError, DeviceMissing, mismatch
from handguard.relay.board import BoardSettings

HEARD_LIMIT = 256  # bytes taken at one look, and kept while waiting for an answer
_PORT_ERRORS = (OSError, termios.error, ValueError, serial.SerialException)
_OPEN_REASONS: dict[int | None, str] = {
    errno.ENOENT: "a relay board on this port, found no such device",
    errno.EAGAIN: "a free port, found it in use by another process",
    errno.EBUSY: "a free port, found it in use by another process",
    errno.EACCES: "permission to open it (is the user in group dialout?), found none",
}


class Line(Protocol):
    """Bytes to a board and back. A serial port is one, a TCP connection another."""

    def send(self, message: bytes) -> None:
        """Hand over all bytes now. Raises `DeviceError` if they may not all have been taken."""

    def heard(self) -> bytes:
        """What has come since the last look, perhaps nothing. Never waits; raises `DeviceError`."""

    def close(self) -> None:
        """Never raises; safe to call twice."""


class SerialPort:
    """Implements `Line` for one port. One thread only."""

    def __init__(self, name: str, baud: int, *, exclusive: bool) -> None:
        """Open it; nothing is written.

        Raises `DeviceMissing` for a port that is not there, in use, or not permitted.
        `exclusive=False` gets in beside another user: only for an emergency OFF.
        """
        self._name = name
        self._port = _open(name, baud, exclusive)

    def send(self, message: bytes) -> None:
        """A part that was taken is half a command: what it does is unknown, so it counts as failed."""
        try:
            taken = os.write(self._port.fileno(), message)
        except _PORT_ERRORS as error:
            raise DeviceError(f"{self._name}: writing to the relay board failed: {error}") from error
        if taken != len(message):
            raise DeviceError(f"{self._name}: writing to the relay board failed: only a part was taken")

    def heard(self) -> bytes:
        try:
            return bytes(self._port.read(HEARD_LIMIT))
        except _PORT_ERRORS as error:
            raise DeviceError(f"{self._name}: reading from the relay board failed: {error}") from error

    def close(self) -> None:
        with suppress(*_PORT_ERRORS):  # a port that is gone is as good as closed
            self._port.close()


def baud_option(settings: BoardSettings, default: int) -> int:
    """`options.baud`, one that the operating system knows. Raises `ConfigError`."""
    baud = settings.options.get("baud", default)
    if baud not in serial.Serial.BAUDRATES:
        raise ConfigError(mismatch("relay.options.baud", "a standard baud rate", repr(baud)))
    return int(baud)


def port_notice(port: str) -> str | None:
    """A warning for a name that may mean another board after the next plugging; else None."""
    if re.fullmatch(r"/dev/tty(USB|ACM)\d+", port) is None:
        return None
    return f"relay.port: {port} may name another device tomorrow; use its /dev/serial/by-path or by-id name"


def _open(name: str, baud: int, exclusive: bool) -> serial.Serial:
    try:
        return serial.Serial(name, baud, timeout=0, exclusive=exclusive)
    except _PORT_ERRORS as error:
        reason = _OPEN_REASONS.get(getattr(error, "errno", None), f"a serial port, found: {error}")
        raise DeviceMissing(f"relay.port: {name}: expected {reason}") from error
