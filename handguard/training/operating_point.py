"""The score from which a detection counts, chosen from pictures that were not trained on.

Two wishes pull at it. A machine must stop for a hand, so the score may be no
higher than the one that finds the wanted share of near hands. And it must not stop
for nothing, or people will bypass it, so hand-free pictures may show only so many
false hits. Where both can be had, the first decides; where they cannot, the second
does, and the card says plainly that the wanted share is not reached. Where even the
highest score that can be set shows too many, the card says that.

Where recordings without a hand are at hand, no score given on any of their frames may
count, whatever else is wished: thousands of frames of the place itself know more about
nuisance than hundreds of pictures from elsewhere.

Pictures of one site often show a hand each. Then the hand-free pictures of the
earlier training hold the false hits down, where they are at hand: false hits among
hands are mostly doubtful boxes of real ones, and a score that avoids them misses hands.
Where neither is at hand but recordings are, false hits are counted on these alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handguard.errors import DatasetError, mismatch
from handguard.training.measures import (
    GROUPS,
    Answer,
    against_truth,
    false_per_picture,
    hand_free,
    share_found,
)
from handguard.training.metrics import Curve, curve

LOWEST, HIGHEST = 0.01, 0.9999  # that can be set
DIGITS = 4  # of a score in a card


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked of the operating point."""

    recall_near: float = 0.97
    false_per_hand_free: float = 0.1
    empty: tuple[Path, ...] = ()  # recordings without a hand: the score lies above all that is seen there

    def __post_init__(self) -> None:
        if not (0 < self.recall_near <= 1 and self.false_per_hand_free >= 0):
            raise ValueError(f"a share up to 1 and a number from 0 are needed, got {self}")


@dataclass(frozen=True, slots=True)
class Empty:
    """What was seen, at most, on recordings in which no hand is."""

    frames: int
    highest: float  # score; 0 if nothing was reported at all


@dataclass(frozen=True, slots=True)
class Chosen:
    """The score, whether both wishes are fulfilled there, and how it came about, in words."""

    min_score: float
    fulfilled: bool
    words: str


def choose(
    answers: Sequence[Answer],
    wishes: Wishes | None = None,
    elsewhere: Sequence[Answer] = (),
    empty: Empty | None = None,
) -> Chosen:
    """Choose for these pictures; without a hand-free one among them, those from `elsewhere` count false hits.

    `empty` recordings put the score above all that was seen on them; without any hand-free picture, they alone count.
    Raises `DatasetError` when no near hand is among `answers`.
    """
    wishes = wishes or Wishes()
    near = curve(against_truth(answers), min_side=GROUPS["near"])
    if near.wanted == 0:
        raise DatasetError(mismatch("validation set", "at least one near hand", "none"))
    quiet = _quiet_of(answers, elsewhere)
    above = _rounded(np.float32(empty.highest), up=True) if empty else LOWEST
    recordings_alone = empty is not None and not quiet.is_free
    at_most = wishes.false_per_hand_free * len(quiet.answers)
    for_recall = _score_for_recall(near, wishes.recall_near)
    for_quiet = above if recordings_alone else _score_for_quiet(curve(against_truth(quiet.answers)), at_most)
    fulfilled = for_recall is not None and for_recall >= for_quiet
    wanted = for_recall if fulfilled and for_recall is not None else for_quiet
    rule = _rule(wishes, quiet, fulfilled, reached=wanted <= HIGHEST)
    if empty is not None and (above > wanted or (recordings_alone and not fulfilled)):
        wanted, fulfilled = above, False
        rule = _rule_of_empty(empty, reached=wanted <= HIGHEST)
    score = min(wanted, HIGHEST)
    return Chosen(score, fulfilled, _words(answers, quiet, near, score, rule))


@dataclass(frozen=True, slots=True, eq=False)
class _Quiet:
    """The pictures on which false hits are counted, and what one of them is called."""

    answers: list[Answer]
    called: str
    is_free: bool = True  # of hands


def _quiet_of(answers: Sequence[Answer], elsewhere: Sequence[Answer]) -> _Quiet:
    if free := hand_free(answers):
        return _Quiet(free, "hand-free picture")
    if free := hand_free(elsewhere):
        return _Quiet(free, "hand-free picture of the old folder")
    return _Quiet(list(answers), "picture", is_free=False)


def quiet_score(answers: Sequence[Answer], false_per_hand_free: float) -> float | None:
    """The lowest score with at most so many false hits a hand-free picture; None without such pictures."""
    quiet = hand_free(answers)
    return _score_for_quiet(curve(against_truth(quiet)), false_per_hand_free * len(quiet)) if quiet else None


def _score_for_recall(near: Curve, share: float) -> float | None:
    """The highest score that can be set at which the share is found; None if it is found at no score."""
    needed = math.ceil(share * near.wanted - 1e-9)
    found = near.scores[near.right]
    return None if len(found) < needed else min(_rounded(found[needed - 1], up=False), HIGHEST)


def _score_for_quiet(quiet: Curve, at_most: float) -> float:
    """The lowest score with at most so many false hits; over `HIGHEST` where no score that can be set will do."""
    wrong = quiet.scores[~quiet.right]
    first_too_many = math.floor(at_most + 1e-9)
    if len(wrong) <= first_too_many:
        return LOWEST
    return _rounded(wrong[first_too_many], up=True)


def _rounded(score: np.float32, *, up: bool) -> float:
    """To four digits: just above the score, or not above it, as float32 compares them in operation."""
    near = round(float(score), DIGITS)
    above = bool(np.float32(near) > score)
    if up and not above:
        near += 10**-DIGITS
    elif not up and above:
        near -= 10**-DIGITS
    return round(max(near, LOWEST), DIGITS)


def _rule(wishes: Wishes, quiet: _Quiet, fulfilled: bool, *, reached: bool) -> str:
    wish = f"{100 * wishes.recall_near:.0f} % of near hands (longer side at least 1/12 of the picture's)"
    if fulfilled:
        return f"the highest score that finds {wish}"
    if not reached:
        return (
            f"the highest score that can be set, at which there are still more than "
            f"{wishes.false_per_hand_free:g} false hits a {quiet.called}"
        )
    return (
        f"the lowest score with at most {wishes.false_per_hand_free:g} false hits a {quiet.called}, "
        f"because {wish} cannot be found at that price"
    )


def _rule_of_empty(empty: Empty, *, reached: bool) -> str:
    frames = f"{empty.frames:,} recorded frames without a hand"
    if reached:
        return f"just above every score given on {frames}"
    return f"the highest score that can be set, NOT above every score given on {frames} (up to {empty.highest:.6f})"


def _words(answers: Sequence[Answer], quiet: _Quiet, near: Curve, score: float, rule: str) -> str:
    share = share_found(near, score).told()
    low, high = (100 * v for v in share["interval_95"])
    reached = f"{100 * share['share']:.1f} % (95 % interval {low:.1f} to {high:.1f} %)"
    cost = f"{false_per_picture(answers, score):.2f} false hits a picture"
    if quiet.is_free:
        cost += f", {false_per_picture(quiet.answers, score):.2f} a {quiet.called}"
    return f"{rule}. On {len(answers)} validation pictures: {reached} of near hands found, {cost}."
