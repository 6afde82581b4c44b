"""What is wrong with a file, said the same way every time.

A `Problem` is one mistake at one key. `refuse` turns all of a file's problems into
one `ConfigError`, a line each, in the order of the file:

    configs/site.yaml:12: camera.fps: expected a number, found "30"
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from handguard.errors import ConfigError, mismatch

Key = tuple[str | int, ...]  # the way to a value: ("zones", 0, "polygon")

MOST_SHOWN = 20
LONGEST_FOUND = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `key` is empty when the file as a whole is wrong; `line` counts from 1."""

    key: Key
    expected: str
    found: str
    line: int | None = None
    hint: str = ""

    def worded(self, file: str) -> str:
        """The one line a person reads."""
        where = file if self.line is None else f"{file}:{self.line}"
        message = mismatch(f"{where}: {dotted(self.key)}" if self.key else where, self.expected, self.found)
        return f"{message}; {self.hint}" if self.hint else message


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a settings value came from, so that a late problem still names file and line.

    Two origins always compare equal: the same settings from two files are the same settings.
    """

    file: str
    lines: Mapping[Key, int]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return 0

    def line_of(self, key: Key) -> int | None:
        """Line of the key, or of the nearest block above it; None if the file has no lines."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key)


def dotted(key: Key) -> str:
    """`zones[0].polygon`, as a person writes it."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


def shown(value: object) -> str:
    """A found value on one short line."""
    if isinstance(value, dict):
        return "a block of keys" if value else "an empty block"
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) <= LONGEST_FOUND:
        return text
    return f"a list of {len(value)}" if isinstance(value, list) else text[: LONGEST_FOUND - 1] + "…"


def refuse(file: str, problems: Iterable[Problem]) -> NoReturn:
    """Raise one `ConfigError` with a line for each problem, in the order of the file."""
    ordered = sorted(set(problems), key=lambda p: (p.line or 0, dotted(p.key)))
    lines = [problem.worded(file) for problem in ordered[:MOST_SHOWN]]
    if len(ordered) > MOST_SHOWN:
        lines.append(f"{file}: and {len(ordered) - MOST_SHOWN} more")
    raise ConfigError("\n".join(lines))
