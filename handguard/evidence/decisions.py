"""`decisions.jsonl`: what a replay decided, one line a frame, equal bytes for equal decisions.

    {"frame":12,"t_ms":400.0,"hands":[{"box_px":[10.5,20.0,60.25,90.0],"score":0.9731,
     "label":"gloved_hand"}],"zones":{"intake":true},"state":"TRIPPED","output":"off",
     "cause":"intruded: intake"}

Boxes are rounded to 2 decimals, scores to 4, times to 3. `hands` is null when the
frame was not judged (the detector failed), `[]` when it was and no hand was there.
Times of the machine that replays are not in it, so that two replays compare equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handguard.errors import RecordingError, mismatch
from handguard.types import Decision, Detections, HandClass, Output, State

_BOX_DECIMALS, _SCORE_DECIMALS, _TIME_DECIMALS = 2, 4, 3


@dataclass(frozen=True, slots=True)
class HandLine:
    """One hand of one line."""

    box_px: tuple[float, float, float, float]  # x1 y1 x2 y2
    score: float
    label: str  # 'hand' or 'gloved_hand'


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """One line, read back."""

    frame: int
    t_ms: float
    hands: tuple[HandLine, ...] | None  # None: not judged
    zones: dict[str, bool]  # name: intruded
    state: State
    output: Output
    cause: str


def decision_line(decision: Decision, origin_ns: int = 0) -> str:
    """One line with its newline; `t_ms` counts from `origin_ns` (the first frame's capture) on."""
    found = decision.detections
    line = {
        "frame": decision.frame_seq,
        "t_ms": _rounded((decision.times.captured_ns - origin_ns) / 1e6, _TIME_DECIMALS),
        "hands": None if found is None else _hands(found),
        "zones": {zone.name: bool(zone.intruded) for zone in decision.zones},
        "state": decision.state.name,
        "output": decision.output.value,
        "cause": decision.cause,
    }
    return json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"


def read_decisions(path: Path) -> Iterator[DecisionLine]:
    """The lines of a file, in order. Raises `RecordingError` naming the file, the line and the key."""
    try:
        with path.open("rb") as file:
            number = 0
            for number, raw in enumerate(file, start=1):
                yield _parsed(raw, f"{path}:{number}")
    except OSError as error:
        raise RecordingError(mismatch(str(path), "a file of decisions", error)) from error
    if number == 0:
        raise RecordingError(mismatch(str(path), "at least one decision", "an empty file"))


def _hands(found: Detections) -> list[dict[str, Any]]:
    return [
        {
            "box_px": [_rounded(float(side), _BOX_DECIMALS) for side in box],
            "score": _rounded(float(score), _SCORE_DECIMALS),
            "label": HandClass(label).title,
        }
        for box, score, label in zip(found.boxes_px, found.scores, found.labels, strict=True)
    ]


def _rounded(value: float, decimals: int) -> float:
    return round(value, decimals) + 0.0  # never -0.0, which would print differently


def _parsed(raw: bytes, where: str) -> DecisionLine:
    try:
        line: Any = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RecordingError(mismatch(where, "one JSON object", error)) from error
    if not raw.endswith(b"\n"):
        raise RecordingError(mismatch(where, "a whole line", "no newline at its end: the file was cut"))
    if not isinstance(line, dict):
        raise RecordingError(mismatch(where, "one JSON object", type(line).__name__))
    return DecisionLine(
        frame=_field(line, "frame", int, where),
        t_ms=float(_field(line, "t_ms", (int, float), where)),
        hands=_hand_lines(line, where),
        zones=_zones(line, where),
        state=_choice(State.__members__, line, "state", where),
        output=_choice({output.value: output for output in Output}, line, "output", where),
        cause=_field(line, "cause", str, where),
    )


def _field(line: dict[str, Any], key: str, kind: Any, where: str) -> Any:
    value = line.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = kind.__name__ if isinstance(kind, type) else "number"
        raise RecordingError(mismatch(f"{where}: {key}", wanted, repr(value) if key in line else "nothing"))
    return value


def _choice(choices: Any, line: dict[str, Any], key: str, where: str) -> Any:
    name = _field(line, key, str, where)
    if name not in choices:
        raise RecordingError(mismatch(f"{where}: {key}", f"one of {', '.join(choices)}", repr(name)))
    return choices[name]


def _zones(line: dict[str, Any], where: str) -> dict[str, bool]:
    zones: dict[str, bool] = _field(line, "zones", dict, where)
    for name, intruded in zones.items():
        if not isinstance(intruded, bool):
            raise RecordingError(mismatch(f"{where}: zones.{name}", "true or false", repr(intruded)))
    return zones


def _hand_lines(line: dict[str, Any], where: str) -> tuple[HandLine, ...] | None:
    if "hands" in line and line["hands"] is None:
        return None
    hands = _field(line, "hands", list, where)
    return tuple(_hand_line(hand, f"{where}: hands[{index}]") for index, hand in enumerate(hands))


def _hand_line(hand: Any, where: str) -> HandLine:
    if not isinstance(hand, dict):
        raise RecordingError(mismatch(where, "an object", repr(hand)))
    box = _field(hand, "box_px", list, where)
    if len(box) != 4 or not all(type(side) in (int, float) for side in box):
        raise RecordingError(mismatch(f"{where}.box_px", "four numbers", repr(box)))
    x1, y1, x2, y2 = (float(side) for side in box)
    score = float(_field(hand, "score", (int, float), where))
    return HandLine((x1, y1, x2, y2), score, _field(hand, "label", str, where))
