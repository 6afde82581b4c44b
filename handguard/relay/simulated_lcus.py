"""What a simulated LCUS board does with bytes: a pure model of its parser, relays and answers.

Both families and their common failings are here; the terminal, the clock and the
log are in `relay.simulated`. Nothing here is shared with the driver: the bytes are
written down a second time, so that one misreading does not pass its own test.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

MS = 1_000_000
CHANNELS = 2
BYTE_NS = round(10 / 9600 * 1e9)  # start bit, eight bits, stop bit
FRAME_LENGTH = 4


@dataclass(frozen=True, slots=True)
class BoardFaults:
    """How this board differs from a perfect one. The defaults are a good board of the common family."""

    silent: bool = False  # answers no question
    op5: bool = False  # of the other family: answers op 5, not FF
    reply_ms: float = 5.0  # raise it for a board that answers late
    echo_garbage: bool = False  # every byte received is answered by noise
    wrong_sum: bool = False  # op 5 answers carry a wrong checksum; FF answers are misspelt
    welded: bool = False  # a contact once closed never opens
    tells_contact: bool = False  # answers with the real contact instead of the commanded one
    busy_ms: float = 0.0  # deaf for this long after a command
    pull_in_ms: float = 8.0
    drop_out_ms: float = 4.0
    unplug_after_s: float | None = None
    replug_after_s: float | None = None  # after the unplugging


@dataclass(frozen=True, slots=True)
class Pending:
    """Something the board will do later."""

    at_ns: int
    event: str  # 'contact', 'reply', 'unplug', 'plug'
    channel: int = 0
    closed: bool = False
    message: bytes = b""

    def moves(self, channel: int) -> bool:
        """Is this a movement of that contact?"""
        return self.event == "contact" and self.channel == channel


class LcusBoard:
    """The board without its port: bytes in, moves and replies out. Time is passed in."""

    def __init__(self, faults: BoardFaults) -> None:
        self.faults = faults
        self.commanded = dict.fromkeys(range(1, CHANNELS + 1), False)
        self.closed = dict(self.commanded)
        self._frame = b""
        self._deaf_until_ns = 0

    def hear(self, data: bytes, now_ns: int) -> list[Pending]:
        """What these bytes lead to, in order."""
        noise = [self._reply(os.urandom(len(data)), now_ns)] if self.faults.echo_garbage else []
        return noise + [pending for byte in data for pending in self._byte(byte, now_ns)]

    def move(self, channel: int, closed: bool) -> bool:
        """Let the relay move; False if it was there already or is welded."""
        if self.closed[channel] == closed or (self.faults.welded and not closed):
            return False
        self.closed[channel] = closed
        return True

    def lose_power(self) -> list[int]:
        """The channels that open because the supply is gone."""
        self._frame, self.commanded = b"", dict.fromkeys(self.commanded, False)
        return [channel for channel in self.closed if self.move(channel, False)]

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
        if now_ns < self._deaf_until_ns:
            return [Pending(now_ns, "deaf", channel, bool(op))]
        if op == 5:
            return self._tell_one(channel, now_ns)
        if op not in (0, 1):
            return []
        self._deaf_until_ns = now_ns + round(self.faults.busy_ms * MS)
        self.commanded[channel] = closed = op == 1
        relay_ms = self.faults.pull_in_ms if closed else self.faults.drop_out_ms
        moves_ns = now_ns + FRAME_LENGTH * BYTE_NS + round(relay_ms * MS)
        return [Pending(now_ns, "command", channel, closed), Pending(moves_ns, "contact", channel, closed)]

    def _tell_all(self, now_ns: int) -> list[Pending]:
        if self.faults.op5:
            return []
        words = ("OFX", "OX") if self.faults.wrong_sum else ("OFF", "ON")
        lines = (f"CH{channel}: {words[is_on]}\r\n" for channel, is_on in self._told().items())
        return self._answer("".join(lines).encode(), now_ns)

    def _tell_one(self, channel: int, now_ns: int) -> list[Pending]:
        if not self.faults.op5:
            return []
        state = int(self._told()[channel])
        total = (0xA0 + channel + state + self.faults.wrong_sum) & 0xFF
        return self._answer(bytes((0xA0, channel, state, total)), now_ns)

    def _told(self) -> dict[int, bool]:
        return self.closed if self.faults.tells_contact else self.commanded

    def _answer(self, message: bytes, now_ns: int) -> list[Pending]:
        return [] if self.faults.silent else [self._reply(message, now_ns)]

    def _reply(self, message: bytes, now_ns: int) -> Pending:
        return Pending(now_ns + round(self.faults.reply_ms * MS), "reply", message=message)
