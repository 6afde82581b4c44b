"""How a benchmark takes its orders, says how far it is, and keeps what it found: whole or not at all."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from handguard.atomic import write_json


def orders(told: str | None, **folders: str) -> argparse.Namespace:
    """The command line of a benchmark that wants nothing but these folders, each with what it is for."""
    parser = argparse.ArgumentParser(description=told, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, what in folders.items():
        parser.add_argument(name, type=folder, metavar=name.upper(), help=what)
    return parser.parse_args()


def folder(text: str) -> Path:
    """For argparse: a folder that is there."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, found {text!r}")
    return Path(text)


def say(line: str) -> None:
    """At once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def keep(path: Path, found: dict[str, Any]) -> None:
    """Results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
