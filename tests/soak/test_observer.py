"""The judge of a soak finds every kind of wrong state, and none where the limit was kept."""

from __future__ import annotations

import pytest

from benchmarks.soak import observer as limits
from benchmarks.soak.account import Records, disobeyed, seen_in_time
from benchmarks.soak.observer import MS, Observer, Wrong

FRAME_MS = 33


class Site:
    """Tells an observer a story; time is in milliseconds."""

    def __init__(self) -> None:
        self.observer = Observer()
        self.now_ms = 1000.0

    def tell(self, event: str, **facts: object) -> None:
        self.observer.hear({"ns": round(self.now_ms * MS), "event": event, **facts})

    def contacts(self, closed: bool, boards: str = "ab") -> None:
        for board in boards:
            self.tell("contact", board=board, closed=closed)

    def frames(self, for_ms: float, *, stop: bool = False, fault: str = "") -> None:
        """Pictures for so long, the last one at the end."""
        end_ms = self.now_ms + for_ms
        while self.now_ms < end_ms:
            self.tell("frame", taken_ns=round(self.now_ms * MS), stop=stop, fault=fault)
            self.now_ms = min(self.now_ms + FRAME_MS, end_ms)
        self.tell("tick")

    def running(self) -> None:
        """Both contacts closed after a reset, and nobody near."""
        self.tell("started")
        self.frames(100)
        self.tell("pressed")
        self.contacts(True)
        self.frames(100)

    @property
    def reasons(self) -> list[str]:
        return [one.reason for one in self.observer.wrong]


@pytest.fixture
def site() -> Site:
    site = Site()
    site.running()
    assert site.observer.is_closed
    return site


def test_an_ordinary_day_has_no_wrong_state(site):
    for _ in range(5):
        site.frames(500)
        site.frames(40, stop=True)
        site.contacts(False)
        site.frames(1000, stop=True)
        site.frames(500)
        site.tell("pressed")
        site.contacts(True)
    assert site.reasons == []
    assert site.observer.late == []
    assert (site.observer.approaches, site.observer.openings, len(site.observer.stops)) == (5, 5, 5)


def test_the_machine_runs_only_while_both_contacts_are_closed(site):
    site.contacts(False, "a")
    assert not site.observer.is_closed
    site.now_ms += 10_000
    site.tell("tick")
    assert site.reasons == []


@pytest.mark.parametrize(("over_ms", "wrong"), [(0, []), (1, ["no picture"])])
def test_silence_of_the_camera_is_a_reason_once_its_limit_has_passed(site, over_ms, wrong):
    site.tell("frame", taken_ns=round(site.now_ms * MS), stop=False, fault="")
    site.now_ms += limits.SILENCE_LIMIT_NS / MS + over_ms
    site.tell("tick")
    assert site.reasons == wrong


def test_one_lasting_wrong_state_is_counted_once(site):
    site.now_ms += 1000
    site.tell("tick")
    site.now_ms += 1000
    site.tell("tick")
    assert site.reasons == ["no picture"]


@pytest.mark.parametrize("fault", sorted(limits.BLINDING))
def test_a_frozen_or_dark_picture_is_a_reason(site, fault):
    site.frames(limits.BLIND_LIMIT_NS / MS - 10, fault=fault)
    assert site.reasons == []
    site.frames(60, fault=fault)
    assert site.reasons == ["blind"]


def test_a_picture_that_is_whole_again_is_none(site):
    site.frames(200, fault="dark")
    site.frames(100)
    site.frames(200, fault="dark")
    assert site.reasons == []


@pytest.mark.parametrize("who", ["monitor", "keeper"])
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_monitor_or_keeper_that_is_gone_is_a_reason(site, who, how):
    site.tell("struck", who=who, how=how)
    site.frames(limits.DEAD_LIMIT_NS / MS - 1)
    assert site.reasons == []
    site.frames(2)
    assert site.reasons == [f"{who} {how}"]


@pytest.mark.parametrize("who", ["panel", "recorder"])
def test_a_viewer_that_is_gone_is_none(site, who):
    site.tell("struck", who=who, how="killed")
    site.frames(2000)
    assert site.reasons == []


def test_a_stop_that_was_short_enough_is_forgotten(site):
    site.tell("struck", who="monitor", how="stopped")
    site.frames(100)
    site.tell("continued", who="monitor")
    site.frames(500)
    assert site.reasons == []


def test_closing_without_a_press_since_the_last_stop_is_wrong(site):
    site.contacts(False)
    site.contacts(True)
    assert site.reasons == ["closed without a reset"]


@pytest.mark.parametrize("who", ["monitor", "keeper"])
def test_closing_after_a_death_without_a_new_start_is_wrong_although_somebody_pressed(site, who):
    site.tell("struck", who=who, how="killed")
    site.contacts(False)
    site.tell("pressed")
    site.contacts(True)
    assert site.reasons == ["closed in lockout"]


def test_a_new_start_and_a_press_may_close_again(site):
    site.tell("struck", who="keeper", how="killed")
    site.contacts(False)
    site.tell("started")
    site.frames(100)
    site.tell("pressed")
    site.contacts(True)
    site.frames(1000)
    assert site.reasons == []


@pytest.mark.parametrize(("stopped_ms", "wrong"), [(500, []), (700, ["closed in lockout"])])
def test_a_keeper_that_was_silent_for_long_is_never_believed_again(site, stopped_ms, wrong):
    site.contacts(False)
    site.tell("struck", who="keeper", how="stopped")
    site.frames(stopped_ms)
    site.tell("continued", who="keeper")
    site.tell("pressed")
    site.contacts(True)
    assert site.reasons == wrong


def test_a_board_that_is_taken_out_is_open(site):
    site.tell("end", board="a")
    assert not site.observer.is_closed


def test_a_hand_that_stays_is_told_as_late_and_not_yet_as_wrong(site):
    site.frames(limits.HAND_LIMIT_NS / MS - 1, stop=True)
    assert site.observer.late == []
    site.frames(2, stop=True)
    assert [one.reason for one in site.observer.late] == ["hand"]
    assert site.reasons == []


# The records against the contacts ----------------------------------------------------------


def told(*ticks: tuple[float, bool, bool]) -> Records:
    """Ticks as (ms, output ON, stop zone intruded)."""
    return Records([round(ms * MS) for ms, *_ in ticks], [on for _, on, _ in ticks], [seen for *_, seen in ticks])


LIMIT_MS = limits.DEAD_LIMIT_NS / MS


@pytest.mark.parametrize(("opened_ms", "wrong"), [(1000 + LIMIT_MS, 0), (1001 + LIMIT_MS, 1)])
def test_contacts_that_stay_closed_after_a_tick_that_said_off_are_found(opened_ms, wrong):
    records = told((900, True, False), (1000, False, True), (1033, False, True))
    assert len(disobeyed(records, [(500 * MS, round(opened_ms * MS))])) == wrong


def test_a_tick_that_said_on_again_ends_the_question():
    records = told((1000, False, False), (1050, True, False))
    assert disobeyed(records, [(500 * MS, 5000 * MS)]) == []


@pytest.mark.parametrize(("seen_ms", "in_time"), [(1500 - LIMIT_MS, True), (1501 - LIMIT_MS, False)])
def test_a_late_hand_is_the_interlocks_if_the_network_had_seen_it(seen_ms, in_time):
    late = Wrong("hand", 1200 * MS, 1500 * MS)
    assert seen_in_time(told((1250, True, False), (seen_ms, True, True)), late) is in_time


def test_what_is_closed_at_the_end_was_closed_until_the_end():
    """Otherwise a machine that never stopped again would not be held to its record."""
    site = Site()
    site.frames(100)
    site.tell("pressed")
    site.contacts(closed=True)
    begin_ns = round(site.now_ms * MS)
    site.frames(500)
    end_ns = round(site.now_ms * MS)
    assert site.observer.closed == []
    site.observer.end(end_ns)
    assert site.observer.closed == [(begin_ns, end_ns)]
    records = Records(judged_ns=[begin_ns + 100 * MS], is_on=[False])
    assert len(disobeyed(records, site.observer.closed)) == 1
