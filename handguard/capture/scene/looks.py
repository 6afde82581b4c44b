"""The operators: who wears what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from handguard.capture.scene.light import Color, linear
from handguard.types import HandClass


class Cover(Enum):
    """What covers the hand."""

    SKIN = "skin"
    NITRILE = "nitrile"
    KNIT = "knit"
    LEATHER = "leather"


@dataclass(frozen=True, slots=True)
class Look:
    """One operator's arm: skin tone, glove, sleeve."""

    name: str
    cover: Cover
    skin: Color
    glove: Color
    tips: Color  # coating of a knit glove
    sleeve: Color
    cuff_y_mm: float  # the glove ends here; 0 for bare hands

    @property
    def label(self) -> HandClass:
        """What the hand is called."""
        return HandClass.HAND if self.cover is Cover.SKIN else HandClass.GLOVED_HAND


_LIGHT, _TAN, _BROWN = linear(224, 172, 146), linear(198, 140, 108), linear(128, 84, 62)
_NAVY, _GREY, _KHAKI, _RED = (
    linear(44, 56, 88),
    linear(112, 116, 120),
    linear(118, 108, 76),
    linear(128, 36, 36),
)
_NONE = linear(0, 0, 0)

LOOKS = (
    Look("bare, light", Cover.SKIN, _LIGHT, _NONE, _NONE, _NAVY, 0.0),
    Look("blue nitrile", Cover.NITRILE, _TAN, linear(48, 104, 190), _NONE, _GREY, -48.0),
    Look("bare, tan", Cover.SKIN, _TAN, _NONE, _NONE, _GREY, 0.0),
    Look("knit, orange palm", Cover.KNIT, _LIGHT, linear(188, 188, 184), linear(216, 88, 32), _NAVY, -62.0),
    Look("bare, brown", Cover.SKIN, _BROWN, _NONE, _NONE, _KHAKI, 0.0),
    Look("yellow leather", Cover.LEATHER, _BROWN, linear(214, 164, 74), _NONE, _RED, -70.0),
    Look("black nitrile", Cover.NITRILE, _LIGHT, linear(52, 54, 60), _NONE, _KHAKI, -48.0),
)
