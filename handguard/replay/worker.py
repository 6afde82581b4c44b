"""The process that judges one recording: a job on standard input, lines of JSON on standard output.

The first argument is how many threads the network may use: processes side by side
want few each, because threads that wait for one another waste what others could use.

    {"done": 250, "of": 1189}    how far it is
    {"outcome": {…}}             the end

It steps back for a live monitor on the same computer, and dies with whoever reads
its output: the next line it writes to a closed pipe ends it.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from typing import Any

from handguard.assembly import detector_of
from handguard.replay.job import Job, do

_TELL_EVERY_FRAMES = 20
_STEPS_BACK_BY = 5  # of the 20 steps of niceness


def main() -> None:
    """Do the job that standard input names."""
    os.nice(_STEPS_BACK_BY)
    detector_for = partial(detector_of, threads=int(sys.argv[1]))
    outcome = do(Job.from_json(json.load(sys.stdin)), _tell_progress, detector_for)
    _tell({"outcome": asdict(outcome)})


def _tell_progress(done: int, of: int | None) -> None:
    if done % _TELL_EVERY_FRAMES == 0:
        _tell({"done": done, "of": of})


def _tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
