"""Devantech USB-RLY boards: one byte a command, no checksum, no watchdog.

65 to 6C close contacts 1 to 8 and 6F to 76 open them (hexadecimal), unanswered.
5B asks for all of them as one byte of bits, which noise could be as well. So the
question goes between two others, `5A 5B 5A`: 5A is answered by the kind of board
and its version, and only a state between two equal such answers, of the kind that
`options.module_id` names, counts.

What the board reports is the contact it commands, not the contact.
"""

from __future__ import annotations

import re

from handguard.relay.board import BoardSettings
from handguard.relay.options import channel_within, known_only, number_of
from handguard.relay.table_board import ByteTable, Model, TableBoard

CHANNELS = 8
RLY16 = 9  # what a USB-RLY16 calls itself
MIN_INTERVAL_MS = 20  # none is published


def byte_table(settings: BoardSettings) -> ByteTable:
    """The commands for one channel, after the options. Raises `ConfigError`."""
    known_only(settings, {"baud", "module_id"})
    channel = channel_within(settings, CHANNELS)
    module = bytes((number_of(settings, "module_id", RLY16, 0, 255),))
    on, off = bytes((0x64 + channel,)), bytes((0x6E + channel,))
    return ByteTable(on, off, b"\x5a\x5b\x5a", _answer(channel, module))


def _answer(channel: int, module: bytes) -> re.Pattern[bytes]:
    bit = 1 << (channel - 1)
    is_open, is_closed = (
        b"".join(re.escape(bytes((state,))) for state in range(256) if bool(state & bit) is closed)
        for closed in (False, True)
    )
    states = b"(?:(?P<open>[" + is_open + b"])|[" + is_closed + b"])"
    return re.compile(b"(?P<who>" + re.escape(module) + b".)" + states + b"(?P=who)", re.DOTALL)


class Devantech(TableBoard):
    """One channel of a Devantech USB-RLY board."""

    model = Model(byte_table, 19200, MIN_INTERVAL_MS, CHANNELS)
