"""The keeper as a child of the monitor: how it is started, and how its end is waited for."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from handguard.relay.board import BoardSettings
from handguard.relay.keeper_process import settings_json
from handguard.relay.keeper_state import KeeperLimits

_ROOT = Path(__file__).parents[2]  # what must be on its path to import handguard


def spawned(board: BoardSettings, limits: KeeperLimits) -> tuple[subprocess.Popen[str], socket.socket]:
    """The keeper and our end of its pipe. Its interpreter and session are its own: no Ctrl-C reaches it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    module = "handguard.relay.keeper_process"
    command = [sys.executable, "-E", "-s", "-m", module, str(theirs.fileno()), settings_json(board, limits)]
    with theirs:
        keeper = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    return keeper, ours


def ended(keeper: subprocess.Popen[str], limit_s: float) -> int:
    """The exit status, after a kill if it takes too long."""
    try:
        return keeper.wait(limit_s)
    except subprocess.TimeoutExpired:
        keeper.kill()
        return keeper.wait()
