"""Where compiled forms of networks are kept between starts, and how they get there whole.

A convenience, and never a reason not to start: what is damaged is made anew, what cannot
be kept is made anew at every start, and the log says so. Of each folder at most `LIMIT_BYTES`
are kept; what was used longest ago goes first.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from handguard.atomic import appearing_whole
from handguard.errors import mismatch

NO_HOME = Path("/nonexistent")  # as Debian calls the home of users without one: nothing is kept there
UNREADABLE = (OSError, EOFError, ValueError, TokenError)  # what `read_priors` raises; numpy's headers are parsed text
LIMIT_BYTES = 1 << 30  # some hundred forms of the default network

_log = logging.getLogger(__name__)


def user_caches() -> Path:
    """Where this user's caches lie. A relative XDG_CACHE_HOME counts as none, as its specification has it."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return Path(named)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # no HOME, and a user whom the system does not know
        return NO_HOME


ROOT = user_caches() / "handguard"


def kept_priors(path: Path, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """The priors `(P, 4)` kept at `path` (`.npy`), made and written now if need be."""
    if os.path.exists(path):  # `Path.exists` raises where a folder on the way is closed
        try:
            return read_priors(path)
        except UNREADABLE as error:
            tell_damaged(path, error)
    priors = make()
    with keeping(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_priors(path, priors)
    return priors


def read_priors(path: Path) -> NDArray[np.float32]:
    """The priors `(P, 4)` of a file. Raises one of `UNREADABLE` for anything else, or more, than one such array."""
    with path.open("rb") as file:
        priors = np.lib.format.read_array(file, allow_pickle=False)
        rest = file.read(1)
    if rest or priors.dtype != np.float32 or priors.shape[1:] != (4,):
        found = f"{priors.dtype} {priors.shape}{' and more' if rest else ''}"
        raise ValueError(mismatch(str(path), "priors, float32 (P, 4)", found))
    return np.asarray(priors, np.float32)


def write_priors(path: Path, priors: NDArray[np.float32]) -> None:
    """Into `path`, whole or not at all. Raises `OSError`."""
    with appearing_whole(path) as fresh, fresh.open("wb") as file:
        np.save(file, priors)


@contextmanager
def keeping(path: Path) -> Iterator[None]:
    """For a block that writes `path`: where the disk refuses, the log says so and all goes on without it."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # the latter is OpenVINO's word for the same
        _log.warning("%s: not kept, so every start makes it anew: %s", path, last_line(error))


def used(path: Path) -> None:
    """Remember that what is kept at `path` is still of use."""
    with suppress(OSError):
        os.utime(path)


def make_room(folder: Path, suffixes: tuple[str, ...]) -> None:
    """Forget what was used longest ago, as far as what is kept in `folder` takes more than `LIMIT_BYTES`.

    One thing kept is a file of each of the `suffixes`; only with the first one is it there at all, and so that one
    goes first. The newest stays, however large. What another process takes away meanwhile is gone as well.
    """
    total = 0
    newest_first = sorted(folder.glob(f"*{suffixes[0]}"), key=lambda path: _used_and_size(path)[0], reverse=True)
    for number, kept in enumerate(newest_first):
        parts = [kept.with_suffix(suffix) for suffix in suffixes]
        total += sum(_used_and_size(part)[1] for part in parts)
        if number and total > LIMIT_BYTES:
            for part in parts:
                part.unlink(missing_ok=True)


def _used_and_size(path: Path) -> tuple[int, int]:
    """When it was last used, in ns, and its bytes; 0 and 0 for what is gone."""
    try:
        told = path.stat()
    except FileNotFoundError:
        return 0, 0
    return told.st_mtime_ns, told.st_size


def tell_damaged(path: Path, error: Exception) -> None:
    """That what is kept at `path` cannot be used."""
    _log.warning("%s: cannot be used and is made anew: %s", path, last_line(error))


def last_line(error: Exception) -> str:
    """What an error says at the end, where OpenVINO names the cause; its kind, where it says nothing."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
