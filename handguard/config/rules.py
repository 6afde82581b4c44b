"""What only shows when the whole file is seen: what a profile refuses, what a person must be told.

Both are tables of a sentence and the setting it looks at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from handguard.config.problems import Key, Problem, shown
from handguard.config.schema import OwnBoard, RelaySettings, Settings

# What gives a board a time limit of its own, and what takes its feedback away: an option, or (None) nothing can.
# Drivers that do not stand here have none, or always have it. A test holds both to what the drivers say.
TIMED_BY: dict[str, str | None] = {
    "heartbeat": None, "gpio": "pump_ms", "modbus-rtu": "flash_ms", "modbus-tcp": "flash_ms",
}  # fmt: skip
UNTIMED = "the relay board has no time limit of its own: it keeps its contact when monitor and keeper are both gone"
ELSEWHERE = "evidence.dir is a relative path: lockout and acceptance hold only for programs started in this folder"
MUTE = "the relay board gives no feedback: a contact that does not follow is not seen"


def refused_by_profile(settings: Settings) -> Iterator[Problem]:
    """What a strict installation may not do. Empty for the basic profile."""
    if settings.safety.profile != "strict":
        return
    may_not: dict[Key, tuple[str, bool]] = {
        ("reset", "input"): (
            "keyboard, gpio, board or none in the strict profile",
            settings.reset.input == "simulated",
        ),
        ("interlock", "restart"): ("manual in the strict profile", settings.interlock.restart != "manual"),
        ("relay", "driver"): ("a relay in the strict profile", settings.relay.driver == "none"),
        ("camera", "source"): (
            "a camera or a network stream in the strict profile",
            bool(_boards(settings.relay)) and (_is_drawn(settings) or _is_recording(settings)),
        ),
    }
    for key, (expected, refused) in may_not.items():
        if refused:
            block, name = key
            yield Problem(key, expected, shown(getattr(getattr(settings, str(block)), str(name))))


def _is_drawn(settings: Settings) -> bool:
    return settings.camera.source == "simulated"


def _is_recording(settings: Settings) -> bool:
    """A film or a folder of pictures, as `capture.sources` tells them from cameras; a test holds both to each other."""
    source = str(settings.camera.source)
    is_camera = (source.isascii() and source.isdigit()) or source.startswith("/dev/") or "://" in source
    return not (is_camera or _is_drawn(settings))


def _boards(relay: RelaySettings) -> list[RelaySettings | OwnBoard]:
    """The real ones."""
    if relay.driver in ("simulated", "none"):
        return []
    return [relay, *([relay.second] if relay.second else [])]


def _is_timed(board: RelaySettings | OwnBoard) -> bool:
    option = TIMED_BY.get(board.driver)
    return board.driver in TIMED_BY and (option is None or option in board.options)


def _is_mute(board: RelaySettings | OwnBoard) -> bool:
    told = board.options
    return (
        (board.driver == "gpio" and "feedback_line" not in told)
        or (board.driver == "heartbeat" and told.get("contactors") == 0)
        or (board.driver == "lcus" and told.get("query") == "none")
    )


def tells_of_its_contact(settings: Settings) -> bool:
    """True where the board can be asked whether the contact has followed."""
    relay = settings.relay
    is_mute = any(map(_is_mute, _boards(relay))) or (relay.driver == "lcus" and relay.query == "none")
    return relay.driver != "none" and not is_mute


def cautions(settings: Settings) -> tuple[str, ...]:
    """What a person must be told loudly before this runs; empty for a plain installation."""
    boards = _boards(settings.relay)
    told = {
        "the restart is automatic: the machine starts by itself once its zones are free": (
            settings.interlock.restart == "automatic"
        ),
        "the reset is simulated: nobody looks before the machine starts": settings.reset.input == "simulated",
        "the relay is simulated: no machine is stopped": settings.relay.driver == "simulated",
        UNTIMED: bool(boards) and not any(map(_is_timed, boards)),
        ELSEWHERE: bool(boards) and not Path(settings.evidence.dir).is_absolute(),
        MUTE: settings.relay.driver != "none" and not tells_of_its_contact(settings),
        "there is no relay: no machine is stopped": settings.relay.driver == "none",
        "the picture is simulated: no person is watched": _is_drawn(settings),
        "the picture is a recording: no person is watched": _is_recording(settings),
    }
    return tuple(sentence for sentence, applies in told.items() if applies)
