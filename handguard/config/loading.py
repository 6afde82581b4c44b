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


def _worded(error: ValidationError, tree: object, origin: Origin) -> Iterator[Problem]:
    for mistake in error.errors(include_url=False):
        context: dict[str, Any] = mistake.get("ctx", {})
        key = tuple(part for part in mistake["loc"] if part not in (DRAWN, TWO_LINES))
        key = (*key, context["key"]) if "key" in context else key
        if mistake["type"] == "extra_forbidden":
            yield _unknown_key(key, origin)
        else:
            expected = EXPECTED.get(mistake["type"], mistake["msg"]).format(**context)
            found = context.get("found") or shown(_at(tree, key))
            yield Problem(key, expected, found, origin.line_of(key))


def _unknown_key(key: Key, origin: Origin) -> Problem:
    name = str(key[-1])
    known = list(_fields_at(key[:-1]))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else ""
    return Problem(key, f"one of {', '.join(known)}", f"the unknown key {name}", origin.line_of(key), hint)


def _at(tree: object, key: Key) -> object:
    """The value under a key; None where there is none."""
    for part in key:
        if isinstance(tree, dict):
            tree = tree.get(part)
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        else:
            return None
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
