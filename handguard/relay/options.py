"""Options of a driver: known names only, numbers within bounds, and one message when they are not."""

from __future__ import annotations

from collections.abc import Collection

from handguard.errors import ConfigError, mismatch
from handguard.relay.board import BoardSettings


def known_only(settings: BoardSettings, known: Collection[str]) -> None:
    """Raise `ConfigError` for an option that this kind of board does not have."""
    unknown = set(settings.options) - set(known)
    if unknown:
        expected = "one of " + ", ".join(sorted(known)) if known else "no options"
        raise ConfigError(mismatch("relay.options", expected, ", ".join(sorted(unknown))))


def number(settings: BoardSettings, key: str, default: int | None, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`, or the default where it is not given. Raises `ConfigError`."""
    value = settings.options.get(key, default)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        expected = f"a whole number from {low} to {high}"
        raise ConfigError(mismatch(f"relay.options.{key}", expected, repr(value)))
    return value


def number_of(settings: BoardSettings, key: str, default: int, low: int, high: int) -> int:
    """As `number`, where there is always one."""
    value = number(settings, key, default, low, high)
    assert value is not None
    return value


def choice(settings: BoardSettings, key: str, choices: Collection[str | int], default: str | int) -> str | int:
    """One of a few values. Raises `ConfigError`."""
    value = settings.options.get(key, default)
    if value not in choices:
        expected = "one of " + ", ".join(map(str, choices))
        raise ConfigError(mismatch(f"relay.options.{key}", expected, value))
    return value


def channel_within(settings: BoardSettings, channels: int) -> int:
    """The channel, if the board has so many. Raises `ConfigError`."""
    if settings.channel > channels:
        expected = f"a number from 1 to {channels}, the channels of this board"
        raise ConfigError(mismatch("relay.channel", expected, settings.channel))
    return settings.channel
