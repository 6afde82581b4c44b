"""How far away the danger must be: the separation distance of ISO 13855.

    S = K · T + C

K is the approach speed of a hand, T the overall time from the hand's entering
to the machine's standstill, C what a hand can intrude before it is seen.
All of this is arithmetic on worst cases; means have no place here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HAND_SPEED_MM_S = 2000.0  # ISO 13855, upper limbs
WALKING_SPEED_MM_S = 1600.0  # ISO 13855, allowed for K where S comes out above 500 mm
NEAR_MM = 500.0
LEAST_MM = 100.0  # ISO 13855:2010, 6.2.3.1


@dataclass(frozen=True, slots=True)
class ResponseTime:
    """Worst-case times that follow one another, in seconds; each finite and not negative."""

    vision_s: float  # exposure, one missed frame, transfer, detection, decision
    output_s: float  # wire, board, relay, contactor
    stopping_s: float  # the machine's own run-down

    def __post_init__(self) -> None:
        for name in ("vision_s", "output_s", "stopping_s"):
            _refuse_unreal(name, getattr(self, name))

    @property
    def total_s(self) -> float:
        return self.vision_s + self.output_s + self.stopping_s


def _refuse_unreal(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}: expected a finite number of at least 0, found {value}")


def separation_mm(total_s: float, intrusion_mm: float) -> float:
    """S for a hand that approaches a danger point, at the full hand speed (the cautious form for vision).

    Raises `ValueError` for a number that is negative or not finite.
    """
    _refuse_unreal("total_s", total_s)
    _refuse_unreal("intrusion_mm", intrusion_mm)
    return max(HAND_SPEED_MM_S * total_s + intrusion_mm, LEAST_MM)


def separation_light_curtain_mm(total_s: float, resolution_mm: float) -> float:
    """S for an orthogonal field that resolves up to 40 mm (ISO 13855:2010, 6.2.3.1); for comparison.

    Raises `ValueError` outside that range of resolution, and for a time that is negative or not finite.
    """
    _refuse_unreal("total_s", total_s)
    if not 14 <= resolution_mm <= 40:
        raise ValueError(f"resolution_mm: expected 14 to 40, found {resolution_mm:g}")
    intrusion_mm = 8 * (resolution_mm - 14)
    near = HAND_SPEED_MM_S * total_s + intrusion_mm
    if near <= NEAR_MM:
        return max(near, LEAST_MM)
    return max(WALKING_SPEED_MM_S * total_s + intrusion_mm, NEAR_MM)


def longest_response_s(separation: float, intrusion_mm: float) -> float:
    """The whole time available when the danger is `separation` mm away; not above 0 when none is left.

    Raises `ValueError` for a number that is negative or not finite.
    """
    _refuse_unreal("separation", separation)
    _refuse_unreal("intrusion_mm", intrusion_mm)
    return (separation - intrusion_mm) / HAND_SPEED_MM_S
