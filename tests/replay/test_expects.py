"""The plan of an audit: what it may say, and how every mistake in it is named."""

from __future__ import annotations

import pytest

from handguard.errors import ConfigError
from handguard.replay.approaches import Approach
from handguard.replay.expects import expectation, read_plan

MEASURED = {"trips": 7, "warnings": 0, "missed": None, "nuisance": 1, "frames": 10, "judged": 10, "hands": 3}


@pytest.mark.parametrize(
    ("text", "met"),
    [("trips >= 7", True), ("trips>7", False), ("trips == 7", True), ("nuisance < 1", False), ("hands <= 3", True)],
)
def test_an_expectation_is_held_to_its_number(text: str, met: bool) -> None:
    assert expectation(text).met_by(MEASURED) is met


def test_what_is_not_known_does_not_meet_an_expectation() -> None:
    assert not expectation("missed == 0").met_by(MEASURED)


@pytest.mark.parametrize("text", ["", "trips", "trips = 7", "tripps >= 7", "trips >= many", "trips >= -1"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"one of trips, warnings, .* then a whole number"):
        expectation(text)


def test_a_plan_names_truth_expectations_and_settings_beside_it(tmp_path) -> None:
    text = "recordings:\n  a.mp4: {truth: nobody, expects: trips == 0}\n"
    text += "  b/c.mkv: {expects: [trips >= 1, missed == 0], truth: seen.json, settings: far.yaml}\n"
    text += "  d.mkv: {truth: [[12, 57], [90, 90]]}\n"
    (tmp_path / "audit.yaml").write_text(text)
    plan = read_plan(tmp_path / "audit.yaml")
    assert (plan["a.mp4"].approaches, plan["a.mp4"].truth) == ((), None)
    assert [str(each) for each in plan["b/c.mkv"].expects] == ["trips >= 1", "missed == 0"]
    assert (plan["b/c.mkv"].truth, plan["b/c.mkv"].settings) == (tmp_path / "seen.json", tmp_path / "far.yaml")
    assert plan["d.mkv"].approaches == (Approach(12, 57), Approach(90, 90))


def test_a_plan_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: expected a plan that can be read, found No such file"):
        read_plan(tmp_path / "gone.yaml")


def test_every_mistake_is_named_with_its_line(tmp_path) -> None:
    text = "recordings:\n  a.mp4:\n    expect: trips == 0\n  b.mp4:\n    expects: tripps >= 1\n    truth: 7\n"
    text += "  c.mp4:\n    truth: [[9, 3]]\n    settings: [a.yaml]\n  d.mp4:\n    truth: [12, 57]\n"
    (tmp_path / "audit.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_plan(tmp_path / "audit.yaml")
    message = str(caught.value)
    expected = "expected one of expects, settings, truth, found the unknown key expect"
    assert f"audit.yaml:3: recordings.a.mp4.expect: {expected}" in message
    assert "audit.yaml:5: recordings.b.mp4.expects: expected one of trips" in message
    assert "audit.yaml:6: recordings.b.mp4.truth: expected a path, nobody, or pairs of frames, found 7" in message
    assert "audit.yaml:8: recordings.c.mp4.truth: expected first and last frame of each approach" in message
    assert "audit.yaml:9: recordings.c.mp4.settings: expected a path" in message
    assert "audit.yaml:11: recordings.d.mp4.truth: expected first and last frame" in message
