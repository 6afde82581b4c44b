"""What the stop path makes of a detector whose device was lost and whose standby looks from the next frame on."""

from __future__ import annotations

import numpy as np

from handguard.errors import DeviceError, DeviceReplaced
from handguard.pipeline import REPLACED, Memory, Rules, Senses, advance
from handguard.safety import camera_trust, interlock
from handguard.safety.zones import ZoneField
from handguard.types import Detections, Frame, Output, State, Tripped, Zone, ZoneRole

MS = 1_000_000
RULES = Rules(
    ZoneField((Zone("intake", ZoneRole.STOP, ((0, 24), (64, 24), (64, 48), (0, 48))),), 64, 48, 200.0),
    interlock.Limits(max_frame_age_ns=100 * MS, edm_timeout_ns=50 * MS, free_frames=3),
    camera_trust.Limits(),
)


class Line:
    """A camera at 30 Hz over an empty table, and a detector that can be told what to raise."""

    description = "scripted"

    def __init__(self) -> None:
        self.memory, self.time_ns, self.seq = Memory(), 0, -1
        self.raises: Exception | None = None
        self.noise = np.random.default_rng(0)

    def now_ns(self) -> int:
        return self.time_ns

    def detect(self, frame: Frame) -> Detections:
        if self.raises is not None:
            raise self.raises
        nothing = np.zeros((0, 4), np.float32)
        return Detections(
            nothing, np.zeros(0, np.float32), np.zeros(0, np.int64), frame.seq, frame.captured_ns
        )

    def tick(self, reset_down: bool = False):
        self.time_ns += 33 * MS
        self.seq += 1
        frame = Frame(self.seq, self.time_ns, self.noise.integers(90, 120, (48, 64, 3), np.uint8))
        self.memory, decision = advance(
            self.memory, Senses(self.time_ns, frame, reset_down=reset_down), self, self, RULES
        )
        return decision

    def reset(self) -> None:
        for down in (False,) * 4 + (True,) * 5 + (False,) * 2:
            self.tick(down)


def running() -> Line:
    line = Line()
    line.reset()
    assert line.tick().output is Output.ON
    return line


def test_a_replaced_device_trips_in_the_tick_that_lost_it_and_is_no_fault():
    line = running()
    line.raises = DeviceReplaced("the card is gone")
    decision = line.tick()
    assert (decision.state, decision.output) == (State.TRIPPED, Output.OFF)
    assert decision.cause == f"blind: {REPLACED}" == "blind: detector device lost, standby takes over"
    assert decision.detections is None
    assert (decision.sensed.impairments, decision.sensed.faults) == (frozenset({REPLACED}), frozenset())
    assert [event.cause for event in decision.events if isinstance(event, Tripped)] == [decision.cause]


def test_the_picture_of_that_tick_was_looked_at_all_the_same():
    line = running()
    before = line.memory.trust
    line.raises = DeviceReplaced("the card is gone")
    line.tick()
    assert line.memory.trust != before


def test_the_standby_alone_restarts_nothing_a_person_does():
    line = running()
    line.raises = DeviceReplaced("the card is gone")
    line.tick()
    line.raises = None
    assert {line.tick().output for _ in range(30)} == {Output.OFF}
    line.reset()
    assert line.tick().output is Output.ON


def test_a_lost_device_without_a_standby_locks_out():
    line = running()
    line.raises = DeviceError("the card is gone")
    assert line.tick().state is State.LOCKOUT
    line.raises = None
    line.reset()
    assert line.tick().output is Output.OFF
