"""From settings to what hangs on wires: the board with its keeper, the reset button, the warning lamp.

What the settings ask of a board that it cannot do is refused before the keeper is
started. When `relay_of` returns, the board has been told OFF.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path

from handguard.config import Settings
from handguard.errors import ConfigError, DeviceMissing, mismatch
from handguard.ports import ResetInput
from handguard.relay.board import BoardSettings, Capabilities
from handguard.relay.board_reset import BoardReset
from handguard.relay.boards import promised
from handguard.relay.gpio_reset import GpioReset
from handguard.relay.keeper import ASK_NS
from handguard.relay.keeper_state import KeeperLimits
from handguard.relay.keyboard import KeyboardReset
from handguard.relay.link import KeeperLink
from handguard.relay.operator import SimulatedOperator
from handguard.relay.simulated_board import SimulatedBoard
from handguard.relay.unconnected import NoButton, Unconnected
from handguard.relay.warning_lamp import WarningLamp
from handguard.types import PictureFormat

PERIODS_PER_RENEWAL = 1.2  # one frame's time, and some for judging it
ANSWERS = "a board that answers a question about its contact, as the strict profile wants"


def simulated_board(settings: Settings, out: Path, stack: ExitStack) -> SimulatedBoard | None:
    """A board program behind a terminal, where the settings want no real one."""
    if settings.relay.driver != "simulated":
        return None
    return stack.enter_context(SimulatedBoard(out / "board", out / "board.jsonl"))


def relay_of(
    settings: Settings, picture: PictureFormat, board: SimulatedBoard | None, stack: ExitStack
) -> KeeperLink | Unconnected:
    """The keeper, which has said OFF when this returns; or nothing at all."""
    wanted = settings.relay
    settled = None if wanted.driver == "none" else board_settings(settings, board)
    require_button(settings, settled)
    if settled is None:
        return Unconnected()
    require_profile(settings, settled)
    require_pace(settings, settled, picture)
    limits = KeeperLimits(
        deadline_ns=wanted.deadline_ms * 1_000_000, feedback_ns=wanted.edm_timeout_ms * 1_000_000
    )
    link = KeeperLink(settled, limits)
    stack.callback(link.close)
    is_silent = promised(settled).readback and not link.wait_for_readback()  # told by the link's notices
    if is_silent and settings.safety.profile == "strict":
        raise DeviceMissing(mismatch(f"relay.port: {settled.port}", ANSWERS, "silence"))
    return link


def lamp_of(settings: Settings, board: SimulatedBoard | None, stack: ExitStack) -> WarningLamp | None:
    """The warning lamp, on a board that is not the keeper's. Raises `ConfigError` where it is."""
    wanted = settings.warning.lamp
    if wanted is None:
        return None
    own = BoardSettings(wanted.driver, wanted.port, wanted.channel, wanted.options)
    keeper = board_settings(settings, board)
    lamp = WarningLamp(own, [one.port for one in (keeper, keeper.second) if one])
    stack.callback(lamp.close)
    return lamp


def board_settings(settings: Settings, board: SimulatedBoard | None) -> BoardSettings:
    """What the keeper is told. `baud` and `query` are LCUS's; other boards have theirs in `options`."""
    wanted = settings.relay
    second = wanted.second
    more = {"baud": wanted.baud, "query": "auto" if wanted.query == "ff" else wanted.query}
    if board is not None:
        return BoardSettings("lcus", str(board.link), wanted.channel, more)
    options = {**(more if wanted.driver == "lcus" else {}), **wanted.options}
    beside = BoardSettings(second.driver, second.port, second.channel, second.options) if second else None
    return BoardSettings(wanted.driver, str(wanted.port), wanted.channel, options, beside)


def require_profile(settings: Settings, board: BoardSettings) -> None:
    """strict: a board that drops out by itself, and can be asked. Raises `ConfigError`."""
    can = promised(board)
    missing = {"a time limit of its own": can.hw_timeout_ms is None, "feedback": not can.readback}
    lacks = " and ".join(what for what, is_missing in missing.items() if is_missing)
    if lacks and settings.safety.profile == "strict":
        where = f"{settings.origin.file}: relay.driver"
        expected = f"a board with {lacks} in the strict profile (docs/relays.md)"
        raise ConfigError(mismatch(where, expected, settings.relay.driver))


def require_deadline(settings: Settings, picture: PictureFormat) -> None:
    """Frames that renew a permit before it ends. Raises `ConfigError` for a camera too slow for the deadline."""
    needed_ms = _renewal_ms(picture)
    if settings.relay.deadline_ms < needed_ms:
        where = f"{settings.origin.file}: relay.deadline_ms"
        expected = f"at least {needed_ms:.0f} for a source of {picture.fps:g} frames/s, or a faster source"
        raise ConfigError(mismatch(where, expected, settings.relay.deadline_ms))


def require_pace(settings: Settings, board: BoardSettings, picture: PictureFormat) -> None:
    """Frames that come as fast as the board needs them, and time for its feedback. Raises `ConfigError`."""
    can, frame_ms = promised(board), _renewal_ms(picture)
    if can.hw_timeout_ms is not None and can.hw_timeout_ms < frame_ms:
        least = 1000 * PERIODS_PER_RENEWAL / can.hw_timeout_ms
        where = f"{settings.origin.file}: camera.fps"
        expected = f"at least {least:g}, for the board drops out by itself after {can.hw_timeout_ms} ms"
        raise ConfigError(mismatch(where, expected, f"{picture.fps:g}"))
    needed_ms = _feedback_ms(can, picture, frame_ms)
    if can.readback and settings.relay.edm_timeout_ms < needed_ms:
        where = f"{settings.origin.file}: relay.edm_timeout_ms"
        expected = f"at least {needed_ms:.0f} for this board at {picture.fps:g} frames/s, or it locks out for nothing"
        raise ConfigError(mismatch(where, expected, settings.relay.edm_timeout_ms))


def _renewal_ms(picture: PictureFormat) -> float:
    """From one permit to the next, at the latest."""
    return PERIODS_PER_RENEWAL * picture.period_ns / 1e6


def _feedback_ms(can: Capabilities, picture: PictureFormat, frame_ms: float) -> float:
    """How long a sound contact may seem not to follow.

    A board that rests is switched on by the first frame after its rest; one that does not is asked at intervals.
    """
    frames_of_rest = math.ceil(can.min_interval_ms * 1e6 / picture.period_ns)
    return frames_of_rest * frame_ms if frames_of_rest else ASK_NS / 1e6 + frame_ms


def require_button(settings: Settings, board: BoardSettings | None) -> None:
    """`reset.input: board` needs one that reads a button. Raises `ConfigError`."""
    if settings.reset.input != "board" or (board is not None and promised(board).button):
        return
    where = f"{settings.origin.file}: reset.input"
    expected = f"gpio, keyboard or none: no button can be read from a {settings.relay.driver} board (docs/relays.md)"
    raise ConfigError(mismatch(where, expected, "board"))


def reset_of(settings: Settings, relay: KeeperLink | Unconnected, stack: ExitStack) -> ResetInput:
    """The reset button, ready to be read. Raises `ConfigError` or `DeviceMissing`."""
    wanted = settings.reset
    if wanted.input == "keyboard":
        keyboard = KeyboardReset()
        stack.callback(keyboard.close)
        return keyboard
    if wanted.input == "gpio":
        assert wanted.chip is not None and wanted.line is not None  # or the settings were refused
        button = GpioReset(wanted.chip, wanted.line, wanted.debounce_ms)
        stack.callback(button.close)
        return button
    if isinstance(relay, KeeperLink) and wanted.input == "board":
        if not relay.wait_for_button():
            raise DeviceMissing(mismatch("reset.input: board", "a board that tells of its button", "silence"))
        return BoardReset(relay)
    return SimulatedOperator(wanted.after_free_s) if wanted.input == "simulated" else NoButton()
