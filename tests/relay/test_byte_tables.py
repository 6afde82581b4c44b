"""The bytes of KMTronic, Numato and Devantech boards against their published tables."""

from __future__ import annotations

import pytest

from handguard.errors import ConfigError
from handguard.relay import devantech, kmtronic, numato
from handguard.relay.board import BoardSettings


def table_of(module, channel: int = 1, **options):
    return module.byte_table(BoardSettings("any", "/dev/x", channel, options))


def told(table, heard: bytes) -> bool | None:
    """What the newest answer in this says: True for open; None for no answer."""
    found = [match["open"] is not None for match in table.answer.finditer(heard)]
    return found[-1] if found else None


@pytest.mark.parametrize(
    ("channel", "on", "off"), [(1, "ff 01 01", "ff 01 00"), (4, "ff 04 01", "ff 04 00"), (8, "ff 08 01", "ff 08 00")]
)
def test_kmtronic_commands(channel, on, off):
    table = table_of(kmtronic, channel)
    assert (table.on.hex(" "), table.off.hex(" ")) == (on, off)


@pytest.mark.parametrize(
    ("channels", "channel", "query", "heard", "expected"),
    [
        (1, 1, "ff 01 03", "ff 01 00", True), (2, 2, "ff 02 03", "ff 02 01", False),
        (2, 2, "ff 02 03", "ff 01 00", None), (4, 3, "ff 09 00", "00 00 01 00", False),
        (4, 3, "ff 09 00", "01 01 00 01", True), (4, 3, "ff 09 00", "01 01 00", None),
        (4, 3, "ff 09 00", "01 01 00 01 00", None), (4, 3, "ff 09 00", "01 01 02 01", None),
        (8, 8, "ff 09 00", "00 00 00 00 00 00 00 01", False),
    ],
)  # fmt: skip
def test_kmtronic_answers_by_size(channels, channel, query, heard, expected):
    table = table_of(kmtronic, channel, channels=channels)
    assert table.query.hex(" ") == query
    assert told(table, bytes.fromhex(heard)) is expected


def test_kmtronic_sizes_are_known():
    with pytest.raises(ConfigError, match=r"relay.options.channels: expected one of 1, 2, 4, 8, found 3"):
        table_of(kmtronic, channels=3)
    with pytest.raises(ConfigError, match=r"relay.channel: expected a number from 1 to 2, .*, found 3"):
        table_of(kmtronic, 3, channels=2)


@pytest.mark.parametrize(("channel", "name"), [(1, "0"), (10, "9"), (11, "A"), (16, "F"), (32, "V")])
def test_numato_counts_from_nought_and_goes_on_with_letters(channel, name):
    assert numato.index(channel) == name
    assert table_of(numato, channel).off == f"\rrelay off {name}\r".encode()


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (b"relay read 0\n\roff\n\r>", True), (b"relay read 0\r\non\r\n>", False),
        (b"\n\r>relay read 0\n\roff\n\r>", True), (b"relay read 0\n\roff", None),
        (b"relay off 0\n\r>", None), (b"relay read 1\n\roff\n\r>", None), (b"off\n\r>", None),
    ],
)  # fmt: skip
def test_numato_answers_stand_between_the_question_and_the_prompt(heard, expected):
    assert told(table_of(numato), heard) is expected


@pytest.mark.parametrize(("channel", "on", "off"), [(1, "65", "6f"), (8, "6c", "76")])
def test_devantech_commands(channel, on, off):
    table = table_of(devantech, channel)
    assert (table.on.hex(), table.off.hex()) == (on, off)


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ("09 02 00 09 02", True), ("09 02 04 09 02", False), ("09 02 fb 09 02", True), ("ff 09 02 04 09 02", False),
        ("08 02 04 08 02", None), ("09 02 04 09 03", None), ("04", None), ("09 02 09 02", None),
    ],
)  # fmt: skip
def test_devantech_answers_stand_between_two_equal_names(heard, expected):
    assert told(table_of(devantech, 3), bytes.fromhex(heard)) is expected
