"""One tick of the stop path, the same for the live machine and for replay.

    look at the picture      camera_trust    alive, lit?
    find the hands           detector        the one place where any exception is caught
    judge the zones          zones           any overlap, swept
    step the interlock       interlock       the only thing that may turn the output on

`advance` is given everything it may know: the memory of the tick before, what
the senses say now, a detector and a clock. It writes nothing, and equal
arguments give an equal decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from handguard.errors import DeviceReplaced
from handguard.ports import Clock, Detector
from handguard.safety import camera_trust, interlock
from handguard.safety.zones import ZoneField
from handguard.types import (
    Decision,
    Detections,
    Event,
    Frame,
    Output,
    Permit,
    ResetFreed,
    ResetStuck,
    Sensed,
    StageTimes,
    StateChanged,
    Tripped,
    WarningCleared,
    WarningRaised,
    ZoneRole,
    ZoneStatus,
)

REPEATED = "repeated frame"
WRONG_SIZE = "wrong picture size"
UNRELATED = "detector answered for another frame"
LONGEST_WORDS = 160  # of what a detector says when it fails, in a cause
REPLACED = "detector device lost, standby takes over"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a site has decided; constant while the monitor runs."""

    zones: ZoneField
    interlock: interlock.Limits
    trust: camera_trust.Limits


@dataclass(frozen=True, slots=True, eq=False)
class Senses:
    """Everything that is known at the start of a tick."""

    taken_ns: int  # when the tick began: the frame left the mailbox
    frame: Frame | None  # None: no new frame came
    reset_down: bool | None = False  # None: the button cannot be read
    contactor_open: bool | None = None
    impairments: frozenset[str] = frozenset()
    faults: frozenset[str] = frozenset()
    reset_since_ns: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What one tick leaves for the next."""

    interlock: interlock.Memory = field(default_factory=interlock.Memory)
    trust: camera_trust.Memory = field(default_factory=camera_trust.Memory)
    distrust: frozenset[str] = frozenset()  # of the newest picture
    seen: Detections | None = None  # hands of the newest judged frame
    zones: tuple[ZoneStatus, ...] = ()


def beginning(lockout: str | None) -> Memory:
    """What a run begins with; `lockout` is the cause of the one that an earlier run left behind, if it did."""
    return Memory(interlock=interlock.begun(lockout))


@dataclass(frozen=True, slots=True, eq=False)
class _Sight:
    """What the newest picture says, and what went wrong while looking."""

    memory: Memory
    new: Detections | None = None  # None: nothing was judged at this tick
    detected_ns: int | None = None  # when the detector answered; None if it was not asked, or failed
    failures: frozenset[str] = frozenset()
    impairments: frozenset[str] = frozenset()


def advance(
    memory: Memory, senses: Senses, detector: Detector, clock: Clock, rules: Rules
) -> tuple[Memory, Decision]:
    """Judge one tick. Never raises for what a camera or a detector can do."""
    sight = _see(memory, senses.frame, detector, clock, rules)
    judged_ns = clock.now_ns()
    seen = sight.memory
    observation = interlock.Observation(
        now_ns=judged_ns,
        sensed_ns=senses.taken_ns,
        captured_ns=None if seen.seen is None else seen.seen.captured_ns,
        intruded=any(zone.intruded for zone in seen.zones if zone.role is ZoneRole.STOP),
        reset_down=senses.reset_down,
        contactor_open=senses.contactor_open,
        reset_since_ns=senses.reset_since_ns,
        impairments=senses.impairments | seen.distrust | sight.impairments,
        faults=senses.faults | sight.failures,
    )
    stepped = interlock.step(memory.interlock, observation, rules.interlock)
    after = replace(seen, interlock=stepped)
    return after, _decision(memory, after, senses, sight, observation)


def permit_of(memory: Memory, decision: Decision, seq: int) -> Permit:
    """What the relay keeper is told after `advance`: it names the newest judged frame, so that only a newer
    one can renew it. Before the first judged frame, frame -1 captured at 0."""
    seen = memory.seen
    frame_seq, captured_ns = (-1, 0) if seen is None else (seen.frame_seq, seen.captured_ns)
    return Permit(seq, frame_seq, captured_ns, decision.times.judged_ns, decision.output)


def _see(memory: Memory, frame: Frame | None, detector: Detector, clock: Clock, rules: Rules) -> _Sight:
    """Look at a new frame, if there is one, and judge its zones."""
    if frame is None:
        return _Sight(memory)
    if memory.seen is not None and frame.captured_ns <= memory.seen.captured_ns:
        return _Sight(memory, impairments=frozenset({REPEATED}))
    if frame.image.shape[:2] != (rules.zones.height_px, rules.zones.width_px):
        return _Sight(memory, impairments=frozenset({WRONG_SIZE}))
    trust, distrust = camera_trust.look(memory.trust, frame.image, rules.trust)
    looked = replace(memory, trust=trust, distrust=distrust)
    try:
        hands = detector.detect(frame)
        detected_ns = clock.now_ns()
        zones = rules.zones.judge(hands, memory.seen)
    except DeviceReplaced:
        return _Sight(looked, impairments=frozenset({REPLACED}))
    except Exception as error:  # noqa: BLE001  whatever a detector does wrong is a fault, never "no hands"
        return _Sight(looked, failures=frozenset({_named(error)}))
    if (hands.frame_seq, hands.captured_ns) != (frame.seq, frame.captured_ns):
        return _Sight(looked, failures=frozenset({UNRELATED}))
    return _Sight(replace(looked, seen=hands, zones=zones), new=hands, detected_ns=detected_ns)


def _named(error: Exception) -> str:
    """What a detector raised, on one short line: `detector ValueError: the network's scores are not finite`."""
    said = " ".join(str(error).split())[:LONGEST_WORDS].rstrip()
    return f"detector {type(error).__name__}{said and ': '}{said}"


def _decision(
    before: Memory, after: Memory, senses: Senses, sight: _Sight, told: interlock.Observation
) -> Decision:
    frame_seq = -1 if senses.frame is None else senses.frame.seq
    captured_ns = senses.taken_ns if senses.frame is None else senses.frame.captured_ns
    judged_ns = told.now_ns
    detected_ns = judged_ns if sight.detected_ns is None else sight.detected_ns
    return Decision(
        frame_seq=frame_seq,
        times=StageTimes(captured_ns, senses.taken_ns, detected_ns, judged_ns),
        detections=sight.new,
        zones=after.zones,
        state=after.interlock.state,
        output=interlock.output_of(after.interlock.state),
        cause=_cause(after),
        events=tuple(_events(before, after, frame_seq, judged_ns)),
        sensed=Sensed(told.reset_down, told.contactor_open, told.impairments, told.faults, told.reset_since_ns),
    )


def _cause(after: Memory) -> str:
    """The interlock's cause, with the zone that a hand is in."""
    zone = _intruder(after)
    return after.interlock.cause if zone is None else f"{interlock.INTRUDED}: {zone.name}"


def _intruder(after: Memory) -> ZoneStatus | None:
    """The intruded stop zone with the highest score, if a hand is what the interlock acted on."""
    if after.interlock.cause != interlock.INTRUDED:
        return None
    stops = [zone for zone in after.zones if zone.role is ZoneRole.STOP and zone.intruded]
    return max(stops, key=lambda zone: zone.worst_score)


def _events(before: Memory, after: Memory, frame_seq: int, at_ns: int) -> list[Event]:
    """What changed. Nothing else emits safety events."""
    events: list[Event] = []
    was, now = before.interlock.state, after.interlock.state
    cause = _cause(after)
    if interlock.output_of(was) is Output.ON and interlock.output_of(now) is Output.OFF:
        zone = _intruder(after)
        name, score = (zone.name, zone.worst_score) if zone else (None, 0.0)
        events.append(Tripped(at_ns, frame_seq, cause, name, score))
    if was is not now:
        events.append(StateChanged(at_ns, frame_seq, was, now, cause))
    return events + _of_the_button(before, after, frame_seq, at_ns) + _warnings(before, after, frame_seq, at_ns)


def _of_the_button(before: Memory, after: Memory, frame_seq: int, at_ns: int) -> list[Event]:
    was_stuck, is_stuck = before.interlock.reset_is_stuck, after.interlock.reset_is_stuck
    if was_stuck == is_stuck:
        return []
    return [ResetStuck(at_ns, frame_seq) if is_stuck else ResetFreed(at_ns, frame_seq)]


def _warnings(before: Memory, after: Memory, frame_seq: int, at_ns: int) -> list[Event]:
    was = {zone.name for zone in before.zones if zone.intruded}
    raised: list[Event] = [
        WarningRaised(at_ns, frame_seq, zone.name, zone.worst_score)
        for zone in after.zones
        if zone.intruded and zone.name not in was and zone.role is ZoneRole.WARNING
    ]
    cleared: list[Event] = [
        WarningCleared(at_ns, frame_seq, zone.name)
        for zone in after.zones
        if not zone.intruded and zone.name in was and zone.role is ZoneRole.WARNING
    ]
    return raised + cleared
