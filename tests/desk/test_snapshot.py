from __future__ import annotations

import json

import numpy as np
from rich.console import Console

from handguard.desk.panel import Lines, render
from handguard.desk.snapshot import Chronicle, decision_in
from handguard.types import (
    Decision,
    Detections,
    KeeperReport,
    Output,
    StageTimes,
    State,
    StateChanged,
    Tripped,
    WarningRaised,
    ZoneRole,
    ZoneStatus,
)

MS = 1_000_000
REPORT = KeeperReport(3, Output.OFF, 5, True, frozenset({"relay-silent"}))


def a_decision(**changes: object) -> Decision:
    found = Detections(
        np.array([[1, 2, 30, 40]], np.float32), np.array([0.75], np.float32), np.array([1]), 4, 100 * MS
    )
    values: dict = {
        "frame_seq": 4,
        "times": StageTimes(100 * MS, 101 * MS, 105 * MS, 106 * MS),
        "detections": found,
        "zones": (
            ZoneStatus("blades", ZoneRole.STOP, True, 0.75, 0.0),
            ZoneStatus("near", ZoneRole.WARNING, False),
        ),
        "state": State.TRIPPED,
        "output": Output.OFF,
        "cause": "intruded: blades",
        "events": (Tripped(106 * MS, 4, "intruded: blades", "blades", 0.75),),
    }
    return Decision(**{**values, **changes})


def test_a_snapshot_is_plain_json_and_gives_the_decision_back():
    snapshot = json.loads(json.dumps(Chronicle().snapshot(a_decision(), REPORT, 2, frozenset({"camera"}))))
    back, decision = decision_in(snapshot), a_decision()
    assert (back.state, back.output, back.cause, back.zones) == (
        decision.state, decision.output, decision.cause, decision.zones,
    )  # fmt: skip
    np.testing.assert_allclose(back.detections.boxes_px, decision.detections.boxes_px)
    assert back.times == decision.times


def test_faults_of_every_origin_are_shown():
    snapshot = Chronicle().snapshot(a_decision(), REPORT, 0, frozenset({"evidence-disk"}))
    assert snapshot["faults"] == ["evidence-disk", "relay-silent"]


def test_counts_go_on_and_only_the_newest_events_are_kept():
    chronicle = Chronicle()
    for i in range(30):
        event = WarningRaised((106 + i) * MS, 4, "near", 0.5)
        snapshot = chronicle.snapshot(a_decision(events=(event,)), REPORT, 0, frozenset())
    assert snapshot["warnings"] == 30
    assert len(snapshot["events"]) == 8


def test_a_tick_without_a_frame_can_be_shown():
    idle = a_decision(frame_seq=-1, detections=None, zones=(), events=())
    snapshot = Chronicle().snapshot(idle, REPORT, 0, frozenset())
    assert snapshot["hands"] == []
    assert decision_in(snapshot).frame_seq == -1


def shown(snapshot: dict, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(snapshot))
    console.file.close()
    return console.export_text()


def test_the_panel_says_state_cause_hands_and_faults():
    text = shown(Chronicle().snapshot(a_decision(), REPORT, 0, frozenset()))
    for words in (
        "TRIPPED",
        "machine stopped",
        "intruded: blades",
        "gloved_hand 0.75",
        "relay-silent",
        "TRIP",
    ):
        assert words in text


def test_what_people_were_told_at_the_start_stays_on_the_panel():
    chronicle = Chronicle(cautions=("the relay is simulated: no machine is stopped",))
    for _ in range(30):
        snapshot = json.loads(json.dumps(chronicle.snapshot(a_decision(), REPORT, 0, frozenset())))
    assert "CAUTION the relay is simulated: no machine is stopped" in shown(snapshot)


def test_a_tame_installation_shows_no_caution():
    assert "CAUTION" not in shown(Chronicle().snapshot(a_decision(), REPORT, 0, frozenset()))


def test_every_state_has_its_words():
    for state in State:
        snapshot = Chronicle().snapshot(a_decision(state=state), REPORT, 0, frozenset())
        assert state.name.replace("_", " ") in shown(snapshot)


def test_plain_lines_show_each_event_once(capsys):
    chronicle, lines = Chronicle(), Lines(Console(width=100))
    change = StateChanged(107 * MS, 4, State.RUN, State.TRIPPED, "intruded: blades")
    for events in ((a_decision().events[0],), (change,), ()):
        lines.show(chronicle.snapshot(a_decision(events=events), REPORT, 0, frozenset()))
    printed = capsys.readouterr().out
    assert printed.count("TRIP intruded") == 1
    assert printed.count("RUN → TRIPPED") == 1
