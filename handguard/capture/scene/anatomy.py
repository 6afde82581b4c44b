"""A hand as chains of capsules, in millimetres.

The frame is that of a right hand lying back-up on a table: the wrist is the
origin, x runs to the little finger, y to the fingertips, z up to the camera.
A `Grip` bends the fingers; everything else is bone lengths and girths of an
adult (rounded means of published hand surveys). A capsule whose two ends
differ in radius is a phalanx; chains of them are blended later by `relief`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_DEG = np.pi / 180.0


@dataclass(frozen=True, slots=True)
class Capsule:
    """A rounded cone between two points; radii and points in mm."""

    start_mm: tuple[float, float, float]
    end_mm: tuple[float, float, float]
    start_radius_mm: float
    end_radius_mm: float


@dataclass(frozen=True, slots=True)
class Chain:
    """Capsules that belong together and blend softly along their length."""

    name: str
    capsules: tuple[Capsule, ...]
    blend_mm: float

    @property
    def tip_mm(self) -> tuple[float, float, float]:
        """Centre of the last capsule's far end."""
        return self.capsules[-1].end_mm


@dataclass(frozen=True, slots=True)
class Grip:
    """How far the hand is closed: 0 lies flat and spread, 1 holds a parcel."""

    name: str
    closed: float


OPEN = Grip("open", 0.0)
LOOSE = Grip("loose", 0.5)
HOLDING = Grip("holding", 1.0)


@dataclass(frozen=True, slots=True)
class _Finger:
    """Knuckle position, bone lengths and girth of one finger, with its two extreme bends."""

    name: str
    knuckle_mm: tuple[float, float, float]
    bones_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float, float]
    splay_deg: tuple[float, float]  # open, holding
    bend_deg: tuple[tuple[float, float, float], tuple[float, float, float]]  # open, holding


_FINGERS = (
    _Finger(
        "index",
        (-27.0, 86.0, 3.0),
        (43.0, 26.0, 18.0),
        (12.4, 10.8, 9.9, 8.4),
        (-9.0, -5.0),
        ((6.0, 9.0, 6.0), (14.0, 26.0, 18.0)),
    ),
    _Finger(
        "middle",
        (-5.0, 91.0, 5.0),
        (47.0, 30.0, 19.0),
        (12.6, 11.0, 10.1, 8.6),
        (-1.5, -1.0),
        ((8.0, 10.0, 7.0), (17.0, 28.0, 19.0)),
    ),
    _Finger(
        "ring",
        (16.0, 86.0, 3.0),
        (43.0, 28.0, 19.0),
        (12.0, 10.3, 9.5, 8.1),
        (6.0, 3.0),
        ((9.0, 12.0, 8.0), (19.0, 30.0, 20.0)),
    ),
    _Finger(
        "little",
        (33.0, 75.0, -1.0),
        (34.0, 21.0, 17.0),
        (11.0, 9.2, 8.4, 7.2),
        (16.0, 9.0),
        ((10.0, 13.0, 8.0), (22.0, 30.0, 20.0)),
    ),
)


def _between(pair: tuple[float, float], share: float) -> float:
    return pair[0] + (pair[1] - pair[0]) * share


def _step(at: Floats, length_mm: float, splay_deg: float, pitch_deg: float) -> Floats:
    """The next joint: `length_mm` on, turned by `splay_deg` sideways and `pitch_deg` down."""
    splay, pitch = splay_deg * _DEG, pitch_deg * _DEG
    forward = (np.sin(splay) * np.cos(pitch), np.cos(splay) * np.cos(pitch), -np.sin(pitch))
    return at + np.float32(length_mm) * np.array(forward, np.float32)


def _point(values: Floats) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _finger_chain(finger: _Finger, grip: Grip) -> Chain:
    at = np.array(finger.knuckle_mm, np.float32)
    splay = _between(finger.splay_deg, grip.closed)
    pitch, capsules = 0.0, []
    for bone, length_mm in enumerate(finger.bones_mm):
        pitch += _between((finger.bend_deg[0][bone], finger.bend_deg[1][bone]), grip.closed)
        nxt = _step(at, length_mm, splay, pitch)
        capsules.append(Capsule(_point(at), _point(nxt), finger.radii_mm[bone], finger.radii_mm[bone + 1]))
        at = nxt
    return Chain(finger.name, tuple(capsules), 2.5)


def _thumb_chain(grip: Grip) -> Chain:
    root = np.array((-22.0, 22.0, -10.0), np.float32)
    splay = _between((-41.0, -33.0), grip.closed)
    middle = _step(root, 46.0, splay, _between((-2.0, 6.0), grip.closed))
    last = _step(middle, 33.0, splay + _between((8.0, 20.0), grip.closed), _between((2.0, 12.0), grip.closed))
    tip = _step(last, 23.0, splay + _between((16.0, 34.0), grip.closed), _between((2.0, 14.0), grip.closed))
    points, radii = (root, middle, last, tip), (18.0, 14.0, 12.2, 9.8)
    capsules = tuple(
        Capsule(_point(points[i]), _point(points[i + 1]), radii[i], radii[i + 1]) for i in range(3)
    )
    return Chain("thumb", capsules, 4.0)


def _palm_chain() -> Chain:
    """Metacarpals fan out from the wrist; the edges of the palm are two flesh pads."""
    roots = ((-14.0, 8.0, 0.0), (-4.0, 6.0, 2.0), (6.0, 6.0, 2.0), (15.0, 8.0, -1.0))
    bones = tuple(
        Capsule(root, finger.knuckle_mm, 14.5, finger.radii_mm[0] + 0.8)
        for root, finger in zip(roots, _FINGERS, strict=True)
    )
    pads = (
        Capsule((22.0, 12.0, -8.0), (33.0, 62.0, -8.0), 13.5, 10.5),
        Capsule((-20.0, 24.0, -9.0), (-27.0, 78.0, -6.0), 14.0, 10.0),
        Capsule((0.0, 16.0, -8.0), (2.0, 78.0, -6.0), 16.0, 15.0),
    )
    return Chain("palm", bones + pads, 11.0)


def _arm_chain(name: str, start_y_mm: float, end_y_mm: float, girth_mm: tuple[float, float]) -> Chain:
    """Forearm or sleeve: three parallel capsules give the flat oval of a wrist."""
    offsets = ((-0.42, -0.1), (0.0, 0.0), (0.42, -0.1))
    capsules = tuple(
        Capsule(
            (girth_mm[0] * dx, start_y_mm, girth_mm[0] * dz - 2.0),
            (girth_mm[1] * dx, end_y_mm, girth_mm[1] * dz - 2.0),
            girth_mm[0] * 0.66,
            girth_mm[1] * 0.74,
        )
        for dx, dz in offsets
    )
    return Chain(name, capsules, 12.0)


FINGERS = ("thumb", "index", "middle", "ring", "little")
SLEEVE_FROM_Y_MM = -92.0
ARM_END_Y_MM = -520.0


def hand(grip: Grip) -> tuple[Chain, ...]:
    """Thumb and fingers first (in the order of `FINGERS`), then palm, forearm, sleeve."""
    fingers = tuple(_finger_chain(finger, grip) for finger in _FINGERS)
    forearm = _arm_chain("forearm", 4.0, -220.0, (26.0, 42.0))
    sleeve = _arm_chain("sleeve", SLEEVE_FROM_Y_MM + 20.0, ARM_END_Y_MM, (42.0, 66.0))
    return (_thumb_chain(grip), *fingers, _palm_chain(), forearm, sleeve)
