"""The loop speaks to the service manager of judged frames, and of lockout: of nothing that a dead loop could say."""

from __future__ import annotations

import numpy as np
import pytest

from handguard.liveness import Liveness
from handguard.types import Decision, Detections, Output, Permit, StageTimes, State

PERMIT = Permit(1, 0, 0, 0, Output.OFF)


class Manager:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def ready(self) -> None:
        self.told.append("ready")

    def alive(self) -> None:
        self.told.append("alive")

    def status(self, words: str) -> None:
        self.status_now = words

    def stopping(self) -> None:
        self.told.append("stopping")

    def close(self) -> None:
        self.told.append("closed")


@pytest.fixture
def manager() -> Manager:
    return Manager()


@pytest.fixture
def live(manager):
    return Liveness(manager)


def tick(frame_seq: int, state: State = State.RUN, *, judged: bool = True, cause: str = "free") -> Decision:
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64)
    found = Detections(*none, frame_seq, 0) if judged else None
    return Decision(frame_seq, StageTimes(0, 0, 0, 0), found, (), state, Output.OFF, cause)


def test_the_first_judged_frame_makes_it_ready_and_each_newer_one_is_a_sign_of_life(live, manager):
    for frame_seq in (0, 1, 5):
        live.record(tick(frame_seq), PERMIT)
    assert manager.told == ["ready", "alive", "alive", "alive"]


@pytest.mark.parametrize("state", [s for s in State if s is not State.LOCKOUT], ids=lambda state: state.name)
def test_a_tick_without_a_frame_is_no_progress(live, manager, state):
    live.record(tick(-1, state, judged=False), PERMIT)
    assert manager.told == []


def test_a_frame_that_was_not_judged_is_no_progress(live, manager):
    live.record(tick(3, judged=False), PERMIT)
    assert manager.told == []


def test_the_same_frame_again_and_an_older_one_are_no_progress(live, manager):
    for frame_seq in (3, 3, 2):
        live.record(tick(frame_seq), PERMIT)
    assert manager.told == ["ready", "alive"]


def test_a_lockout_is_not_ended_by_a_watchdog(live, manager):
    for _ in range(3):
        live.record(tick(-1, State.LOCKOUT, judged=False), PERMIT)
    assert manager.told == ["ready", "alive", "alive", "alive"]


def test_people_are_told_state_and_cause_of_every_tick(live, manager):
    live.record(tick(-1, State.SELF_TEST, judged=False, cause="blind: no frame"), PERMIT)
    assert manager.status_now == "SELF TEST: blind: no frame"


def test_the_end_is_told(live, manager):
    live.close()
    assert manager.told == ["stopping", "closed"]


def test_it_has_no_faults_of_its_own(live):
    assert live.faults == frozenset()
