"""What a run over the drawn scene saw, held against what truly happened there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from handguard.capture.scene.motion import Aim
from handguard.capture.scene.truth import Approach, Crossing
from handguard.scorekeeper import GRACE_NS, Scorekeeper, Truthful
from handguard.types import (
    Decision,
    Detections,
    HandClass,
    Output,
    Permit,
    StageTimes,
    State,
    Zone,
    ZoneRole,
    ZoneStatus,
)

MS = 1_000_000
BEGAN_NS = 5_000 * MS
STOP = Zone("intake", ZoneRole.STOP, ((0, 0), (9, 0), (9, 9)))
WARNING = Zone("table", ZoneRole.WARNING, ((0, 0), (99, 0), (99, 99)))
ENTERS_MS, LEAVES_MS = 1000, 1500


@dataclass
class Scene:
    """Hands that reach into the stop zone at these moments, for half a second each."""

    enters_ms: list[int]
    started_ns: int | None = BEGAN_NS

    def approaches(self, zones) -> tuple[Approach, ...]:
        assert zones == (STOP, WARNING)
        return tuple(self._approach(i, ms) for i, ms in enumerate(self.enters_ms))

    def _approach(self, index: int, enters_ms: int) -> Approach:
        enters_ns, leaves_ns = enters_ms * MS, (enters_ms + LEAVES_MS - ENTERS_MS) * MS
        crossing = Crossing("intake", ZoneRole.STOP, enters_ns, 0, leaves_ns, None, None)
        ends_ns = leaves_ns + 100 * MS
        return Approach(index, Aim.STOP, HandClass.HAND, 1, enters_ns, ends_ns, 0, 0, 1.0, (crossing,))


def nobody(frame_seq: int, at_ns: int) -> Detections:
    return Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), frame_seq, at_ns)


def score(enters_ms: list[int], seen_ms: dict[int, str], until_ms: int = 10_000) -> dict:
    """A run with a frame at each of these moments, in which the zone named was intruded ("" for none)."""
    scene = Scene(enters_ms)
    assert isinstance(scene, Truthful)
    keeper = Scorekeeper(scene, [STOP, WARNING])
    for ms, zone in sorted({**seen_ms, until_ms: ""}.items()):
        at_ns = BEGAN_NS + ms * MS
        status = tuple(ZoneStatus(each.name, each.role, each.name == zone) for each in (STOP, WARNING))
        times = StageTimes(at_ns, at_ns, at_ns, at_ns)
        hands = nobody(ms, at_ns)
        decision = Decision(ms, times, hands, status, State.RUN, Output.ON, "free")
        keeper.record(decision, Permit(ms, ms, at_ns, at_ns, Output.ON))
    return keeper.result()


def test_a_hand_that_was_seen_is_told_with_its_delay():
    found = score([1000], {990: "", 1033: "intake", 1066: "intake"})
    assert found["approaches"] == 1
    assert (found["stop"]["entered"], found["stop"]["seen"], found["stop"]["missed"]) == (1, 1, 0)
    assert found["stop"]["delay_ms"]["max"] == 33.0
    assert found["warning"]["entered"] == 0


GRACE_MS = GRACE_NS // MS


@pytest.mark.parametrize(
    ("seen_ms", "delay_ms"),
    [
        (ENTERS_MS - GRACE_MS, -GRACE_MS),
        (ENTERS_MS - GRACE_MS - 1, None),
        (LEAVES_MS + GRACE_MS, LEAVES_MS + GRACE_MS - ENTERS_MS),
        (LEAVES_MS + GRACE_MS + 1, None),
    ],
)
def test_a_zone_counts_as_seen_from_a_moment_before_to_a_moment_after(seen_ms: int, delay_ms: float | None):
    stop = score([ENTERS_MS], {seen_ms: "intake"})["stop"]
    assert stop["delay_ms"]["max"] == delay_ms
    assert stop["missed"] == (delay_ms is None)


def test_another_zone_is_no_answer():
    assert score([1000], {1033: "table"})["stop"]["missed"] == 1


def test_each_hand_is_held_to_its_own_time():
    stop = score([1000, 3000, 5000], {1010: "intake", 5020: "intake"})["stop"]
    assert (stop["entered"], stop["seen"], stop["missed"]) == (3, 2, 1)
    assert stop["delay_ms"]["max"] == 20.0


def test_an_approach_still_under_way_is_left_out():
    assert score([1000, 3000], {1010: "intake"}, until_ms=3500)["approaches"] == 1


def test_a_run_without_a_judged_frame_saw_nothing():
    assert Scorekeeper(Scene([1000]), [STOP, WARNING]).result() == {"approaches": 0}


def test_frames_in_which_nobody_is_near_take_no_memory():
    keeper = Scorekeeper(Scene([]), [STOP, WARNING])
    status = (ZoneStatus("intake", ZoneRole.STOP, False),)
    for at_ns in range(100):
        times = StageTimes(at_ns, at_ns, at_ns, at_ns)
        decision = Decision(at_ns, times, nobody(0, at_ns), status, State.RUN, Output.ON, "free")
        keeper.record(decision, Permit(0, 0, 0, 0, Output.ON))
    assert keeper._seen == []
