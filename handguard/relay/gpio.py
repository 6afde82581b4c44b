"""A relay on a GPIO line of the computer itself, by libgpiod 2 (the Python package `gpiod`).

The output is requested INACTIVE, so that opening it is already OFF and nothing
glitches. Whether a line falls back when its process dies is up to the kernel and
the board; some keep it as it was. So the line needs an external pull-down, and
`heartbeat_line` gives the rest: it is toggled with every permit, never by a timer,
and belongs on an AC-coupled pump or a retriggerable monostable that lets go when the
toggling stops, `pump_ms` after it by the installer's measurement. Stuck high is then
as good as silent.

`feedback_line` is an input with a normally-closed contact of the contactor to
ground: low, and thus active, means that the contactor has dropped. A cut wire reads
as a contactor that has not. It has the kernel's debounce and its monotonic time
stamps: a contact that went and came back between two looks has not followed either.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from datetime import timedelta
from typing import Any, Protocol

from handguard.errors import ConfigError, DeviceError, DeviceMissing, mismatch
from handguard.relay.board import BoardSettings, Capabilities, Command
from handguard.relay.options import choice, known_only, number, number_of

CONSUMER = "handguard"
_OPTIONS = {"line", "active_low", "heartbeat_line", "pump_ms", "feedback_line", "debounce_ms"}
_LAST_LINE = 1023
_EVENTS_KEPT = 64


class LineRequest(Protocol):
    """What is used of `gpiod.LineRequest`."""

    def get_value(self, line: int) -> Any: ...
    def set_value(self, line: int, value: Any) -> None: ...
    def wait_edge_events(self, timeout: timedelta) -> bool: ...
    def read_edge_events(self) -> list[Any]: ...
    def release(self) -> None: ...
    def __bool__(self) -> bool: ...


class RequestLines(Protocol):
    """`gpiod.request_lines`."""

    def __call__(self, path: str, config: dict[Any, Any], consumer: str) -> LineRequest: ...


def library() -> Any:
    """The package, if it is there and of the second generation. Raises `ConfigError`.

    Distributions ship the first under the same name, with another interface.
    """
    try:
        import gpiod
    except ImportError:
        raise ConfigError(mismatch("gpio", "the Python package gpiod 2", "none")) from None
    if not hasattr(gpiod, "request_lines"):
        raise ConfigError(mismatch("gpio", "the Python package gpiod 2", "gpiod 1"))
    return gpiod


def requested(request: RequestLines | None, where: str, chip: str, lines: dict[Any, Any]) -> LineRequest:
    """The lines, from now on ours alone. Raises `ConfigError`, or `DeviceMissing` that names the key `where`."""
    try:
        return (request or library().request_lines)(chip, config=lines, consumer=CONSUMER)
    except (OSError, ValueError) as error:
        expected = f"a GPIO chip with free lines {', '.join(map(str, lines))}, found: {error}"
        raise DeviceMissing(f"{where}: {chip}: expected {expected}") from error


def _output(active_low: bool) -> Any:
    gpiod = library()
    direction, off = gpiod.line.Direction.OUTPUT, gpiod.line.Value.INACTIVE
    return gpiod.LineSettings(direction=direction, output_value=off, active_low=active_low)


def pulled_up_input(debounce_ms: int) -> Any:
    """Pulled up; a contact to ground makes it active."""
    gpiod = library()
    return gpiod.LineSettings(
        direction=gpiod.line.Direction.INPUT,
        edge_detection=gpiod.line.Edge.BOTH,
        bias=gpiod.line.Bias.PULL_UP,
        active_low=True,
        debounce_period=timedelta(milliseconds=debounce_ms),
        event_clock=gpiod.line.Clock.MONOTONIC,
    )


class Gpio:
    """One output line, with its feedback and heartbeat. Implements `board.Relay`; one thread only."""

    def __init__(
        self, settings: BoardSettings, *, exclusive: bool = True, request: RequestLines | None = None
    ) -> None:
        """Request the lines: the output INACTIVE. Raises `ConfigError` or `DeviceMissing`.

        The kernel gives a line to one process only, so that `exclusive` changes nothing:
        an emergency OFF needs the keeper's end, after which opening alone is OFF.
        """
        self._capabilities = self.promise(settings)
        self._values = library().line.Value
        self._line = number_of(settings, "line", -1, 0, _LAST_LINE)
        self._heartbeat = number(settings, "heartbeat_line", None, 0, _LAST_LINE)
        self._feedback = number(settings, "feedback_line", None, 0, _LAST_LINE)
        self._is_high = False
        self._told = Command.OFF
        self.feedback_edges_ns: deque[int] = deque(maxlen=_EVENTS_KEPT)  # monotonic, stamped by the kernel
        self._name = settings.port
        self._lines = requested(request, "relay.port", settings.port, self._wanted(settings))

    @classmethod
    def promise(cls, settings: BoardSettings) -> Capabilities:
        """What the driver will declare for these settings, without opening anything."""
        known_only(settings, _OPTIONS)
        lines = [number(settings, key, None, 0, _LAST_LINE) for key in ("line", "heartbeat_line", "feedback_line")]
        used = [line for line in lines if line is not None]
        if lines[0] is None or len(set(used)) < len(used):
            found = ", ".join(map(str, used)) or "none"
            raise ConfigError(mismatch("relay.options", "line, and a different number for every line", found))
        pump_ms = number(settings, "pump_ms", None, 20, 1000)
        if (pump_ms is None) != (lines[1] is None):
            raise ConfigError(mismatch("relay.options", "heartbeat_line and pump_ms together", "one of them"))
        return Capabilities(
            readback=lines[2] is not None, ack=False, hw_timeout_ms=pump_ms, min_interval_ms=0, channels=1
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def write(self, command: Command) -> None:
        is_on = command is Command.ON
        self._told = command
        try:
            self._set(self._line, is_on)
            if self._heartbeat is not None:
                self._is_high = is_on and not self._is_high
                self._set(self._heartbeat, self._is_high)
        except (OSError, ValueError) as error:
            raise DeviceError(f"{self._name}: setting the relay line failed: {error}") from error

    def ask(self) -> None:
        """Nothing to ask: the line is looked at when the answer is wanted."""

    def contactor_open(self) -> bool | None:
        """Since the last look: a contact that has been elsewhere and back did not follow."""
        if self._feedback is None:
            return None
        try:
            edges_ns = self._new_edges_ns()
            is_open = bool(self._lines.get_value(self._feedback) == self._values.ACTIVE)
        except (OSError, ValueError) as error:
            raise DeviceError(f"{self._name}: reading the feedback line failed: {error}") from error
        return self._told is Command.ON if len(edges_ns) > 1 else is_open

    def _new_edges_ns(self) -> list[int]:
        edges_ns: list[int] = []
        while self._lines.wait_edge_events(timedelta(0)):
            edges_ns += [event.timestamp_ns for event in self._lines.read_edge_events()]
        self.feedback_edges_ns.extend(edges_ns)
        return edges_ns

    def reset_down(self) -> None:
        """No button."""

    def close(self) -> None:
        released(self._lines)

    def _set(self, line: int, is_active: bool) -> None:
        self._lines.set_value(line, self._values.ACTIVE if is_active else self._values.INACTIVE)

    def _wanted(self, settings: BoardSettings) -> dict[Any, Any]:
        active_low = bool(choice(settings, "active_low", (0, 1), 0))
        debounce_ms = number_of(settings, "debounce_ms", 5, 0, 50)
        lines = {self._line: _output(active_low)}
        if self._heartbeat is not None:
            lines[self._heartbeat] = _output(active_low=False)
        if self._feedback is not None:
            lines[self._feedback] = pulled_up_input(debounce_ms)
        return lines


def released(lines: LineRequest) -> None:
    """Give the lines back. gpiod minds a second release, with an error; a request is true until the first."""
    if lines:
        with suppress(OSError):
            lines.release()
