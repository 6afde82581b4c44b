"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` in `path`, whole or not at all. Raises `OSError`; then the old file is untouched."""
    with appearing_whole(path) as fresh:
        fresh.write_bytes(data)


def write_json(path: Path, value: object) -> None:
    """Put `value` in `path` as JSON that a person can read, whole or not at all. Raises `OSError`."""
    write_atomically(path, (json.dumps(value, indent=1) + "\n").encode())


@contextmanager
def appearing_whole(path: Path) -> Iterator[Path]:
    """A hidden path beside `path` to write to; when the block ends well, it takes the place of `path`.

    A reader sees the old file or the new one, never half of either, also after
    a power cut. When the block raises, the new file vanishes and the old one stays.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield fresh
        _sync(fresh)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in it durable: a new file may be gone after a power cut otherwise. Raises `OSError`."""
    _sync(folder, os.O_DIRECTORY)


def _sync(path: Path, flags: int = 0) -> None:
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
