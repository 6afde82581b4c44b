"""What stands still: table, mat, rails, hopper, and the belt that only scrolls.

World coordinates are millimetres on the table: x to the right, y towards the
operator, (0, 0) the picture's upper left corner, 1120 mm across. `build` paints
heights and materials once, lights them once, and leaves 8-bit pictures that the
camera copies for every frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from handguard.capture.scene import texture
from handguard.capture.scene.canvas import Canvas
from handguard.capture.scene.light import Lighting, linear, to_picture

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

WORLD_WIDTH_MM, WORLD_HEIGHT_MM = 1120.0, 630.0
BELT_MM = (382.0, 172.0, 738.0, 428.0)  # x1 y1 x2 y2
THROAT_MM = (364.0, 46.0, 756.0, 160.0)  # the opening over the drums
BELT_SPEED_MM_S = 170.0
_RAIL_MM = 24.0

_STEEL, _DARK_STEEL = linear(168, 171, 174), linear(96, 99, 103)
_MAT, _YELLOW, _BLACK = linear(74, 84, 82), linear(226, 176, 24), linear(26, 26, 28)
_RED, _RUBBER, _KRAFT = linear(188, 22, 26), linear(52, 53, 55), linear(176, 134, 90)
_PAPER, _GREEN = linear(226, 224, 214), linear(60, 92, 74)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Prerendered layers, all uint8 BGR."""

    px_per_mm: float
    background: Picture  # (H, W, 3), lit
    belt: Picture  # (period + window, w, 3), unlit by the room
    belt_px: tuple[int, int, int, int]
    belt_period_px: int
    throat_px: tuple[int, int, int, int]
    room_light: Picture  # (H, W, 3), 255 is full light
    belt_light: Picture  # the same over the belt, with the shadows of rails and hopper

    def belt_at(self, time_s: float) -> Picture:
        """The belt's window at a moment, before the room light."""
        _, y1, _, y2 = self.belt_px
        moved_px = int(time_s * BELT_SPEED_MM_S * self.px_per_mm) % self.belt_period_px
        return self.belt[moved_px : moved_px + y2 - y1]


def _brushed(rng: np.random.Generator, shape: tuple[int, int], scale: float, along_x: bool) -> Floats:
    grain = (90 * scale, 0.8) if along_x else (0.8, 90 * scale)
    fine = texture.smooth(rng, shape, grain) * 0.6 + texture.speckle(rng, shape, 0.5) * 0.12
    return 1.0 + 0.050 * fine + 0.035 * texture.fractal(rng, shape, (160 * scale, 120 * scale), 4)


def _scratches(rng: np.random.Generator, canvas: Canvas, count: int, spread_deg: float) -> Floats:
    drawn = np.zeros(canvas.shape, np.uint8)
    height_px, width_px = canvas.shape
    for _ in range(count):
        x, y = rng.uniform(0, width_px), rng.uniform(0, height_px)
        lean, length = np.radians(rng.normal(80.0, spread_deg)), rng.gamma(2.0, 22.0) * canvas.px_per_mm
        end = (int(x + length * np.cos(lean)), int(y + length * np.sin(lean)))
        cv2.line(drawn, (int(x), int(y)), end, int(rng.integers(30, 190)), 1, cv2.LINE_AA)
    return drawn.astype(np.float32) / 255.0


def _table(rng: np.random.Generator, c: Canvas) -> None:
    everywhere = np.ones(c.shape, np.float32)
    steel = np.array(_STEEL, np.float32) * _brushed(rng, c.shape, c.px_per_mm, True)[..., None]
    c.lay(everywhere, steel, 0.0, 0.10)
    stains = np.clip(texture.fractal(rng, c.shape, (120 * c.px_per_mm, 90 * c.px_per_mm), 5) - 0.35, 0, 1)
    c.lay(stains * 0.16, linear(92, 84, 74))
    c.lay(_scratches(rng, c, 170, 40.0) * 0.20, linear(228, 230, 232))


def _mat(rng: np.random.Generator, c: Canvas) -> None:
    """Ribbed rubber mat under the operator's arms, worn in the middle, edges bevelled."""
    scale = c.px_per_mm
    c = c.part(140, 440, 980, WORLD_HEIGHT_MM)
    mat = c.box(150, 452, 970, 700, 1.0, 14.0)
    color = (
        np.array(_MAT, np.float32)
        * (
            1
            + 0.07 * texture.fractal(rng, c.shape, (60 * scale, 60 * scale), 5)
            + 0.05 * texture.speckle(rng, c.shape, 0.7)
        )[..., None]
    )
    ribs = 0.35 * np.sin(2 * np.pi * c.x / 7.0)
    c.lay(mat, color, 3.0 + ribs, 0.03)
    worn = mat * np.clip(
        np.exp(-(((c.x - 560) / 190) ** 2) - ((c.y - 540) / 90) ** 2)
        * (0.8 + 0.6 * texture.fractal(rng, c.shape, (40 * scale, 60 * scale), 4)),
        0,
        1,
    )
    c.lay(worn * 0.30, linear(132, 138, 134))
    c.lay(mat * _scratches(rng, c, 120, 14.0) * 0.22, linear(150, 156, 150))


def _rail(rng: np.random.Generator, c: Canvas, x1: float, x2: float) -> None:
    """Folded steel beside the belt with its warning stripes."""
    c = c.part(x1 - 4, 160, x2 + 4, 454)
    body = c.box(x1, 168, x2, 446, 0.7, 3.0)
    steel = np.array(_STEEL, np.float32) * _brushed(rng, c.shape, c.px_per_mm, False)[..., None]
    c.lay(body, steel, 15.0, 0.12)
    stripe = c.box(x1 + 3, 176, x2 - 3, 352, 0.5, 1.0)
    phase = np.mod((c.x + c.y) / 34.0, 1.0)
    paint = texture.between(0.0, 0.035, phase) * texture.between(0.0, 0.035, 0.5 - phase)
    chipped = np.clip(1.75 - 0.55 * np.abs(texture.fractal(rng, c.shape, (9, 9), 4)), 0, 1)
    c.lay(stripe * chipped, _YELLOW, 15.2, 0.06)
    c.lay(stripe * paint * chipped, _BLACK)
    for y in (364.0, 434.0):
        _bolt(c, (x1 + x2) / 2, y, 15.0, 4.6)


def _bolt(c: Canvas, x: float, y: float, base_mm: float, radius_mm: float) -> None:
    """Hexagon head on its washer."""
    c = c.part(x - 12, y - 12, x + 12, y + 12)
    c.lay(c.disc(x, y, radius_mm * 1.5), _STEEL, base_mm + 1.0, 0.2)
    angle = np.arctan2(c.y - y, c.x - x) + 0.3 * x
    hexagon = np.cos(np.mod(angle, np.pi / 3) - np.pi / 6) * np.hypot(c.x - x, c.y - y)
    c.lay(texture.between(-0.4, 0.4, radius_mm * 0.9 - hexagon), linear(140, 142, 146), base_mm + 4.5, 0.3)


def _hopper(rng: np.random.Generator, c: Canvas) -> None:
    """Steel collar round the throat; its inner walls slope down to the drums."""
    x1, y1, x2, y2 = THROAT_MM
    c = c.part(x1 - 64, 0, x2 + 64, y2 + 20)
    collar = c.box(x1 - 58, -30, x2 + 58, y2 + 14, 0.8, 10.0)
    steel = np.array(linear(150, 154, 158), np.float32) * _brushed(rng, c.shape, c.px_per_mm, True)[..., None]
    c.lay(collar, steel, 26.0, 0.14)
    rim = c.box(x1 - 20, y1 - 16, x2 + 20, y2 + 6, 0.8, 8.0)
    c.lay(rim, steel * 0.92, 30.0)
    wall = c.box(x1 - 11, y1 - 9, x2 + 11, y2 + 2, 0.8, 5.0)
    inward = np.minimum(np.minimum(c.x - x1 + 11, x2 + 11 - c.x), np.minimum(c.y - y1 + 9, y2 + 12 - c.y))
    c.lay(wall, steel * 0.55, 28.0 - np.clip(inward, 0, 14) * 4.2, 0.2)
    c.lay(c.box(x1, y1, x2, y2, 0.8, 2.0), linear(18, 18, 20), -60.0, 0.0)
    for x in (x1 - 42, x2 + 42):
        for y in (18.0, 88.0, 158.0):
            _bolt(c, x, y, 26.0, 5.4)


def _sign(c: Canvas, x: float, y: float, size_mm: float) -> None:
    """Yellow warning triangle with a bar and a dot."""
    c = c.part(x - size_mm, y - size_mm, x + size_mm, y + size_mm)
    u, v = (c.x - x) / size_mm, (c.y - y) / size_mm
    outer = np.minimum(0.5 - v, v + 0.5 - np.abs(u) * 1.75)
    c.lay(texture.between(-0.01, 0.02, outer), _BLACK, None, 0.05)
    c.lay(texture.between(0.06, 0.09, outer), _YELLOW)
    mark = (np.abs(u) < 0.045 + 0.02 * (0.2 - v)) & (v > -0.18) & (v < 0.2)
    dot = np.hypot(u, v - 0.31) < 0.055
    c.lay((mark | dot).astype(np.float32), _BLACK)


def _emergency_stop(c: Canvas, x: float, y: float) -> None:
    """Red mushroom on its yellow box."""
    c = c.part(x - 50, y - 50, x + 50, y + 50)
    c.lay(c.box(x - 46, y - 46, x + 46, y + 46, 0.8, 8.0), _YELLOW, 34.0, 0.05)
    c.lay(c.disc(x, y, 35), _BLACK, 35.0)
    away = np.hypot(c.x - x, c.y - y)
    dome = 44.0 + 22.0 * np.sqrt(np.clip(1.0 - (away / 30.0) ** 2, 0, 1))
    c.lay(c.disc(x, y, 30), _RED, dome, 0.35)


def _crate(rng: np.random.Generator, c: Canvas, x: float, y: float) -> None:
    """Grey plastic crate with flattened cardboard waiting in it."""
    c = c.part(x - 4, y - 4, x + 194, y + 254)
    shell, inside = (
        c.box(x, y, x + 190, y + 250, 0.8, 12.0),
        c.box(x + 10, y + 10, x + 180, y + 240, 0.8, 6.0),
    )
    c.lay(shell, linear(64, 84, 112), 62.0, 0.07)
    c.lay(inside, linear(40, 52, 70), 8.0)
    for level in range(7):
        cx, cy = x + 95 + rng.normal(0, 9), y + 125 + rng.normal(0, 12)
        half = (rng.uniform(52, 74), rng.uniform(78, 104))
        lean = rng.normal(0, 0.09)
        u, v = c.turned(cx, cy, lean)
        sheet = texture.between(-0.5, 0.5, np.minimum(half[0] - np.abs(u), half[1] - np.abs(v))) * inside
        color = _KRAFT if rng.random() < 0.6 else _PAPER
        flute = 1.0 + 0.05 * texture.fractal(rng, c.shape, (50, 50), 3) + 0.02 * np.sin(u * 2.0)
        c.lay(
            sheet,
            np.array(color, np.float32) * (flute * rng.uniform(0.75, 1.0))[..., None],
            14.0 + 5.0 * level,
            0.0,
        )
        c.lay(sheet * np.exp(-((u / 0.8) ** 2)) * 0.5, _BLACK)


def _litter(rng: np.random.Generator, c: Canvas) -> None:
    """Paper shreds and dust around the belt."""
    for _ in range(46):
        side = rng.choice((-1.0, 1.0))
        x, y = 560 + side * rng.uniform(215, 330), rng.uniform(200, 450)
        spot = c.part(x - 9, y - 9, x + 9, y + 9)
        u, v = spot.turned(x, y, rng.uniform(0, np.pi))
        size = (rng.uniform(2, 7), rng.uniform(0.8, 1.8))
        shred = texture.between(
            -0.3, 0.3, np.minimum(size[0] - np.abs(u), size[1] - np.abs(v + 0.05 * u * u))
        )
        spot.lay(
            shred, np.array(_PAPER, np.float32) * np.float32(rng.uniform(0.5, 1.0)), 2.0 + rng.uniform(0, 2)
        )


def _room_light(c: Canvas) -> Floats:
    """Lamp falloff, vignette, and the shade of the hood over the far edge; 0..1 (H, W, 3)."""
    lamp = 0.86 + 0.20 * np.exp(-(((c.x - 430) / 520) ** 2) - ((c.y - 330) / 360) ** 2)
    corner = ((c.x - WORLD_WIDTH_MM / 2) ** 2 + (c.y - WORLD_HEIGHT_MM / 2) ** 2) / 642.0**2
    hood = 1.0 - 0.55 * (1.0 - texture.between(-30.0, 150.0, c.y)) * c.box(250, -90, 870, 150, 60.0, 20.0)
    level = np.clip(lamp * (1.0 - 0.40 * corner**1.3) * hood, 0.0, 1.06) / 1.06
    return np.dstack([level**1.03, level, level**0.98]).astype(np.float32)


def _belt(rng: np.random.Generator, px_per_mm: float, width_px: int, window_px: int) -> tuple[Picture, int]:
    """A loop of ribbed rubber, long enough to cut any window from."""
    period_px = round(480.0 * px_per_mm)
    c = Canvas((period_px, width_px), px_per_mm)
    dust = texture.fractal(rng, c.shape, (50 * px_per_mm, 90 * px_per_mm), 5)
    rubber = (
        np.array(_RUBBER, np.float32)
        * (1 + 0.10 * dust + 0.08 * texture.speckle(rng, c.shape, 0.7))[..., None]
    )
    chevron = np.mod((c.y + np.abs(c.x - (BELT_MM[2] - BELT_MM[0]) / 2) * 0.45) / (480.0 / 16), 1.0)
    rib = texture.between(0.0, 0.10, chevron) * texture.between(0.0, 0.10, 0.42 - chevron)
    c.lay(np.ones(c.shape, np.float32), rubber, rib * 2.4, 0.08)
    c.lay(rib * np.clip(0.35 + 0.3 * dust, 0, 1), linear(80, 80, 79))
    c.lay(_scratches(rng, c, 60, 20.0) * 0.25, linear(128, 126, 120))
    loop = to_picture(c.lit(c.lighting()))
    repeats = 1 + -(-window_px // period_px)
    return np.ascontiguousarray(np.tile(loop, (repeats, 1, 1))), period_px


def _px(box_mm: tuple[float, float, float, float], px_per_mm: float) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (round(v * px_per_mm) for v in box_mm)
    return x1, y1, x2, y2


def build(seed: int, width_px: int, height_px: int) -> Stage:
    """Paint and light everything that stands still; about a second at 1280x720."""
    rng = np.random.default_rng([seed, 11])
    scale = width_px / WORLD_WIDTH_MM
    c = Canvas((height_px, width_px), scale)
    _table(rng, c)
    _mat(rng, c)
    _litter(rng, c)
    c.lay(c.box(*BELT_MM, 0.6), _RUBBER, 2.0, 0.0)
    _rail(rng, c, BELT_MM[0] - _RAIL_MM, BELT_MM[0])
    _rail(rng, c, BELT_MM[2], BELT_MM[2] + _RAIL_MM)
    _hopper(rng, c)
    _emergency_stop(c, 905.0, 250.0)
    _sign(c, 262.0, 92.0, 46.0)
    _sign(c, 858.0, 92.0, 46.0)
    _crate(rng, c, 62.0, 250.0)
    room = _room_light(c)
    lighting = c.lighting()
    background = to_picture(c.lit(lighting)) * room
    belt_px, throat_px = _px(BELT_MM, scale), _px(THROAT_MM, scale)
    belt, period_px = _belt(rng, scale, belt_px[2] - belt_px[0], belt_px[3] - belt_px[1])
    return Stage(
        scale,
        (background + 0.5).astype(np.uint8),
        belt,
        belt_px,
        period_px,
        throat_px,
        (room * 255).astype(np.uint8),
        _over_belt(c, lighting, room, belt_px),
    )


def _over_belt(c: Canvas, lighting: Lighting, room: Floats, belt_px: tuple[int, int, int, int]) -> Picture:
    x1, y1, x2, y2 = belt_px
    here = np.s_[y1:y2, x1:x2]
    shade = (0.45 + 0.55 * lighting.lit[here]) * np.sqrt(lighting.open_sky[here])
    return np.ascontiguousarray((room[here] * shade[..., None] * 255).astype(np.uint8))
