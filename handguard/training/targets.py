"""What a shipped model is wanted to reach on its validation set, and how near it came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Numbers = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """One number out of `evaluation.numbers`, and what it should be."""

    what: str
    wanted: float
    of: Callable[[Numbers], float | None]
    at_most: bool = False

    def row(self, numbers: Numbers) -> dict[str, Any]:
        """For the card. What could not be measured is not met."""
        reached = self.of(numbers)
        met = reached is not None and (reached <= self.wanted if self.at_most else reached >= self.wanted)
        rule = "at most" if self.at_most else "at least"
        return {"what": self.what, "wanted": f"{rule} {self.wanted:g}", "reached": reached, "met": met}


TARGETS = (
    Target("AP50 of any hand", 0.80, lambda n: n["ap50"]["any"]),
    Target("AP50 of any near hand", 0.92, lambda n: n["ap50_near"]["any"]),
    Target("AP50 of gloved hands", 0.75, lambda n: n["ap50"]["gloved_hand"]),
    Target("AP50 of near gloved hands", 0.88, lambda n: n["ap50_near"]["gloved_hand"]),
    Target(
        "recall of near hands at the operating point",
        0.97,
        lambda n: n["at_operating_point"]["recall"]["any"]["near"]["share"],
    ),
    Target(
        "false hits a hand-free picture at the operating point",
        0.1,
        lambda n: n["at_operating_point"]["false_per_hand_free_picture"],
        at_most=True,
    ),
)


def judged_targets(numbers: Numbers) -> list[dict[str, Any]]:
    """Every target with what was reached."""
    return [target.row(numbers) for target in TARGETS]


def told_targets(rows: list[dict[str, Any]]) -> str:
    """One sentence for the card's notes."""
    missed = [f"{row['what']} {row['reached']} (wanted {row['wanted']})" for row in rows if not row["met"]]
    return (
        f"Targets not met: {'; '.join(missed)}." if missed else "All targets on the validation set are met."
    )
