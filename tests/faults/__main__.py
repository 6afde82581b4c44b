"""Write docs/fault-catalogue.md, and measure how long the machine takes to stop.

    python -m tests.faults --write               the page, from the lists and the newest figures
    python -m tests.faults --measure 20          try each fault so many times, keep the figures, write the page
    python -m tests.faults --measure 3 --only K  only those whose id begins so

Exits 1 when a fault did not end as its row says.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from handguard.atomic import write_atomically
from tests.faults.bench import Bench
from tests.faults.catalogue import PARTS
from tests.faults.fault import Fault
from tests.faults.page import MEASURED, PAGE, read_measured, text


def measured(fault: Fault, bench: Bench, rounds: int) -> list[float]:
    """Milliseconds of each round. Raises `AssertionError` for one that did not end as the row says."""
    return [round(took_ms, 1) for _ in range(rounds) if (took_ms := fault.trial(fault, bench)) is not None]


def measure(rounds: int, only: str) -> int:
    """Try all faults with these ids; how many failed."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="handguard-faults-") as place:
        for part in PARTS:
            (Path(place) / part.module).mkdir()
            bench = Bench(Path(place) / part.module)
            for fault in part.faults:
                if not fault.id.startswith(only) or fault.limit_ms is None:
                    continue
                try:
                    found = measured(fault, bench, rounds)
                    keep(fault.id, found)
                    print(f"{fault.id}  worst {max(found, default=0):.0f} ms", flush=True)
                except AssertionError as error:
                    failed += 1
                    print(f"{fault.id}  FAILED: {error}", flush=True)
            bench.close()
    return failed


def keep(name: str, found: list[float]) -> None:
    """Beside the figures of the others, at once: hours of trials are not lost for one that goes wrong."""
    figures = read_measured() | {name: found}
    write_atomically(MEASURED, (json.dumps(figures, indent=1, sort_keys=True) + "\n").encode())


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the page")
    parser.add_argument("--measure", type=int, default=0, metavar="ROUNDS", help="try each fault so many times")
    parser.add_argument("--only", default="", metavar="ID", help="only those whose id begins so")
    chosen = parser.parse_args()
    failed = measure(chosen.measure, chosen.only) if chosen.measure else 0
    if chosen.write or chosen.measure:
        PAGE.write_text(text(read_measured()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
