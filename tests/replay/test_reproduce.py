"""A live run proves itself: stepped again, every verdict comes out as recorded, or the first that does not is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from handguard.assembly import rules_of
from handguard.config import load
from handguard.errors import DeviceReplaced, RecordingError
from handguard.evidence.chain import ROOT as FIRST
from handguard.evidence.chain import extend
from handguard.evidence.ledger import WritePolicy
from handguard.evidence.schema import Genesis, Kind
from handguard.evidence.signing import SigningKey
from handguard.evidence.verification import Verdict
from handguard.evidence.writer import EvidenceWriter
from handguard.pipeline import REPLACED, Senses
from handguard.replay.book import holds_book, read_book
from handguard.replay.proof import judge_run
from handguard.replay.reproduce import reproduce
from handguard.replay.ticks import Course
from handguard.types import Detections, Frame, Output, Permit


def lines(run: Path) -> list[dict]:
    found = [path.read_text() for path in sorted((run / "evidence").glob("segment-*"))]
    return [json.loads(line)["record"] for line in "".join(found).splitlines()]


def forged(run: Path, folder: Path, change) -> Path:
    """A book whose chain and signatures are whole, made by somebody who has a key; `change` edits records."""
    key, link, segment = SigningKey.generate(), FIRST, b""
    for seq, record in enumerate(change(lines(run))):
        body = {name: value for name, value in record.items() if name not in ("seq", "signature")}
        if record["kind"] == Kind.GENESIS.value:
            body["public_key"] = key.public.hex
        if record["kind"] == Kind.HEAD.value:
            unsigned, _ = extend(link, body)
            body["signature"] = key.sign(unsigned).hex()
        assert link.seq + 1 == seq
        link, line = extend(link, body)
        segment += line
    (folder / "evidence").mkdir(parents=True)
    (folder / "evidence" / "segment-000001.jsonl").write_bytes(segment)
    return folder


def decisions(records: list[dict]) -> list[dict]:
    return [record for record in records if record["kind"] == "decision"]


def test_a_live_run_is_reproduced_to_the_last_bit(live_run) -> None:
    book = read_book(live_run)
    assert book.verification.verdict is Verdict.INTACT
    result = reproduce(book)
    assert result.divergence is None, str(result.divergence)
    assert result.ticks == len(book.entries) == len(decisions(lines(live_run)))
    assert {entry.decision["state"] for entry in book.entries} >= {"SELF_TEST", "AWAIT_RESET", "RUN"}


def test_a_verdict_that_was_forged_with_a_key_is_found_out_with_both_sides(live_run, tmp_path) -> None:
    def lie(records: list[dict]) -> list[dict]:
        victim = next(each for each in decisions(records) if each["state"] == "RUN")
        victim.update(state="AWAIT_RESET", output="off", cause="free")
        return records

    book = read_book(forged(live_run, tmp_path / "forged", lie))
    assert book.verification.verdict is Verdict.INTACT
    result = reproduce(book)
    assert result.divergence is not None
    assert result.divergence.recorded["state"] == "AWAIT_RESET"
    assert result.divergence.stepped["state"] == "RUN"
    assert f"DIVERGED at frame {result.divergence.frame_seq}" in result.text
    with pytest.raises(RecordingError, match="DIVERGED at frame") as caught:
        result.raise_if_diverged()
    assert caught.value.exit_code == 3


def test_a_hand_that_was_taken_out_of_the_record_is_found_out(live_run, tmp_path) -> None:
    def hide(records: list[dict]) -> list[dict]:
        judged = [each for each in decisions(records) if each["hands"] and each["zones"]["b"]["intruded"]]
        judged[0]["hands"] = []
        return records

    result = reproduce(read_book(forged(live_run, tmp_path / "forged", hide)))
    assert result.divergence is not None
    assert result.divergence.recorded["zones"] != result.divergence.stepped["zones"]


def test_an_event_that_was_left_out_is_found_out(live_run, tmp_path) -> None:
    def silence(records: list[dict]) -> list[dict]:
        first = next(i for i, each in enumerate(records) if each["kind"] == "event")
        return records[:first] + records[first + 1 :]

    result = reproduce(read_book(forged(live_run, tmp_path / "forged", silence)))
    assert result.divergence is not None
    assert set(result.divergence.recorded) == {"events"}


def test_other_limits_than_those_of_the_run_diverge(live_run) -> None:
    book = read_book(live_run)
    rules = rules_of(book.settings, book.picture)
    slower = replace(rules, interlock=replace(rules.interlock, free_frames=9))
    assert reproduce(book, slower).divergence is not None


def test_a_missing_tick_is_told_and_nothing_is_claimed_beyond_it(live_run, tmp_path) -> None:
    def lose(records: list[dict]) -> list[dict]:
        victim = decisions(records)[20]
        return [each for each in records if each is not victim]

    with pytest.raises(RecordingError, match=r"after frame -?\d+: expected every tick, found 1 missing"):
        read_book(forged(live_run, tmp_path / "forged", lose))


def test_a_flipped_byte_is_refused_before_anything_is_stepped(live_run, tmp_path) -> None:
    folder = tmp_path / "flipped" / "evidence"
    folder.mkdir(parents=True)
    data = bytearray((live_run / "evidence" / "segment-000001.jsonl").read_bytes())
    data[data.index(b'"hands":[') + 60] ^= 1
    (folder / "segment-000001.jsonl").write_bytes(data)
    with pytest.raises(RecordingError, match=r"edited|not a line"):
        read_book(folder)


def test_settings_of_another_run_are_refused_by_their_hash(live_run, scene, tmp_path) -> None:
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**scene, "interlock": {"free_frames": 4}}))
    with pytest.raises(RecordingError, match=r"other\.yaml: expected the settings of the run, sha256"):
        read_book(live_run, load(tmp_path / "other.yaml"))


def test_a_book_of_an_older_version_says_what_it_lacks(live_run, tmp_path) -> None:
    def age(records: list[dict]) -> list[dict]:
        del records[0]["settings"]
        return records

    with pytest.raises(RecordingError, match="recorded by an older version; give --config"):
        read_book(forged(live_run, tmp_path / "old", age))

    def younger(records: list[dict]) -> list[dict]:
        for each in decisions(records):
            del each["sensed"]
        return records

    with pytest.raises(RecordingError, match="sensed: expected what each tick was told"):
        read_book(forged(live_run, tmp_path / "older", younger))


def test_failures_of_camera_and_detector_are_stepped_again_too(live_run, tmp_path, scripted) -> None:
    source = read_book(live_run)
    size = (source.picture.height_px, source.picture.width_px, 3)

    class Now:
        ns = 0

        def now_ns(self) -> int:
            self.ns += 1_000_000
            return self.ns

    class Moody:
        description = "moody"

        def detect(self, frame: Frame) -> Detections:
            if frame.seq == 20:
                raise ZeroDivisionError
            return scripted({9: [(300, 20, 340, 60)]}).detect(frame)

    clock = Now()
    course = Course(Moody(), clock, rules_of(source.settings, source.picture))
    rng = np.random.default_rng(0)
    genesis = {key: source.genesis[key] for key in ("machine_id", "software_version", "config_hash", "model_hash",
                                                    "boot_id", "settings", "picture")}  # fmt: skip
    with EvidenceWriter.open(tmp_path / "evidence", Genesis(**genesis), SigningKey.generate(), WritePolicy()) as book:
        for i in range(24):
            clock.ns += 60_000_000
            image = rng.integers(60, 190, size, dtype=np.uint8)
            frames = {
                4: None,
                6: Frame(i, clock.ns, image[:-2]),
                10: Frame(i, 5, image),
                12: Frame(i, clock.ns, np.zeros(size, np.uint8)),
                13: Frame(i, clock.ns, np.zeros(size, np.uint8)),
                14: Frame(i, clock.ns, np.zeros(size, np.uint8)),
            }
            frame = frames.get(i, Frame(i, clock.ns, image))
            camera = frozenset({"camera"}) if i == 16 else frozenset()
            decision = course.step(Senses(clock.ns, frame, i % 3 == 0, None, camera, frozenset()))
            book.record(decision, Permit(i + 1, i, clock.ns, clock.ns, Output.OFF))
    result = reproduce(read_book(tmp_path))
    assert result.divergence is None, str(result.divergence)
    causes = {entry.decision["cause"] for entry in result.book.entries}
    for part in ("wrong picture size", "repeated frame", "frozen", "camera", "detector ZeroDivisionError", "intruded"):
        assert any(part in cause for cause in causes), (part, causes)


class Replaced:
    """A detector whose device is lost at one frame; a standby answers from the next one on."""

    description = "replaced"

    def __init__(self, scripted, at: int) -> None:
        self._standby, self._at = scripted({80: [(10, 40, 30, 60)]}), at

    def detect(self, frame: Frame) -> Detections:
        if frame.seq == self._at:
            raise DeviceReplaced("the card is gone")
        return self._standby.detect(frame)


def test_a_standby_that_took_over_is_stepped_again_and_proves_the_run(make_run, settings, scripted, tmp_path) -> None:
    run = make_run(settings, Replaced(scripted, at=30), frames=90)
    result = reproduce(read_book(run))
    assert result.divergence is None, str(result.divergence)
    trips = [each.decision for each in result.book.entries if any(e["event"] == "tripped" for e in each.events)]
    causes = [(each["frame_seq"], each["cause"]) for each in trips]
    assert causes == [(30, f"blind: {REPLACED}"), (80, "intruded: stop")]
    assert trips[0]["sensed"]["faults"] == []
    assert any("REPRODUCED" in words for words in judge_run(run, settings, tmp_path / "out").words)


def test_a_frame_without_hands_and_without_a_reason_is_still_found_out(make_run, settings, scripted, tmp_path) -> None:
    def hide(records: list[dict]) -> list[dict]:
        decisions(records)[30]["hands"] = None
        return records

    result = reproduce(read_book(forged(make_run(settings, scripted({})), tmp_path / "forged", hide)))
    assert result.divergence is not None
    assert "detector Unexplained" in result.divergence.stepped["cause"]


def test_a_run_is_told_from_other_folders(live_run, tmp_path) -> None:
    assert holds_book(live_run)
    assert holds_book(live_run / "evidence")
    assert not holds_book(tmp_path)
