"""Every real recording audited with the shipped network: `python benchmarks/audit.py FOOTAGE [--out DIR]`.

Judges FOOTAGE by benchmarks/site.yaml, holds it against benchmarks/audit.yaml, and writes what
belongs to the project: benchmarks/results/audit.json, the table of docs/audit.md and a drawing of
every recording over time, docs/pictures/audit.svg. No picture of a recording is in any of them; the
pages with pictures stay in DIR. An audit that was broken off goes on. Ends with 1 if a recording fails.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kept import folder, keep
from marked import rewrite

from handguard.assembly import card_of
from handguard.atomic import write_atomically
from handguard.bench import machine
from handguard.config import load
from handguard.desk.closing import progress_bar
from handguard.replay.audit import Audit, Options, Row, audit
from handguard.replay.report import timeline
from handguard.replay.report.markup import Html, joined, tag
from handguard.replay.report.pages import write_audit_pages
from handguard.replay.words import capital, miss_rate_in_words, nuisance_in_words

HERE = Path(__file__).parent
ROOT = HERE.parent
PLAN, SITE = HERE / "audit.yaml", HERE / "site.yaml"
RESULTS = HERE / "results" / "audit.json"
PAGE, DRAWING = ROOT / "docs" / "audit.md", ROOT / "docs" / "pictures" / "audit.svg"
COLORS = {
    "s-RUN": "#3aa869", "s-TRIPPED": "#d8443c", "s-AWAIT_RESET": "#f0b23e", "s-SELF_TEST": "#a9b4be",
    "s-LOCKOUT": "#84308e", "truth": "#4178c8",
}  # fmt: skip
KEYS = {
    "s-RUN": "the machine may run", "s-TRIPPED": "tripped", "s-AWAIT_RESET": "awaiting reset",
    "s-SELF_TEST": "self test", "truth": "truth: a hand reaches",
}  # fmt: skip
WIDTH, NAME, LANE, ROW, TOP = 960, 190, 12, 30, 34


def drawing(result: Audit) -> Html:
    """One strip for each recording, each over its own length."""
    bottom = TOP + ROW * len(result.rows)
    strips = [_strip(row, TOP + i * ROW) for i, row in enumerate(result.rows)]
    paper = tag("rect", width=WIDTH, height=bottom + 6, fill="#ffffff")
    return tag(
        "svg", paper, *_legend(), *strips, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {bottom + 6}",
        font_family="system-ui, DejaVu Sans, sans-serif", font_size=12, fill="#18212b",
    )  # fmt: skip


def _legend() -> list[Html]:
    parts = []
    for i, (key, words) in enumerate(KEYS.items()):
        x = NAME + i * 154
        parts.append(tag("rect", x=x, y=8, width=12, height=12, rx=3, fill=COLORS[key]))
        parts.append(tag("text", words, x=x + 17, y=18, fill="#5c6975"))
    return parts


def _strip(row: Row, y: int) -> Html:
    name = tag("text", row.name.removeprefix("gestures/"), x=NAME - 12, y=y + 12, text_anchor="end")
    lines = row.a.lines
    if not lines:
        return name
    states = timeline.state_lane(lines)
    scale = (WIDTH - NAME - 70) / states.spans[-1].end_ms
    lanes = [(states, y, LANE)]
    lanes += [] if row.approaches is None else [(timeline.truth_lane(lines, row.approaches), y + LANE + 2, 4)]
    spans = [
        tag("rect", x=NAME + span.start_ms * scale, y=at, width=max((span.end_ms - span.start_ms) * scale, 0.7),
            height=height, fill=COLORS[span.class_])
        for lane, at, height in lanes for span in lane.spans
    ]  # fmt: skip
    length = tag("text", f"{lines[-1].t_ms / 1000:.1f} s", x=WIDTH - 60, y=y + 11, fill="#5c6975")
    return joined([name, *spans, length])


def results(result: Audit) -> dict[str, object]:
    """The whole audit, without the place it was made at."""
    card = card_of(result.a)
    return {
        "command": "python benchmarks/audit.py FOOTAGE",
        "machine": machine.described(),
        "model": {"name": card.name, "weights_sha256": card.weights_sha256},
        **result.to_json(),
        "folder": "FOOTAGE",
        "a": {"file": SITE.name, "sha256": result.to_json()["a"]["sha256"]},
    }


def table(result: Audit) -> str:
    """What docs/audit.md shows."""
    card = card_of(result.a)
    verdict = "**The audit fails.**" if result.fails else "**The audit passes.**"
    head = "| recording | frames | with hands | trips | approaches stopped / all | nuisance | verdict |"
    lines = [
        f"Network `{card.name}`, weights `{card.weights_sha256[:16]}…`. {verdict}",
        f"{capital(miss_rate_in_words(result.totals))}. {_ran(result)} {capital(nuisance_in_words(result.totals))}.",
        "", head, "|---|---|---|---|---|---|---|", *(_line(row) for row in result.rows),
    ]  # fmt: skip
    why = [f"- {row.name}: {words}" for row in result.rows for words in row.failures]
    return "\n".join([*lines, *(["", *why] if why else [])])


def _ran(result: Audit) -> str:
    """A recording that begins with a hand in the zone is never switched on: nothing is turned off there."""
    scores = [row.score for row in result.rows if row.score is not None]
    running = sum(one.approaches for one in scores if one.ran_ms > 0)
    return f"The machine ran in the recordings of {running} of them; in the others it was kept off throughout."


def _line(row: Row) -> str:
    verdict = "**failed**" if row.failures else "passed"
    if row.score is None:
        return f"| {row.name} | | | | | | {verdict} |"
    found = row.score
    reached = f"{found.approaches - (found.missed or 0)} / {found.approaches}" if found.approaches else "–"
    nuisance = "–" if found.nuisance is None else found.nuisance
    return f"| {row.name} | {found.frames} | {found.hands} | {found.trips} | {reached} | {nuisance} | {verdict} |"


def main() -> int:
    """Audit, and write everything."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("footage", type=folder)
    asked.add_argument("--out", type=Path, default=ROOT / "out" / "audit")
    asked.add_argument("--workers", type=int, default=2)
    options = asked.parse_args()
    plan = Options(options.out, options.workers, expects=PLAN)
    with progress_bar("audit") as progress:
        result = audit(options.footage, load(SITE), None, plan, progress)
    with progress_bar("pages") as progress:
        write_audit_pages(result, options.out, progress)
    keep(RESULTS, results(result))
    write_atomically(DRAWING, f"{drawing(result)}\n".encode())
    rewrite(PAGE, "audit", table(result))
    sys.stdout.write(f"{table(result)}\n\npages: {options.out / 'index.html'}\n")
    return int(result.fails)


if __name__ == "__main__":
    sys.exit(main())
