"""Hold the safety core to complete coverage: every line and every branch.

Reads the JSON report of coverage.py and fails when a gated file is missing from
it, or has a line or branch that no test took. Prints each gap as FILE:LINE.

    coverage_gate.py COVERAGE.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GATED = (
    "handguard/safety/**/*.py",
    "handguard/pipeline.py",
    "handguard/relay/keeper.py",
    "handguard/relay/keeper_state.py",
)


def gated_files() -> list[str]:
    """Every gated file, relative to the repository. A pattern that finds nothing is an error."""
    found: list[str] = []
    for pattern in GATED:
        matches = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))
        if not matches:
            sys.exit(f"coverage gate: nothing matches {pattern}")
        found += matches
    return found


def gaps(name: str, report: dict[str, Any] | None) -> Iterator[str]:
    """Each line and branch of one file that was not taken. `report` is None if it was never imported."""
    if report is None:
        yield f"{name}: not measured at all"
        return
    for line in report["missing_lines"]:
        yield f"{name}:{line}: never ran"
    for start, end in report["missing_branches"]:
        yield f"{name}:{start}: never went to {'the end' if end < 0 else f'line {end}'}"


def main(json_path: str) -> int:
    files: dict[str, Any] = json.loads(Path(json_path).read_text())["files"]
    names = gated_files()
    missing = [gap for name in names for gap in gaps(name, files.get(name))]
    print("\n".join(missing) or f"coverage gate: {len(names)} files, every line and branch taken")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
