"""What the recorder of clips has to say, on its way into the book.

Only one thread of one process writes the book, and the recorder is another
process. So it says what it did on its standard output, one line of JSON each; the
monitor checks every line here and hands it to the writer, which chains and signs it
like any record of its own. The recorder needs no key, and what it says can at
worst be a wrong word about a clip.

    clip           a film stands in the folder, with this hash
    clip_removed   a film was deleted to keep the quota
    clip_lost      a clip could not be kept, and why; becomes a fault
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from handguard.errors import RecordingError, mismatch
from handguard.evidence.schema import Kind, Record, fault_record

LONGEST_BYTES = 64 << 10
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"trip-\d{4,9}(-overlay)?\.mp4")
_NAME = re.compile(r"trip-\d{4,9}")
_RUN = re.compile(r"[^/\0]{1,255}")  # whatever a folder may be called


@dataclass(frozen=True, slots=True)
class TripMark:
    """A trip as the monitor counted it."""

    number: int  # from 1, of this run
    at_ns: int
    frame_seq: int  # -1: no frame
    cause: str
    zone: str | None

    @property
    def name(self) -> str:
        """Of the clip that begins with it."""
        return f"trip-{self.number:04d}"


@dataclass(frozen=True, slots=True)
class ClipSaved:
    """A film of a take, whole and on disk. Numbers of frames and times are those of the book."""

    name: str  # trip-0001
    version: str  # raw or overlay
    file: str
    bytes: int
    sha256: str
    index_sha256: str  # of the JSON beside it: which frame stands at which time stamp
    frames: int
    first_frame: int
    last_frame: int
    first_ns: int
    last_ns: int
    lost_views: int  # judged frames between them that are not in the film
    trips: tuple[TripMark, ...]
    cut_short: str = ""

    def __post_init__(self) -> None:
        _check_types(self)
        _check(self, name=_NAME, file=_FILE, version=re.compile("raw|overlay"))
        _check(self, sha256=_SHA256, index_sha256=_SHA256)
        if not self.trips:
            raise RecordingError(mismatch("notice clip.trips", "at least one trip", "none"))

    def record(self, at_ns: int) -> Record:
        """As it stands in the book."""
        return {"kind": Kind.CLIP.value, "at_ns": at_ns, **asdict(self), "trips": _plain(self.trips)}


@dataclass(frozen=True, slots=True)
class ClipRemoved:
    """A clip, of this run or an older one, was deleted."""

    run: str
    name: str
    bytes: int
    why: str

    def __post_init__(self) -> None:
        _check_types(self)
        _check(self, name=_NAME, run=_RUN)

    def record(self, at_ns: int) -> Record:
        """As it stands in the book."""
        return {"kind": Kind.CLIP_REMOVED.value, "at_ns": at_ns, **asdict(self)}


@dataclass(frozen=True, slots=True)
class ClipLost:
    """There is no clip, or not all of it, where one should be."""

    name: str
    why: str

    def __post_init__(self) -> None:
        _check_types(self)
        _check(self, name=_NAME)

    def record(self, at_ns: int) -> Record:
        """A fault, as it stands in the book."""
        return fault_record("clip-lost", at_ns, f"{self.name}: {self.why}")


Notice = ClipSaved | ClipRemoved | ClipLost
_KINDS: dict[str, type[ClipSaved] | type[ClipRemoved] | type[ClipLost]] = {
    "clip": ClipSaved,
    "clip_removed": ClipRemoved,
    "clip_lost": ClipLost,
}


def to_line(notice: Notice) -> bytes:
    """One line with its newline."""
    kind = next(name for name, known in _KINDS.items() if isinstance(notice, known))
    return json.dumps({"notice": kind, **asdict(notice)}).encode() + b"\n"


def from_line(line: bytes) -> Notice:
    """The notice in a line. Raises `RecordingError` for anything else."""
    try:
        if len(line) > LONGEST_BYTES:
            raise ValueError(f"{len(line)} bytes")
        said: dict[str, Any] = json.loads(line)
        kind = _KINDS[said.pop("notice")]
        if kind is ClipSaved:
            said["trips"] = tuple(_trip(trip) for trip in said["trips"])
        return kind(**said)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RecordingError(mismatch("recorder", "a notice", f"{error!r} in {line[:200]!r}")) from error


def _trip(said: dict[str, Any]) -> TripMark:
    mark = TripMark(**said)
    _check_types(mark)
    return mark


_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str, "int": int, "str | None": (str, type(None)), "tuple[TripMark, ...]": tuple,
}  # fmt: skip


def _check_types(value: Any) -> None:
    for each in fields(value):
        found = getattr(value, each.name)
        if not isinstance(found, _TYPES[str(each.type)]) or isinstance(found, bool):
            where = f"notice {type(value).__name__}.{each.name}"
            raise RecordingError(mismatch(where, str(each.type), repr(found)))


def _check(value: Any, **patterns: re.Pattern[str]) -> None:
    for name, pattern in patterns.items():
        if not pattern.fullmatch(getattr(value, name)):
            where = f"notice {type(value).__name__}.{name}"
            raise RecordingError(mismatch(where, pattern.pattern, repr(getattr(value, name))))


def _plain(trips: tuple[TripMark, ...]) -> list[Record]:
    return [asdict(trip) for trip in trips]
