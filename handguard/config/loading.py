"""From a path to `Settings`, or to one `ConfigError` with everything that is wrong.

The tree is handed to pydantic as JSON, because there strict means what a YAML file
can express: a list may become a tuple and a word an enum, and nothing else bends.
What pydantic finds is put into our own words, with the line of the key.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from handguard.config.problems import Key, Origin, Problem, refuse, shown
from handguard.config.rules import refused_by_profile
from handguard.config.schema import DRAWN, TWO_LINES, Settings
from handguard.config.strict_yaml import MAX_BYTES, Tree, parse

# pydantic's name of a mistake -> what we say was expected; braces are its own figures
EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a block of keys",
    "enum": "{expected}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "handguard": "{expected}",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "int_type": "a whole number",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "missing": "a value",
    "model_attributes_type": "a block of keys",
    "model_type": "a block of keys",
    "string_pattern_mismatch": "letters, digits, spaces, _ . or -",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "some text",
    "string_type": "text",
    "too_long": "at most {max_length} items",
    "tuple_type": "a list",
    "union_tag_not_found": "a list of zones, or a block with orientation and two percentages",
}


def load(path: str | Path) -> Settings:
    """Read and check one file. Raises `ConfigError` naming every mistake with its line."""
    return checked(parse(_bytes_of(Path(path))), str(path))


def with_source(settings: Settings, source: str) -> Settings:
    """The same settings with another camera, as `--source` asks. Raises `ConfigError`."""
    values = settings.model_dump(mode="json")
    values["camera"]["source"] = source
    try:
        changed = Settings.model_validate_json(json.dumps(values))
    except ValidationError:
        refuse("--source", [Problem((), "simulated, a camera number, a path or a URL", shown(source))])
    if refused := [problem for problem in refused_by_profile(changed) if problem.key == ("camera", "source")]:
        refuse("--source", [replace(problem, key=()) for problem in refused])
    changed._origin = settings.origin
    return changed


def checked(tree: Tree, file: str) -> Settings:
    """Settings from a parsed tree. Raises `ConfigError` with the tree's problems and our own."""
    if tree.value is None:
        refuse(file, tree.problems or [Problem((), "a block of keys", "nothing")])
    origin = Origin(file, tree.lines)
    try:
        settings = Settings.model_validate_json(json.dumps(tree.value))
    except ValidationError as error:
        unread = {(problem.key, problem.line) for problem in tree.problems}
        found = _worded(error, tree.value, origin)
        refuse(file, [*tree.problems, *(p for p in found if (p.key, p.line) not in unread)])
    refused = [replace(problem, line=origin.line_of(problem.key)) for problem in refused_by_profile(settings)]
    if tree.problems or refused:
        refuse(file, [*tree.problems, *refused])
    settings._origin = origin
    return settings


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        refuse(str(path), [Problem((), "a file of settings", "no such file")])
    except IsADirectoryError:
        refuse(str(path), [Problem((), "a file of settings", "a directory")])
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        refuse(str(path), [Problem((), "a readable file of settings", str(reason).lower())])


def _worded(error: ValidationError, tree: object, origin: Origin) -> list[Problem]:
    """One problem for each key: what a value of several kinds may be is told in one sentence."""
    found: dict[Key, Problem] = {}
    for problem in _each(error, tree, origin):
        known = found.get(problem.key)
        expected = problem.expected if known is None else f"{known.expected} or {problem.expected}"
        found[problem.key] = replace(problem, expected=expected)
    return list(found.values())


def _each(error: ValidationError, tree: object, origin: Origin) -> Iterator[Problem]:
    for mistake in error.errors(include_url=False):
        context: dict[str, Any] = mistake.get("ctx", {})
        place = tuple(part for part in mistake["loc"] if part not in (DRAWN, TWO_LINES))
        key = place if mistake["type"] == "missing" else _written(place, tree)
        key = (*key, context["key"]) if "key" in context else key
        if mistake["type"] == "extra_forbidden":
            yield _unknown_key(key, origin)
        else:
            expected = EXPECTED.get(mistake["type"], mistake["msg"]).format(**context)
            is_name = mistake["loc"][-1:] == ("[key]",)
            found = context.get("found") or shown(key[-1] if is_name else _at(tree, key))
            yield Problem(key, expected, found, origin.line_of(key))


def _written(place: Key, tree: object) -> Key:
    """The parts of a place that stand in the file; the others name the kinds of value that were tried."""
    key: Key = ()
    for part in place:
        if _has(_at(tree, key), part):
            key = (*key, part)
    return key


def _has(block: object, part: str | int) -> bool:
    if isinstance(block, dict):
        return part in block
    return isinstance(block, list) and isinstance(part, int) and part < len(block)


def _unknown_key(key: Key, origin: Origin) -> Problem:
    name = str(key[-1])
    known = list(_fields_at(key[:-1]))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else ""
    return Problem(key, f"one of {', '.join(known)}", f"the unknown key {name}", origin.line_of(key), hint)


def _at(tree: object, key: Key) -> object:
    """The value under a key; None where there is none."""
    for part in key:
        if not _has(tree, part):
            return None
        tree = tree[part]  # type: ignore[index]
    return tree


def _fields_at(key: Key) -> Mapping[str, Any]:
    """Fields of the block a key leads to. An index chooses the list form of `zones`."""
    blocks: list[type[BaseModel]] = [Settings]
    for part in key:
        if isinstance(part, str):
            blocks = [b for block in blocks for b in _blocks_in(block.model_fields[part].annotation)]
        else:
            blocks = [block for block in blocks if "polygon" in block.model_fields]
    return blocks[-1].model_fields


def _blocks_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for part in get_args(annotation) for block in _blocks_in(part)]
