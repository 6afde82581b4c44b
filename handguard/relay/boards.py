"""Which kinds of relay board there are. A driver is added here and nowhere else."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Protocol

from handguard.errors import ConfigError, mismatch
from handguard.relay.board import BoardSettings, Capabilities, Relay
from handguard.relay.dcttech import Dcttech
from handguard.relay.devantech import Devantech
from handguard.relay.gpio import Gpio
from handguard.relay.heartbeat import Heartbeat
from handguard.relay.kmtronic import Kmtronic
from handguard.relay.lcus import Lcus
from handguard.relay.modbus_board import ModbusRtu, ModbusTcp, numeric
from handguard.relay.numato import Numato
from handguard.relay.pair import Pair, both


class Driver(Protocol):
    """A class of boards: made from settings, and able to say beforehand what it will declare."""

    def __call__(self, settings: BoardSettings, *, exclusive: bool = True) -> Relay: ...

    def promise(self, settings: BoardSettings) -> Capabilities: ...


DRIVERS: dict[str, Driver] = {
    "dcttech": Dcttech,
    "devantech": Devantech,
    "gpio": Gpio,
    "heartbeat": Heartbeat,
    "kmtronic": Kmtronic,
    "lcus": Lcus,
    "modbus-rtu": ModbusRtu,
    "modbus-tcp": ModbusTcp,
    "numato": Numato,
}
ON_THE_NETWORK = {"modbus-tcp"}  # their port is an address, not a path

# Boards that nobody should use, and why.
REFUSED = {
    "icse01x": (
        "a board that a restart leaves off; ICSE012A, 013A and 014A take the greeting of a restarted program "
        "for a command and close contacts with it, and they cannot be asked what they did"
    ),
}


def promised(settings: BoardSettings) -> Capabilities:
    """What the board will offer, before anything is opened. Raises `ConfigError` for settings that cannot be."""
    first = _driver(settings).promise(settings)
    return first if settings.second is None else both(first, promised_of("relay.second", settings.second))


def promised_of(block: str, settings: BoardSettings) -> Capabilities:
    """The same for a board of another block of the settings, which the message of a `ConfigError` then names."""
    try:
        return promised(settings)
    except ConfigError as error:
        raise ConfigError(f"{block}: {error}") from error


def open_board(settings: BoardSettings, *, exclusive: bool = True) -> Relay:
    """The driver for these settings, its port open and nothing written yet.

    Raises `ConfigError` for an unknown kind or option, `DeviceMissing` for a port
    that cannot be opened. `exclusive=False` gets in beside another user of the port:
    only for an emergency OFF. Of two boards one that opens is told OFF when the other does not.
    """
    if settings.second is None:
        return _driver(settings)(settings, exclusive=exclusive)
    first, second = replace(settings, second=None), settings.second
    if located(first).port == located(second).port:
        expected = "a port of its own: two contacts of one board fail together"
        raise ConfigError(mismatch("relay.second.port", expected, second.port))
    return Pair(
        lambda: _driver(first)(first, exclusive=exclusive),
        lambda: _driver(second)(second, exclusive=exclusive),
    )


def located(settings: BoardSettings) -> BoardSettings:
    """The same, with paths that hold wherever a program is started, and numbers for the names of computers.

    A name server that does not answer would keep a keeper waiting, so names are looked up
    once, at the start. Raises `ConfigError` for what is no address, `DeviceMissing` for an unknown name.
    """
    second = located(settings.second) if settings.second else None
    is_path = settings.kind not in ON_THE_NETWORK
    port = os.path.abspath(settings.port) if is_path else numeric(settings.port)
    return replace(settings, port=port, second=second)


def _driver(settings: BoardSettings) -> Driver:
    if settings.kind in REFUSED:
        raise ConfigError(mismatch("relay.driver", REFUSED[settings.kind], settings.kind))
    if settings.kind not in DRIVERS:
        raise ConfigError(mismatch("relay.kind", "one of " + ", ".join(sorted(DRIVERS)), settings.kind))
    return DRIVERS[settings.kind]
