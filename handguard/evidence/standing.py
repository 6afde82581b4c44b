"""What earlier books vouch for today: the newest time written, an accepted configuration, a passed proof test.

An acceptance and a proof test are books like every run's, in folders of their own
beside the runs: `…-accept` and `…-proof-test`. Their genesis names configuration and
model; one operator's record says who, when, and with what result; the signature of
the machine's own key covers both. So nothing here needs a format of its own, and
`handguard events verify` proves an approval like anything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from handguard.errors import HandguardError, RecordingError, mismatch
from handguard.evidence.chain import split_line
from handguard.evidence.moments import moment_of
from handguard.evidence.reading import read_records
from handguard.evidence.schema import Kind, OperatorAction, Record
from handguard.evidence.signing import PublicKey
from handguard.evidence.store import segment_name, segment_numbers
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify

BOOK = "evidence"
ACCEPTED, PROOF_TEST = "accept", "proof-test"
ACTION = {ACCEPTED: OperatorAction.ACCEPT, PROOF_TEST: OperatorAction.PROOF_TEST}
_BOOKS_ASKED_FOR_TIME = 20  # the newest by name; names begin with the time
_TAIL_BYTES = 1 << 16  # longer than any record


@dataclass(frozen=True, slots=True)
class Standing:
    """What one approval says."""

    folder: Path
    config_sha256: str
    card_sha256: str
    at: datetime  # UTC
    who: str
    passed: bool


def stamped(runs: Path, what: str = "") -> Path:
    """A folder for a run that begins now: `20250131-120000Z`, or `20250131-120000Z-proof-test`."""
    name = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%SZ")
    return runs / (f"{name}-{what}" if what else name)


def newest(runs: Path, what: str, key: PublicKey) -> Standing | None:
    """The newest approval of that kind; None if there is none.

    Raises `RecordingError` for one that is damaged, unfinished, or not signed with this machine's key.
    """
    folders = sorted(runs.glob(f"*-{what}"))
    return None if not folders else _read(folders[-1], what, key)


def detail_of(card_sha256: str, passed: bool, **more: Any) -> str:
    """The operator's record of an approval, as its `detail`."""
    return json.dumps({"card_sha256": card_sha256, "passed": passed, **more})


def newest_time(runs: Path, but: Path) -> str | None:
    """The newest wall time in any book under `runs` except the one in `but`; None if there is no other."""
    books = [book for book in sorted(runs.glob(f"*/{BOOK}")) if book.parent.resolve() != but.resolve()]
    times = [time for book in books[-_BOOKS_ASKED_FOR_TIME:] for time in _last_time(book)]
    return max(times, default=None)


def _last_time(book: Path) -> Iterator[str]:
    with suppress(HandguardError, OSError, ValueError, KeyError, TypeError):
        parts = split_line(_last_line(book / segment_name(segment_numbers(book)[-1])))
        if parts is not None:
            yield str(json.loads(parts[1])["wall_time_utc"])


def _last_line(path: Path) -> bytes:
    """The last complete line of a file, from its last few pages."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        *_, last = (line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n"))
    return last


def _read(folder: Path, what: str, key: PublicKey) -> Standing:
    result = verify(folder / BOOK, key)
    if result.verdict is not Verdict.INTACT:
        raise RecordingError(
            mismatch(str(folder), "a finished record, signed by this machine", result.text())
        )
    records = list(read_records(folder / BOOK))
    word = next((record for record in reversed(records) if _is_word(record, what)), None)
    if word is None:
        raise RecordingError(mismatch(str(folder), f"the record of a {what}", "none"))
    detail = json.loads(word["detail"])
    at = moment_of(word["wall_time_utc"])
    return Standing(
        folder, records[0]["config_hash"], detail["card_sha256"], at, word["who"], detail["passed"]
    )


def _is_word(record: Record, what: str) -> bool:
    return record["kind"] == Kind.OPERATOR.value and record["action"] == ACTION[what].value
