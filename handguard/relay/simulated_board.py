"""A handle on a simulated board: starts the program of `relay.simulated`, reads its log.

The log is the board's own account of what reached it and when its contacts moved,
on the same monotonic clock as the frames; the response time is the difference.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from handguard.errors import DeviceError
from handguard.relay.simulated_model import BoardFaults

_ROOT = Path(__file__).parents[2]


class SimulatedBoard:
    """A running simulated board. One thread; use as a context manager or call `stop`."""

    def __init__(
        self,
        link: Path,
        log: Path,
        faults: BoardFaults | None = None,
        kind: str = "lcus",
        program: tuple[str, ...] = (sys.executable, "-m", "handguard.relay.simulated"),
    ) -> None:
        """Start the program and wait until `link` can be opened. Raises `DeviceError` if it cannot be.

        `program` may be any that takes the same arguments and writes the same log.
        """
        self.link, self.log = link.absolute(), log.absolute()
        self._program = subprocess.Popen(
            [*program, kind, *self._options(faults or BoardFaults())],
            cwd=_ROOT,
            stdin=subprocess.PIPE,  # its end tells the board that we are gone, however we went
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._program.stdout is not None
        if self._program.stdout.readline() != "ready\n":
            _, said = self._program.communicate()
            raise DeviceError(f"simulated board: {said.strip()}")

    def __enter__(self) -> SimulatedBoard:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End the program. Safe to call twice; the log stays."""
        if self._program.poll() is None:
            self._program.terminate()
        self._program.communicate()

    @property
    def port(self) -> str:
        """What `relay.port` must be: the link, or the address of a board on the network."""
        target = os.readlink(self.link)
        return str(self.link) if target.startswith("/") else target

    def press(self) -> None:
        """Press the board's reset button, and let go after 300 ms; returns at once."""
        os.kill(self._program.pid, signal.SIGWINCH)

    def unplug(self) -> None:
        """Pull the USB cable; returns once the board has logged it."""
        self._signal(signal.SIGUSR1, "unplugged")

    def replug(self) -> None:
        """Push it in again; returns once `link` can be opened."""
        self._signal(signal.SIGUSR2, "plugged")

    def events(self, *names: str) -> list[dict[str, object]]:
        """Every logged line so far, or those with one of these event names. A half-written one waits."""
        lines = self.log.read_text().splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [one for one in found if not names or one["event"] in names]

    def contact_changes(self, channel: int = 1) -> list[tuple[int, bool]]:
        """`(ns, closed)` of every movement of the contact."""
        return _of_channel(self.events("contact"), channel)

    def off_bytes_ns(self, channel: int = 1) -> list[int]:
        """When each OFF command had arrived."""
        return [ns for ns, closed in _of_channel(self.events("command", "deaf"), channel) if not closed]

    def on_bytes_ns(self, channel: int = 1) -> list[int]:
        """When each ON command had arrived."""
        return [ns for ns, closed in _of_channel(self.events("command", "deaf"), channel) if closed]

    def closed(self, channel: int = 1) -> bool:
        """Is the contact closed now, the machine permitted to run?"""
        changes = self.contact_changes(channel)
        return bool(changes) and changes[-1][1]

    def wait_until(self, condition: Callable[[SimulatedBoard], bool], limit_s: float = 10.0) -> bool:
        """Poll the log until the condition holds; False if it did not within the limit."""
        give_up_s = time.monotonic() + limit_s
        while not condition(self):
            if time.monotonic() > give_up_s:
                return False
            time.sleep(0.005)
        return True

    def _signal(self, number: signal.Signals, awaited: str) -> None:
        before = len(self.events(awaited))
        os.kill(self._program.pid, number)
        if not self.wait_until(lambda board: len(board.events(awaited)) > before):
            raise DeviceError(f"simulated board: it did not become {awaited}")

    def _options(self, faults: BoardFaults) -> list[str]:
        options = ["--link", str(self.link), "--log", str(self.log)]
        for name, value in asdict(faults).items():
            flag = "--" + name.replace("_", "-")
            if value is True:
                options.append(flag)
            elif value is not None and value is not False:
                options += [flag, str(value)]
        return options


def _of_channel(events: list[dict[str, object]], channel: int) -> list[tuple[int, bool]]:
    return [(int(str(one["ns"])), bool(one["closed"])) for one in events if one["channel"] == channel]
