"""KMTronic USB relay boards: three bytes a command at 9600 baud, no checksum, no watchdog.

`FF n 00` opens contact n, `FF n 01` closes it, and neither is answered. Boards of
one or two channels answer `FF n 03` with `FF n state`; those of four or eight
answer `FF 09 00` with one byte a channel, 00 or 01. The second kind of answer has
no mark of its own, so nothing but exactly so many such bytes since the question
counts. The boards do not say which kind they are: `options.channels` must.

What they report is the contact they command, not the contact.
"""

from __future__ import annotations

import re

from handguard.relay.board import BoardSettings
from handguard.relay.options import channel_within, choice, known_only
from handguard.relay.table_board import ByteTable, Model, TableBoard

SIZES = (1, 2, 4, 8)
MIN_INTERVAL_MS = 100  # none is published; as long as other boards of this make-up need


def byte_table(settings: BoardSettings) -> ByteTable:
    """The commands for one channel, after the options. Raises `ConfigError`."""
    known_only(settings, {"baud", "channels"})
    channels = int(choice(settings, "channels", SIZES, 8))
    channel = channel_within(settings, channels)
    on, off = bytes((0xFF, channel, 1)), bytes((0xFF, channel, 0))
    return ByteTable(on, off, *_question(channel, channels))


def _question(channel: int, channels: int) -> tuple[bytes, re.Pattern[bytes]]:
    if channels <= 2:
        head = re.escape(bytes((0xFF, channel)))
        return bytes((0xFF, channel, 3)), re.compile(head + rb"(?:(?P<open>\x00)|\x01)")
    before, after = channel - 1, channels - channel
    states = rb"\A[\x00\x01]{%d}(?:(?P<open>\x00)|\x01)[\x00\x01]{%d}\Z" % (before, after)
    return b"\xff\x09\x00", re.compile(states)


class Kmtronic(TableBoard):
    """One channel of a KMTronic board."""

    model = Model(byte_table, 9600, MIN_INTERVAL_MS, channels=8)
