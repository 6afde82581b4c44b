"""Is a picture missing? What an H.264 stream itself says, before it is decoded.

Each picture counts one further than the reference picture before it, in `frame_num` of
its slices (ITU-T H.264, 7.4.3); a key frame (IDR) begins with 0. A decoder
that finds a number left out makes up what is missing and draws on, without a word: a
moving hand may then be smeared over the table until the next key frame. So the number
is read here, from the first slice of each packet. What is lost right before a key frame does
no harm; a lost key frame is noticed unless the pictures since the one before it fill the
number's range (16 at least) exactly.

Streams that say that numbers may be left out (`gaps_in_frame_num_value_allowed_flag`, for
layers of time), and those without parameters so far, cannot be judged by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

NON_IDR, IDR, PARAMETERS = 1, 5, 7  # nal_unit_type, table 7-1
_UNIT_BYTES = 512  # in which all stands that is read of a unit
_SLICE_BYTES = 32  # and of a slice
_MOST_OFFSETS = 255  # num_ref_frames_in_pic_order_cnt_cycle
_HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}  # 7.3.2.1.1
_START = b"\0\0\1"


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What a sequence parameter set says of the number."""

    number_bits: int
    has_planes: bool  # separate_colour_plane_flag: two more bits stand before the number
    may_leave_out: bool
    may_be_fields: bool  # two to a picture, with one number


class Succession:
    """Follows the numbers of one stream, packet by packet, in the order of decoding. One thread."""

    def __init__(self, extradata: bytes | None) -> None:
        """`extradata` is the codec's, in either form: with start codes, or as `avcC` (ISO 14496-15)."""
        head = extradata or b""
        self._length_bytes = head[4] % 4 + 1 if head[:1] == b"\1" and len(head) > 6 else 0  # 0: start codes
        self._parameters: _Parameters | None = None
        self._newest: int | None = None  # of the reference picture before
        for unit in _units_of_avcc(head) if self._length_bytes else _units_between_starts(head):
            self._learn(unit)

    def follows(self, packet: bytes) -> bool:
        """False if a reference picture between the packet before and this one is missing."""
        for unit in self._units(packet):
            kind = unit[0] & 31
            if kind == PARAMETERS:
                self._learn(unit)
            elif kind in (NON_IDR, IDR):
                return self._counts_on(unit, kind)
        return True

    def _units(self, packet: bytes) -> Iterator[bytes]:
        return _units_with_lengths(packet, self._length_bytes) if self._length_bytes else _units_between_starts(packet)

    def _learn(self, unit: bytes) -> None:
        if unit and unit[0] & 31 == PARAMETERS:
            self._parameters = _parameters(unit)

    def _counts_on(self, unit: bytes, kind: int) -> bool:
        known = self._parameters
        if known is None or known.may_leave_out:
            return True
        is_begin, number = _number(unit, known)
        if not is_begin:  # a further slice of the same picture
            return True
        before = self._newest
        if unit[0] >> 5 & 3:  # a reference picture
            self._newest = number
        if kind == IDR or before is None:
            return True
        steps = (number - before) % (1 << known.number_bits)
        return steps == 1 or (steps == 0 and known.may_be_fields)


class _Bits:
    """Reads a unit's payload, most significant bit first; past its end stand zeros."""

    def __init__(self, unit: bytes) -> None:
        payload = unit[1:].replace(b"\0\0\3", b"\0\0")  # 7.4.1: the 3 only keeps start codes apart
        self._value, self._left = int.from_bytes(payload), 8 * len(payload)

    def take(self, count: int) -> int:
        self._left -= count
        shifted = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return shifted & ((1 << count) - 1)

    def unsigned(self) -> int:
        """ue(v), 9.1."""
        zeros = 0
        while self._left > 0 and not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """se(v), 9.1.1."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _number(unit: bytes, known: _Parameters) -> tuple[bool, int]:
    """Whether a slice is the first of its picture, and its `frame_num`, 7.3.3."""
    bits = _Bits(unit[:_SLICE_BYTES])
    first_block = bits.unsigned()
    bits.unsigned()  # its type
    bits.unsigned()  # its picture parameter set
    bits.take(2 * known.has_planes)
    return first_block == 0, bits.take(known.number_bits)


def _parameters(unit: bytes) -> _Parameters:
    """A sequence parameter set, 7.3.2.1.1, up to what is needed."""
    bits = _Bits(unit)
    profile = bits.take(8)
    bits.take(16)  # constraints, level
    bits.unsigned()  # its number
    has_planes = False
    if profile in _HIGH_PROFILES:
        chroma = bits.unsigned()
        has_planes = chroma == 3 and bool(bits.take(1))
        bits.unsigned()  # depths
        bits.unsigned()
        bits.take(1)
        if bits.take(1):
            _skip_scaling(bits, 8 if chroma != 3 else 12)
    number_bits = min(bits.unsigned(), 12) + 4
    _skip_order(bits)
    bits.unsigned()  # max_num_ref_frames
    may_leave_out = bool(bits.take(1))
    bits.unsigned()  # width, height
    bits.unsigned()
    return _Parameters(number_bits, has_planes, may_leave_out, may_be_fields=not bits.take(1))


def _skip_scaling(bits: _Bits, lists: int) -> None:
    """7.3.2.1.1.1."""
    for i in range(lists):
        if not bits.take(1):
            continue
        last = following = 8
        for _ in range(16 if i < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last


def _skip_order(bits: _Bits) -> None:
    """What pic_order_cnt_type brings with it."""
    kind = bits.unsigned()
    if kind == 0:
        bits.unsigned()
    elif kind == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.unsigned(), _MOST_OFFSETS)):
            bits.signed()


def _units_between_starts(data: bytes) -> Iterator[bytes]:
    """Annex B: a start code before each unit. Its beginning, which may run into the next one."""
    at = data.find(_START)
    while at >= 0:
        if unit := data[at + 3 : at + 3 + _UNIT_BYTES]:
            yield unit
        at = data.find(_START, at + 3)


def _units_with_lengths(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """ISO 14496-15: the length before each unit. Its beginning."""
    at = 0
    while at + length_bytes < len(data):
        length = int.from_bytes(data[at : at + length_bytes])
        at += length_bytes
        if unit := data[at : at + min(length, _UNIT_BYTES)]:
            yield unit
        at += length


def _units_of_avcc(head: bytes) -> Iterator[bytes]:
    """The sequence parameter sets of an `avcC` box, each after two bytes of length."""
    at = 6
    for _ in range(head[5] & 31):
        length = int.from_bytes(head[at : at + 2])
        yield head[at + 2 : at + 2 + min(length, _UNIT_BYTES)]
        at += 2 + length
