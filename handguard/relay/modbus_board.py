"""Relay boards that speak Modbus, over RS-485 (`modbus-rtu`) or the network (`modbus-tcp`).

Plain boards hold a contact for ever when nobody speaks to them. A board of the
Waveshare family can do better: with `flash_ms` every ON is a flash-on, which ends by
itself, and each new permit begins it anew. Whether a flash-on during another begins
anew is written nowhere, so it has to have been measured on the very board:
`handguard relay commission` does it and prints two figures that must stand beside
`flash_ms`. Without them, or with figures of a board that does not begin anew, the
driver refuses to be made.

Every write is answered by its echo. While a flash-on is being renewed, one that was
not echoed is an error (a board that no longer listens must not look like one that
runs). OFF never looks at an echo and never waits for one.

What a board reports is the coil it commands, not the contact.
"""

from __future__ import annotations

import math
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from handguard.errors import ConfigError, DeviceError, DeviceMissing, mismatch
from handguard.relay.board import BoardSettings, Capabilities, Command
from handguard.relay.claim import claimed_address
from handguard.relay.contact import AskedContact
from handguard.relay.modbus import (
    COILS,
    LONGEST_FLASH,
    WRITE_COIL,
    CoilFlash,
    CoilsRead,
    CoilWrite,
    Framing,
    Request,
    Rtu,
    Tcp,
)
from handguard.relay.options import channel_within, known_only, number, number_of
from handguard.relay.serial_port import HEARD_LIMIT, Line, SerialPort, baud_option

BAUD = 9600
SLAVE_MS = 10.0  # a board's own time for an answer; generous
TCP_REST_MS = 20  # servers were seen to answer only the first of two requests that come together
LATE_MS = 250  # how much longer than asked a flash-on may last
CONNECT_LIMIT_S = 0.1  # a lost request is repeated after 1 s only; of two boards, both within the link's patience
UNACKNOWLEDGED_MS = 300  # how long the kernel believes in a peer that acknowledges nothing
_TCP_USER_TIMEOUT = 18  # in linux/tcp.h; socket has the name on some platforms only
_PROVED_BY = "figures of `handguard relay commission` in which a repeated flash-on begins anew"


@dataclass(frozen=True, slots=True)
class Retrigger:
    """What commissioning measured: a second flash-on after `again_ms`, the coil still closed after `held_ms`.

    Both from the first flash-on; the second figure is when the coil was last seen
    closed, so that a slow look can only spoil the proof, never make one. Raises
    `ConfigError` for figures that do not show that the second one began anew: the
    contact must have held for nearly the whole time from then on.
    """

    flash_ms: int
    again_ms: int
    held_ms: int

    def __post_init__(self) -> None:
        is_telling = 0.5 * self.flash_ms <= self.again_ms <= 0.9 * self.flash_ms
        if not is_telling or not 0.7 * self.flash_ms <= self.held_ms - self.again_ms <= self.flash_ms + LATE_MS:
            found = f"flash_ms {self.flash_ms}, again_ms {self.again_ms}, held_ms {self.held_ms}"
            raise ConfigError(mismatch("relay.options", _PROVED_BY, found))


def flash_tenths(settings: BoardSettings) -> int | None:
    """The length of a proven flash-on; None where the board is used plainly. Raises `ConfigError`."""
    longest_ms = LONGEST_FLASH * 100
    flash_ms = number(settings, "flash_ms", None, 200, longest_ms)
    if flash_ms is None:
        return None
    if flash_ms % 100:
        raise ConfigError(mismatch("relay.options.flash_ms", "a multiple of 100", flash_ms))
    figures = [number(settings, key, None, 1, 4 * longest_ms) for key in ("again_ms", "held_ms")]
    if None in figures:
        raise ConfigError(mismatch("relay.options", _PROVED_BY, "no figures"))
    again_ms, held_ms = (figure for figure in figures if figure is not None)
    Retrigger(flash_ms, again_ms, held_ms)
    return flash_ms // 100


class ModbusBoard:
    """One coil, over whatever line. Implements `board.Relay`; one thread only."""

    OPTIONS: ClassVar[set[str]] = {"unit", "flash_ms", "again_ms", "held_ms"}

    def __init__(self, settings: BoardSettings, line: Line, framing: Framing, can: Capabilities) -> None:
        coil, tenths = settings.channel - 1, flash_tenths(settings)
        self._line, self._framing, self._capabilities = line, framing, can
        self._off, self._question = CoilWrite(coil, on=False), CoilsRead(coil)
        self._on = CoilFlash(coil, tenths) if tenths else CoilWrite(coil, on=True)
        self._is_renewed = tenths is not None
        self._contact = AskedContact()
        self._heard = b""
        self._awaits_echo = False

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def write(self, command: Command) -> None:
        if command is Command.OFF:
            self._awaits_echo = False
            self._contact.turn(command)
            self.say(self._off)
            return
        self._hear()
        if self._awaits_echo and self._is_renewed:
            raise DeviceError("the relay board did not acknowledge the last command")
        self._awaits_echo, self._heard = True, b""
        self._contact.turn(command)
        self.say(self._on)

    def ask(self) -> None:
        self._contact.ask()
        self._heard = b""
        self.say(self._question)

    def say(self, request: Request) -> None:
        """Send any request; only for commissioning, which has no permit to follow."""
        self._line.send(self._framing.wrap(request))

    def contactor_open(self) -> bool | None:
        self._hear()
        return self._contact.is_open

    def reset_down(self) -> None:
        """No button."""

    def close(self) -> None:
        self._line.close()

    def _hear(self) -> None:
        self._heard = (self._heard + self._line.heard())[-HEARD_LIMIT:]
        for answer in self._framing.answers(self._heard):
            self._heed(answer)

    def _heed(self, answer: bytes) -> None:
        if answer[0] == WRITE_COIL | 0x80:
            raise DeviceError(f"the relay board refused a command with Modbus exception {answer[1]}")
        if answer == self._on.pdu():
            self._awaits_echo = False
        self._contact.heed(self._question.is_open(answer))


class ModbusRtu(ModbusBoard):
    """A board on a serial line."""

    def __init__(self, settings: BoardSettings, *, exclusive: bool = True) -> None:
        """Open the port; nothing is written yet. Raises `ConfigError` or `DeviceMissing`."""
        can, unit = self.promise(settings), number_of(settings, "unit", 1, 1, 247)
        port = SerialPort(settings.port, baud_option(settings, BAUD), exclusive=exclusive)
        super().__init__(settings, port, Rtu(unit), can)

    @classmethod
    def promise(cls, settings: BoardSettings) -> Capabilities:
        """What the driver will declare for these settings, without opening anything."""
        known_only(settings, cls.OPTIONS | {"baud"})
        return _promised(settings, rest_ms(baud_option(settings, BAUD)))


class ModbusTcp(ModbusBoard):
    """A board on the network; `port` is `host:port`, 502 where only the host is given."""

    def __init__(self, settings: BoardSettings, *, exclusive: bool = True) -> None:
        """Claim the address and connect; nothing is written yet. Raises `ConfigError` or `DeviceMissing`.

        A board that takes a single connection turns an emergency OFF away while the first one stands.
        """
        can, unit = self.promise(settings), number_of(settings, "unit", 1, 0, 255)
        super().__init__(settings, TcpLine(*address(settings.port), exclusive=exclusive), Tcp(unit), can)

    @classmethod
    def promise(cls, settings: BoardSettings) -> Capabilities:
        """What the driver will declare for these settings, without opening anything."""
        known_only(settings, cls.OPTIONS)
        address(settings.port)
        return _promised(settings, TCP_REST_MS)


class TcpLine:
    """A connection that is given up soon: implements `serial_port.Line`."""

    def __init__(self, host: str, port: int, *, exclusive: bool) -> None:
        self._name = f"{host}:{port}"
        self._claim: socket.socket | None = None
        try:
            self._claim = claimed_address(host, port) if exclusive else None
            self._socket = socket.create_connection((host, port), CONNECT_LIMIT_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
            self._socket.setblocking(False)
        except (OSError, ValueError) as error:  # a name with an empty part is no OSError
            self._let_go()
            expected = f"a relay board that takes a connection within {CONNECT_LIMIT_S:g} s, found: {error}"
            raise DeviceMissing(f"relay.port: {self._name}: expected {expected}") from error

    def send(self, message: bytes) -> None:
        try:
            taken = self._socket.send(message)
        except OSError as error:
            raise DeviceError(f"{self._name}: writing to the relay board failed: {error}") from error
        if taken != len(message):
            raise DeviceError(f"{self._name}: writing to the relay board failed: only a part was taken")

    def heard(self) -> bytes:
        try:
            data = self._socket.recv(HEARD_LIMIT)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise DeviceError(f"{self._name}: reading from the relay board failed: {error}") from error
        if not data:
            raise DeviceError(f"{self._name}: reading from the relay board failed: it hung up")
        return data

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._claim is not None:
            self._claim.close()


def address(port: str) -> tuple[str, int]:
    """`host:port` taken apart. Raises `ConfigError`."""
    host, colon, number_text = port.partition(":")
    number_text = number_text if colon else "502"
    is_number = number_text.isascii() and number_text.isdigit() and 0 < int(number_text) < 0x10000
    if not host or "/" in host or not is_number:
        raise ConfigError(mismatch("relay.port", "an address like 192.168.1.200:502", repr(port)))
    return host, int(number_text)


def numeric(port: str) -> str:
    """The address with numbers (IPv4) for a name. Raises `ConfigError`, or `DeviceMissing` for an unknown one."""
    host, number_ = address(port)
    try:
        return f"{socket.gethostbyname(host)}:{number_}"
    except (OSError, ValueError) as error:
        raise DeviceMissing(f"relay.port: {port}: expected a name that has an IPv4 address, found: {error}") from None


def rest_ms(baud: int) -> int:
    """Question and answer of eight bytes each, the board's own time, and the silence that ends a frame."""
    return math.ceil(16 * 10_000 / baud + SLAVE_MS + max(3.5 * 11_000 / baud, 1.75))


def _promised(settings: BoardSettings, min_interval_ms: int) -> Capabilities:
    channel_within(settings, COILS)
    tenths = flash_tenths(settings)
    return Capabilities(
        readback=True,
        ack=True,
        hw_timeout_ms=None if tenths is None else 100 * tenths,
        min_interval_ms=min_interval_ms,
        channels=COILS,
    )
