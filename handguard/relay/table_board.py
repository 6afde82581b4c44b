"""Boards that are a table of bytes: one message for on, one for off, perhaps a question and its answer.

Most small USB boards are no more than that. What differs is data: `ByteTable` for
one contact, made from the settings by the board's own module, and `Model` for what
is true of every board of the kind. The behavior is written once, here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from handguard.errors import ConfigError, mismatch
from handguard.relay.board import BoardSettings, Capabilities, Command
from handguard.relay.contact import AskedContact
from handguard.relay.serial_port import HEARD_LIMIT, SerialPort, baud_option


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


@dataclass(frozen=True, slots=True)
class Model:
    """What all boards of one kind have in common. None of them has a time limit of its own."""

    table: Callable[[BoardSettings], ByteTable]  # raises `ConfigError`
    baud: int
    min_interval_ms: int
    channels: int

    def promise(self, settings: BoardSettings) -> Capabilities:
        return Capabilities(
            readback=self.table(settings).query is not None,
            ack=False,
            hw_timeout_ms=None,
            min_interval_ms=self.min_interval_ms,
            channels=self.channels,
        )


class TableBoard:
    """One channel of such a board. Implements `board.Relay`; one thread only."""

    model: ClassVar[Model]

    def __init__(self, settings: BoardSettings, *, exclusive: bool = True) -> None:
        """Open the port; nothing is written yet.

        Raises `ConfigError` for bad options and `DeviceMissing` for a port that is
        not there, in use, or not permitted. `exclusive=False` gets in beside another
        user: only for an emergency OFF.
        """
        self._table = self.model.table(settings)
        self._capabilities = self.promise(settings)
        self._port = SerialPort(settings.port, baud_option(settings, self.model.baud), exclusive=exclusive)
        self._contact = AskedContact()
        self._heard = b""

    @classmethod
    def promise(cls, settings: BoardSettings) -> Capabilities:
        """What the driver will declare for these settings, without opening anything."""
        return cls.model.promise(settings)

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def write(self, command: Command) -> None:
        self._contact.turn(command)
        self._port.send(self._table.on if command is Command.ON else self._table.off)

    def ask(self) -> None:
        self._contact.ask()
        self._heard = b""
        if self._table.query is not None:
            self._port.send(self._table.query)

    def contactor_open(self) -> bool | None:
        self._heard = (self._heard + self._port.heard())[-HEARD_LIMIT:]
        for found in self._table.answer.finditer(self._heard) if self._table.answer else ():
            self._contact.heed(found["open"] is not None)
        return self._contact.is_open

    def reset_down(self) -> None:
        """No button."""

    def close(self) -> None:
        self._port.close()
