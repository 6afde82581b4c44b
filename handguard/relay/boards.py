"""Which kinds of relay board there are. A driver is added here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

from handguard.errors import ConfigError, mismatch
from handguard.relay.board import BoardSettings, Relay
from handguard.relay.lcus import Lcus

DRIVERS: dict[str, Callable[..., Relay]] = {"lcus": Lcus}


def open_board(settings: BoardSettings, *, exclusive: bool = True) -> Relay:
    """The driver for these settings, its port open and nothing written yet.

    Raises `ConfigError` for an unknown kind or option, `DeviceMissing` for a port
    that cannot be opened. `exclusive=False` gets in beside another user of the port:
    only for an emergency OFF.
    """
    if settings.kind not in DRIVERS:
        raise ConfigError(mismatch("relay.kind", "one of " + ", ".join(sorted(DRIVERS)), settings.kind))
    return DRIVERS[settings.kind](settings, exclusive=exclusive)
