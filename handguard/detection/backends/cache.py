"""Where compiled forms of networks are kept between starts, and how they get there whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handguard.atomic import appearing_whole

ROOT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "handguard"


def kept_priors(path: Path, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """The priors `(P, 4)` kept at `path` (`.npy`), made and written now if need be."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with appearing_whole(path) as fresh, fresh.open("wb") as file:
            np.save(file, make())
    return np.asarray(np.load(path), np.float32)
