"""One mutant on trial: a forked process in which one module is wrong, and the tests that should notice.

Nothing on disk is touched: the wrong module exists in the memory of that process
alone. The process that forks has loaded the libraries, but never a module on trial.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import hypothesis
import pytest

ROOT = Path(__file__).parents[2]
NOTICED, SURVIVED, BROKEN = "noticed", "survived", "broken"


def module_name(file: str) -> str:
    """`handguard/safety/zones.py` is imported as `handguard.safety.zones`."""
    return file.removesuffix(".py").replace("/", ".")


class _Wrong(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from the code it was given."""

    def __init__(self, file: str, code: CodeType) -> None:
        self._name, self._path, self._code = module_name(file), str(ROOT / file), code

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> object:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        """For `runpy`, which runs a module as a program."""
        return self._code

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)


class _Steady:
    """The pytest plugin of a trial: equal trials draw equal examples and store none."""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        hypothesis.settings.register_profile(
            "trial", hypothesis.settings(), derandomize=True, database=None, max_examples=20
        )
        hypothesis.settings.load_profile("trial")


def _run(file: str, tree: ast.Module, tests: Sequence[str]) -> int:
    sys.modules.pop(module_name(file), None)
    sys.meta_path.insert(0, _Wrong(file, compile(tree, str(ROOT / file), "exec")))
    options = ["-x", "-q", "--no-header", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:cov"]
    return int(pytest.main([*options, *tests], plugins=[_Steady()]))


@dataclass
class Trial:
    """A forked trial. `outcome` tells once it has ended."""

    pid: int
    deadline_s: float

    @classmethod
    def start(cls, file: str, tree: ast.Module, tests: Sequence[str], limit_s: float, *, loud: bool = False) -> Trial:
        """Fork; the child never comes back from here."""
        pid = os.fork()
        if pid:
            return cls(pid, time.monotonic() + limit_s)
        status = 99
        try:
            os.setpgid(0, 0)
            if not loud:
                nowhere = os.open(os.devnull, os.O_RDWR)
                for fd in (0, 1, 2):
                    os.dup2(nowhere, fd)
            status = _run(file, tree, tests)
        except BaseException:  # noqa: BLE001  a fork must not run on as its parent
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def outcome(self) -> str | None:
        """Whether the tests noticed; None while they run. A mutant that hangs is noticed too."""
        if time.monotonic() > self.deadline_s:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            return NOTICED
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        if not os.WIFEXITED(status):
            return NOTICED
        code = os.WEXITSTATUS(status)
        return {0: SURVIVED, 1: NOTICED, 2: NOTICED}.get(code, BROKEN if code in (4, 5) else NOTICED)
