"""Expectations: what a recording must show, in the words of a plan, `audit.yaml`.

    recordings:
      bottle-picking.mp4:
        expects: [trips >= 7, missed == 0]
      cars-no-hands.mp4:
        truth: nobody              # nobody reaches anywhere in it: every trip is a nuisance
        expects: trips == 0
      signs/night.mkv:
        truth: [[12, 57]]          # first and last frame of each approach
        settings: signs.yaml       # judged by these instead

A recording is named by its path in the folder. `truth` is a list of approaches, a
truth file, or by default the JSON beside the video. Every key may be left out, and
so may recordings. Paths are those beside the plan.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handguard.config.problems import Key, Origin, Problem, refuse, shown
from handguard.config.strict_yaml import parse
from handguard.errors import ConfigError, mismatch
from handguard.replay.approaches import Approach

PLAN = "audit.yaml"
NOBODY = "nobody"
MEASURES = {
    "trips": "times the output left ON",
    "warnings": "times a hand entered a warning zone",
    "missed": "approaches that nothing stopped",
    "nuisance": "stops where nobody reaches",
    "frames": "frames of the recording",
    "judged": "frames that got a verdict",
    "hands": "frames with a hand in them",
}
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_FORM = re.compile(r"\s*([a-z]+)\s*(>=|<=|==|>|<)\s*(\d+)\s*")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One comparison: `trips >= 7`."""

    measure: str
    relation: str
    number: int

    def __str__(self) -> str:
        return f"{self.measure} {self.relation} {self.number}"

    def met_by(self, measures: Mapping[str, int | None]) -> bool:
        """False too where the measure is not known: no truth, no missed approaches."""
        value = measures[self.measure]
        return value is not None and _OPERATORS[self.relation](value, self.number)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the plan says about one recording."""

    expects: tuple[Expectation, ...] = ()
    approaches: tuple[Approach, ...] | None = None  # as the plan lists them; empty: nobody reaches
    truth: Path | None = None  # a truth file; where neither is given, the JSON beside the video, if there is one
    settings: Path | None = None  # judged by these; None: as every other


def expectation(text: str) -> Expectation:
    """Parse one. Raises `ValueError` with what was expected."""
    match = _FORM.fullmatch(text)
    if match is None or match[1] not in MEASURES:
        raise ValueError(f"one of {', '.join(MEASURES)}, then >=, <=, ==, > or <, then a whole number")
    return Expectation(match[1], match[2], int(match[3]))


def read_plan(path: Path) -> dict[str, Wanted]:
    """What a plan says, by the path of each recording. Raises `ConfigError` naming every mistake with its line."""
    try:
        tree = parse(path.read_bytes())
    except OSError as error:
        raise ConfigError(mismatch(str(path), "a plan that can be read", error.strerror)) from error
    reader = _Reader(path, Origin(str(path), tree.lines), list(tree.problems))
    wanted = reader.read(tree.value)
    if reader.problems:
        refuse(str(path), reader.problems)
    return wanted


class _Reader:
    """Turns the tree into values and keeps every mistake."""

    def __init__(self, plan: Path, origin: Origin, problems: list[Problem]) -> None:
        self._beside, self._origin, self.problems = plan.parent, origin, problems

    def read(self, tree: object) -> dict[str, Wanted]:
        top = self._block((), tree, {"recordings"})
        recordings = top.get("recordings")
        if not isinstance(recordings, dict):
            self._wrong(("recordings",), "a block of recordings, by their paths", recordings)
            return {}
        return {str(name): self._wanted(("recordings", str(name)), each) for name, each in recordings.items()}

    def _wanted(self, key: Key, tree: object) -> Wanted:
        block = self._block(key, tree, {"expects", "truth", "settings"})
        texts = block.get("expects", [])
        found = [self._one((*key, "expects"), text) for text in (texts if isinstance(texts, list) else [texts])]
        approaches, truth = self._truth((*key, "truth"), block.get("truth"))
        settings = self._path((*key, "settings"), block.get("settings"), "a path")
        return Wanted(tuple(each for each in found if each), approaches, truth, settings)

    def _truth(self, key: Key, value: Any) -> tuple[tuple[Approach, ...] | None, Path | None]:
        if value == NOBODY:
            return (), None
        if isinstance(value, list):
            return tuple(each for pair in value if (each := self._approach(key, pair))), None
        return None, self._path(key, value, f"a path, {NOBODY}, or pairs of frames")

    def _approach(self, key: Key, pair: Any) -> Approach | None:
        try:
            first, last = (frame if type(frame) is int else -1 for frame in pair)
            return Approach(first, last)
        except (TypeError, ValueError):
            self._wrong(key, "first and last frame of each approach, such as [[12, 57]]", pair)
            return None

    def _path(self, key: Key, value: Any, expected: str) -> Path | None:
        if value is not None and not isinstance(value, str):
            self._wrong(key, expected, value)
            return None
        return None if value is None else self._beside / value

    def _one(self, key: Key, text: Any) -> Expectation | None:
        try:
            return expectation(text if isinstance(text, str) else "")
        except ValueError as error:
            self._wrong(key, str(error), text)
            return None

    def _block(self, key: Key, tree: object, known: set[str]) -> dict[str, Any]:
        if not isinstance(tree, dict):
            self._wrong(key, f"a block with {', '.join(sorted(known))}", tree)
            return {}
        for name in set(tree) - known:
            self._wrong((*key, name), f"one of {', '.join(sorted(known))}", f"the unknown key {name}")
        return tree

    def _wrong(self, key: Key, expected: str, found: object) -> None:
        words = found if isinstance(found, str) and found.startswith("the unknown") else shown(found)
        self.problems.append(Problem(key, expected, words, self._origin.line_of(key)))
