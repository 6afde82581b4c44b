"""Hard bounds on every safety number: a configuration may tighten them, never loosen.

Each bound says where its number comes from. `within` is the only way to ask.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """A closed range and its reason."""

    low: float
    high: float
    why: str


BOUNDS: dict[str, Bound] = {
    "camera.max_frame_age_ms": Bound(20, 250, "a hand at 2 m/s (ISO 13855) moves 500 mm in 250 ms"),
    "camera.frozen_after_repeats": Bound(1, 30, "a second of repeats at 30 frames/s is a frozen camera"),
    "camera.fps": Bound(1, 1000, "slower than one frame a second guards nothing"),
    "detector.min_score": Bound(0.01, 0.9, "above 0.9 a detector is silent rather than sure"),
    "detector.self_check_s": Bound(1, 60, "a detector gone wrong must not go unnoticed for more than a minute"),
    "interlock.free_frames": Bound(3, 3000, "one free frame may be a missed hand"),
    "interlock.fastest_widths_per_s": Bound(1, 50, "a hand crosses the picture at least this fast"),
    "relay.deadline_ms": Bound(20, 250, "a silent monitor must not leave the machine on for longer"),
    "relay.edm_timeout_ms": Bound(20, 500, "a contactor drops in 20 to 60 ms; 500 ms means welded"),
    "safety.proof_test.max_response_ms": Bound(20, 500, "a hand at 2 m/s (ISO 13855) moves 1 m in 500 ms"),
    "reset.after_free_s": Bound(0.2, 600, "a reset that follows at once is no reset"),
}


def within(name: str, value: float) -> float:
    """The value, if the bound of that name allows it; else `ValueError` with range and reason."""
    bound = BOUNDS[name]
    if not bound.low <= value <= bound.high:  # which no NaN is
        raise ValueError(f"expected {bound.low:g} to {bound.high:g} ({bound.why}), found {value:g}")
    return value
