"""The hash chain: each record's hash covers everything before it.

    h_n = SHA256(h_{n-1} || canonical(record_n)),   h_{-1} = 32 zero bytes

One line of the book is `{"hash":"<h_n in hex>","record":<canonical record>}`,
which is itself canonical JSON. Because the hash is taken over the very bytes
that stand in the line, a reader hashes what it finds and never has to guess how
a number was printed.

Canonical means: keys sorted, no spaces, ASCII, floats as the shortest decimal
that reads back to the same float (Python's `repr`), no NaN and no infinity.
Equal records therefore give equal bytes. Pure: no files, no clocks.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from handguard.errors import RecordingError

HASH_BYTES = 32
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
_LINE = re.compile(rb'\{"hash":"([0-9a-f]{64})","record":(\{[^\n]*\})\}\n')


@dataclass(frozen=True, slots=True)
class Link:
    """The newest record of a chain: its number and its hash."""

    seq: int
    hash: bytes

    def __post_init__(self) -> None:
        if self.seq < -1 or len(self.hash) != HASH_BYTES:
            raise ValueError(
                f"a link is seq >= -1 and {HASH_BYTES} bytes, got {self.seq}, {len(self.hash)} bytes"
            )


ROOT = Link(-1, bytes(HASH_BYTES))  # before the first record


def canonical(record: dict[str, Any]) -> bytes:
    """The one way to write a record down. Raises `RecordingError` if it holds what JSON cannot."""
    try:
        return _ENCODER.encode(record).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        where = f"record of kind {record.get('kind')!r}"
        raise RecordingError(f"{where}: expected plain finite JSON values, found: {error}") from error


def hash_after(previous: bytes, record: bytes) -> bytes:
    """h_n from h_{n-1} (32 bytes) and the canonical bytes of record n."""
    return hashlib.sha256(previous + record).digest()


def extend(previous: Link, body: dict[str, Any]) -> tuple[Link, bytes]:
    """Number `body` as the next record: the new link, and its line with the newline."""
    seq = previous.seq + 1
    record = canonical({**body, "seq": seq})
    link = Link(seq, hash_after(previous.hash, record))
    return link, b'{"hash":"%s","record":%s}\n' % (link.hash.hex().encode(), record)


def split_line(line: bytes) -> tuple[bytes, bytes] | None:
    """The hash (32 bytes) and the record's bytes of one line; None if it is not such a line."""
    match = _LINE.fullmatch(line)
    return None if match is None else (bytes.fromhex(match[1].decode()), match[2])
