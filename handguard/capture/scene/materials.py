"""From relief to picture: an arm painted, lit once, and cut out.

`dressed` joins skin, glove and sleeve, lights them with the stage's lamp and
returns a `Sprite` that the camera only has to move about.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene import texture
from handguard.capture.scene.anatomy import SLEEVE_FROM_Y_MM
from handguard.capture.scene.cloth import sleeve
from handguard.capture.scene.cutout import Cutout, cut_out
from handguard.capture.scene.gloves import pull_on
from handguard.capture.scene.light import Color, gloss, light, shaded, to_picture
from handguard.capture.scene.looks import Cover, Look
from handguard.capture.scene.relief import FOREARM, NOTHING, SLEEVE, Relief
from handguard.capture.scene.skin import skin
from handguard.capture.scene.surface import Surface
from handguard.types import HandClass

Floats = NDArray[np.float32]

_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_CUFF_MM = 14.0  # cloth and skin are both painted this far around the sleeve's edge


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A lit arm, ready to be placed.

    `hull_mm` (K, 2) is the convex outline of the hand itself (to the wrist or
    cuff) in millimetres of the hand frame, x right and y to the fingertips;
    `tip_mm` is its foremost point.
    """

    cutout: Cutout
    hull_mm: NDArray[np.float64]
    tip_mm: tuple[float, float]
    label: HandClass


def _painted(rng: np.random.Generator, relief: Relief, look: Look) -> Surface:
    """Skin and glove down to the cuff, cloth below it."""
    y_mm = relief.y_mm()
    ends, begins = (int(np.searchsorted(-y_mm, -(SLEEVE_FROM_Y_MM + side * _CUFF_MM))) for side in (-1, 1))
    hand_rows, cloth_rows = relief.rows(0, ends), relief.rows(begins, len(y_mm))
    hand = skin(rng, hand_rows, look.skin)
    pull_on(rng, hand_rows, look, hand)
    cloth = sleeve(rng, cloth_rows, look.sleeve)
    wearing = cloth_rows.part == SLEEVE
    joined = {}
    for name in ("albedo", "bump_mm", "gloss", "sharpness"):
        upper, lower = getattr(hand, name), getattr(cloth, name)
        overlap = ends - begins
        mask = wearing[:overlap, :, None] if upper.ndim == 3 else wearing[:overlap]
        seam = np.where(mask, lower[:overlap], upper[begins:])
        joined[name] = np.concatenate([upper[:begins], seam, lower[overlap:]]).astype(np.float32)
    return Surface(**joined)


def _solid_height(relief: Relief, bump_mm: Floats) -> Floats:
    """Height in pixels with the bump on it; the empty surroundings lie well below."""
    empty = relief.part == NOTHING
    ground_mm = np.float32(min(-26.0, float(relief.height_mm[~empty].min()) - 2.0))
    solid = np.where(empty, ground_mm, relief.height_mm)
    fine = _blurred_inside(solid, ~empty, max(1.0, 0.9 * relief.px_per_mm))
    broad = _blurred_inside(solid, ~empty, 4.0 * relief.px_per_mm)
    arm = texture.between(4.0, 40.0, 44.0 - relief.y_mm())[:, None] * (relief.part <= FOREARM)
    soft = fine + (broad - fine) * arm
    return (np.where(empty, solid, soft + bump_mm) * relief.px_per_mm).astype(np.float32)


def _blurred_inside(field: Floats, inside: NDArray[np.bool_], sigma_px: float) -> Floats:
    """Gaussian blur that takes nothing from beyond the outline."""
    weight = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), sigma_px)
    total = cv2.GaussianBlur(np.where(inside, field, np.float32(0.0)), (0, 0), sigma_px)
    return np.asarray(total / np.maximum(weight, np.float32(1e-3)), np.float32)


def _bled(color: Floats, solid: Floats, sigmas_px: Color) -> Floats:
    """Light that wanders under the skin: each channel blurred by its own reach, kept inside `solid`."""
    result = np.empty_like(color)
    for channel, sigma in enumerate(sigmas_px):
        weight = cv2.GaussianBlur(solid, (0, 0), sigma) + np.float32(1e-4)
        result[..., channel] = cv2.GaussianBlur(color[..., channel] * solid, (0, 0), sigma) / weight
    return result


def _lit_color(relief: Relief, surface: Surface, lamp: tuple[float, float, float]) -> Floats:
    scale = relief.px_per_mm
    height_px = _solid_height(relief, surface.bump_mm)
    lighting = light(height_px, int(46 * scale), (2.5 * scale, 6.0 * scale, 16.0 * scale), lamp)
    solid = (relief.part != NOTHING).astype(np.float32)
    matte = shaded(surface.albedo, lighting, (0.10, 0.14, 0.30))
    soft = _bled(matte, solid, (0.55 * scale, 0.8 * scale, 1.9 * scale))
    skin = (surface.gloss > 0.08) & (surface.gloss < 0.3)
    color = np.where(skin[..., None], 0.45 * matte + 0.55 * soft, matte)
    rim = (1.0 - lighting.normal[..., 2]) ** 2 * lighting.open_sky
    shine = gloss(lighting, 1.0, lamp) ** surface.sharpness * surface.gloss * 2.2 + rim * surface.gloss * 0.35
    return color + shine[..., None]


def dressed(relief: Relief, look: Look, seed: int, lamp: tuple[float, float, float]) -> Sprite:
    """Paint and light one arm; about 0.2 s. `lamp` is given so that a mirrored hand can be lit rightly."""
    rng = np.random.default_rng(seed)
    surface = _painted(rng, relief, look)
    color = _lit_color(relief, surface, lamp)
    solid = (relief.part != NOTHING).astype(np.float32)
    color = np.where(solid[..., None] > 0, color, _bled(color, solid, (0.8, 0.8, 0.8)))
    alpha = np.clip(1.0 - relief.clearance_mm * relief.px_per_mm * 0.8, 0.0, 1.0)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 0.6)
    pixels = _rumpled(rng, np.dstack([to_picture(color) * alpha[..., None], alpha * 255.0]), relief)
    hull = _hand_hull(relief, look)
    tip = hull[np.argmax(hull[:, 1])]
    wrist_px = (-float(relief.x_mm()[0]) * relief.px_per_mm, float(relief.y_mm()[0]) * relief.px_per_mm)
    cutout = cut_out(np.clip(pixels + 0.5, 0, 255).astype(np.uint8), relief.px_per_mm, wrist_px, 9.0)
    return Sprite(cutout, hull, (float(tip[0]), float(tip[1])), look.label)


def _rumpled(rng: np.random.Generator, pixels: Floats, relief: Relief) -> Floats:
    """Shift the sleeve's rows sideways a little, so that its outline is cloth and not a cone."""
    height_px, width_px = relief.part.shape
    scale = relief.px_per_mm
    loose = texture.between(0.0, 60.0, SLEEVE_FROM_Y_MM - 4.0 - relief.y_mm())[:, None]
    sway = texture.fractal(rng, (height_px, width_px), (70 * scale, 26 * scale), 2) * np.float32(3.2 * scale)
    x, y = np.meshgrid(np.arange(width_px, dtype=np.float32), np.arange(height_px, dtype=np.float32))
    return np.asarray(cv2.remap(pixels.astype(np.float32), x + sway * loose, y, cv2.INTER_LINEAR), np.float32)


def _hand_hull(relief: Relief, look: Look) -> NDArray[np.float64]:
    """Convex outline of the hand to the wrist, or of the glove to its cuff, in mm."""
    ends_y_mm = look.cuff_y_mm if look.cover is not Cover.SKIN else -6.0
    rows, columns = np.nonzero((relief.part != NOTHING) & (relief.y_mm()[:, None] > ends_y_mm))
    centers = np.stack([relief.x_mm()[columns], relief.y_mm()[rows]], axis=1)
    half_mm = 0.5 / relief.px_per_mm  # a pixel reaches from its middle to its corners
    points = np.concatenate([centers + half_mm * np.array(corner) for corner in _CORNERS])
    return cv2.convexHull(points.astype(np.float32))[:, 0, :].astype(np.float64)
