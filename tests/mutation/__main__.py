"""Put every mutant of the safety core on trial, and write down which ones no test noticed.

    python -m tests.mutation                     everything
    python -m tests.mutation --only zones        the modules whose name ends so
    python -m tests.mutation --only pipeline --within permit_of,_cause     these functions alone
    python -m tests.mutation --only nothing      only write the page again

What came of it goes to `results.json` here and, to be read, to docs/mutation.md.

Exits 1 when a survivor has no explanation in `explanations.json`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import sys
import time
from collections import deque
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before numpy: only one thread survives a fork

import hypothesis.extra.numpy
import hypothesis.stateful
import numpy
import pytest
import serial
import shapely

from tests.mutation.operators import Mutant, mutants
from tests.mutation.report import Result, merged, read_explanations, text
from tests.mutation.targets import TARGETS
from tests.mutation.trial import BROKEN, NOTICED, ROOT, SURVIVED, Trial, module_name

LOADED = (hypothesis, numpy, pytest, serial, shapely)  # once, before the forks
FOLDER = Path(__file__).parent
EXPLANATIONS = FOLDER / "explanations.json"
POLL_S = 0.01


def judge(file: str, jobs: int, limit_s: float, within: frozenset[str] = frozenset()) -> Result:
    """Try every mutant of a module, or those within some functions and classes."""
    source = (ROOT / file).read_text()
    tree = ast.parse(source)
    _first_without_wrong(file, tree)
    waiting = deque(mutant for mutant in mutants(tree) if not within or mutant.scope in within)
    result = Result(file, _sha256(source.encode()), len(waiting), again=sorted(within))
    running: list[tuple[Mutant, Trial]] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.popleft()
            running.append((mutant, Trial.start(file, mutant.applied(tree), TARGETS[file], limit_s)))
        time.sleep(POLL_S)
        running = [pair for pair in running if not _ended(*pair, source, result)]
    return result


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _ended(mutant: Mutant, trial: Trial, source: str, result: Result) -> bool:
    outcome = trial.outcome()
    if outcome == BROKEN:
        sys.exit(f"{result.file}:{mutant.line}: the tests could not be run at all")
    if outcome == SURVIVED:
        result.add(mutant, source.splitlines()[mutant.line - 1].strip())
        print(f"  survived  {result.file}:{mutant.line}  {mutant.before}  →  {mutant.after}", flush=True)
    return outcome is not None


def _first_without_wrong(file: str, tree: ast.Module) -> None:
    """The tests must pass on the true module, loaded the same way."""
    trial = Trial.start(file, tree, TARGETS[file], 600.0, loud=True)
    while (outcome := trial.outcome()) is None:
        time.sleep(POLL_S)
    if outcome != SURVIVED:
        sys.exit(f"{file}: its tests must pass before a mutant of it means anything")


def _forget_the_accused() -> None:
    """The operators read the enums of some modules on trial; the forks must import those anew."""
    for name in [name for name in sys.modules if name.startswith("handguard")]:
        del sys.modules[name]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("--only", default="", help="the end of a module's name")
    parser.add_argument("--within", default="", help="functions and classes, with commas; the rest keeps its verdicts")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit-s", type=float, default=300.0, help="a trial that takes longer has hung")
    options = parser.parse_args()
    _forget_the_accused()
    within = frozenset(filter(None, options.within.split(",")))
    for file in TARGETS:
        if module_name(file).endswith(options.only):
            began_s = time.monotonic()
            result = judge(file, options.jobs, options.limit_s, within)
            took_s = time.monotonic() - began_s
            print(f"{file}: {result.noticed} of {result.mutants} {NOTICED} in {took_s:.0f} s", flush=True)
            _write([result])
    return 1 if _unexplained(_write([])) else 0


def _write(news: list[Result]) -> list[Result]:
    """Write data and page; returns all that is known."""
    results = merged(FOLDER / "results.json", TARGETS, news)
    data = json.dumps([result.as_json() for result in results], indent=1, ensure_ascii=False)
    (FOLDER / "results.json").write_text(data + "\n")
    changed = {result.file for result in results if _sha256((ROOT / result.file).read_bytes()) != result.sha256}
    (ROOT / "docs" / "mutation.md").write_text(text(results, read_explanations(EXPLANATIONS), changed))
    return results


def _unexplained(results: list[Result]) -> list[str]:
    explained = read_explanations(EXPLANATIONS)
    keys = [survivor.key for result in results for survivor in result.survivors if survivor.key not in explained]
    for key in keys:
        print(f"no explanation: {key}")
    return keys


if __name__ == "__main__":
    sys.exit(main())
