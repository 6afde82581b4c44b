"""A peer as its listener sees it: started, asked picture by picture, ended."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from handguard.errors import mismatch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENDS_WITHIN_S = 10.0  # once it has closed its standard output
QUIET = {"GLOG_minloglevel": "3", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True, slots=True)
class Peer:
    """One program and who runs it."""

    name: str
    python: Path  # of its environment; a relative one lies below the repository
    script: str
    arguments: tuple[str, ...] = ()


class PeerError(Exception):
    """A peer cannot begin, or went away; in one line."""


class Speaker:
    """A running peer. Use as a context manager. Raises `PeerError` with what it said if it cannot begin."""

    def __init__(self, peer: Peer, pictures: Path) -> None:
        self.name = peer.name
        python = ROOT / peer.python
        if not python.exists():
            raise PeerError(mismatch(str(peer.python), "the Python of an environment for it (`make peers`)", "none"))
        command = [str(python), str(HERE / peer.script), str(pictures), *peer.arguments]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  open as long as the program runs
        try:
            self._program = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env={**os.environ, **QUIET},
            )
        except OSError as error:
            self._log.close()
            raise PeerError(mismatch(str(peer.python), "a program that runs", error.strerror)) from error
        assert self._program.stdout is not None
        self.description = self._program.stdout.readline().strip()
        if not self.description:
            gone = self._gone("who it is")
            self.__exit__()
            raise gone

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.kill()
        self._program.communicate()
        self._log.close()

    def took_ms(self, number: int) -> float:
        """For one of the pictures. Raises `PeerError` if it went away; it is to be asked nothing more then."""
        assert self._program.stdin is not None and self._program.stdout is not None
        try:
            self._program.stdin.write(f"{number}\n")
            self._program.stdin.flush()
            answer = self._program.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            raise self._gone("milliseconds")
        try:
            return float(answer)
        except ValueError:
            raise PeerError(mismatch(self.name, "milliseconds", repr(answer.strip()))) from None

    def _gone(self, expected: str) -> PeerError:
        """It closed its mouth: how it ended, and the last line it left behind."""
        try:
            status = self._program.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._program.kill()
            status = self._program.wait()
        self._log.seek(0)
        said = self._log.read().strip().splitlines()
        return PeerError(mismatch(self.name, expected, f"it ended with {status}" + (f": {said[-1]}" if said else "")))
