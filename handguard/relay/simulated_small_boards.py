"""What simulated KMTronic, Numato and Devantech boards do with bytes. All three speak without a checksum.

Their failings are those of `BoardFaults`; where a kind has no checksum to get
wrong, `wrong_sum` garbles the answer in the way noise on the wire would.
"""

from __future__ import annotations

from handguard.relay.simulated_model import BoardFaults, Contacts, Pending


class KmtronicBoard(Contacts):
    """The eight-channel board: `FF n x` commands, `FF 09 00` asks for one byte a channel."""

    def __init__(self, faults: BoardFaults) -> None:
        super().__init__(faults)
        self._got: list[int] = []

    def hear(self, data: bytes, now_ns: int) -> list[Pending]:
        found = self.noise(data, now_ns)
        for byte in data:
            if self._got or byte == 0xFF:
                self._got.append(byte)
            if len(self._got) == 3:
                _, relay, what = self._got
                self._got = []
                found += self._act(relay, what, now_ns)
        return found

    def _act(self, relay: int, what: int, now_ns: int) -> list[Pending]:
        if (relay, what) == (9, 0):
            wrong = 2 if self.faults.wrong_sum else 0
            return self.answer(bytes(int(on) + wrong for on in self.told().values()), now_ns)
        if relay in self.commanded and what in (0, 1):
            return self.command(relay, what == 1, 3, now_ns)
        return []


class NumatoBoard(Contacts):
    """A line of text at a time, echoed; an answer on a line of its own, and a prompt."""

    NAMES = "0123456789ABCDEFGHIJKLMNOPQRSTUV"

    def __init__(self, faults: BoardFaults) -> None:
        super().__init__(faults, channels=32)
        self._line = ""

    def hear(self, data: bytes, now_ns: int) -> list[Pending]:
        found = self.noise(data, now_ns)
        for letter in data.decode("latin-1"):
            if letter == "\r":
                line, self._line = self._line, ""
                found += self._act(line, now_ns)
            else:
                self._line += letter
        return found

    def _act(self, line: str, now_ns: int) -> list[Pending]:
        words, answer, done = line.split(" "), "", list[Pending]()
        if len(words) == 3 and words[0] == "relay" and words[2] in self.NAMES:
            channel = self.NAMES.index(words[2]) + 1
            if words[1] in ("on", "off"):
                done = self.command(channel, words[1] == "on", len(line) + 2, now_ns)
            elif words[1] == "read":
                answer = f"{self._word(channel)}\n\r"
        return done + self.answer(f"{line}\n\r{answer}>".encode("latin-1"), now_ns)

    def _word(self, channel: int) -> str:
        word = "on" if self.told()[channel] else "off"
        return word.upper() if self.faults.wrong_sum else word


class DevantechBoard(Contacts):
    """USB-RLY16: every byte is a command, but for the one after 5C, which is a mask."""

    def __init__(self, faults: BoardFaults) -> None:
        super().__init__(faults)
        self._mask_follows = False

    def hear(self, data: bytes, now_ns: int) -> list[Pending]:
        found = self.noise(data, now_ns)
        for byte in data:
            found += self._set_all(byte, now_ns) if self._mask_follows else self._act(byte, now_ns)
        return found

    def _act(self, byte: int, now_ns: int) -> list[Pending]:
        self._mask_follows = byte == 0x5C
        if byte == 0x5A:
            return self.answer(b"\x09\x02", now_ns)
        if byte == 0x5B:
            return self._tell(now_ns)
        if byte in (0x64, 0x6E):
            return self._set_all(0xFF if byte == 0x64 else 0, now_ns)
        is_one = 0x65 <= byte <= 0x6C or 0x6F <= byte <= 0x76
        return self.command((byte - 0x65) % 10 + 1, byte < 0x6E, 1, now_ns) if is_one else []

    def _tell(self, now_ns: int) -> list[Pending]:
        state = sum(is_on << (channel - 1) for channel, is_on in self.told().items())
        lost = self.faults.wrong_sum  # a byte that did not come through
        return self.answer(b"" if lost else bytes((state,)), now_ns)

    def _set_all(self, mask: int, now_ns: int) -> list[Pending]:
        self._mask_follows = False
        channels = range(1, 9)
        return [p for n in channels for p in self.command(n, bool(mask >> (n - 1) & 1), 2, now_ns)]
