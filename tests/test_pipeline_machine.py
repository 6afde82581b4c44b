"""Anything may happen next: a state machine drives `advance` and reads the history back.

The rules here change the world (a hand comes, the camera freezes, the button goes
down, time passes), each followed by a tick. Afterwards the output may be ON only if
the recorded history explains it. Nothing of the interlock's own memory is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from handguard.pipeline import Memory, Rules, Senses, advance
from handguard.safety import camera_trust, interlock
from handguard.safety.zones import ZoneField
from handguard.types import Decision, Detections, Frame, Output, State, StateChanged, Tripped, Zone, ZoneRole

MS = 1_000_000
WIDTH_PX, HEIGHT_PX = 64, 48
MAX_AGE_NS, EDM_NS, FREE_FRAMES = 100 * MS, 60 * MS, 3
SHORTEST_NS, LONGEST_NS = 100 * MS, 3000 * MS
RULES = Rules(
    zones=ZoneField(
        (
            Zone("intake", ZoneRole.STOP, ((0, 24), (64, 24), (64, 48), (0, 48))),
            Zone("table", ZoneRole.WARNING, ((0, 12), (64, 12), (64, 48), (0, 48))),
        ),
        WIDTH_PX,
        HEIGHT_PX,
        fastest_px_s=300.0,
    ),
    interlock=interlock.Limits(MAX_AGE_NS, EDM_NS, FREE_FRAMES),
    trust=camera_trust.Limits(),
)
AWAY, NEAR, INSIDE = [5, 0, 10, 5], [5, 14, 10, 18], [5, 30, 10, 40]


class Detector:
    """Sees what the world shows; fails when told to."""

    description = "scripted"

    def __init__(self) -> None:
        self.boxes: list[list[float]] = []
        self.fails = False

    def detect(self, frame: Frame) -> Detections:
        if self.fails:
            raise RuntimeError("told to fail")
        n = len(self.boxes)
        boxes_px = np.array(self.boxes, np.float32).reshape(-1, 4)
        scores, labels = np.full(n, 0.5, np.float32), np.zeros(n, np.int64)
        return Detections(boxes_px, scores, labels, frame.seq, frame.captured_ns)


class Clock:
    """Stands still while a tick is judged."""

    def __init__(self) -> None:
        self.time_ns = 0

    def now_ns(self) -> int:
        return self.time_ns


@dataclass(frozen=True)
class Moment:
    """What was true at one tick, in words that owe nothing to the interlock."""

    now_ns: int
    newest_ns: int | None  # capture of the newest frame that was judged
    is_safe: bool  # seen, fresh, whole, free of hands and of complaints
    is_down: bool
    is_doomed: bool  # a fault has happened, now or before
    output: Output


class AnythingMayHappen(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock, self.detector, self.memory = Clock(), Detector(), Memory()
        self.noise = np.random.default_rng(7)
        self.seq, self.repeats, self.was_inside = 0, 0, False
        self.newest_ns: int | None = None
        self.last_image: np.ndarray | None = None  # that was looked at
        self.image = self.picture()
        self.is_down = False
        self.history: list[Moment] = []
        self.decision: Decision | None = None

    def picture(self) -> np.ndarray:
        return self.noise.integers(90, 120, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)

    @initialize(uptime_ms=st.integers(0, 10**9))
    def power_up(self, uptime_ms: int) -> None:
        self.clock.time_ns = uptime_ms * MS

    # What can happen -----------------------------------------------------------------------

    @rule(n=st.integers(1, 4), after_ms=st.integers(1, 60), age_ms=st.integers(0, 50))
    def frames(self, n: int, after_ms: int, age_ms: int) -> None:
        for _ in range(n):
            self.tick(after_ms, age_ms=age_ms)

    @rule(boxes=st.lists(st.sampled_from([AWAY, NEAR, INSIDE]), max_size=3))
    def hands_move(self, boxes: list[list[float]]) -> None:
        self.detector.boxes = boxes
        self.tick()

    @rule()
    def hands_leave(self) -> None:
        self.detector.boxes = []
        self.frames(4, 33, 10)

    @rule(after_ms=st.sampled_from([1, 10, 40, 90, 101, 700]))
    def nothing_comes(self, after_ms: int) -> None:
        self.tick(after_ms, frame=False)

    @rule(after_ms=st.sampled_from([99, 100, 101, 5000]))
    def the_monitor_hangs(self, after_ms: int) -> None:
        self.tick(after_ms, age_ms=0)

    @rule(age_ms=st.sampled_from([-1, 100, 101, 400]))
    def a_frame_has_an_odd_age(self, age_ms: int) -> None:
        self.tick(age_ms=age_ms)

    @rule(n=st.integers(1, 4))
    def the_camera_freezes(self, n: int) -> None:
        for _ in range(n):
            self.tick(is_live=False)

    @rule()
    def the_picture_has_another_size(self) -> None:
        self.tick(image=np.full((HEIGHT_PX, WIDTH_PX + 1, 3), 100, np.uint8))

    @rule(n=st.integers(1, 5))
    def the_button_goes_down(self, n: int) -> None:
        self.is_down = True
        self.frames(n, 33, 10)

    @rule()
    def the_button_comes_up(self) -> None:
        self.is_down = False
        self.tick()

    @rule()
    def a_person_resets(self) -> None:
        self.the_button_comes_up()
        self.hands_leave()
        self.the_button_goes_down(4)
        self.the_button_comes_up()

    @rule()
    def something_is_impaired(self) -> None:
        self.tick(impairments=frozenset({"port gone"}))

    @rule()
    def the_contact_stays_closed(self) -> None:
        self.tick(contactor_open=False)

    @rule()
    @precondition(lambda self: len(self.history) > 60)
    def the_detector_fails(self) -> None:
        self.detector.fails = True
        self.tick()
        self.detector.fails = False

    # One tick ------------------------------------------------------------------------------

    def tick(
        self,
        after_ms: int = 33,
        *,
        age_ms: int = 10,
        frame: bool = True,
        is_live: bool = True,
        image: np.ndarray | None = None,
        contactor_open: bool | None = None,
        impairments: frozenset[str] = frozenset(),
    ) -> None:
        self.clock.time_ns += after_ms * MS
        shown = self.shown(age_ms, is_live, image) if frame else None
        senses = Senses(self.clock.time_ns, shown, self.is_down, contactor_open, impairments)
        before = self.memory
        self.memory, decision = advance(before, senses, self.detector, self.clock, RULES)
        again = advance(before, senses, self.detector, self.clock, RULES)[1]
        assert same(again, decision)
        self.decision = decision
        self.remember(shown, senses, decision)

    def shown(self, age_ms: int, is_live: bool, image: np.ndarray | None) -> Frame:
        self.seq += 1
        if image is None:
            self.image = self.picture() if is_live else self.image
        return Frame(self.seq, self.clock.time_ns - age_ms * MS, self.image if image is None else image)

    def remember(self, shown: Frame | None, senses: Senses, decision: Decision) -> None:
        now_ns, last_ns = self.clock.time_ns, self.newest_ns
        in_order = shown is None or last_ns is None or shown.captured_ns > last_ns
        right_size = shown is None or shown.image.shape[1] == WIDTH_PX
        looked = shown is not None and in_order and right_size
        if looked and not self.detector.fails:
            self.newest_ns = shown.captured_ns
        if looked:
            self.look_again(shown.image)
        newest_ns = self.newest_ns
        fresh = newest_ns is not None and 0 <= now_ns - newest_ns <= MAX_AGE_NS
        gap = last_ns is not None and newest_ns is not None and newest_ns - last_ns > MAX_AGE_NS
        whole = in_order and right_size and fresh and not gap and self.repeats < 2
        contact_waits = senses.contactor_open is False and not self.was_on
        is_safe = whole and not (self.was_inside or senses.impairments or contact_waits)
        is_doomed = decision.state is State.LOCKOUT
        self.history.append(Moment(now_ns, newest_ns, is_safe, self.is_down, is_doomed, decision.output))

    def look_again(self, image: np.ndarray) -> None:
        """Without a new frame a hand stays where it was seen last, and a repeat stays a repeat."""
        self.was_inside = INSIDE in self.detector.boxes
        is_repeat = self.last_image is not None and np.array_equal(self.last_image, image)
        self.repeats = self.repeats + 1 if is_repeat else 0
        self.last_image = image

    @property
    def was_on(self) -> bool:
        return bool(self.history) and self.history[-1].output is Output.ON

    # What must be true ---------------------------------------------------------------------

    @invariant()
    def on_is_explained_by_the_history(self) -> None:
        if not self.was_on:
            return
        assert not any(moment.is_doomed for moment in self.history)
        assert self.history[-1].is_safe
        safe = self.newest_safe_run()
        assert any(self.is_reset(safe, i) for i in range(len(safe))), "no reset since the field was last unsafe"

    def newest_safe_run(self) -> list[Moment]:
        """The moments since the last unsafe one."""
        safe: list[Moment] = []
        for moment in reversed(self.history):
            if not moment.is_safe:
                break
            safe.append(moment)
        return safe[::-1]

    def is_reset(self, safe: list[Moment], released: int) -> bool:
        """Does a press that counts end with the release at this index of a safe run?"""
        if released == 0 or safe[released].is_down or not safe[released - 1].is_down:
            return False
        pressed = released - 1
        while pressed > 0 and safe[pressed - 1].is_down:
            pressed -= 1
        frames = {moment.newest_ns for moment in safe[: pressed + 1]}
        held_ns = safe[released].now_ns - safe[pressed].now_ns
        return len(frames) >= FREE_FRAMES and SHORTEST_NS <= held_ns <= LONGEST_NS

    @invariant()
    def output_is_a_function_of_the_state(self) -> None:
        if self.decision is not None:
            assert (self.decision.output is Output.ON) == (self.decision.state is State.RUN)

    @invariant()
    def events_tell_of_every_change_and_of_no_other(self) -> None:
        if self.decision is None:
            return
        before, after = ([Output.OFF] + [moment.output for moment in self.history])[-2:]
        trips = [event for event in self.decision.events if isinstance(event, Tripped)]
        assert len(trips) == (before is Output.ON and after is Output.OFF)
        changes = [event for event in self.decision.events if isinstance(event, StateChanged)]
        assert all(change.before is not change.after is self.decision.state for change in changes)


def same(one: Decision, other: Decision) -> bool:
    """Equal in all that a decision says (arrays have no plain equality)."""
    names = ("frame_seq", "times", "zones", "state", "output", "cause", "events")
    return all(getattr(one, name) == getattr(other, name) for name in names)


TestAnythingMayHappen = AnythingMayHappen.TestCase
TestAnythingMayHappen.settings = settings(max_examples=40, stateful_step_count=40)
