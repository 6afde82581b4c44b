"""A GPIO chip that exists only here: the four methods of a line request that `relay.gpio` uses, and no other.

It is handed the real `gpiod.LineSettings`, so that what the driver asks of the kernel
is seen as the kernel would see it. An output that is toggled can drive a simulated
pump; a contactor follows the output after `follows` is called, as time is the
caller's. Lines taken by one request are refused to the next, as the kernel does.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Edge:
    """As much of `gpiod.EdgeEvent` as is read."""

    line_offset: int
    timestamp_ns: int


class FakeChip:
    """One chip. `request_lines` takes the place of `gpiod.request_lines`."""

    def __init__(self, path: str = "/dev/gpiochip0", lines: int = 32) -> None:
        self.path, self._count = path, lines
        self.levels: dict[int, bool] = {}  # electrical: True is high
        self.settings: dict[int, Any] = {}  # of lines that are requested now
        self.writes: list[tuple[int, bool]] = []  # (line, active), the requests' own first values not among them
        self.consumers: set[str] = set()
        self.is_gone = False
        self._edges: list[Edge] = []

    def request_lines(self, path: str, config: dict[Any, Any], consumer: str) -> FakeRequest:
        """Raises `OSError` for another chip, a line beyond the last, and a line in use."""
        if path != self.path or self.is_gone:
            raise OSError(errno.ENOENT, "No such file or directory", path)
        if any(line >= self._count for line in config):
            raise ValueError("offset out of range")
        if set(config) & set(self.settings):
            raise OSError(errno.EBUSY, "Device or resource busy")
        self.settings |= config
        self.consumers.add(consumer)
        for line, wanted in config.items():
            self._begin(line, wanted)
        return FakeRequest(self, config)

    def drive(self, line: int, high: bool, at_ns: int) -> None:
        """Something outside pulls an input high or low."""
        if self.levels.get(line) != high and line in self.settings:
            self._edges.append(Edge(line, at_ns))
        self.levels[line] = high

    def is_active(self, line: int) -> bool:
        """The logical level, as the settings of the line define it."""
        return self.levels[line] != bool(self.settings[line].active_low)

    def _begin(self, line: int, wanted: Any) -> None:
        if wanted.direction.name == "OUTPUT":
            self.levels[line] = (wanted.output_value.name == "ACTIVE") != bool(wanted.active_low)
        else:
            self.levels.setdefault(line, wanted.bias.name == "PULL_UP")

    def check(self) -> None:
        """Raise `OSError` once the chip is gone."""
        if self.is_gone:
            raise OSError(errno.ENODEV, "No such device")

    def take_edges(self, lines: Iterable[int]) -> list[Edge]:
        """The edges of these lines, which are then forgotten."""
        wanted = set(lines)
        found = [edge for edge in self._edges if edge.line_offset in wanted]
        self._edges = [edge for edge in self._edges if edge.line_offset not in wanted]
        return found


class FakeRequest:
    """What `gpiod.LineRequest` is to the driver."""

    def __init__(self, chip: FakeChip, config: dict[Any, Any]) -> None:
        self._chip, self._config = chip, config
        self._is_released = False
        self._edges: list[Edge] = []

    def __bool__(self) -> bool:
        return not self._is_released

    def get_value(self, line: int) -> Any:
        import gpiod

        self._chip.check()
        is_active = self._chip.is_active(line)
        return gpiod.line.Value.ACTIVE if is_active else gpiod.line.Value.INACTIVE

    def set_value(self, line: int, value: Any) -> None:
        self._chip.check()
        is_active = value.name == "ACTIVE"
        self._chip.writes.append((line, is_active))
        self._chip.levels[line] = is_active != bool(self._config[line].active_low)

    def wait_edge_events(self, timeout: timedelta) -> bool:
        self._chip.check()
        self._edges += self._chip.take_edges(self._config)
        return bool(self._edges)

    def read_edge_events(self) -> list[Edge]:
        found, self._edges = self._edges, []
        return found

    def release(self) -> None:
        """A second time is an error, as with the real one. Levels stay as they were."""
        if self._is_released:
            raise RuntimeError("request released already")
        self._is_released = True
        for line in self._config:
            del self._chip.settings[line]
