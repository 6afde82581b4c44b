"""YAML without its surprises, and with line numbers.

A small part of YAML 1.2 is enough for settings, and the rest is where accidents
happen. Here `no` and `on` are words and not booleans, `010` is not eight, `1:30` is
not ninety, a date is text. Refused with its line: a key that stands twice, a key
that is not text, anchors, aliases and tags, a second document, a number that is not
finite, a file larger than 256 KiB, bytes that are not UTF-8.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from handguard.config.problems import Key, Problem, shown

MAX_BYTES = 256 * 1024
_PREFIX = "tag:yaml.org,2002:"
# tag -> what a plain word must look like, and the characters it may begin with
SCALARS = {
    "null": (re.compile(r"(?:null|~|)$"), ["n", "~", ""]),
    "bool": (re.compile(r"(?:true|false)$"), ["t", "f"]),
    "int": (re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")),
    "float": (
        re.compile(
            r"(?:[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+.0123456789"),
    ),
}


class StrictLoader(yaml.SafeLoader):
    """Composes nodes by the table above; refuses anchors, aliases and tags."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if any(getattr(event, name, None) for name in ("anchor", "tag")):  # an alias has an anchor too
            raise yaml.MarkedYAMLError(None, None, "an anchor, alias or tag", event.start_mark)
        return super().compose_node(parent, index)


StrictLoader.yaml_implicit_resolvers = {}  # none of the loader's own
for _name, (_pattern, _first) in SCALARS.items():
    StrictLoader.add_implicit_resolver(_PREFIX + _name, _pattern, _first)


@dataclass(frozen=True, slots=True)
class Tree:
    """Plain dicts, lists and scalars; the line of every key and item; what was wrong on the way."""

    value: object
    lines: Mapping[Key, int]
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Builder:
    """Turns nodes into plain values and notes lines and problems as it goes."""

    number_keys: bool
    lines: dict[Key, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def value(self, node: yaml.Node, key: Key) -> object:
        self.lines.setdefault(key, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*key, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, key)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, object]:
        found: dict[str, object] = {}
        for name_node, value_node in node.value:
            name, line = name_node.value, name_node.start_mark.line + 1
            if name_node.tag not in self._key_tags():
                expected = "a key that is text" + " or a whole number" * self.number_keys
                self._refuse(key, expected, shown(str(name)), line)
            elif name in found:
                again = f"it again; it first stands in line {self.lines[(*key, name)]}"
                self._refuse((*key, name), "each key once", again, line)
            else:
                self.lines[(*key, name)] = line
                found[name] = self.value(value_node, (*key, name))
        return found

    def _key_tags(self) -> set[str]:
        return {f"{_PREFIX}str"} | ({f"{_PREFIX}int"} if self.number_keys else set())

    def _scalar(self, node: yaml.Node, key: Key) -> object:
        text, kind = str(node.value), node.tag.removeprefix(_PREFIX)
        if kind == "null":
            return None
        if kind == "bool":
            return text == "true"
        return self._number(text, kind, key) if kind in ("int", "float") else text

    def _number(self, text: str, kind: str, key: Key) -> object:
        number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if math.isfinite(number):
            return int(text) if kind == "int" else number
        self._refuse(key, "a finite number", text if len(text) < 40 else f"{text[:39]}…", self.lines[key])
        return 0.0

    def _refuse(self, key: Key, expected: str, found: str, line: int) -> None:
        self.problems.append(Problem(key, expected, found, line))


def parse(data: bytes, *, number_keys: bool = False) -> Tree:
    """Read one document. Never raises: what is wrong stands in `problems`, all of it.

    Where the file cannot be read as YAML at all, `value` is None. With `number_keys`
    whole numbers may be keys too, and are given as text; other programs write such files.
    """
    if len(data) > MAX_BYTES:
        return _nothing(Problem((), f"at most {MAX_BYTES // 1024} KiB of settings", "a larger file"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return _nothing(Problem((), "UTF-8 text", f"the byte 0x{data[error.start]:02x}", line))
    try:
        return _built(yaml.compose(text, Loader=StrictLoader), number_keys)
    except yaml.YAMLError as error:
        return _nothing(_syntax(error))
    except (ValueError, OverflowError) as error:  # of an escape that names no character
        return _nothing(Problem((), "YAML in its plain form", str(error)))
    except RecursionError:
        return _nothing(Problem((), "settings", "brackets nested too deeply to read"))


def _built(node: yaml.Node | None, number_keys: bool) -> Tree:
    if node is None:
        return _nothing(Problem((), "settings", "an empty file"))
    builder = _Builder(number_keys)
    value = builder.value(node, ())
    return Tree(value, builder.lines, tuple(builder.problems))


def _syntax(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).split())
    return Problem((), "YAML in its plain form", what, None if mark is None else mark.line + 1)


def _nothing(problem: Problem) -> Tree:
    return Tree(None, {}, (problem,))
