"""What pages are made of: each function gives one section, or nothing where there is nothing to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handguard.evidence.decisions import DecisionLine
from handguard.evidence.summary import percentile
from handguard.replay.approaches import Approach, judge_approaches
from handguard.replay.compare import Comparison, Trip, trips_of
from handguard.replay.interval import share_95
from handguard.replay.report import charts, timeline, trajectories
from handguard.replay.report.markup import Content, Html, joined, picture, table, tag
from handguard.replay.report.stills import MOST_TRIPS, Stills
from handguard.replay.report.timeline import Mark
from handguard.replay.score import Score, Totals
from handguard.replay.words import capital, duration_in_words, fates_in_words
from handguard.types import PictureFormat, State, Zone

STATE_WORDS = {
    State.RUN: "run: the machine may run", State.TRIPPED: "tripped", State.AWAIT_RESET: "awaiting reset",
    State.SELF_TEST: "self test", State.LOCKOUT: "lockout",
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """Everything that is shown of one recording."""

    lines: Sequence[DecisionLine]
    zones: Sequence[Zone]
    picture: PictureFormat
    stills: Stills
    approaches: Sequence[Approach] | None = None
    comparison: Comparison | None = None
    b_lines: Sequence[DecisionLine] = ()

    @property
    def trips(self) -> list[Trip]:
        """Every time the output left ON."""
        return trips_of(self.lines)


def section(title: str, about: Content, *content: Content) -> Html:
    """A titled part of the page, with one sentence on how to read it."""
    return tag("section", tag("h2", title), tag("p", about, class_="about"), *content)


def card(number: str, name: str, small: str, class_: str = "") -> Html:
    """One number, large."""
    return tag("div", tag("b", number), tag("span", name), tag("small", small), class_=f"card {class_}".strip())


def score_cards(score: Score) -> Html:
    """The numbers of one recording."""
    free_s = score.free_ms / 1000
    lasted = f"in {duration_in_words(score.lasted_ms)}, {score.frames} frames"
    cards = [card(str(score.trips), "trip" if score.trips == 1 else "trips", lasted)]
    if score.approaches:
        caught = score.approaches - (score.missed or 0)
        cards.append(card(f"{caught} of {score.approaches}", "approaches stopped", f"{score.missed} missed",
                          "bad" if score.missed else "good"))  # fmt: skip
    if score.latencies_ms:
        median, worst = percentile(sorted(score.latencies_ms), 50) or 0.0, max(score.latencies_ms)
        cards.append(card(f"{median:.0f} ms", "hand visible → stop, median", f"longest {worst:.0f} ms"))
    if score.nuisance is not None:
        cards.append(card(str(score.nuisance), "nuisance trips", f"in {free_s:.0f} s without a hand",
                          "bad" if score.nuisance else "good"))  # fmt: skip
    share = 100 * score.ran_ms / score.lasted_ms if score.lasted_ms else 0.0
    cards.append(card(f"{share:.0f} %", "of the time running", "the rest waits for hands and resets"))
    return tag("section", *cards, class_="cards")


def total_cards(totals: Totals, times_real_time: float | None) -> Html:
    """The numbers of all recordings."""
    values = totals.to_json()
    low, high = (100 * end for end in share_95(totals.missed, totals.approaches))
    miss = "–" if values["miss_rate"] is None else f"{100 * values['miss_rate']:.1f} %"
    told = f"{totals.missed} of {totals.approaches}; 95 % interval {low:.1f} to {high:.1f} %"
    color = "bad" if totals.missed else "good" if totals.approaches else ""
    cards = [card(miss, "approaches missed", told, color)]
    if totals.latencies_ms:
        median, worst = percentile(totals.latencies_ms, 50) or 0.0, totals.latencies_ms[-1]
        cards.append(card(f"{median:.0f} ms", "hand visible → stop, median", f"longest {worst:.0f} ms"))
    if values["nuisance_per_h_95"]:
        low_h, high_h = values["nuisance_per_h_95"]
        told = f"{totals.nuisance} in {duration_in_words(totals.free_ms)}; 95 % interval {low_h:.1f} to {high_h:.1f}"
        cards.append(card(f"{values['nuisance_per_h']:.1f}", "nuisance trips an hour", told))
    speed = "" if times_real_time is None else f"; judged at {times_real_time:.1f} × real time"
    cards.append(card(str(totals.recordings), "recordings", f"{duration_in_words(totals.lasted_ms)}{speed}"))
    return tag("section", *cards, class_="cards")


def over_time(sheet: Sheet) -> Html:
    """The timeline, with the second judgment below the first where there is one."""
    lanes = [] if sheet.approaches is None else [timeline.truth_lane(sheet.lines, sheet.approaches)]
    suffix = " (A)" if sheet.b_lines else ""
    lanes += [timeline.score_lane(sheet.lines), *timeline.zone_lanes(sheet.lines, sheet.zones, suffix)]
    lanes.append(timeline.state_lane(sheet.lines, f"state{suffix}"))
    if sheet.b_lines:
        lanes.append(timeline.SPACE)
        lanes += timeline.zone_lanes(sheet.b_lines, sheet.zones, " (B)")
        lanes.append(timeline.state_lane(sheet.b_lines, "state (B)"))
    marks = [
        Mark(trip.t_ms, i, f"#trip-{i}", f"trip {i}: {trip.cause}, {trip.t_ms / 1000:.2f} s")
        for i, trip in enumerate(sheet.trips[:MOST_TRIPS], start=1)
    ]
    states = {line.state for line in [*sheet.lines, *sheet.b_lines]}
    keys = [tag("span", words, class_=f"key k-{state.name}") for state, words in STATE_WORDS.items() if state in states]
    keys += [] if sheet.approaches is None else [tag("span", "truth: a hand is in the picture", class_="key k-truth")]
    about = "From left to right, as it happened. Each number is a trip: click it to see the picture."
    drawing = timeline.drawn(lanes, marks, sheet.lines[-1].t_ms)
    return section("What happened", about, tag("div", drawing, class_="scrolls"), tag("p", *keys, class_="legend"))


def trip_pictures(sheet: Sheet) -> Html | None:
    """The frame of each trip, with zones and hands."""
    trips = sheet.trips
    if not trips:
        return None
    shown = [_figure(i, trip, jpeg) for i, (trip, jpeg) in enumerate(zip(trips, sheet.stills.trips, strict=False), 1)]
    more = len(trips) - len(shown)
    about = "The very frame that stopped the machine, with the zones and what the network saw in them."
    about += f" The first {len(shown)} are shown; {more} more stand in decisions.jsonl." if more > 0 else ""
    return section("Every trip", about, tag("div", *shown, class_="trips"))


def hand_paths(sheet: Sheet) -> Html | None:
    """Where hands went."""
    tracks = trajectories.tracks_of(sheet.lines, sheet.picture.width_px)
    if not tracks:
        return None
    about = "Centers of the found hands, from blue (early) to red (late); a dot is where one was first seen."
    drawing = trajectories.drawn(tracks, sheet.zones, sheet.picture, sheet.stills.ground)
    return section("Where the hands went", about, drawing)


def answers(sheet: Sheet) -> Html | None:
    """Every approach and what the monitor made of it."""
    if not sheet.approaches:
        return None
    at_ms = {line.frame: line.t_ms for line in sheet.lines}
    rows: list[list[Content]] = []
    for i, answer in enumerate(judge_approaches(sheet.approaches, sheet.lines).answers, start=1):
        first, stopped = answer.approach.first_frame, answer.stopped_frame
        took = ""
        if stopped is not None and first in at_ms:  # a live run may not have judged the first
            took = f"{at_ms[stopped] - at_ms[first]:.0f} ms"
        verdict = tag("td", "MISSED", class_="bad-text") if answer.missed else tag("td", "stopped", class_="good-text")
        rows.append([i, f"{first} to {answer.approach.last_frame}", _frame(answer.warned_frame),
                     _frame(stopped), took, verdict])  # fmt: skip
    about = (
        "A reach for the machine, as a person marked it in the truth file. The time runs from the frame in which a hand"
        " came into the picture; it includes its way to the zone."
    )
    head = ["", "frames", "first intrusion", "stopped at frame", "after", ""]
    return section("Every approach", about, table(head, rows))


def comparison(found: Comparison | None, a: str, b: str) -> Html | None:
    """A against B."""
    if found is None:
        return None
    rows: list[list[Content]] = []
    for i, each in enumerate(found.trips, start=1):
        fate = tag("td", each.fate.value, class_="bad-text" if each.fate.fails else "")
        late = f"{each.late_ms:+.0f} ms" if each.late_ms else ""
        rows.append([i, *_told(each.trip), fate, _frame(each.frame), late])
    rows += [["", "", "", trip.cause, "extra", trip.frame, f"at {trip.t_ms / 1000:.2f} s"] for trip in found.extra]
    ran_a, ran_b = (duration_in_words(ms) for ms in found.ran_ms)
    shift = "never found equally many hands" if found.box_shift_px is None else f"up to {found.box_shift_px:g} px"
    facts = table(
        ["", f"A: {a}", f"B: {b}"],
        [
            ["trips", len(found.trips), found.b_trips],
            ["the machine ran", ran_a, ran_b],
            ["boxes differ", "", shift],
            ["frames with another number of hands", "", found.frames_with_other_hands],
        ],
    )
    about = (
        f"{capital(fates_in_words(found))}. A lost or later trip fails; an earlier or extra one is a cost."
        " A hand is only answered by a hand: being off for another reason is luck."
    )
    head = ["", "A: frame", "time", "cause", "in B", "B: frame", "difference"]
    return section("A against B", about, facts, tag("h3", "Trip by trip"), table(head, rows))


def latencies(values_ms: Sequence[float]) -> Html | None:
    """How long stops took."""
    if not values_ms:
        return None
    about = (
        "One dot for each approach: from the frame in which a hand came into the picture to the frame that stopped the"
        " machine. Most of it is the hand's own way to the zone."
    )
    return section("How soon", about, charts.spread(values_ms))


def proof(rows: Sequence[tuple[str, str]], *more: Content) -> Html:
    """Hashes: what this page was made from."""
    parts: list[Html] = []
    for name, value in rows:
        parts += [tag("dt", name), tag("dd", tag("code", value))]
    about = "What this page was made from. Equal hashes give equal decisions, byte for byte, on equal machines."
    return section("Proof", about, tag("dl", *parts), *more)


def told_at_the_start(cautions: Sequence[str]) -> Html | None:
    """The weaknesses of the installation that the run was made with."""
    if not cautions:
        return None
    about = "What people were told of this installation when the run began, and on the panel as long as it lasted."
    return section("Cautions", about, tag("ul", *[tag("li", words) for words in cautions]))


def kept(sections: Sequence[Html | None]) -> list[Html]:
    """Those that there are."""
    return [each for each in sections if each is not None]


def failures_list(failures: Sequence[str]) -> Html:
    """Why something fails."""
    return joined([tag("p", tag("span", each, class_="bad-text")) for each in failures])


def _figure(number: int, trip: Trip, jpeg: bytes | None) -> Html:
    words = f"frame {trip.frame}, {trip.t_ms / 1000:.2f} s: {trip.cause}"
    shown = tag("p", "no picture", class_="quiet") if jpeg is None else picture(jpeg, f"trip {number}, {words}")
    return tag("figure", shown, tag("figcaption", tag("b", number), words), id=f"trip-{number}")


def _told(trip: Trip) -> tuple[Content, ...]:
    return trip.frame, f"{trip.t_ms / 1000:.2f} s", trip.cause


def _frame(frame: int | None) -> Content:
    return "never" if frame is None else frame


def trips_in_words(number: int) -> str:
    """`The machine was stopped 7 times.`"""
    often = {0: "never stopped", 1: "stopped once"}.get(number, f"stopped {number} times")
    return f"The machine was {often}."
