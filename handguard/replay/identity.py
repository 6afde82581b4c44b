"""What a result depends on: recording, settings, network and program, each by its hash.

Two results with the same identity are the same result, so a finished one need not be made again.
The libraries that decode, compute and measure count as the program does, and so does what the
processor can compute: by that the precision is chosen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from handguard import __version__
from handguard.digest import add_file
from handguard.errors import RecordingError, mismatch

_PACKAGE = Path(__file__).parents[1]
_JUDGES = (  # rooms and modules that take part in a verdict; a report can be redrawn without judging anew
    "types.py", "pipeline.py", "assembly.py", "safety", "capture", "detection", "config", "relay/operator.py",
    "digest.py", "evidence/decisions.py", "evidence/verify.py", "evidence/clip_check.py", "evidence/summary.py",
    "evidence/reading.py", "evidence/chain.py", "evidence/signing.py", "evidence/verification.py",
    "evidence/schema.py", "evidence/store.py", "evidence/migrations.py", "evidence/notes.py",
    "replay/replay.py", "replay/ticks.py", "replay/clock.py", "replay/contactor.py", "replay/standin.py",
    "replay/book.py", "replay/reproduce.py", "replay/whatif.py", "replay/answerable.py", "replay/proof.py",
)  # fmt: skip
_LIBRARIES = ("av", "numpy", "onnxruntime", "opencv-python", "openvino", "shapely", "torch")
_COMPUTES = re.compile(r"\b(?:avx\w*|amx\w*|asimd\w*|bf16|i8mm|sve\w*)\b")


@dataclass(frozen=True, slots=True)
class Identity:
    """Hashes in hex."""

    video_sha256: str
    settings_sha256: str
    model_sha256: str
    software: str  # version, and a hash of sources, libraries and processor

    @property
    def key(self) -> str:
        """One hash over all."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@cache
def software() -> str:
    """`0.1.0+` and 16 hex digits over every source file that takes part in a verdict, and what it computes with."""
    total = hashlib.sha256()
    for path in _sources():
        total.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    for name in _LIBRARIES:
        total.update(f"{name} {_version_of(name)}\0".encode())
    total.update(" ".join(_instructions()).encode())
    return f"{__version__}+{total.hexdigest()[:16]}"


def _version_of(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "none"


def _instructions() -> list[str]:
    """What this processor can compute at once, by the names of the kernel; empty where it does not say."""
    with suppress(OSError):
        return sorted(set(_COMPUTES.findall(Path("/proc/cpuinfo").read_text())))
    return []


def sha256_of(recording: Path) -> str:
    """Of a file, or of every file in a folder with its name: pictures, a live run. Raises `RecordingError`."""
    total = hashlib.sha256()
    try:
        if recording.is_file():
            add_file(total, recording)
        for path in sorted(each for each in recording.rglob("*") if each.is_file()):
            total.update(path.relative_to(recording).as_posix().encode())
            add_file(total, path)
    except OSError as error:
        raise RecordingError(mismatch(str(recording), "a recording that can be read", error.strerror)) from error
    return total.hexdigest()


def _sources() -> Iterable[Path]:
    found: set[Path] = set()
    for name in _JUDGES:
        path = _PACKAGE / name
        found |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return sorted(found)
