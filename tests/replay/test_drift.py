"""Two back ends: decisions equal to the tick, numbers within limits that are stated."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handguard.evidence.decisions import DecisionLine, HandLine
from handguard.replay.drift import Limits, between, drift
from handguard.types import Output, State

BOX = (10.0, 20.0, 50.0, 80.0)
HAND = HandLine(BOX, 0.9, "hand")
FAR = HandLine((500.0, 20.0, 550.0, 80.0), 0.41, "hand")
LINE = DecisionLine(0, 0.0, (HAND,), {"bench": True}, State.TRIPPED, Output.OFF, "intruded: bench")
LIMITS = Limits(box_px=2.0, score=0.02)


def against(other: DecisionLine, limits: Limits = LIMITS):
    return drift([LINE, LINE], [LINE, replace(other, frame=0)], min_score=0.4, limits=limits)


def moved(by_px: float, score: float = 0.9) -> DecisionLine:
    return replace(LINE, hands=(HandLine((BOX[0] + by_px, *BOX[1:]), score, "hand"),))


def test_equal_judgments_have_no_drift() -> None:
    found = against(LINE)
    assert (found.box_px, found.score, found.lone_hands, found.other_decisions, found.fails) == (0, 0, 0, 0, False)
    assert found.words.startswith("back ends: every decision is equal; boxes differ by up to 0 px (tolerated 2)")


@pytest.mark.parametrize(("by_px", "fails"), [(2.0, False), (2.01, True)])
def test_boxes_may_differ_by_the_limit_and_not_by_more(by_px: float, fails: bool) -> None:
    found = against(moved(by_px))
    assert (found.box_px, found.fails) == (by_px, fails)


@pytest.mark.parametrize(("score", "fails"), [(0.88, False), (0.8799, True)])
def test_scores_may_differ_by_the_limit_and_not_by_more(score: float, fails: bool) -> None:
    assert against(moved(0.0, score)).fails is fails


@pytest.mark.parametrize(("score", "fails"), [(0.42, False), (0.43, True)])
def test_a_hand_that_one_finds_is_tolerated_at_the_threshold_only(score: float, fails: bool) -> None:
    found = against(replace(LINE, hands=(HAND, replace(FAR, score=score))))
    assert (found.lone_hands, found.fails, found.box_px) == (1, fails, 0)


@pytest.mark.parametrize(
    "other",
    [
        replace(LINE, state=State.RUN),
        replace(LINE, output=Output.ON),
        replace(LINE, cause="free"),
        replace(LINE, zones={"bench": False}),
        replace(LINE, hands=None),
        replace(LINE, t_ms=1.0),
    ],
)
def test_one_other_decision_fails_whatever_the_limits(other: DecisionLine) -> None:
    found = against(other, Limits(1000.0, 1.0))
    assert (found.other_decisions, found.first_other, found.fails) == (1, 0, True)
    assert "decide otherwise in 1 frames, first in frame 0" in found.words


def test_hands_are_paired_by_place_and_not_by_order() -> None:
    two = replace(LINE, hands=(HAND, FAR))
    swapped = replace(LINE, hands=(FAR, HAND))
    found = drift([two], [swapped], min_score=0.4, limits=LIMITS)
    assert (found.box_px, found.score, found.lone_hands) == (0, 0, 0)


@pytest.mark.parametrize("limits", [{"box_px": -1.0}, {"score": float("nan")}, {"box_px": float("inf")}])
def test_limits_that_limit_nothing_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected a finite number"):
        Limits(**limits)


def test_only_settings_that_differ_in_nothing_else_are_two_back_ends(settings_from) -> None:
    plain = "version: 1\ncamera: {source: simulated}\nzones: {orientation: top-bottom, warning_percent: 80,"
    plain += " stop_percent: 40}\nrelay: {driver: simulated}\nreset: {input: simulated}\n"
    a = settings_from(plain + "detector: {min_score: 0.4}\n")
    b = settings_from(plain + "detector: {min_score: 0.4, backend: torch-cpu, precision: float32}\n")
    c = settings_from(plain + "detector: {min_score: 0.5, backend: torch-cpu, precision: float32}\n")
    assert between(a, b, [LINE], [LINE], LIMITS) is not None
    assert between(a, a, [LINE], [LINE], LIMITS) is None
    assert between(a, c, [LINE], [LINE], LIMITS) is None
