"""Every setting there is, with its default and its bounds.

Version 1. Names are stable: a later version may add keys, never change or drop one.
Values are strict (a number in quotes is not a number) and frozen. Four keys have no
default because nobody can guess them: `version`, `camera.source`, `zones`,
`relay.driver`.

Bounds written here only keep a value meaningful. Numbers that bear on safety take
theirs from `safety.limits`, through `hard`: a file may tighten them, never loosen.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainValidator,
    PrivateAttr,
    Tag,
    model_validator,
)

from handguard.config.blocks import Block, Name, Text, bad, hard
from handguard.config.problems import Origin
from handguard.config.safety import SafetySettings
from handguard.types import ZoneRole

MAX_CORNERS = 64
MAX_ZONES = 16
DRAWN, TWO_LINES = "<drawn>", "<two lines>"  # tags of the two forms of `zones`

Coordinate = Annotated[float, Field(allow_inf_nan=False, ge=-1e5, le=1e5)]
Corner = tuple[Coordinate, Coordinate]
Percent = Annotated[float, Field(gt=0, lt=100)]


def _source(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 64:
        return value
    if isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= 1000:
        return int(value) if value.isascii() and value.isdigit() and int(value) < 64 else value
    raise bad("simulated, a camera number from 0 to 63, a path or a URL")


Source = Annotated[int | str, PlainValidator(_source)]
Board = Literal[
    "lcus", "heartbeat", "gpio", "modbus-rtu", "modbus-tcp", "kmtronic", "numato", "devantech", "dcttech", "icse01x"
]  # the last one only to be told why not


class CameraSettings(Block):
    """Where pictures come from. Sizes and rate of None are left to the source."""

    source: Source
    width_px: int | None = Field(None, ge=64, le=16384)
    height_px: int | None = Field(None, ge=64, le=16384)
    fps: Annotated[float, hard("camera.fps")] | None = None
    seed: int = Field(0, ge=0, lt=2**63)  # of the simulated scene
    max_frame_age_ms: Annotated[int, hard("camera.max_frame_age_ms")] = 100  # older is no picture
    frozen_after_repeats: Annotated[int, hard("camera.frozen_after_repeats")] = 2  # equal pictures in a row


Backend = Literal[
    "auto",
    "openvino",
    "torch-cpu",
    "torch-cuda",
    "onnxruntime",
    "onnxruntime-cpu",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
]


def _each_once(cores: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(cores)) < len(cores):
        raise bad("each core once")
    return cores


Cores = Annotated[tuple[Annotated[int, Field(ge=0, le=1023)], ...], AfterValidator(_each_once)]


class DetectorSettings(Block):
    """Which network, and how it runs."""

    model: Text | None = None  # name under models/ or a path; None: the one that is shipped
    backend: Backend = "auto"
    precision: Literal["auto", "float32", "bf16", "fp16", "int8"] = "auto"
    if_device_lost: Literal["lockout", "cpu"] = "lockout"  # a card lost in the middle; cpu: a trip, then the CPU
    threads: int | None = Field(None, ge=1, le=256)  # of the CPU; None: every core that may be used
    cores: Cores = ()  # of the CPU, that loop, camera and network keep to; none: all that may be used
    region: Literal["zones", "full"] = "zones"  # look at a crop round the zones, or at everything
    region_margin: float = Field(0.15, ge=0, le=1)  # of the zones' size, added on every side
    min_score: Annotated[float, hard("detector.min_score")] | None = None  # None: as the card says
    self_check_s: Annotated[float, hard("detector.self_check_s")] = 60.0  # the golden picture is shown this often


def _at_least_three(corners: tuple[Corner, ...]) -> tuple[Corner, ...]:
    if len(corners) < 3:
        raise bad("at least three corners")
    return corners


Polygon = Annotated[tuple[Corner, ...], Field(max_length=MAX_CORNERS), AfterValidator(_at_least_three)]


class DrawnZone(Block):
    """A polygon drawn over the picture. Its geometry is checked once the picture's size is known."""

    name: Name
    role: ZoneRole
    polygon: Polygon
    units: Literal["px", "norm"] = "px"  # norm: 0 to 1 from the top left corner

    @model_validator(mode="after")
    def _norm_stays_in_the_picture(self) -> DrawnZone:
        outside = [xy for xy in self.polygon if self.units == "norm" and not all(0 <= at <= 1 for at in xy)]
        if outside:
            raise bad("corners from 0 to 1 where units is norm", "polygon", str(list(outside[0])))
        return self


class TwoLines(Block):
    """Two straight lines across the picture; the machine lies where the orientation ends."""

    orientation: Literal["left-right", "right-left", "bottom-top", "top-bottom"]
    warning_percent: Percent  # how far from the machine's edge of the picture the warning line lies
    stop_percent: Percent

    @model_validator(mode="after")
    def _warning_comes_first(self) -> TwoLines:
        if self.warning_percent <= self.stop_percent:
            expected = f"more than stop_percent ({self.stop_percent:g})"
            raise bad(expected, "warning_percent", f"{self.warning_percent:g}")
        return self


def _form(value: object) -> str | None:
    if isinstance(value, list | tuple):
        return DRAWN
    return TWO_LINES if isinstance(value, dict | TwoLines) else None


def _tells_zones_apart(zones: tuple[DrawnZone, ...]) -> tuple[DrawnZone, ...]:
    names = [zone.name for zone in zones]
    if len(set(names)) < len(names):
        raise bad("a different name for each zone", found=", ".join(names))
    if not any(zone.role is ZoneRole.STOP for zone in zones):
        raise bad("at least one zone with role stop", found="none")
    return zones


Drawn = Annotated[tuple[DrawnZone, ...], Field(max_length=MAX_ZONES), AfterValidator(_tells_zones_apart)]
Zones = Annotated[Annotated[Drawn, Tag(DRAWN)] | Annotated[TwoLines, Tag(TWO_LINES)], Discriminator(_form)]


class InterlockSettings(Block):
    """When a stopped machine may run again."""

    free_frames: Annotated[int, hard("interlock.free_frames")] = 15  # in a row, before a reset counts
    fastest_widths_per_s: Annotated[float, hard("interlock.fastest_widths_per_s")] = 5.0  # of a hand
    restart: Literal["manual", "automatic"] = "manual"


BoardOption = Annotated[str, Field(max_length=200)] | int
BoardOptions = dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], BoardOption]


class OwnBoard(Block):
    """A board of its own: the second channel, in series with the first, or the warning lamp."""

    driver: Board
    port: Text
    channel: int = Field(1, ge=1, le=32)
    options: BoardOptions = Field(default_factory=dict)


class RelaySettings(Block):
    """The board that holds the machine's relay."""

    driver: Literal["simulated", "none"] | Board
    port: Text | None = None  # /dev/serial/by-path/…, /dev/gpiochip0 or host:port; only for a real board
    channel: int = Field(1, ge=1, le=32)
    options: BoardOptions = Field(default_factory=dict)  # of that kind of board: docs/relays.md
    second: OwnBoard | None = None
    baud: Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200] = 9600
    deadline_ms: Annotated[int, hard("relay.deadline_ms")] = 100  # this long without a fresh permit: OFF
    query: Literal["auto", "ff", "op5", "none"] = "auto"  # how the board is asked for its contact
    edm_timeout_ms: Annotated[int, hard("relay.edm_timeout_ms")] = 300  # by then the contact has followed

    @model_validator(mode="after")
    def _fits_the_board(self) -> RelaySettings:
        is_real = self.driver not in ("simulated", "none")
        if is_real and self.port is None:
            raise bad("the serial port of the board", "port", "nothing")
        for key in ("port", "second"):
            if not is_real and getattr(self, key) is not None:
                raise bad(f"no {key} with driver {self.driver}", key)
        return self


class ResetSettings(Block):
    """The button that lets the machine run again."""

    input: Literal["simulated", "keyboard", "gpio", "board", "none"] = "none"
    chip: Text | None = None  # gpio: /dev/gpiochip0
    line: int | None = Field(None, ge=0, le=1023)  # gpio: the button pulls it to ground
    debounce_ms: int = Field(20, ge=0, le=50)  # gpio: by the kernel
    after_free_s: Annotated[float, hard("reset.after_free_s")] = 2.0  # simulated: it waits this long

    @model_validator(mode="after")
    def _gpio_has_a_line(self) -> ResetSettings:
        for key in ("chip", "line"):
            is_there = getattr(self, key) is not None
            if self.input == "gpio" and not is_there:
                raise bad("the GPIO chip and line of the button", key, "nothing")
            if self.input != "gpio" and is_there:
                raise bad(f"no {key} with input {self.input}", key)
        return self


class WarningSettings(Block):
    """What a hand in a warning zone sets off; never the relay of the machine."""

    bell: bool = True
    lamp: OwnBoard | None = None  # on while a zone is intruded; never on the machine's board


class ClipSettings(Block):
    """Films of the moments around each trip."""

    enabled: bool = True
    pre_s: float = Field(10.0, ge=0, le=60)
    post_s: float = Field(5.0, ge=0, le=60)
    quota_gb: float = Field(10.0, gt=0, le=100_000)  # of all runs in evidence.dir; the oldest not held go first


class EvidenceSettings(Block):
    """What is kept, and how soon it is safe on disk."""

    dir: Text = "runs"
    fsync_s: float = Field(1.0, gt=0, le=60)
    clips: ClipSettings = ClipSettings()


class Settings(Block):
    """One file of settings, checked. Immutable; equal if every setting is equal."""

    version: Literal[1]
    camera: CameraSettings
    detector: DetectorSettings = DetectorSettings()
    zones: Zones
    interlock: InterlockSettings = InterlockSettings()
    safety: SafetySettings = SafetySettings()
    relay: RelaySettings
    reset: ResetSettings = ResetSettings()
    warning: WarningSettings = WarningSettings()
    evidence: EvidenceSettings = EvidenceSettings()

    _origin: Origin = PrivateAttr(default_factory=lambda: Origin("settings", {}))

    @property
    def origin(self) -> Origin:
        """The file this came from, and the line of every key in it."""
        return self._origin
