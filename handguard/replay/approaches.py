"""Approaches: was every reach for the machine warned of and stopped, and nothing else?

Approaches come from truth files (`evidence.truth`). A stop outside of them, and of a few
frames around them, is a nuisance: one that teaches people to switch us off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from handguard.evidence.decisions import DecisionLine
from handguard.evidence.truth import MARGIN_FRAMES, Approach, read_approaches
from handguard.types import Output

__all__ = ["MARGIN_FRAMES", "Answer", "Approach", "Report", "judge_approaches", "read_approaches"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the monitor made of one approach."""

    approach: Approach
    warned_frame: int | None  # first with any zone intruded
    stopped_frame: int | None  # first with a stop zone intruded: the output is off from there on
    tripped_frame: int | None  # first that turned the output off; None too if it was off already

    @property
    def missed(self) -> bool:
        """True if no frame of it would have stopped the machine."""
        return self.stopped_frame is None


@dataclass(frozen=True, slots=True)
class Report:
    """Every approach's answer, and what happened where nobody reached."""

    answers: tuple[Answer, ...]
    nuisance_frames: tuple[int, ...]  # outside of every approach: stop zone intruded, or output turned off
    free_frames: int  # judged, outside of every approach

    @property
    def missed(self) -> tuple[Approach, ...]:
        """The approaches that nothing stopped."""
        return tuple(answer.approach for answer in self.answers if answer.missed)


def judge_approaches(
    approaches: Sequence[Approach], lines: Iterable[DecisionLine], margin_frames: int = MARGIN_FRAMES
) -> Report:
    """Hold decisions, in order, against the truth."""
    seen = _seen(lines)
    outside = [each for each in seen if not any(a.holds(each.frame, margin_frames) for a in approaches)]
    return Report(
        answers=tuple(_answer(approach, seen, margin_frames) for approach in approaches),
        nuisance_frames=tuple(each.frame for each in outside if each.stopped or each.tripped),
        free_frames=len(outside),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one line says, as far as it matters here."""

    frame: int
    warned: bool
    stopped: bool
    tripped: bool


def _seen(lines: Iterable[DecisionLine]) -> list[_Seen]:
    seen, before = [], Output.OFF
    for line in lines:
        stopped = line.cause.startswith("intruded")
        tripped = before is Output.ON and line.output is Output.OFF
        seen.append(_Seen(line.frame, any(line.zones.values()), stopped, tripped))
        before = line.output
    return seen


def _answer(approach: Approach, seen: Sequence[_Seen], margin_frames: int) -> Answer:
    during = [each for each in seen if approach.holds(each.frame, margin_frames)]
    return Answer(
        approach=approach,
        warned_frame=next((each.frame for each in during if each.warned), None),
        stopped_frame=next((each.frame for each in during if each.stopped), None),
        tripped_frame=next((each.frame for each in during if each.tripped), None),
    )
