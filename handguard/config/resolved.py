"""What a file of settings amounts to: every value with its default, and a hash.

The text of `dump` is itself a file that `load` accepts, with the same hash. The hash
is taken over the values in a fixed order and spelling, so comments, order of keys
and `1` for `1.0` do not change it, and any setting does.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from handguard.config.loading import load
from handguard.config.rules import cautions
from handguard.config.schema import Settings
from handguard.config.strict_yaml import StrictLoader


def fingerprint(settings: Settings) -> str:
    """SHA-256 of the resolved settings, 64 hexadecimal digits."""
    return fingerprint_of(settings.model_dump(mode="json"))


def fingerprint_of(values: dict[str, Any]) -> str:
    """The same of resolved values as plain JSON, also of those that an older version wrote."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def dump(settings: Settings) -> str:
    """Every setting as YAML, in the order of the schema."""
    values = settings.model_dump(mode="json")
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def show(path: str | Path) -> str:
    """The resolved file as text, headed by its hash and what a person must know. Raises `ConfigError`."""
    settings = load(path)
    head = [f"{path}, with every default", f"sha256 {fingerprint(settings)}"]
    head += [f"CAUTION: {caution}" for caution in cautions(settings)]
    return "".join(f"# {line}\n" for line in head) + dump(settings)


class _Dumper(yaml.SafeDumper):
    """Quotes what `StrictLoader` or a common YAML reader would not take for text; corners on one line."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    word = "tag:yaml.org,2002:str"
    strict = StrictLoader("").resolve(yaml.ScalarNode, text, (True, False))
    return dumper.represent_scalar(word, text, style=None if strict == word else "'")


def _sequence(dumper: yaml.SafeDumper, items: list[object]) -> yaml.Node:
    flat = not any(isinstance(item, dict) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flat)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _sequence)
