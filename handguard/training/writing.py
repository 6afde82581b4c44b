"""Writing results: a disk that is full or forbidden is told in one sentence, not in a stack trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from handguard.errors import DiskRefusals


@contextmanager
def writing(path: Path, afterwards: str = "") -> Iterator[None]:
    """Turns what the disk refuses into `DeviceError` naming the file; `afterwards` says what is still whole."""
    with DiskRefusals(path, afterwards=afterwards):
        try:
            yield
        except SafetensorError as error:
            raise OSError(str(error)) from error
