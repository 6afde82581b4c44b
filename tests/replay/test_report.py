"""Pages that hold everything they show, escape what they are told, and say the same as the numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from handguard.evidence.decisions import DecisionLine, HandLine
from handguard.replay.approaches import Approach
from handguard.replay.replay import replay_video
from handguard.replay.report import charts, timeline, trajectories
from handguard.replay.report.markup import Html, page, table, tag
from handguard.replay.report.pages import write_replay_page
from handguard.replay.report.sections import answers
from handguard.replay.whatif import compared
from handguard.types import Output, PictureFormat, State, Zone, ZoneRole

IN_STOP, IN_WARNING = (10.0, 40.0, 30.0, 60.0), (10.0, 20.0, 30.0, 30.0)
HANDS = {35: [IN_WARNING], 36: [IN_WARNING], 37: [IN_WARNING, IN_STOP], 38: [IN_STOP]}


class Balanced(HTMLParser):
    """Fails where tags do not close as they opened."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, name, attributes) -> None:
        if name not in self.VOID:
            self.open.append(name)
        self.ids |= {value for key, value in attributes if key == "id"}
        self.links += [value for key, value in attributes if key in ("href", "src")]

    def handle_startendtag(self, name, attributes) -> None:
        self.links += [value for key, value in attributes if key in ("href", "src")]

    def handle_endtag(self, name) -> None:
        assert self.open.pop() == name


def parsed(text: str) -> Balanced:
    reader = Balanced()
    reader.feed(text)
    assert reader.open == []
    return reader


def lines(letters: str) -> list[DecisionLine]:
    what = {"R": (State.RUN, Output.ON, "free"), "I": (State.TRIPPED, Output.OFF, "intruded: <b>stop</b>")}
    return [DecisionLine(i, 40.0 * i, (), {"stop": letter == "I"}, *what[letter]) for i, letter in enumerate(letters)]


@pytest.fixture
def written(make_video, settings, scripted, tmp_path) -> tuple[Path, str]:
    """The page of a replay with one trip."""
    video = make_video()
    replay_video(video, settings, tmp_path / "out", detector_for=lambda *_: scripted(HANDS))
    path = write_replay_page(video, settings, None, tmp_path / "out", None)
    return path, path.read_text()


def test_a_page_loads_nothing_and_its_links_lead_somewhere(written) -> None:
    _, text = written
    reader = parsed(text)
    assert "<script" not in text
    assert "url(" not in text
    assert "@import" not in text
    for link in reader.links:
        assert link.startswith("data:image/jpeg;base64,") or link.removeprefix("#") in reader.ids, link[:60]


def test_a_page_tells_the_trip_with_its_picture_and_hashes(written) -> None:
    _, text = written
    assert "The machine was stopped once." in text
    assert "frame 37, 1.48 s: intruded: stop" in text
    assert 'id="trip-1"' in text
    assert len(re.findall(r"<code>[0-9a-f]{64}</code>", text)) == 3
    assert "@media print" in text


def test_two_pages_of_the_same_replay_are_equal(written, make_video, settings, tmp_path) -> None:
    path, text = written
    write_replay_page(tmp_path / "clip.mp4", settings, None, tmp_path / "out", None)
    assert path.read_text() == text


def test_a_comparison_shows_what_was_lost(make_video, settings, scripted, tmp_path) -> None:
    video = make_video()
    replay_video(video, settings, tmp_path / "out", detector_for=lambda *_: scripted(HANDS))
    replay_video(video, settings, tmp_path / "out" / "against", detector_for=lambda *_: scripted({}))
    found = compared(tmp_path / "out", tmp_path / "out" / "against")
    assert found.fails
    text = write_replay_page(video, settings, settings, tmp_path / "out", found).read_text()
    parsed(text)
    assert "B protects less than A" in text
    assert '<td class="bad-text">lost</td>' in text
    assert "state (B)" in text


def test_a_video_that_has_gone_leaves_a_page_without_pictures(written, settings, tmp_path, make_video) -> None:
    from handguard.replay.report.stills import taken

    zones = [Zone("stop", ZoneRole.STOP, ((0, 0), (9, 0), (9, 9)))]
    stills = taken(tmp_path / "gone.mp4", None, lines("RRI"), [2], zones)
    assert stills.ground is None
    assert stills.trips == (None,)


def test_what_it_is_told_is_escaped() -> None:
    assert tag("td", "<script>", title='"&') == '<td title="&quot;&amp;">&lt;script&gt;</td>'
    assert tag("p", Html("<b>bold</b>")) == "<p><b>bold</b></p>"
    assert "<script>" not in page("<script>", "<script>", ("<script>", "bad"), ["<script>"], [])
    assert table(["a"], [["<i>"]]).count("&lt;i&gt;") == 1
    assert "none" in table(["a"], [])


def test_an_approach_whose_first_frame_was_not_judged_has_no_time(tmp_path) -> None:
    """A live run drops frames; counted from the beginning of the recording it would be hours."""
    told = lines("RRRRRRII")
    approaches = [Approach(4, 7)]
    for seen, time in ((told, "80 ms"), ([line for line in told if line.frame != 4], "")):
        sheet = SimpleNamespace(approaches=approaches, lines=seen)
        cells = str(answers(sheet))
        assert ("80 ms" in cells) is bool(time)
        assert " ms</td>" in cells or not time


def test_lanes_hold_one_span_for_each_stretch_whatever_its_length() -> None:
    told = lines("R" * 500 + "I" * 300 + "R" * 200)
    lane = timeline.state_lane(told)
    assert [(span.start_ms, span.end_ms) for span in lane.spans] == [(0, 20000), (20000, 32000), (32000, 40000)]
    zone = Zone("stop", ZoneRole.STOP, ((0, 0), (9, 0), (9, 9)))
    (stop,) = timeline.zone_lanes(told, [zone])
    assert [(span.start_ms, span.end_ms) for span in stop.spans] == [(20000, 32000)]
    truth = timeline.truth_lane(told, [Approach(490, 810)])
    assert [(span.start_ms, span.end_ms) for span in truth.spans] == [(19600, 32440)]
    drawing = timeline.drawn([truth, stop, lane, timeline.score_lane(told)], [], 40000)
    parsed(drawing)
    assert len(drawing) < 8_000 + 800 * 16


def test_a_hand_that_moves_is_one_track_and_flicker_is_none() -> None:
    def seen(i: int) -> tuple[HandLine, ...]:
        moving = HandLine((10.0 + 5 * i, 10, 30.0 + 5 * i, 30), 0.9, "hand")
        flicker = HandLine((400, 300, 420, 320), 0.5, "hand")
        return (moving, flicker) if i == 5 else (moving,)

    told = [DecisionLine(i, 40.0 * i, seen(i), {}, State.RUN, Output.ON, "free") for i in range(12)]
    (track,) = trajectories.tracks_of(told, 640)
    assert len(track.points) == 12
    parsed(trajectories.drawn([track], [], PictureFormat(640, 360, 25), None))


def test_a_waterfall_tells_each_stage_and_the_whole() -> None:
    drawing = charts.waterfall([charts.Way("frame 7", (1.0, 9.0, 9.5, 12.0))])
    parsed(drawing)
    for words in ("waiting: 1.0 ms", "detecting: 8.0 ms", "judging: 0.5 ms", "to the wire: 2.5 ms", "12.0 ms"):
        assert words in drawing
    assert "nothing to measure" in charts.waterfall([])
    assert "nothing to measure" in charts.spread([])
    assert "median 20 ms" in charts.spread([10, 20, 30])
