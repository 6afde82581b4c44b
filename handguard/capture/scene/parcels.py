"""What is fed: a carton, a bundle of paper, a crumpled film bag, a bottle."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene import texture
from handguard.capture.scene.canvas import Canvas
from handguard.capture.scene.cutout import Cutout, cut_out
from handguard.capture.scene.light import linear, to_picture

Floats = NDArray[np.float32]

_SIDE_MM = 190.0


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """A thing to feed and its extent along the belt, in mm."""

    name: str
    cutout: Cutout
    length_mm: float


def _blank(px_per_mm: float) -> Canvas:
    side = round(_SIDE_MM * px_per_mm)
    return Canvas((side, side), px_per_mm)


def _finish(name: str, c: Canvas, share: Floats, length_mm: float) -> Parcel:
    color = to_picture(c.lit(c.lighting())).astype(np.float32)
    alpha = cv2.GaussianBlur(share, (0, 0), 0.6)
    pixels = np.dstack([color * alpha[..., None], alpha * 255.0])
    middle = c.shape[0] / 2
    return Parcel(
        name,
        cut_out(np.clip(pixels + 0.5, 0, 255).astype(np.uint8), c.px_per_mm, (middle, middle), 6.0),
        length_mm,
    )


def carton(rng: np.random.Generator, px_per_mm: float) -> Parcel:
    """Taped cardboard box with a label; its near side shows a little."""
    c, (w, d) = _blank(px_per_mm), (62.0, 46.0)
    u, v = c.turned(95, 95, rng.normal(0, 0.05))
    share = texture.between(-0.5, 0.5, np.minimum(w - np.abs(u), d - np.abs(v)))
    side = texture.between(d - 13.0, d - 12.0, v)
    kraft = np.array(linear(184, 142, 98), np.float32)
    fibres = 1 + 0.06 * texture.fractal(rng, c.shape, (40, 40), 4) + 0.03 * texture.speckle(rng, c.shape, 0.6)
    dents = 0.9 * texture.fractal(rng, c.shape, (30 * px_per_mm, 30 * px_per_mm), 2)
    c.lay(share, kraft * fibres[..., None], 40.0 + dents - side * (v - d + 13.0) * 2.6, 0.02)
    c.lay(share * np.exp(-(((v + 5.0) / 0.7) ** 2)) * (1 - side) * 0.8, linear(58, 42, 28))
    tape = texture.between(-0.3, 0.3, 9.0 - np.abs(v + 5.0)) * share * (1 - side)
    c.lay(tape * 0.7, linear(196, 164, 116), None, 0.22)
    label = texture.between(-0.3, 0.3, np.minimum(17 - np.abs(u - 34), 9 - np.abs(v - 18))) * share
    c.lay(label, linear(232, 232, 228))
    bars = label * (np.sin(u * 3.1) + np.sin(u * 7.7) > 0.2) * (np.abs(v - 20) < 4.5) * (np.abs(u - 34) < 14)
    c.lay(bars * 0.85, linear(30, 30, 32))
    return _finish("carton", c, share, 2 * d)


def papers(rng: np.random.Generator, px_per_mm: float) -> Parcel:
    """Sheets of paper, not quite in line, under two bands of string."""
    c, total = _blank(px_per_mm), np.zeros((round(_SIDE_MM * px_per_mm),) * 2, np.float32)
    for level in range(9):
        u, v = c.turned(95 + rng.normal(0, 1.6), 95 + rng.normal(0, 1.6), rng.normal(0, 0.05))
        sheet = texture.between(-0.4, 0.4, np.minimum(50 - np.abs(u), 64 - np.abs(v)))
        tint = np.array(linear(*(int(x) for x in rng.normal((228, 226, 216), 6))), np.float32)
        c.lay(
            sheet,
            tint * (1 + 0.02 * texture.fractal(rng, c.shape, (60, 60), 3))[..., None],
            6.0 + 1.7 * level,
        )
        total = np.maximum(total, sheet)
    lines = (np.mod(v, 5.0) < 1.6) * (np.abs(u) < 36 + 6 * np.sin(np.floor(v / 5.0) * 2.3)) * (np.abs(v) < 52)
    c.lay(lines * sheet * 0.45 * (texture.smooth(rng, c.shape, (3, 40)) > -0.6), linear(70, 70, 80))
    string = np.maximum(np.exp(-(((u - 4) / 1.0) ** 2)), np.exp(-(((v - 9) / 1.0) ** 2))) * total
    c.lay(string, linear(150, 116, 70), 23.0)
    return _finish("papers", c, total, 128.0)


def film_bag(rng: np.random.Generator, px_per_mm: float) -> Parcel:
    """Crumpled plastic bag, printed, shining on its folds."""
    c = _blank(px_per_mm)
    u, v = c.turned(95, 95, rng.normal(0, 0.2))
    ragged = 5.0 * texture.fractal(rng, c.shape, (24 * px_per_mm, 24 * px_per_mm), 3)
    inside = 1.0 - (np.abs(u / (58 + ragged)) ** 3 + np.abs(v / (52 + ragged)) ** 3)
    share = texture.between(-0.03, 0.03, inside)
    grain = (26 * px_per_mm, 20 * px_per_mm)
    folds = texture.ridged(rng, c.shape, grain, 2) + 0.5 * texture.ridged(
        rng, c.shape, (12 * px_per_mm, 9 * px_per_mm), 2
    )
    c.lay(share, linear(206, 214, 220), 6.0 + 26.0 * np.clip(inside, 0, 1) ** 0.5 + 6.5 * folds, 0.7)
    print_ = share * (np.abs(v + 2.5 * folds) < 17) * (np.abs(u) < 46)
    c.lay(print_.astype(np.float32) * 0.85, linear(28, 120, 84))
    c.lay(
        (print_ * (np.abs(v + 2.5 * folds) < 5) * (np.sin(u * 0.55) > -0.3)).astype(np.float32),
        linear(236, 232, 210),
    )
    return _finish("film bag", c, share, 108.0)


def bottle(rng: np.random.Generator, px_per_mm: float) -> Parcel:
    """PET bottle lying across the belt: clear blue, ribbed, with cap and label."""
    c = _blank(px_per_mm)
    u, v = c.turned(95, 95, rng.normal(0, 0.10))
    radius = 30.0 - 17.0 * texture.between(38.0, 66.0, u) - 1.2 * np.cos(u * 0.7) ** 8 * (u < 30)
    share = texture.between(-0.4, 0.4, np.minimum(radius - np.abs(v), np.minimum(u + 82, 84 - u)))
    lift = np.sqrt(np.clip(1.0 - (v / radius) ** 2, 0, 1)) * radius
    dents = 1.6 * texture.fractal(rng, c.shape, (26 * px_per_mm, 18 * px_per_mm), 2)
    edge = np.abs(v) / radius
    tint = np.array(linear(150, 186, 204), np.float32) * (0.62 + 0.5 * (1 - edge) + 0.08 * dents)[..., None]
    c.lay(share, tint, 4.0 + lift + dents, 1.1)
    label = share * texture.between(-0.3, 0.3, 26 - np.abs(u + 18))
    c.lay(label, linear(36, 78, 158), None, 0.35)
    c.lay(label * (np.abs(v - 3) < 7) * (np.sin(u * 0.5) > -0.2), linear(236, 236, 236))
    cap = share * texture.between(68.0, 68.8, u)
    c.lay(cap, linear(24, 70, 170), lift + 7.0 + 0.5 * np.sin(v * 3.0), 0.3)
    return _finish("bottle", c, share, 60.0)


def all_parcels(seed: int, px_per_mm: float) -> tuple[Parcel, ...]:
    """One of each kind."""
    rng = np.random.default_rng([seed, 31])
    return tuple(make(rng, px_per_mm) for make in (carton, papers, film_bag, bottle))
