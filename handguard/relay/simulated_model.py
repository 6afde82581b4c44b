"""What every simulated board has: faults, contacts that need time to move, and answers that need time to come.

A model of one kind of board is pure: bytes and the time go in, `Pending` things
come out, and `relay.simulated` does them when their time has come, behind a real
terminal or connection. No model shares a line with the driver it is spoken to by:
the bytes are written down a second time, so that one misreading does not pass its
own test.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

MS = 1_000_000
BYTE_NS = round(10 / 9600 * 1e9)  # start bit, eight bits, stop bit


@dataclass(frozen=True, slots=True)
class BoardFaults:
    """How this board differs from a perfect one. The defaults are a good board."""

    silent: bool = False  # answers no question
    op5: bool = False  # LCUS: of the other family, answers op 5, not FF
    reply_ms: float = 5.0  # raise it for a board that answers late
    echo_garbage: bool = False  # every byte received is answered by noise
    wrong_sum: bool = False  # answers carry a wrong checksum, or are misspelt where there is none
    welded: bool = False  # a contact once closed never opens
    tells_contact: bool = False  # answers with the real contact instead of the commanded one
    busy_ms: float = 0.0  # deaf for this long after a command
    refuses: bool = False  # Modbus: answers every write with an exception
    keeps_flash: bool = False  # Modbus: a flash-on during another does not begin anew
    flash_deaf: bool = False  # Modbus: a plain off does not end a flash-on
    taped: bool = False  # heartbeat: somebody has taped the reset button down
    pull_in_ms: float = 8.0
    drop_out_ms: float = 4.0
    unplug_after_s: float | None = None
    replug_after_s: float | None = None  # after the unplugging


@dataclass(frozen=True, slots=True)
class Pending:
    """Something the board will do later, or (events of other names) has just noticed."""

    at_ns: int
    event: str  # 'contact', 'reply', 'wake', 'press', 'unplug', 'plug'; 'command', 'deaf' are only logged
    channel: int = 0
    closed: bool = False
    message: bytes = b""

    def moves(self, channel: int) -> bool:
        """Is this a movement of that contact?"""
        return self.event == "contact" and self.channel == channel


class BoardModel(Protocol):
    """A board without its port. Time is passed in."""

    faults: BoardFaults

    def hear(self, data: bytes, now_ns: int) -> list[Pending]:
        """What these bytes lead to, in order."""

    def wake(self, now_ns: int) -> list[Pending]:
        """What the time leads to that a 'wake' was asked for. Must bear being woken too often."""

    def press(self, is_down: bool, now_ns: int) -> list[Pending]:
        """Somebody presses the board's reset button, or lets go."""

    def move(self, channel: int, closed: bool) -> bool:
        """Let a relay move; False if it did not."""

    def lose_power(self) -> list[int]:
        """The channels that open because the supply is gone."""


class Contacts:
    """The part all models share: relays, and the two ways of answering. Most have no clock and no button."""

    def __init__(self, faults: BoardFaults, channels: int = 8) -> None:
        self.faults = faults
        self.commanded = dict.fromkeys(range(1, channels + 1), False)
        self.closed = dict(self.commanded)
        self._deaf_until_ns = 0

    def wake(self, now_ns: int) -> list[Pending]:
        return []

    def press(self, is_down: bool, now_ns: int) -> list[Pending]:
        return []

    def move(self, channel: int, closed: bool) -> bool:
        """Let the relay move; False if it was there already or is welded."""
        if self.closed[channel] == closed or (self.faults.welded and not closed):
            return False
        self.closed[channel] = closed
        return True

    def lose_power(self) -> list[int]:
        """The channels that open because the supply is gone."""
        self.commanded = dict.fromkeys(self.commanded, False)
        return [channel for channel in self.closed if self.move(channel, False)]

    def noise(self, data: bytes, now_ns: int) -> list[Pending]:
        """What a board that echoes garbage sends for these bytes."""
        return [self.reply(os.urandom(len(data)), now_ns)] if self.faults.echo_garbage else []

    def command(self, channel: int, closed: bool, length: int, now_ns: int) -> list[Pending]:
        """A valid command of so many bytes: the contact follows after wire and relay; a busy board is deaf."""
        if now_ns < self._deaf_until_ns:
            return [Pending(now_ns, "deaf", channel, closed)]
        self._deaf_until_ns = now_ns + round(self.faults.busy_ms * MS)
        return [Pending(now_ns, "command", channel, closed), self.switch(channel, closed, length, now_ns)]

    def switch(self, channel: int, closed: bool, length: int, now_ns: int) -> Pending:
        """The relay is driven, and moves when it can."""
        self.commanded[channel] = closed
        relay_ms = self.faults.pull_in_ms if closed else self.faults.drop_out_ms
        return Pending(now_ns + length * BYTE_NS + round(relay_ms * MS), "contact", channel, closed)

    def told(self) -> dict[int, bool]:
        """What the board says of its contacts."""
        return self.closed if self.faults.tells_contact else self.commanded

    def answer(self, message: bytes, now_ns: int) -> list[Pending]:
        """A reply, unless the board is silent."""
        return [] if self.faults.silent else [self.reply(message, now_ns)]

    def reply(self, message: bytes, now_ns: int) -> Pending:
        return Pending(now_ns + round(self.faults.reply_ms * MS), "reply", message=message)
