"""Modbus frames for coils, built by hand: nothing can be built here that nobody should send.

Boards of the Waveshare family take, beside the standard coil commands, a *flash-on*:
function 5 to address 0x0200 + coil, with the time in tenths of a second where a
coil command has FF00 or 0000. A library that turns the value into a truth sends
FF00 there, which closes the contact for 65 280 tenths: almost two hours. So a coil
command is not an address and a value but one of two types that cannot be confused:

    CoilWrite   an address of a coil, and on or off
    CoilFlash   an address of a coil, and a time from 1 to `LONGEST_FLASH` tenths

Neither has a combination of fields that leads to a flash address with FF00, and
there is no third way to a function 5 (the tests try).

Frames travel over a serial line with an address in front and a CRC behind (`Rtu`),
or over TCP behind a header with a number that the answer repeats (`Tcp`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from handguard.errors import ConfigError, mismatch

COILS = 32
LONGEST_FLASH = 50  # tenths of a second; a longer one is no watchdog
FLASH_ON = 0x0200
READ_COILS, WRITE_COIL = 1, 5
_REQUEST = struct.Struct(">BHH")
_MBAP = struct.Struct(">HHHB")


def _coil_within(coil: int) -> None:
    if not 0 <= coil < COILS:
        raise ConfigError(mismatch("modbus coil", f"a number from 0 to {COILS - 1}", coil))


@dataclass(frozen=True, slots=True)
class CoilWrite:
    """Close or open a contact until further notice. Raises `ConfigError` for a coil that cannot be."""

    coil: int
    on: bool

    def __post_init__(self) -> None:
        _coil_within(self.coil)

    def pdu(self) -> bytes:
        return _REQUEST.pack(WRITE_COIL, self.coil, 0xFF00 if self.on else 0)


@dataclass(frozen=True, slots=True)
class CoilFlash:
    """Close a contact for so many tenths of a second. Raises `ConfigError` beyond the bounds."""

    coil: int
    tenths: int

    def __post_init__(self) -> None:
        _coil_within(self.coil)
        if isinstance(self.tenths, bool) or not 1 <= self.tenths <= LONGEST_FLASH:
            expected = f"1 to {LONGEST_FLASH} tenths of a second"
            raise ConfigError(mismatch("modbus flash-on", expected, self.tenths))

    def pdu(self) -> bytes:
        return _REQUEST.pack(WRITE_COIL, FLASH_ON + self.coil, self.tenths)


@dataclass(frozen=True, slots=True)
class CoilsRead:
    """Ask for the coils from 0 on, eight at a time, up to and with this one."""

    coil: int

    def __post_init__(self) -> None:
        _coil_within(self.coil)

    @property
    def count(self) -> int:
        return 8 * (self.coil // 8 + 1)

    def pdu(self) -> bytes:
        return _REQUEST.pack(READ_COILS, 0, self.count)

    def is_open(self, answer: bytes) -> bool | None:
        """What a pdu says of the coil; None if it is no answer to this question."""
        size = self.count // 8
        if len(answer) != 2 + size or answer[:2] != bytes((READ_COILS, size)):
            return None
        return not answer[2 + self.coil // 8] >> self.coil % 8 & 1


Request = CoilWrite | CoilFlash | CoilsRead


def crc16(data: bytes) -> int:
    """The CRC of Modbus RTU (polynomial A001 reflected, start FFFF); its low byte is sent first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


class Framing(Protocol):
    """How requests are wrapped, and answers found in a stream of bytes."""

    def wrap(self, request: Request) -> bytes:
        """One whole message."""

    def answers(self, heard: bytes) -> Iterator[bytes]:
        """Every pdu addressed to us in what was heard, noise skipped; perhaps none."""


class Rtu:
    """Address, pdu, CRC. Answers carry no number: the newest counts."""

    def __init__(self, unit: int) -> None:
        self._unit = unit

    def wrap(self, request: Request) -> bytes:
        body = bytes((self._unit,)) + request.pdu()
        return body + struct.pack("<H", crc16(body))

    def answers(self, heard: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(heard) - 4:
            size = _answer_size(heard[start + 1], heard[start + 2])
            frame = heard[start : start + size]
            is_ours = 0 < size == len(frame) and frame[0] == self._unit
            if is_ours and crc16(frame[:-2]) == struct.unpack("<H", frame[-2:])[0]:
                yield frame[1:-2]
                start += size
            else:
                start += 1


def _answer_size(function: int, count: int) -> int:
    """Bytes of a whole answer, address and CRC included; 0 for one we never ask for."""
    if function in (READ_COILS | 0x80, WRITE_COIL | 0x80):
        return 5
    return {READ_COILS: 5 + count, WRITE_COIL: 8}.get(function, 0)


class Tcp:
    """Transaction, protocol 0, length, unit, pdu. Only the answer to the newest question or write counts."""

    def __init__(self, unit: int) -> None:
        self._unit = unit
        self._transaction = 0
        self._awaited: dict[type[Request], int] = {}

    def wrap(self, request: Request) -> bytes:
        self._transaction = self._transaction % 0xFFFF + 1
        self._awaited[type(request)] = self._transaction
        pdu = request.pdu()
        return _MBAP.pack(self._transaction, 0, len(pdu) + 1, self._unit) + pdu

    def answers(self, heard: bytes) -> Iterator[bytes]:
        while len(heard) >= _MBAP.size:
            transaction, protocol, length, unit = _MBAP.unpack(heard[: _MBAP.size])
            end = _MBAP.size - 1 + length
            if protocol != 0 or not 3 <= length <= 254:  # the unit, and two bytes at least
                heard = heard[1:]  # out of step: look for the next header
                continue
            if unit == self._unit and len(heard) >= end and transaction in self._awaited.values():
                yield heard[_MBAP.size : end]
            heard = heard[end:]
