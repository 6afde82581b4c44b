"""The hard bounds: closed ranges with a reason, and nothing unreal gets through."""

from __future__ import annotations

import math

import pytest

from handguard.safety.limits import BOUNDS, within

every_bound = pytest.mark.parametrize("name", BOUNDS)


@every_bound
def test_a_bound_is_a_real_range_with_a_reason(name: str):
    bound = BOUNDS[name]
    assert 0 < bound.low < bound.high < math.inf
    assert len(bound.why) > 20


@every_bound
def test_both_ends_are_allowed(name: str):
    bound = BOUNDS[name]
    assert within(name, bound.low) == bound.low
    assert within(name, bound.high) == bound.high


@every_bound
@pytest.mark.parametrize("side", ["below", "above"])
def test_one_step_outside_is_refused(name: str, side: str):
    bound = BOUNDS[name]
    value = math.nextafter(bound.low, 0) if side == "below" else math.nextafter(bound.high, math.inf)
    with pytest.raises(ValueError, match=r"^expected "):
        within(name, value)


@every_bound
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, 0])
def test_nothing_unreal_gets_through(name: str, value: float):
    with pytest.raises(ValueError, match="found"):
        within(name, value)


def test_the_refusal_says_range_reason_and_found():
    with pytest.raises(ValueError) as refused:
        within("relay.deadline_ms", 400)
    reason = "a silent monitor must not leave the machine on for longer"
    assert str(refused.value) == f"expected 20 to 250 ({reason}), found 400"


def test_an_unknown_name_is_a_mistake_in_the_program():
    with pytest.raises(KeyError):
        within("camera.color", 1)


def test_the_numbers_themselves():
    """Whoever changes one changes it twice, and says why in the bound."""
    assert {name: (bound.low, bound.high) for name, bound in BOUNDS.items()} == {
        "camera.max_frame_age_ms": (20, 250),
        "camera.frozen_after_repeats": (1, 30),
        "camera.fps": (1, 1000),
        "detector.min_score": (0.01, 0.9),
        "detector.self_check_s": (1, 60),
        "interlock.free_frames": (3, 3000),
        "interlock.fastest_widths_per_s": (1, 50),
        "relay.deadline_ms": (20, 250),
        "relay.edm_timeout_ms": (20, 500),
        "safety.proof_test.max_response_ms": (20, 500),
        "reset.after_free_s": (0.2, 600),
    }
