"""What a card says of how far training got."""

from __future__ import annotations

import pytest

from handguard.training.card_making import _how_far
from handguard.training.checkpoints import Checkpoint

EARLY = "early weights"


def _saved(step: int, trained_s: float | None) -> Checkpoint:
    return Checkpoint({}, {}, {}, step, trained_s=trained_s)


def test_a_run_by_steps_is_early_until_its_last_step() -> None:
    recipe = {"steps": 100, "batch_size": 2}
    assert EARLY in _how_far(_saved(99, 5.0), recipe, 10)
    assert EARLY not in _how_far(_saved(100, 5.0), recipe, 10)
    assert "100 steps of the 100 planned: 200 pictures seen, 20.0 times each" in _how_far(_saved(100, None), recipe, 10)


@pytest.mark.parametrize(("trained_s", "early"), [(3599.0, True), (3600.0, False), (None, True)])
def test_a_run_by_the_clock_is_early_until_its_time_is_up(trained_s: float | None, early: bool) -> None:
    told = _how_far(_saved(3, trained_s), {"steps": 10**6, "time_budget_s": 3600.0}, 10)
    assert (EARLY in told) is early
    assert "planned" not in told


def test_a_run_whose_steps_end_before_its_time_is_not_early() -> None:
    assert EARLY not in _how_far(_saved(8000, 60.0), {"steps": 8000, "time_budget_s": 3600.0}, 10)
