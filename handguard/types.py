"""The nouns of handguard: immutable values that pass between rooms.

Units are in the name (`_ns`, `_px`, `_mm`); arrays state shape and dtype.
Nothing here performs I/O, reads a clock, or imports torch or cv2.

Reading order: what the camera gives (`Frame`), what the network says
(`Detections`), what the site draws (`Zone`), what the rules conclude
(`ZoneStatus`, `State`, `Decision`), what the relay is told (`Output`, `Permit`),
and what is worth remembering (`Event`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto

import numpy as np
from numpy.typing import NDArray


class HandClass(IntEnum):
    """What the detector can call a thing; the value is the label in `Detections`."""

    HAND = 0
    GLOVED_HAND = 1

    @property
    def title(self) -> str:
        """The name in files and on screen: `hand`, `gloved_hand`."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """Size and nominal rate of a picture stream."""

    width_px: int
    height_px: int
    fps: float

    def __post_init__(self) -> None:
        if self.width_px <= 0 or self.height_px <= 0:
            raise ValueError(f"a picture needs a size, got {self.width_px}x{self.height_px}")
        if not 0 < self.fps < float("inf"):
            raise ValueError(f"fps must be positive and finite, got {self.fps}")

    @property
    def period_ns(self) -> int:
        """Nominal time between two frames."""
        return round(1e9 / self.fps)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture, stamped on the monotonic clock at the moment it was grabbed.

    Synchronization: the image must not be written to after construction.
    """

    seq: int  # counts frames the source delivered, from 0; a gap is a lost frame
    captured_ns: int
    image: NDArray[np.uint8]  # (H, W, 3) BGR

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be (H, W, 3) uint8, got {self.image.shape} {self.image.dtype}")
        if self.image.size == 0:
            raise ValueError(f"image must have pixels, got {self.image.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Every hand the detector reports in one frame; N may be zero.

    Synchronization: none required (immutable).
    """

    boxes_px: NDArray[np.float32]  # (N, 4) x1 y1 x2 y2, in pixels of the captured frame
    scores: NDArray[np.float32]  # (N,) in [0, 1]
    labels: NDArray[np.int64]  # (N,) values of HandClass
    frame_seq: int
    captured_ns: int  # monotonic; carried through so age can be judged anywhere

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes_px.shape != (n, 4):
            raise ValueError(f"boxes_px must be ({n}, 4), got {self.boxes_px.shape}")
        if self.scores.shape != (n,) or self.labels.shape != (n,):
            found = f"{self.scores.shape} and {self.labels.shape}"
            raise ValueError(f"scores and labels must be ({n},), got {found}")
        if not (np.isfinite(self.boxes_px).all() and np.isfinite(self.scores).all()):
            raise ValueError("detections must be finite")

    def __len__(self) -> int:
        return len(self.scores)


class ZoneRole(Enum):
    """A stop zone drops the relay; a warning zone lights lamps and sounds, never more."""

    STOP = "stop"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Zone:
    """A named polygon over the picture. `safety.zones.checked` refuses an invalid one."""

    name: str
    role: ZoneRole
    polygon_px: tuple[tuple[float, float], ...]  # at least three corners, in order, not closed


@dataclass(frozen=True, slots=True)
class ZoneStatus:
    """What one judged frame says about one zone."""

    name: str
    role: ZoneRole
    intruded: bool
    worst_score: float = 0.0  # highest score among the hands that intrude; 0 when free
    time_to_zone_s: float | None = None  # at the speed seen between two frames; None if not approaching


class Output(Enum):
    """What the relay is told. OFF is the safe state and the only default."""

    OFF = "off"
    ON = "on"


class State(Enum):
    """Where the interlock stands. Only RUN turns the output on."""

    SELF_TEST = auto()  # power-up; nothing proven yet
    RUN = auto()  # protective field free, reset given
    TRIPPED = auto()  # intruded or blind
    AWAIT_RESET = auto()  # free again, held by the restart interlock
    LOCKOUT = auto()  # a fault that only a service action may clear


class Condition(Enum):
    """What one tick amounts to; listed by priority, the first that applies wins."""

    FAULT = auto()
    BLIND = auto()
    INTRUDED = auto()
    RESET = auto()
    FREE = auto()


@dataclass(frozen=True, slots=True)
class Permit:
    """A judged frame's word to the relay keeper. Only a judged frame can make one.

    `seq` rises by at least one with every permit; `judged_ns` and `captured_ns`
    are monotonic, so both ends of the pipe on one machine can compare them.
    """

    seq: int
    frame_seq: int  # of the newest judged frame; -1 if none was judged yet
    captured_ns: int
    judged_ns: int
    output: Output


@dataclass(frozen=True, slots=True)
class Button:
    """The reset button as it was read: its raw level, and since when where the input stamps its edges."""

    down: bool
    since_ns: int | None = None  # monotonic


@dataclass(frozen=True, slots=True)
class KeeperReport:
    """What the relay keeper last said about itself and the board."""

    permit_seq: int  # newest permit it acted on; -1 before the first
    output: Output  # what it last wrote to the board
    written_ns: int  # when that write returned, monotonic
    contactor_open: bool | None  # None: this board has no feedback
    faults: frozenset[str] = frozenset()
    reset_down: bool | None = None  # of a button at the board; None: no such button, or not heard of


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Monotonic times of one frame's way through the stop path."""

    captured_ns: int
    taken_ns: int  # left the mailbox
    detected_ns: int  # detector returned
    judged_ns: int  # interlock stepped


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The interlock moved."""

    at_ns: int
    frame_seq: int
    before: State
    after: State
    cause: str


@dataclass(frozen=True, slots=True)
class Tripped:
    """The output left ON. `zone` is set when a hand did it."""

    at_ns: int
    frame_seq: int
    cause: str  # 'intruded', 'blind: …', 'fault: …'
    zone: str | None
    score: float


@dataclass(frozen=True, slots=True)
class WarningRaised:
    """A hand entered a warning zone."""

    at_ns: int
    frame_seq: int
    zone: str
    score: float


@dataclass(frozen=True, slots=True)
class WarningCleared:
    """A warning zone became free again."""

    at_ns: int
    frame_seq: int
    zone: str


@dataclass(frozen=True, slots=True)
class ResetStuck:
    """The reset button is down for longer than any press, or has been since power-up; no press is heard."""

    at_ns: int
    frame_seq: int


@dataclass(frozen=True, slots=True)
class ResetFreed:
    """A stuck reset button was let go."""

    at_ns: int
    frame_seq: int


Event = StateChanged | Tripped | WarningRaised | WarningCleared | ResetStuck | ResetFreed


@dataclass(frozen=True, slots=True)
class Sensed:
    """What the interlock was told at one tick beside hands and times; with these it can be stepped again."""

    reset_down: bool | None  # None: the button could not be read
    contactor_open: bool | None
    impairments: frozenset[str]  # of the senses, of the picture and of the looking
    faults: frozenset[str]
    reset_since_ns: int | None = None  # when the button came to that level, where its input stamps edges


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """Everything one tick concluded, and enough to explain it."""

    frame_seq: int  # -1: no frame at this tick
    times: StageTimes
    detections: Detections | None  # None: nothing was judged at this tick
    zones: tuple[ZoneStatus, ...]
    state: State
    output: Output
    cause: str  # 'free', 'free: <what>', 'reset', 'intruded: <zone>', 'blind: <why>', 'fault: <names>'
    events: tuple[Event, ...] = field(default=())
    sensed: Sensed | None = None  # None: made outside of a tick

    @property
    def warning(self) -> bool:
        """True while any zone, warning or stop, is intruded."""
        return any(zone.intruded for zone in self.zones)
