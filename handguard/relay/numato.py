"""Numato USB relay boards: a line of text a command, no watchdog.

`relay on N`, `relay off N` and `relay read N`, each ended by a carriage return;
N counts from 0 and goes on with letters after 9. The board repeats what it hears,
answers a question with `on` or `off` in a line of its own, and ends with the prompt
`>`. The repeated question and the prompt frame the answer, so that neither the word
`off` in an earlier command nor noise can pass for one.

The port may hold the beginning of a line from before it was opened. Each command
therefore starts with a carriage return of its own, in the same write.

What the board reports is the contact it commands, not the contact.
"""

from __future__ import annotations

import re

from handguard.relay.board import BoardSettings
from handguard.relay.options import known_only
from handguard.relay.table_board import ByteTable, Model, TableBoard

BAUD = 19200  # any will do over USB; the one of the maker's samples
MIN_INTERVAL_MS = 20  # none is published; the firmware reads one line at a time


def index(channel: int) -> str:
    """The name of a relay in a command: 0 to 9, then A to V."""
    return str(channel - 1) if channel <= 10 else chr(ord("A") + channel - 11)


def byte_table(settings: BoardSettings) -> ByteTable:
    """The commands for one channel. Raises `ConfigError`."""
    known_only(settings, {"baud"})
    relay = index(settings.channel)
    on, off, query = (f"\rrelay {verb} {relay}\r".encode() for verb in ("on", "off", "read"))
    answer = re.compile(rb"relay read %s[\r\n]+(?:(?P<open>off)|on)[\r\n]+>" % relay.encode())
    return ByteTable(on, off, query, answer)


class Numato(TableBoard):
    """One channel of a Numato board."""

    model = Model(byte_table, BAUD, MIN_INTERVAL_MS, channels=32)
