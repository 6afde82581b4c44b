"""docs/ablation.md, from the results of `ablation.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COLUMNS = {
    "ap50_any": "any hand",
    "ap50_any_near": "near",
    "ap50_hand_near": "bare, near",
    "ap50_gloved_hand_near": "gloved, near",
}
Found = dict[str, Any]  # one results file


def page(results: Sequence[Found]) -> str:
    """A section for each results file, the largest runs first."""
    head = (
        "# What each part of the recipe is worth\n\nShort, equal runs of PalmNet-S from scratch; AP50"
        " (class-agnostic, then by class) on validation pictures, all sizes and *near* (hands of at least 1/12 of the"
        " picture's longer side). They end long before training has converged: they say which part helps early, and"
        " parts that make pictures harder look worse here than at the end of a long run. Two seeds are a poor estimate"
        " of chance: take a difference for real only where it is several times theirs."
    )
    return "\n\n".join([head, *(_section(found) for found in results)]) + "\n"


def _section(found: Found) -> str:
    rows = {row["name"]: row for row in found["rows"]}
    base, other = rows.get("base"), rows.get("base, other seed")
    missing, command = "; ".join(found["not_finished"]), found["command"]
    file = f"benchmarks/results/ablation-{found['device']}.json"
    lines = [
        f"## {_size_of(found)}",
        "",
        "| row | what is different | " + " | ".join(COLUMNS.values()) + " | near − base |",
        "|---|---|" + "---|" * (len(COLUMNS) + 1),
        *(_line(row, base) for row in found["rows"]),
        "",
        *([_noise(base, other), ""] if base and other else []),
        *([f"Not finished: {missing}.", ""] if missing else []),
        *([found["note"], ""] if "note" in found else []),
        f"Made by `{command}` and `python benchmarks/ablation.py table SCRATCH --device {found['device']}`, from"
        f" [{file}](../{file}).",
    ]
    return "\n".join(lines)


def _size_of(found: Found) -> str:
    pictures = f"{found['steps'] * found['batch']:,} pictures a row at {found['side_px']} px"
    judged = "every" if found["every_nth_val"] == 1 else f"one in {found['every_nth_val']}"
    where = "one thread of a CPU" if found["device"] == "cpu" else _card(found["machine"])
    return f"{pictures}, batches of {found['batch']}, {where}; judged on {judged} validation picture"


def _card(machine: Found) -> str:
    cards = machine.get("cards") or [{"name": "a card"}]
    return str(cards[0]["name"])


def _line(row: Found, base: Found | None) -> str:
    cells = ["–" if row.get(key) is None else f"{row[key]:.3f}" for key in COLUMNS]
    change = "" if base is None or row is base else f"{row['ap50_any_near'] - base['ap50_any_near']:+.3f}"
    return "| " + " | ".join([row["name"], row["says"], *cells, change]) + " |"


def _noise(base: Found, other: Found) -> str:
    both = {title: key for key, title in COLUMNS.items() if None not in (base.get(key), other.get(key))}
    told = ", ".join(f"{title} {abs(base[key] - other[key]):.3f}" for title, key in both.items())
    return f"Two seeds of the base row are apart by: {told}."
