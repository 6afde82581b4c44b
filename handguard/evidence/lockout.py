"""The lockout that outlives the program: one small signed file in the folder of the runs.

    lockout.json    one line, made like a record: locked or clear, why, when, by whom

A fault locks out, and what was not repaired is not repaired by a power cut or an
impatient restart. So the lockout is put on disk as soon as it happens, and every start
takes it up again until a service action has cleared it. In doubt it is locked:

- the file is damaged, or not signed with the machine's key: locked;
- the file is missing although the machine has its key, and so has run before: locked;
- the disk takes no new file (full): the old one is emptied in place, and so damaged.

A monitor holds the folder as long as it runs; service needs it for itself. So nothing
can be cleared under a program that is still locked out, nor locked behind service's back.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from handguard.atomic import write_atomically
from handguard.errors import ConfigError, HandguardError, RecordingError, mismatch
from handguard.evidence.chain import ROOT, extend, hash_after, split_line
from handguard.evidence.ledger import stamp_now
from handguard.evidence.schema import Record
from handguard.evidence.signing import SigningKey
from handguard.types import Decision, KeeperReport, Permit, State

LOCKOUT = "lockout.json"
UNSAVED = "lockout-unsaved"  # a fault that people are shown: a restart would forget the lockout
MISSING, DAMAGED = "fault: lockout state missing", "fault: lockout state damaged"
RETRY_S, CLOSE_LIMIT_S = 1.0, 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What the file says. `cause` and `run` are those of the lockout, also once it is cleared."""

    locked: bool
    cause: str = ""
    run: str = ""
    wall_time_utc: str = ""
    who: str = ""  # cleared it
    why: str = ""


class LockoutFile:
    """The file in one folder of runs. Several processes may read it; `held` says who may write."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        self.path, self.key = folder / LOCKOUT, key

    def read(self) -> Standing:
        """What stands there; locked whenever that cannot be proven. Never raises."""
        try:
            return self._proven(self.path.read_bytes())
        except FileNotFoundError:
            return Standing(True, MISSING)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, HandguardError):
            return Standing(True, DAMAGED)

    def write(self, standing: Standing) -> None:
        """Put it on disk, whole and durable. Raises `OSError`."""
        body = _body(standing)
        unsigned, _ = extend(ROOT, body)
        write_atomically(self.path, extend(ROOT, {**body, "signature": self.key.sign(unsigned).hex()})[1])

    def spoil(self) -> None:
        """Empty the file in place, which needs no room: damaged is locked. Raises `OSError`."""
        with self.path.open("rb+") as file:
            file.truncate(0)
            os.fsync(file.fileno())

    def _proven(self, line: bytes) -> Standing:
        parts = split_line(line)
        if parts is None or hash_after(ROOT.hash, parts[1]) != parts[0]:
            raise ValueError("not as it was written")
        body: Record = json.loads(parts[1])
        told = {name: body[name] for name in Standing.__dataclass_fields__}
        standing = Standing(**told)
        if not self.key.public.confirms(extend(ROOT, _body(standing))[0], bytes.fromhex(body["signature"])):
            raise ValueError("signed by another key")
        return standing


def _body(standing: Standing) -> Record:
    return {"kind": "lockout", **asdict(standing)}


def lockout_file(folder: Path, key_path: Path) -> LockoutFile:
    """The file of a folder, made (clear) together with the machine's key, and never without it.

    Raises `ConfigError` for a key that cannot be used, `RecordingError` for a folder that takes no file.
    """
    try:
        is_new = not key_path.exists()
        found = LockoutFile(folder, SigningKey.load_or_create(key_path))
        if is_new and not found.path.exists():
            found.write(Standing(False))
    except OSError as error:
        raise RecordingError(mismatch(str(folder), "files that can be read and written", error)) from error
    return found


@contextmanager
def held(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold a folder of runs: monitors together, service alone. Ends with the process, however it ends.

    Raises `ConfigError` when it is held by somebody who does not go together with us, `OSError` when it is gone.
    """
    expected = "no monitor at work on it: stop it first" if alone else "no service at work on it"
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(mismatch(str(folder), expected, "one")) from None
        yield
    finally:
        os.close(fd)


class LockoutKeeper:
    """Puts a lockout on disk when it happens. An `EventSink`; the disk has a thread of its own."""

    def __init__(self, file: LockoutFile, run: str) -> None:
        self._file, self._run = file, run
        standing = file.read()
        self.cause = standing.cause if standing.locked else None  # of an earlier run's lockout
        self._is_known = standing.locked
        self._is_saved = True
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def faults(self) -> frozenset[str]:
        """Shown to people; the machine is off in any case."""
        return frozenset() if self._is_saved else frozenset({UNSAVED})

    def record(self, decision: Decision, permit: Permit, report: KeeperReport | None = None) -> None:
        """See the first tick of a lockout. Returns at once, never raises."""
        if decision.state is State.LOCKOUT and not self._is_known:
            self._is_known, self._is_saved = True, False
            new = Standing(True, decision.cause, self._run, stamp_now().wall_time_utc)
            self._thread = threading.Thread(target=self._save, args=(new,), name="lockout", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Give the disk a last moment. Never raises, safe to call twice."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(CLOSE_LIMIT_S)

    def _save(self, new: Standing) -> None:
        """Try until it is there; an emptied file will do until then."""
        while not self._is_saved:
            try:
                self._file.write(new)
                self._is_saved = True
            except OSError:
                with suppress(OSError):
                    self._file.spoil()
                if self._closing.wait(RETRY_S):
                    return
