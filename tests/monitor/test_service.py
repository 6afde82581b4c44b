"""The whole program below a service manager: a real notify socket, real processes, real signals."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 1.0
START_S = 180.0  # on a machine that does much else


class Manager:
    """The socket of a service manager; knows who sent each word."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._heard: list[tuple[int, str]] = []

    def heard(self) -> list[tuple[int, str]]:
        """Every word so far, with the process that sent it."""
        while True:
            try:
                word, extra, *_ = self._socket.recvmsg(4096, socket.CMSG_SPACE(12))
            except BlockingIOError:
                return self._heard
            (pid, *_) = struct.unpack("iII", extra[0][2])
            self._heard.append((pid, word.decode()))

    def by(self, pid: int) -> list[str]:
        return [word for sender, word in self.heard() if sender == pid]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(round(LIMIT_S * 1e6)))
    yield manager
    manager.close()


def test_monitor_and_keeper_tell_of_judged_frames_and_of_nothing_once_the_monitor_hangs(start, children, manager):
    run = start()
    monitor = run.process.pid
    run.wait(lambda: manager.by(monitor).count("WATCHDOG=1") > 3, START_S)
    words = [word for word in manager.by(monitor) if not word.startswith("STATUS=")]
    assert words[:2] == ["READY=1", "WATCHDOG=1"]
    assert words.count("READY=1") == 1
    (keeper,) = children(monitor, "relay.keeper")
    run.wait(lambda: manager.by(keeper).count("WATCHDOG=1") > 1)
    assert set(manager.by(keeper)) == {"WATCHDOG=1"}
    os.kill(monitor, signal.SIGSTOP)
    time.sleep(LIMIT_S / 2)  # what was on its way
    before = len(manager.heard())
    time.sleep(2 * LIMIT_S)
    assert len(manager.heard()) == before
    os.kill(monitor, signal.SIGCONT)
    run.wait(lambda: "WATCHDOG=1" in [word for _, word in manager.heard()[before:]])
    assert run.stop() == 0
    assert manager.by(monitor)[-1] == "STOPPING=1"


def test_a_lockout_keeps_the_watchdog_quiet(start, children, manager):
    run = start()
    run.wait(run.is_on, START_S)
    for keeper in children(run.process.pid, "relay.keeper"):
        os.kill(keeper, signal.SIGKILL)
    run.wait(lambda: any("LOCKOUT" in word for word in manager.by(run.process.pid)))
    before = len(manager.heard())
    run.wait(lambda: [word for _, word in manager.heard()[before:]].count("WATCHDOG=1") > 3)
    assert run.stop() == 0


def test_a_stop_of_the_whole_group_ends_in_off_and_exit_0(start, children):
    run = start()
    run.wait(run.is_on, START_S)
    (keeper,) = children(run.process.pid, "relay.keeper")
    for pid in (keeper, run.process.pid):  # as KillMode=control-group does
        os.kill(pid, signal.SIGTERM)
    assert run.process.wait(30) == 0
    assert not run.is_on()


def test_the_unit_lets_the_monitor_keep_compiled_networks(tmp_path: Path):
    unit = (ROOT / "packaging" / "handguard.service").read_text().splitlines()
    set_to = dict(line.split("=", 1) for line in unit if "=" in line and not line.startswith("#"))
    name, _, folder = set_to["Environment"].replace("%C", str(tmp_path)).partition("=")
    program = "from handguard.detection.backends import cache; print(cache.ROOT)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, name: folder},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / set_to["CacheDirectory"])
