"""docs/fault-catalogue.md, made from the catalogue and from what was measured."""
# ruff: noqa: E501  a row of a table is read as one line

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.catalogue import PARTS, Part
from tests.faults.fault import SLACK_MS, Fault, Reaction
from tests.faults.stand import AGE_MS, DEADLINE_MS, EDM_MS

PAGE = Path(__file__).parents[2] / "docs" / "fault-catalogue.md"
MEASURED = Path(__file__).parent / "measured.json"
Measured = Mapping[str, Sequence[float]]  # milliseconds of each round, by the id of the fault

SHOWS = {
    Reaction.STOP: "`TRIPPED`, {cause}",
    Reaction.LOCKOUT: "`LOCKOUT`, {cause}",
    Reaction.END: "the program has ended",
    Reaction.STAYS_OFF: "the machine does not start; {cause}",
    Reaction.REFUSED: "one message with {cause}",
    Reaction.RUNS_ON: "the machine runs; {cause}",
}

HEAD = """# Fault catalogue

What can fail, how it is noticed, what follows, and how long that may take. Each row is a test
that breaks a real part and asks an independent witness: a board program in a process of its own,
behind a real terminal, whose log says when the contact moved. Made by `python -m tests.faults --write`
from the lists in `tests/faults/`; a test holds this page to them.

{count} faults. None of them ends with the contact closed:

| reaction | faults | meaning |
|---|---|---|
{reactions}

**How it is tried.** A *stand* runs the product's own loop, camera thread, rules, keeper process, record and
feed, with settings as loose as they may be: {age} ms for the age of a frame and the feedback {edm} ms, deadline {deadline} ms,
30 frames/s. The fault is injected while the machine runs. Then four things must hold: the contact of the
independent board opens within the limit; the fault stands by name in the signed record; after the cause is gone nothing
starts by itself; and only a press of the reset button starts it again, or, after a lockout, not even that.

**Limits** count from the injection to the open contact, relay and bytes at 9600 baud included. The tests allow {slack} ms more, because
they share their machine with others. *Measured* is the worst of so many rounds{conditions}.

**What it does not show.** Faults that cannot be noticed are listed in the [safety manual](safety-manual.md),
section 6, and what a board cannot do in [relays.md](relays.md). A single board that holds its last state, cut off from both
programs, keeps its contact closed: rows of such faults (B13, B14, B16) are tried with a second channel, as the manual asks.
"""


def text(measured: Measured) -> str:
    """The whole page."""
    faults = [fault for part in PARTS for fault in part.faults]
    rows = [(one.value, sum(fault.reaction is one for fault in faults), _word(one)) for one in Reaction]
    reactions = "\n".join(f"| {name} | {number} | {value} |" for value, number, name in rows)
    head = HEAD.format(
        count=len(faults), reactions=reactions, age=AGE_MS, edm=EDM_MS, deadline=DEADLINE_MS, slack=SLACK_MS,
        conditions=_conditions(measured),
    )  # fmt: skip
    return "\n".join([head, *(_table(part, measured) for part in PARTS)])


def read_measured() -> Measured:
    """Empty where nothing was measured."""
    return json.loads(MEASURED.read_text()) if MEASURED.exists() else {}


def _conditions(measured: Measured) -> str:
    worst = [max(rounds) for rounds in measured.values() if rounds]
    if not worst:
        return ""
    place = "on two cores of an AMD EPYC that other programs wanted too"
    return f", {place}; the median of these worst ones is {statistics.median(worst):.0f} ms"


def _table(part: Part, measured: Measured) -> str:
    test = f"tests/faults/test_{part.module}.py"
    lines = [
        f"## {part.title}\n",
        f"Shown by `{test}`, one test a row, by its id: `pytest {test} -k {part.faults[0].id}`.\n",
        "| id | what fails | injected | noticed by | reaction | limit | measured | a person sees, the record says |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_row(fault, measured) for fault in part.faults), ""])


def _row(fault: Fault, measured: Measured) -> str:
    limit = "never on" if fault.limit_ms is None else f"{fault.limit_ms} ms"
    rounds = measured.get(fault.id, ())
    took = f"{max(rounds):.0f} ms of {len(rounds)}" if rounds else "–"
    seen = SHOWS[fault.reaction].format(cause=f"`{fault.recorded}`")
    cells = (fault.id, fault.fails, fault.injected, fault.detected, _word(fault.reaction), limit, took, seen)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _word(reaction: Reaction) -> str:
    return reaction.name.lower().replace("_", " ")
