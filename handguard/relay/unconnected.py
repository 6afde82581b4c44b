"""No relay and no button at all: for looking at a camera before anything is wired.

The settings say `driver: none`, the start says so loudly, and the strict profile
refuses it. Every permit is taken and reaches nothing.
"""

from __future__ import annotations

import time

from handguard.types import Button, KeeperReport, Output, Permit


class Unconnected:
    """A `ports.PermitLine` with nothing at its end."""

    notices: tuple[str, ...] = ("no relay is connected: nothing will be stopped",)

    def __init__(self) -> None:
        self._report = KeeperReport(-1, Output.OFF, time.monotonic_ns(), None)

    def send(self, permit: Permit) -> None:
        self._report = KeeperReport(permit.seq, permit.output, time.monotonic_ns(), None)

    def report(self) -> KeeperReport:
        return self._report

    def close(self) -> None:
        """Nothing to release."""


class NoButton:
    """A `ports.ResetInput` that nobody can press: the machine stays off after its first stop."""

    def read(self) -> Button:
        return Button(down=False)
