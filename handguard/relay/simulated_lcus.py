"""What a simulated LCUS board does with bytes: a pure model of its parser, relays and answers.

Both families and their common failings are here; the terminal, the clock and the
log are in `relay.simulated`.
"""

from __future__ import annotations

from handguard.relay.simulated_model import BoardFaults, Contacts, Pending

CHANNELS = 2
FRAME_LENGTH = 4


class LcusBoard(Contacts):
    """The board without its port: bytes in, moves and replies out. Time is passed in."""

    def __init__(self, faults: BoardFaults) -> None:
        super().__init__(faults, CHANNELS)
        self._frame = b""

    def hear(self, data: bytes, now_ns: int) -> list[Pending]:
        """What these bytes lead to, in order."""
        noise = self.noise(data, now_ns)
        return noise + [pending for byte in data for pending in self._byte(byte, now_ns)]

    def lose_power(self) -> list[int]:
        self._frame = b""
        return super().lose_power()

    def _byte(self, byte: int, now_ns: int) -> list[Pending]:
        if not self._frame and byte == 0xFF:
            return self._tell_all(now_ns)
        if not self._frame and byte != 0xA0:
            return []
        self._frame += bytes((byte,))
        if len(self._frame) < FRAME_LENGTH:
            return []
        (head, channel, op, total), self._frame = self._frame, b""
        is_valid = total == (head + channel + op) & 0xFF and channel in self.commanded
        return self._obey(channel, op, now_ns) if is_valid else []

    def _obey(self, channel: int, op: int, now_ns: int) -> list[Pending]:
        if op in (0, 1):
            return self.command(channel, op == 1, FRAME_LENGTH, now_ns)
        return self._tell_one(channel, now_ns) if op == 5 and now_ns >= self._deaf_until_ns else []

    def _tell_all(self, now_ns: int) -> list[Pending]:
        if self.faults.op5:
            return []
        words = ("OFX", "OX") if self.faults.wrong_sum else ("OFF", "ON")
        lines = (f"CH{channel}: {words[is_on]}\r\n" for channel, is_on in self.told().items())
        return self.answer("".join(lines).encode(), now_ns)

    def _tell_one(self, channel: int, now_ns: int) -> list[Pending]:
        if not self.faults.op5:
            return []
        state = int(self.told()[channel])
        total = (0xA0 + channel + state + self.faults.wrong_sum) & 0xFF
        return self.answer(bytes((0xA0, channel, state, total)), now_ns)
