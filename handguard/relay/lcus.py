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

import re

from handguard.errors import ConfigError, mismatch
from handguard.relay.board import BoardSettings
from handguard.relay.options import known_only
from handguard.relay.table_board import ByteTable, Model, TableBoard

BAUD = 9600
MIN_INTERVAL_MS = 100  # what published LCUS programs keep between two commands
_OPTIONS = {"query", "on", "off", "baud"}
_QUERIES = ("auto", "op5", "none")


def frame(channel: int, op: int) -> bytes:
    """`A0 channel op sum`."""
    return bytes((0xA0, channel, op, (0xA0 + channel + op) & 0xFF))


def byte_table(settings: BoardSettings) -> ByteTable:
    """The commands for one channel, after the options. Raises `ConfigError`."""
    known_only(settings, _OPTIONS)
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


class Lcus(TableBoard):
    """One channel of an LCUS board."""

    model = Model(byte_table, BAUD, MIN_INTERVAL_MS, channels=8)
