"""What a simulated Modbus relay board does with bytes: eight coils, flash-on, answers and exceptions.

The same board hangs on a serial line (`RtuBoard`) or on the network (`TcpBoard`).
Contact n is coil n - 1. Address 0x0200 + coil closes a contact for as many tenths
of a second as the value says, FF00 included: that is the trap.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from handguard.relay.simulated_model import MS, BoardFaults, Contacts, Pending

UNIT = 1
TENTH_NS = 100 * MS


def checksum(frame: bytes) -> bytes:
    """Modbus CRC, low byte first, by long division of the bits (x^16 + x^15 + x^2 + 1, all reflected)."""
    register = 0xFFFF
    for bit in (byte >> place & 1 for byte in frame for place in range(8)):
        carry = (register & 1) ^ bit
        register >>= 1
        if carry:
            register ^= 0b1010_0000_0000_0001
    return bytes((register & 0xFF, register >> 8))


class CoilBoard(Contacts):
    """The part that is the same for both: what a pdu leads to."""

    def __init__(self, faults: BoardFaults) -> None:
        super().__init__(faults)
        self._ends_ns: dict[int, int] = {}  # of flashes that run

    def wake(self, now_ns: int) -> list[Pending]:
        over = [channel for channel, ends_ns in self._ends_ns.items() if ends_ns <= now_ns]
        for channel in over:
            del self._ends_ns[channel]
        return [self.switch(channel, False, 0, now_ns) for channel in over]

    def lose_power(self) -> list[int]:
        self._ends_ns = {}
        return super().lose_power()

    def obey(self, pdu: bytes, now_ns: int) -> tuple[bytes, list[Pending]]:
        """The answer, empty for none, and what happens."""
        if len(pdu) != 5:
            return b"", []
        function, address, value = pdu[0], pdu[1] << 8 | pdu[2], pdu[3] << 8 | pdu[4]
        if self.faults.refuses and function != 1:
            return bytes((function | 0x80, 4)), []
        if function == 1:
            return self._coils(address, value), []
        if function == 5 and address < 8 and value in (0xFF00, 0):
            return pdu, self._plain(address + 1, value == 0xFF00, now_ns)
        if function == 5 and 0x0200 <= address < 0x0208:
            return pdu, self._flash(address - 0x01FF, value, now_ns)
        return bytes((function | 0x80, 2)), []

    def replied(self, pdu: bytes, wrapped: Callable[[bytes], bytes], now_ns: int) -> list[Pending]:
        """What a pdu leads to, its answer last and in the form of the line; nothing is said where there is none."""
        answer, done = self.obey(pdu, now_ns)
        return done + (self.answer(wrapped(answer), now_ns) if answer else [])

    def _coils(self, first: int, count: int) -> bytes:
        if first != 0 or count != 8:
            return b"\x81\x02"
        return bytes((1, 1, sum(is_on << (channel - 1) for channel, is_on in self.told().items())))

    def _plain(self, channel: int, closed: bool, now_ns: int) -> list[Pending]:
        if channel in self._ends_ns and self.faults.flash_deaf:
            return [Pending(now_ns, "deaf", channel, closed)]
        self._ends_ns.pop(channel, None)
        return self.command(channel, closed, 8, now_ns)

    def _flash(self, channel: int, tenths: int, now_ns: int) -> list[Pending]:
        if channel in self._ends_ns and self.faults.keeps_flash:
            return [Pending(now_ns, "deaf", channel, True)]
        self._ends_ns[channel] = ends_ns = now_ns + tenths * TENTH_NS
        done = [Pending(now_ns, "command", channel, True), Pending(ends_ns, "wake")]
        return done if self.commanded[channel] else [*done, self.switch(channel, True, 8, now_ns)]


class RtuBoard(CoilBoard):
    """On a serial line: eight bytes, address first, checksum last."""

    def __init__(self, faults: BoardFaults) -> None:
        super().__init__(faults)
        self._got = b""

    def hear(self, data: bytes, now_ns: int) -> list[Pending]:
        found = self.noise(data, now_ns)
        self._got += data
        while len(self._got) >= 8:
            frame = self._got[:8]
            if checksum(frame[:6]) != frame[6:]:
                self._got = self._got[1:]
                continue
            self._got = self._got[8:]
            found += self._frame(frame, now_ns)
        return found

    def _frame(self, frame: bytes, now_ns: int) -> list[Pending]:
        return self.replied(frame[1:6], self._sealed, now_ns) if frame[0] == UNIT else []

    def _sealed(self, answer: bytes) -> bytes:
        whole = bytes((UNIT,)) + answer
        seal = checksum(whole)
        return whole + (bytes((seal[0] ^ 1, seal[1])) if self.faults.wrong_sum else seal)


class TcpBoard(CoilBoard):
    """On the network: six bytes of header, the unit, the pdu. A wrong "checksum" is a wrong number."""

    def __init__(self, faults: BoardFaults) -> None:
        super().__init__(faults)
        self._got = b""

    def hear(self, data: bytes, now_ns: int) -> list[Pending]:
        found = self.noise(data, now_ns)
        self._got += data
        while len(self._got) >= 6 and len(self._got) >= 6 + self._got[5]:
            length = 6 + self._got[5]
            frame, self._got = self._got[:length], self._got[length:]
            found += self.replied(frame[7:], partial(self._headed, frame), now_ns)
        return found

    def _headed(self, frame: bytes, answer: bytes) -> bytes:
        number = (frame[0] << 8 | frame[1]) + (100 if self.faults.wrong_sum else 0)
        return bytes((number >> 8 & 0xFF, number & 0xFF, 0, 0, 0, len(answer) + 1, frame[6])) + answer
