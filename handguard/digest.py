"""The SHA-256 of files, block by block, so that a long film needs no memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK_BYTES = 1 << 20


def sha256_of(*files: Path) -> str:
    """Of all their bytes, one file after another, in hex. Raises `OSError`."""
    total = hashlib.sha256()
    for file in files:
        add_file(total, file)
    return total.hexdigest()


def add_file(total: hashlib._Hash, path: Path) -> None:
    """Take a file's bytes into a hash that was begun. Raises `OSError`."""
    with path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            total.update(block)
