"""What viewers are shown while no picture comes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from handguard.evidence.summary import Summary
from handguard.monitor import Monitor
from handguard.types import KeeperReport, Output, Permit, State
from tests.desk.feeding import decided

REPORT = KeeperReport(-1, Output.OFF, 0, None)
PERMIT = Permit(1, 1, 0, 0, Output.OFF)


class Feed:
    """A feed that only remembers."""

    def __init__(self):
        self.shown = []

    def publish(self, snapshot, image):
        self.shown.append((snapshot["cause"], snapshot["faults"], image is not None))


@pytest.fixture
def parts():
    return SimpleNamespace(
        lockout=None, cautions=(), sinks=(), beside=(), reset=None, shows_picture=True, feed=Feed(),
        camera=SimpleNamespace(format=SimpleNamespace(period_ns=33_000_000)), mailbox=SimpleNamespace(dropped=0),
    )  # fmt: skip


def test_why_no_picture_comes_is_shown_at_once_and_once(parts):
    monitor = Monitor(parts, Summary())
    seen = decided(1, trip=True)
    monitor._remember(seen, PERMIT, REPORT, SimpleNamespace(image=object()))
    blind = replace(seen, frame_seq=-1, detections=None, cause="blind: no new frame", state=State.TRIPPED, events=())
    for _ in range(50):
        monitor._remember(blind, PERMIT, REPORT, None)
    unplugged = replace(REPORT, faults=frozenset({"relay-port"}))
    for _ in range(50):
        monitor._remember(blind, PERMIT, unplugged, None)
    assert parts.feed.shown == [
        ("intruded: intake", [], True),
        ("blind: no new frame", [], False),
        ("blind: no new frame", ["relay-port"], False),
    ]
