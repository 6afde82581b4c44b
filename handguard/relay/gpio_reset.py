"""A reset button on a GPIO line of the computer itself.

The button pulls the line to ground; a cut wire reads as a button that nobody presses.
The kernel debounces it and stamps every edge on the monotonic clock, so how long a
press lasted does not depend on when somebody looked.
"""

from __future__ import annotations

from datetime import timedelta

from handguard.errors import DeviceError
from handguard.relay.gpio import RequestLines, library, pulled_up_input, released, requested
from handguard.types import Button


class GpioReset:
    """Implements `ports.ResetInput`; one thread only."""

    def __init__(self, chip: str, line: int, debounce_ms: int, request: RequestLines | None = None) -> None:
        """Request the line. Raises `ConfigError` or `DeviceMissing`."""
        self._line, self._name = line, f"{chip} line {line}"
        self._active = library().line.Value.ACTIVE
        self._turned_ns: int | None = None  # the newest edge; None before the first
        self._lines = requested(request, "reset.chip", chip, {line: pulled_up_input(debounce_ms)})

    def read(self) -> Button:
        """Level and edge belong together: an edge that comes meanwhile has the level read again.

        Raises `DeviceError` when the chip is gone.
        """
        try:
            is_down = self._is_down()
            while self._has_turned():
                is_down = self._is_down()
        except (OSError, ValueError) as error:
            raise DeviceError(f"{self._name}: reading the reset button failed: {error}") from error
        return Button(is_down, self._turned_ns)

    def close(self) -> None:
        """Safe to call twice."""
        released(self._lines)

    def _is_down(self) -> bool:
        return bool(self._lines.get_value(self._line) == self._active)

    def _has_turned(self) -> bool:
        """Take the edges that have come; was there one?"""
        if not self._lines.wait_edge_events(timedelta(0)):
            return False
        self._turned_ns = self._lines.read_edge_events()[-1].timestamp_ns
        return True
