"""A training recipe as a file: `handguard train --recipe FILE`, YAML or JSON.

    learning_rate: 1.5e-3
    warmup_steps: 100
    sides_px: [[0.45, [192, 224]], [1.0, [288, 320]]]   # until this share of the run, sides to draw from
    source_weights: {factory_gloves: 2.0}
    augmentation: {zoom: [0.5, 2.0], mosaic: 0}

Every key may be left out; what stands there has the names it has in a model's card.
What the command line has options for (architecture, steps, seed, weights to start
from) stands there and not here. Anything unknown is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from handguard.config.strict_yaml import parse
from handguard.detection.architectures import member_of
from handguard.errors import ConfigError, mismatch
from handguard.training.augment import Augmentation
from handguard.training.loop import Recipe

Sides = tuple[tuple[float, tuple[int, ...]], ...]

# key of a recipe: smallest and largest value
NUMBERS = {
    "learning_rate": (1e-8, 1.0),
    "weight_decay": (0.0, 1.0),
    "ema_decay": (0.0, 0.999999),
    "max_gradient_norm": (1e-3, 1e6),
    "cooldown_to": (0.0, 1.0),
    "checkpoint_every_s": (1.0, 86_400.0),
    "evaluate_every_s": (1.0, 86_400.0),
}
PRECISIONS = ("bf16", "float32")
LONGEST_WARMUP = 1_000_000
HEAVIEST = 1000.0  # of a source, against 1


@dataclass(frozen=True, slots=True)
class Ordered:
    """What a recipe file asks for, beside the command line."""

    changes: dict[str, Any] = field(default_factory=dict)  # fields of `Recipe`
    augmentation: Augmentation = field(default_factory=Augmentation)
    sides_px: Sides | None = None  # None: the architecture's own
    source_weights: dict[str, float] = field(default_factory=dict)  # over those of the data

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe with what was asked."""
        return replace(recipe, **self.changes)


def read_recipe_file(path: Path, architecture: str) -> Ordered:
    """Raises `ConfigError`, naming the key; also for input sides that the architecture does not take."""
    table = _table(str(path), _read(path))
    readers: dict[str, Callable[[str, Any], Any]] = {
        **{name: _between(*bounds) for name, bounds in NUMBERS.items()},
        "warmup_steps": _warmup,
        "precision": _precision,
        "focal_loss": lambda where, value: _like(False, where, value),
        "frozen": _names,
        "augmentation": _augmentation,
        "source_weights": _weights,
        "sides_px": lambda where, value: _sides(where, value, architecture),
    }
    _refuse_strangers(str(path), table, list(readers))
    read = {key: readers[key](f"{path}: {key}", value) for key, value in table.items()}
    own = {key: read.pop(key) for key in ("augmentation", "sides_px", "source_weights") if key in read}
    return Ordered(changes=read, **own)


def _read(path: Path) -> object:
    """YAML, and so JSON too."""
    try:
        tree = parse(path.read_bytes())
    except OSError as error:
        raise ConfigError(mismatch(str(path), "a training recipe", error.strerror)) from error
    if tree.problems:
        raise ConfigError(tree.problems[0].worded(str(path)))
    return tree.value


def _table(where: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(mismatch(where, "a table of names and values", repr(value)))
    return value


def _refuse_strangers(where: str, table: dict[str, Any], known: list[str]) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(mismatch(where, f"only {', '.join(sorted(known))}", repr(key)))


def _number(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(mismatch(where, "a number", repr(value)))
    return float(value)


def _between(low: float, high: float) -> Callable[[str, Any], float]:
    def read(where: str, value: Any) -> float:
        number = _number(where, value)
        if not low <= number <= high:
            raise ConfigError(mismatch(where, f"a number from {low:g} to {high:g}", value))
        return number

    return read


def _warmup(where: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= LONGEST_WARMUP:
        raise ConfigError(mismatch(where, f"a whole number from 0 to {LONGEST_WARMUP}", repr(value)))
    return value


def _precision(where: str, value: Any) -> str:
    if value not in PRECISIONS:
        raise ConfigError(mismatch(where, " or ".join(PRECISIONS), repr(value)))
    return str(value)


def _names(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ConfigError(mismatch(where, "a list of parts of the network", repr(value)))
    return tuple(value)


def _weights(where: str, value: Any) -> dict[str, float]:
    weigh = _between(0.0, HEAVIEST)
    return {name: weigh(f"{where}.{name}", weight) for name, weight in _table(where, value).items()}


def _augmentation(where: str, value: Any) -> Augmentation:
    table = _table(where, value)
    standard = asdict(Augmentation())
    _refuse_strangers(where, table, [one.name for one in fields(Augmentation)])
    read = {key: _like(standard[key], f"{where}.{key}", given) for key, given in table.items()}
    try:
        return Augmentation(**read)
    except ValueError as error:
        raise ConfigError(f"{where}.{error}") from error


def _like(standard: Any, where: str, value: Any) -> Any:
    """A value of the kind that the standard one has: yes or no, a pair of numbers, or a number."""
    if isinstance(standard, bool):
        if not isinstance(value, bool):
            raise ConfigError(mismatch(where, "true or false", repr(value)))
        return value
    if isinstance(standard, tuple):
        if not isinstance(value, list) or len(value) != len(standard):
            raise ConfigError(mismatch(where, f"{len(standard)} numbers", repr(value)))
        return tuple(_number(where, one) for one in value)
    return _number(where, value)


def _sides(where: str, value: Any, architecture: str) -> Sides:
    expected = "rows [until this share of the run, [sides in px]], the last share 1"
    try:
        rows = tuple((_number(where, until), tuple(sides)) for until, sides in value)
    except (TypeError, ValueError) as error:
        raise ConfigError(mismatch(where, expected, repr(value))) from error
    shares = [until for until, _ in rows]
    if not rows or shares != sorted(set(shares)) or shares[0] <= 0 or shares[-1] != 1:
        raise ConfigError(mismatch(where, expected, repr(value)))
    for side in (side for _, sides in rows for side in sides or (None,)):
        _require_side(where, side, architecture)
    return rows


def _require_side(where: str, side: Any, architecture: str) -> None:
    member = member_of(architecture)
    multiple, only = member.any_multiple_of_px, max(member.input_px)
    takes = f"sides of {only}" if multiple is None else f"sides in multiples of {multiple} from 64 on"
    fits = type(side) is int and (side == only if multiple is None else side >= 64 and side % multiple == 0)
    if not fits:
        raise ConfigError(mismatch(where, f"{takes}, as {architecture} takes them", repr(side)))
