"""Does the contact follow? OFF, ON and OFF again before a keeper is started, in a process of its own.

    python -m handguard.relay.pulse SETTINGS LIMIT_MS

It CLOSES THE CONTACT for as long as the board needs to say so, at most LIMIT_MS and the
board's own rest, and is therefore done only where `safety.self_test.move_contact` says
that nothing may start by it (docs/safety-manual.md). No permit is made for it: permits
come from judged frames, and this is before the first.

The process opens the contact on its way out, whatever happens. `moved` waits for it,
and where it died opens the port beside any lock and says OFF itself; only if both are
killed within that moment does a board without a time limit of its own stay closed,
until the next start says OFF first of all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from handguard.errors import DeviceError, HandguardError, mismatch
from handguard.relay.board import BoardSettings, Command, Relay
from handguard.relay.boards import located, open_board

START_LIMIT_S = 20.0  # a new interpreter on a busy machine
LOOK_S = 0.002
RENEWALS_PER_TIMEOUT = 4
MODULE = "handguard.relay.pulse"
COURSE = (Command.OFF, Command.ON, Command.OFF)
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Followed:
    """One step: after how long the board said that the contact had followed; None: it did not in time."""

    command: str
    after_ms: float | None


def moved(settings: BoardSettings, limit_ms: int) -> tuple[Followed, ...]:
    """Move the contact of a board that can be asked. Raises `DeviceError` if the board cannot be worked."""
    settled = located(settings)
    command = [sys.executable, "-E", "-s", "-m", MODULE, json.dumps(asdict(settled)), str(limit_ms)]
    try:
        done = subprocess.run(
            command, cwd=_ROOT, capture_output=True, text=True, timeout=START_LIMIT_S + 10 * limit_ms / 1000
        )
        if done.returncode == 0:
            return tuple(Followed(**step) for step in json.loads(done.stdout))
        raise DeviceError(
            mismatch(f"relay on {settled.port}", "a contact that can be moved", done.stderr.strip())
        )
    except (subprocess.TimeoutExpired, ValueError, TypeError) as error:
        raise DeviceError(mismatch(f"relay on {settled.port}", "an answer of the pulse", error)) from error
    finally:
        _say_off(settled)


def course(board: Relay, limit_ms: int) -> tuple[Followed, ...]:
    """OFF, ON, OFF; ends at the first step that is not followed. The contact is open at return."""
    steps: list[Followed] = []
    try:
        for command in COURSE:
            steps.append(_step(board, command, limit_ms))
            if steps[-1].after_ms is None:
                break
    finally:
        board.write(Command.OFF)
    return tuple(steps)


def _step(board: Relay, command: Command, limit_ms: int) -> Followed:
    """Say it, and ask until the answer fits or the time is up."""
    can = board.capabilities
    rest_s = can.min_interval_ms / 1000
    began_s = said_s = _said(board, command, rest_s)
    while time.monotonic() - began_s <= limit_ms / 1000:
        if can.hw_timeout_ms and time.monotonic() - said_s >= can.hw_timeout_ms / 1000 / RENEWALS_PER_TIMEOUT:
            said_s = _said(board, command, rest_s)
        board.ask()
        is_open = _answer(board, began_s + limit_ms / 1000)
        if is_open is (command is Command.OFF):
            after_ms = round(1000 * (time.monotonic() - began_s), 1)
            time.sleep(rest_s)
            return Followed(command.value, after_ms)
        time.sleep(rest_s)
    return Followed(command.value, None)


def _said(board: Relay, command: Command, rest_s: float) -> float:
    said_s = time.monotonic()
    board.write(command)
    time.sleep(max(rest_s, LOOK_S))
    return said_s


def _answer(board: Relay, until_s: float) -> bool | None:
    while (answer := board.contactor_open()) is None and time.monotonic() < until_s:
        time.sleep(LOOK_S)
    return answer


def _say_off(settings: BoardSettings) -> None:
    """The last word, beside whoever may still hold the port. Raises `DeviceError` where nobody can say it."""
    board = open_board(settings, exclusive=False)
    try:
        board.write(Command.OFF)
    finally:
        board.close()


def _settings(told: dict[str, Any]) -> BoardSettings:
    second = told.pop("second", None)
    return BoardSettings(**told, second=_settings(second) if second else None)


def main(arguments: list[str]) -> int:
    """Run the course in this process and print it as JSON; returns the exit status."""
    settings_text, limit_text = arguments
    try:
        board = open_board(_settings(json.loads(settings_text)))
        try:
            steps = course(board, int(limit_text))
        finally:
            board.close()
    except HandguardError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps([asdict(step) for step in steps]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
