"""The two messages between monitor and keeper: a permit down, a report up.

Both have a fixed size, begin with a magic word and a version and end with a
CRC32, and travel over a socket that keeps message boundaries. A message that is
too short, too long, damaged, of another version or out of range raises
`WireError`; there is no default to fall back to, because a default would be a
guess about whether the machine may run. The bytes for OFF and ON differ in every
bit, and neither is zero.

Everything is plain integers so that the keeper needs no numpy.
"""

from __future__ import annotations

import functools
import struct
import zlib
from dataclasses import dataclass
from enum import IntFlag
from typing import TypeVar

from handguard.errors import DeviceError, mismatch
from handguard.relay.board import Command

_T = TypeVar("_T")

VERSION = 2
_PERMIT = struct.Struct("<4sBBqqqq")
_REPORT = struct.Struct("<4sBBBBBHqqq")
_CRC = struct.Struct("<I")
_PERMIT_MAGIC, _REPORT_MAGIC = b"HGpe", b"HGre"
_BYTE_OF_COMMAND = {Command.OFF: 0x5A, Command.ON: 0xA5}
_COMMAND_OF_BYTE = {byte: command for command, byte in _BYTE_OF_COMMAND.items()}
_BYTE_OF_LEVEL: dict[bool | None, int] = {None: 0, True: 1, False: 2}
_LEVEL_OF_BYTE = {byte: level for level, byte in _BYTE_OF_LEVEL.items()}

PERMIT_SIZE = _PERMIT.size + _CRC.size
REPORT_SIZE = _REPORT.size + _CRC.size


class WireError(DeviceError):
    """A message between monitor and keeper is damaged or cannot be written."""


class Fault(IntFlag):
    """What the keeper can complain of; the bit is the wire format, `names` the spelling outside."""

    NONE = 0
    PERMIT_LATE = 1  # no fresh ON permit within the deadline, or one that was too old on arrival
    PERMIT_BAD = 2  # damaged, repeated, out of order, or from the future
    PIPE_CLOSED = 4  # the monitor is gone
    TERMINATED = 8  # the keeper was asked to stop
    RELAY_PORT = 16  # the port is not open, or nothing has been written to it since it was opened
    RELAY_WRITE = 32  # a command may not have arrived
    RELAY_DISOBEYS = 64  # the contact does not follow the command
    RELAY_SILENT = 128  # the board used to answer and no longer does

    @property
    def names(self) -> frozenset[str]:
        """`permit-late`, `relay-port` …; empty for NONE."""
        return _names_of(int(self))


@functools.cache  # asked at every frame, and nearly always of the same fault or none
def _names_of(faults: int) -> frozenset[str]:
    return frozenset(str(bit.name).lower().replace("_", "-") for bit in Fault if bit & faults)


class Trait(IntFlag):
    """What the keeper was granted at start and has learned about its board."""

    NONE = 0
    REALTIME = 1  # SCHED_FIFO
    LOCKED_MEMORY = 2  # mlockall
    READBACK = 4  # the board has answered a question


@dataclass(frozen=True, slots=True)
class WirePermit:
    """`handguard.types.Permit` in plain values."""

    seq: int
    frame_seq: int
    captured_ns: int
    judged_ns: int
    command: Command


@dataclass(frozen=True, slots=True)
class WireReport:
    """`handguard.types.KeeperReport` in plain values, and what the keeper was granted."""

    permit_seq: int
    command: Command
    written_ns: int
    sent_ns: int
    contactor_open: bool | None = None
    faults: Fault = Fault.NONE
    traits: Trait = Trait.NONE
    reset_down: bool | None = None  # of a button at the board


def encode_permit(permit: WirePermit) -> bytes:
    """Exactly `PERMIT_SIZE` bytes. Raises `WireError` for a number beyond 64 bits."""
    output = _BYTE_OF_COMMAND[permit.command]
    numbers = permit.seq, permit.frame_seq, permit.captured_ns, permit.judged_ns
    return _sealed(_PERMIT, _PERMIT_MAGIC, VERSION, output, *numbers)


def decode_permit(message: bytes) -> WirePermit:
    """The permit in one message. Raises `WireError` for anything `encode_permit` cannot have made."""
    output, seq, frame_seq, captured_ns, judged_ns = _unsealed(_PERMIT, _PERMIT_MAGIC, message)
    return WirePermit(seq, frame_seq, captured_ns, judged_ns, _known(_COMMAND_OF_BYTE, output, "output"))


def encode_report(report: WireReport) -> bytes:
    """Exactly `REPORT_SIZE` bytes. Raises `WireError` for a number beyond 64 bits."""
    output = _BYTE_OF_COMMAND[report.command]
    levels = _BYTE_OF_LEVEL[report.contactor_open], _BYTE_OF_LEVEL[report.reset_down]
    numbers = report.permit_seq, report.written_ns, report.sent_ns
    words = int(report.traits), int(report.faults)
    return _sealed(_REPORT, _REPORT_MAGIC, VERSION, output, *levels, *words, *numbers)


def decode_report(message: bytes) -> WireReport:
    """The report in one message. Raises `WireError` for anything `encode_report` cannot have made."""
    fields = _unsealed(_REPORT, _REPORT_MAGIC, message)
    output, contact, button, traits, faults, permit_seq, written_ns, sent_ns = fields
    return WireReport(
        permit_seq=permit_seq,
        command=_known(_COMMAND_OF_BYTE, output, "output"),
        written_ns=written_ns,
        sent_ns=sent_ns,
        contactor_open=_known(_LEVEL_OF_BYTE, contact, "contact"),
        reset_down=_known(_LEVEL_OF_BYTE, button, "button"),
        faults=Fault(_within(faults, 0xFF, "faults")),
        traits=Trait(_within(traits, 0x07, "traits")),
    )


def _sealed(layout: struct.Struct, *fields: bytes | int) -> bytes:
    try:
        body = layout.pack(*fields)
    except struct.error as error:
        raise WireError(f"a message does not fit its layout: {error}") from error
    return body + _CRC.pack(zlib.crc32(body))


def _unsealed(layout: struct.Struct, magic: bytes, message: bytes) -> list[int]:
    """The fields after magic and version, once size, CRC, magic and version are right."""
    size = layout.size + _CRC.size
    if len(message) != size:
        raise WireError(mismatch("message", f"{size} bytes", len(message)))
    body, (crc,) = message[: layout.size], _CRC.unpack(message[layout.size :])
    if zlib.crc32(body) != crc:
        raise WireError(mismatch("message", f"CRC {zlib.crc32(body):08x}", f"{crc:08x}"))
    found_magic, version, *fields = layout.unpack(body)
    if (found_magic, version) != (magic, VERSION):
        expected, found = f"{magic!r} version {VERSION}", f"{found_magic!r} version {version}"
        raise WireError(mismatch("message", expected, found))
    return fields


def _known(table: dict[int, _T], byte: int, what: str) -> _T:
    if byte not in table:
        raise WireError(mismatch(what, "one of " + ", ".join(map(hex, table)), hex(byte)))
    return table[byte]


def _within(bits: int, mask: int, what: str) -> int:
    if bits & ~mask:
        raise WireError(mismatch(what, f"bits within {mask:#x}", hex(bits)))
    return bits
