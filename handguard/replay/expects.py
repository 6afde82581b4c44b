"""Expectations: what a recording must show, in the words of `audit.yaml`.

    recordings:
      bottle-picking.mp4:
        expects: [trips >= 7, missed == 0]
      cars-no-hands.mp4:
        truth: nobody              # nobody reaches anywhere in it: every trip is a nuisance
        expects: trips == 0

A recording is named by its path in the folder. `truth` is a truth file, by default
the JSON beside the video. Both keys may be left out, and so may recordings.
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
    truth: str | None = None  # a path, or NOBODY; None: the JSON beside the video, if there is one


def expectation(text: str) -> Expectation:
    """Parse one. Raises `ValueError` with what was expected."""
    match = _FORM.fullmatch(text)
    if match is None or match[1] not in MEASURES:
        raise ValueError(f"one of {', '.join(MEASURES)}, then >=, <=, ==, > or <, then a whole number")
    return Expectation(match[1], match[2], int(match[3]))


def read_plan(folder: Path) -> dict[str, Wanted]:
    """What `audit.yaml` in the folder says, by the path of each recording; empty without one.

    Raises `ConfigError` naming every mistake with its line.
    """
    path = folder / PLAN
    if not path.exists():
        return {}
    try:
        tree = parse(path.read_bytes())
    except OSError as error:
        raise ConfigError(mismatch(str(path), "a plan that can be read", error.strerror)) from error
    reader = _Reader(Origin(str(path), tree.lines), list(tree.problems))
    wanted = reader.read(tree.value)
    if reader.problems:
        refuse(str(path), reader.problems)
    return wanted


class _Reader:
    """Turns the tree into values and keeps every mistake."""

    def __init__(self, origin: Origin, problems: list[Problem]) -> None:
        self._origin, self.problems = origin, problems

    def read(self, tree: object) -> dict[str, Wanted]:
        top = self._block((), tree, {"recordings"})
        recordings = top.get("recordings")
        if not isinstance(recordings, dict):
            self._wrong(("recordings",), "a block of recordings, by their paths", recordings)
            return {}
        return {str(name): self._wanted(("recordings", str(name)), each) for name, each in recordings.items()}

    def _wanted(self, key: Key, tree: object) -> Wanted:
        block = self._block(key, tree, {"expects", "truth"})
        truth = block.get("truth")
        if truth is not None and not isinstance(truth, str):
            self._wrong((*key, "truth"), f"a path, or {NOBODY}", truth)
        texts = block.get("expects", [])
        found = [self._one((*key, "expects"), text) for text in (texts if isinstance(texts, list) else [texts])]
        return Wanted(tuple(each for each in found if each), truth if isinstance(truth, str) else None)

    def _one(self, key: Key, text: Any) -> Expectation | None:
        try:
            return expectation(text if isinstance(text, str) else "")
        except ValueError as error:
            self._wrong(key, str(error), text)
            return None

    def _block(self, key: Key, tree: object, known: set[str]) -> dict[str, Any]:
        if not isinstance(tree, dict):
            self._wrong(key, f"a block with {' and '.join(sorted(known))}", tree)
            return {}
        for name in set(tree) - known:
            self._wrong((*key, name), f"{' or '.join(sorted(known))}", f"the unknown key {name}")
        return tree

    def _wrong(self, key: Key, expected: str, found: object) -> None:
        words = found if isinstance(found, str) and found.startswith("the unknown") else shown(found)
        self.problems.append(Problem(key, expected, words, self._origin.line_of(key)))
