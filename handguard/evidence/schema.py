"""What a record says: one function per kind, from values of the product to plain JSON.

    genesis    first record: who writes, with which software, settings, model and key
    decision   one tick: times, hands, zones, state, output, permit, what the keeper last said
    event      state changed, tripped, warning raised, warning cleared
    operator   a person armed, reset, bypassed …
    fault      something failed, here or elsewhere; also tells how many records were lost
    caution    what people were told at the start: a weakness of this installation
    head       a signature over the chain up to here
    close      the run ended on purpose; nothing but one head follows
    clip, clip_removed    a film of a trip, with its hash; a film that had to make room (`notices`)

The ledger adds `seq`, `monotonic_ns` and `wall_time_utc` to each: when it was
written. Times inside a record say when it happened. float32 values are written
as the shortest decimal that reads back to the same float32, so nothing of a
detection is lost and nothing is padded.

A change that an old reader would misread raises `SCHEMA` and adds a step to `migrations`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import numpy as np

from handguard.errors import RecordingError, mismatch
from handguard.types import (
    Decision,
    Detections,
    Event,
    HandClass,
    KeeperReport,
    Permit,
    ResetFreed,
    ResetStuck,
    Sensed,
    StageTimes,
    StateChanged,
    Tripped,
    WarningCleared,
    WarningRaised,
    ZoneStatus,
)

SCHEMA = 1

Record = dict[str, Any]  # plain JSON: str, int, float, bool, None, list, dict


class Kind(Enum):
    """What a record is about; the value stands in its `kind`."""

    GENESIS = "genesis"
    DECISION = "decision"
    EVENT = "event"
    OPERATOR = "operator"
    FAULT = "fault"
    CAUTION = "caution"
    HEAD = "head"
    CLOSE = "close"
    CLIP = "clip"
    CLIP_REMOVED = "clip_removed"


class OperatorAction(Enum):
    """What a person may do to the machine that must be remembered."""

    ARM = "arm"
    DISARM = "disarm"
    RESET = "reset"
    BYPASS = "bypass"
    ZONE_CHANGE = "zone_change"
    PROOF_TEST = "proof_test"
    SELF_TEST = "self_test"
    ACCEPT = "accept"
    STOP = "stop"
    CLEAR_LOCKOUT = "clear_lockout"


_EVENT_NAMES: dict[type, str] = {
    StateChanged: "state_changed",
    Tripped: "tripped",
    WarningRaised: "warning_raised",
    WarningCleared: "warning_cleared",
    ResetStuck: "reset_stuck",
    ResetFreed: "reset_freed",
}


@dataclass(frozen=True, slots=True)
class Genesis:
    """What a run starts from. The ledger adds the schema, the public key and the times.

    With the settings and the size of the picture the book alone is enough to step the run again.
    """

    machine_id: str
    software_version: str
    config_hash: str
    model_hash: str
    boot_id: str
    settings: Record | None = None  # resolved, as plain values; `config_hash` is over them
    picture: Record | None = None  # width_px, height_px, fps
    lockout: str | None = None  # the cause of an earlier run's lockout, in which this one begins

    def __post_init__(self) -> None:
        for name in ("machine_id", "software_version", "config_hash", "model_hash", "boot_id"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise RecordingError(mismatch(f"genesis.{name}", "a text that is not empty", repr(value)))


def genesis_record(genesis: Genesis, public_key: str, sign_every_s: float) -> Record:
    """`public_key` in hex; `sign_every_s` is the longest stretch a reader may find unsigned."""
    return {
        "kind": Kind.GENESIS.value,
        "schema": SCHEMA,
        "public_key": public_key,
        "sign_every_s": sign_every_s,
        **asdict(genesis),
    }


def decision_record(decision: Decision, permit: Permit, report: KeeperReport | None = None) -> Record:
    """One tick. `hands` is null when nothing was judged, `keeper` when it has said nothing yet.

    `sensed` is all else that the interlock was told: with it, replay steps the tick again.
    """
    return {
        "kind": Kind.DECISION.value,
        "frame_seq": decision.frame_seq,
        **asdict(decision.times),
        "age_ms": None if decision.frame_seq < 0 else ages_ms(decision.times),
        "hands": None if decision.detections is None else hands(decision.detections),
        "zones": {zone.name: _zone(zone) for zone in decision.zones},
        "state": decision.state.name,
        "output": decision.output.value,
        "cause": decision.cause,
        "permit_seq": permit.seq,
        "keeper": None if report is None else _keeper(report),
        "sensed": None if decision.sensed is None else _sensed(decision.sensed),
    }


def ages_ms(times: StageTimes) -> dict[str, float]:
    """How old the frame was when it left each stage, in ms since its capture."""
    ends_ns = {"taken": times.taken_ns, "detected": times.detected_ns, "judged": times.judged_ns}
    return {stage: round((end_ns - times.captured_ns) / 1e6, 3) for stage, end_ns in ends_ns.items()}


def hands(detections: Detections) -> list[Record]:
    """Each hand as `{box_px: [x1, y1, x2, y2], score, label}`; empty for an empty picture."""
    rows = zip(detections.boxes_px, detections.scores, detections.labels, strict=True)
    return [
        {"box_px": [exact(side) for side in box], "score": exact(score), "label": HandClass(label).title}
        for box, score, label in rows
    ]


def exact(value: np.float32 | float) -> float:
    """The float with the fewest digits that is still the same float32 (or float64)."""
    return float(str(value))


def event_record(event: Event) -> Record:
    """An event of the interlock, under its own name."""
    return {"kind": Kind.EVENT.value, "event": _EVENT_NAMES[type(event)], **_plain(asdict(event))}


def operator_record(action: OperatorAction, at_ns: int, who: str = "", detail: str = "") -> Record:
    """A person's action; `at_ns` is monotonic, `who` may be empty where nobody signs in."""
    return {"kind": Kind.OPERATOR.value, "action": action.value, "at_ns": at_ns, "who": who, "detail": detail}


def fault_record(name: str, at_ns: int, detail: str, lost_records: int = 0) -> Record:
    """A fault; `lost_records` counts what was lost since the last record that said so."""
    return {
        "kind": Kind.FAULT.value,
        "name": name,
        "at_ns": at_ns,
        "detail": detail,
        "lost_records": lost_records,
    }


def caution_record(words: str, at_ns: int) -> Record:
    """One sentence that people were told at the start; `at_ns` is monotonic."""
    return {"kind": Kind.CAUTION.value, "at_ns": at_ns, "words": words}


def head_record(signature: bytes | None = None) -> Record:
    """A signature over the chain as it would be with this head, had it no signature."""
    head = {"kind": Kind.HEAD.value}
    return head if signature is None else {**head, "signature": signature.hex()}


def close_record(reason: str, lost_records: int) -> Record:
    """The end on purpose; `lost_records` over the whole run."""
    return {"kind": Kind.CLOSE.value, "reason": reason, "lost_records": lost_records}


def is_grave(record: Record) -> bool:
    """True for what must be signed and on disk at once: a trip, and a film that was deleted."""
    return record.get("event") == "tripped" or record["kind"] == Kind.CLIP_REMOVED.value


def _zone(zone: ZoneStatus) -> Record:
    seconds = zone.time_to_zone_s
    return {
        "role": zone.role.value,
        "intruded": bool(zone.intruded),
        "worst_score": exact(zone.worst_score),
        "time_to_zone_s": None if seconds is None else exact(seconds),
    }


def _sensed(told: Sensed) -> Record:
    stamp = {} if told.reset_since_ns is None else {"reset_since_ns": told.reset_since_ns}
    return {
        "reset_down": told.reset_down,
        "contactor_open": told.contactor_open,
        "impairments": sorted(told.impairments),
        "faults": sorted(told.faults),
        **stamp,
    }


def _keeper(report: KeeperReport) -> Record:
    return {
        "permit_seq": report.permit_seq,
        "output": report.output.value,
        "written_ns": report.written_ns,
        "contactor_open": report.contactor_open,
        "faults": sorted(report.faults),
    }


def _plain(fields: Record) -> Record:
    return {name: _plain_value(value) for name, value in fields.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    return exact(value) if isinstance(value, np.floating) else value
