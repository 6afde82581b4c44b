"""The two messages: what goes in comes out, and nothing else is ever accepted."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.relay.board import Command
from handguard.relay.wire import (
    PERMIT_SIZE,
    REPORT_SIZE,
    Fault,
    Trait,
    WireError,
    WirePermit,
    WireReport,
    decode_permit,
    decode_report,
    encode_permit,
    encode_report,
)

numbers = st.integers(-(2**63), 2**63 - 1)
commands = st.sampled_from(Command)
permits = st.builds(WirePermit, numbers, numbers, numbers, numbers, commands)
reports = st.builds(
    WireReport,
    numbers,
    commands,
    numbers,
    numbers,
    st.sampled_from([None, True, False]),
    st.integers(0, 0xFF).map(Fault),
    st.integers(0, 7).map(Trait),
    st.sampled_from([None, True, False]),
)
A_PERMIT = encode_permit(WirePermit(7, 3, 1000, 2000, Command.ON))
A_REPORT = encode_report(WireReport(7, Command.OFF, 1000, 2000))


@given(permits)
def test_a_permit_survives_the_wire(permit):
    message = encode_permit(permit)
    assert len(message) == PERMIT_SIZE
    assert decode_permit(message) == permit


@given(reports)
def test_a_report_survives_the_wire(report):
    message = encode_report(report)
    assert len(message) == REPORT_SIZE
    assert decode_report(message) == report


@given(st.binary(max_size=200))
def test_noise_is_never_a_message(noise):
    for decode in (decode_permit, decode_report):
        with pytest.raises(WireError):
            decode(noise)


@given(permits, st.integers(0, PERMIT_SIZE * 8 - 1))
def test_one_flipped_bit_is_noticed(permit, bit):
    message = bytearray(encode_permit(permit))
    message[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WireError):
        decode_permit(bytes(message))


@pytest.mark.parametrize("message", [b"", A_PERMIT[:-1], A_PERMIT + b"\0", A_REPORT, bytes(PERMIT_SIZE)])
def test_a_permit_of_the_wrong_shape_is_refused(message):
    with pytest.raises(WireError, match="message: expected"):
        decode_permit(message)


@pytest.mark.parametrize(
    ("at", "value", "complaint"),
    [(0, 0x00, "HGpe"), (4, 1, "version 2"), (5, 0x00, "output"), (5, 0xFF, "output")],
    ids=["magic", "version", "output-zero", "output-ones"],
)
def test_a_whole_message_with_a_wrong_field_is_refused(at, value, complaint):
    with pytest.raises(WireError, match=complaint):
        decode_permit(resealed(A_PERMIT, at, value))


@pytest.mark.parametrize(
    ("at", "value", "complaint"),
    [(5, 0, "output"), (6, 3, "contact"), (7, 3, "button"), (8, 8, "traits"), (10, 1, "faults")],
)
def test_a_report_with_a_wrong_field_is_refused(at, value, complaint):
    with pytest.raises(WireError, match=complaint):
        decode_report(resealed(A_REPORT, at, value))


def test_off_and_on_differ_in_every_bit():
    off = encode_permit(WirePermit(7, 3, 1000, 2000, Command.OFF))
    assert off[5] ^ A_PERMIT[5] == 0xFF


def test_a_number_beyond_64_bits_is_an_error_not_a_wrap():
    with pytest.raises(WireError, match="layout"):
        encode_permit(WirePermit(2**63, 0, 0, 0, Command.ON))


def test_faults_are_spelt_with_hyphens():
    assert (Fault.PERMIT_LATE | Fault.RELAY_PORT).names == {"permit-late", "relay-port"}
    assert Fault.NONE.names == frozenset()


def resealed(message: bytes, at: int, value: int) -> bytes:
    """The message with one byte changed and a checksum that fits again."""
    body = bytearray(message[:-4])
    body[at] = value
    return bytes(body) + zlib.crc32(bytes(body)).to_bytes(4, "little")
