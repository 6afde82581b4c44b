"""What the keeper may know of a relay board, in plain values.

The keeper is a process of its own with tiny imports, so nothing here (or in any
driver) may pull in numpy: `handguard.types.Output` is spelled `Command` on this
side of the pipe, and `relay.link` translates between the two.

A driver is a thin layer over a port. It never waits: `write` puts a command on
the wire, `ask` puts a question there, and `contactor_open` reads whatever answer
has come by now. When to speak, when to ask and what an answer means is decided
in `relay.keeper`, once for all boards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from handguard.errors import ConfigError, mismatch


class Command(Enum):
    """What a board can be told. OFF is the safe state."""

    OFF = "off"
    ON = "on"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a relay board can and cannot promise; constant for the life of a driver."""

    readback: bool  # the board has a question for the contact it commands; it may still not answer
    ack: bool  # every command is answered
    hw_timeout_ms: int | None  # drops out by itself when the host is silent; None: holds for ever
    min_interval_ms: int  # least time between two commands, questions included
    channels: int
    button: bool = False  # a reset button is wired to the board, and every answer tells of it


class Relay(Protocol):
    """A relay board, owned by exactly one process (the keeper) and one thread in it."""

    @property
    def capabilities(self) -> Capabilities:
        """Constant for the life of the driver."""

    def write(self, command: Command) -> None:
        """Put the command on the wire now. Raises `DeviceError` if it may not have arrived."""

    def ask(self) -> None:
        """Put the feedback question on the wire without waiting. Raises `DeviceError`."""

    def contactor_open(self) -> bool | None:
        """The answer to the last question, if one has come: True once the contact has dropped.

        None: no answer yet, or a board that cannot tell. Never waits. Raises
        `DeviceError` when the port is gone.
        """

    def reset_down(self) -> bool | None:
        """The button at the board, as the newest answer had it; None: no button, or no answer yet. Never waits."""

    def close(self) -> None:
        """Release the port. Does not change the output, never raises, safe to call twice."""


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """Which board, where, and which contact on it. `options` belong to the driver of that kind.

    With `second`, the machine runs only while the contacts of both boards are closed.
    """

    kind: str
    port: str
    channel: int = 1
    options: Mapping[str, str | int] = field(default_factory=dict)
    second: BoardSettings | None = None

    def __post_init__(self) -> None:
        if self.second is not None and self.second.second is not None:
            raise ConfigError(mismatch("relay.second", "at most two boards", "three"))
        if not self.port:
            raise ConfigError(mismatch("relay.port", "the path of a serial port", repr(self.port)))
        if not 1 <= self.channel <= 32:
            raise ConfigError(mismatch("relay.channel", "a number from 1 to 32", self.channel))
