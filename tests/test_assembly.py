"""Records, audits and the live loop name one and the same network: the one that runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from handguard import approvals
from handguard.assembly import card_of, model_sha256
from handguard.config import Settings, load
from handguard.config.schema import Backend, DetectorSettings
from handguard.detection import loading
from handguard.detection.card import Card, ModelFiles, OperatingPoint, read_card, sha256_of, write_card
from handguard.evidence.decisions import DecisionLine, HandLine
from handguard.evidence.reading import read_records
from handguard.replay.drift import Limits, between
from handguard.types import Output, State

CARD = Card("tiny", "palmnet-s", ("hand", "gloved_hand"), (128, 128), OperatingPoint(0.3), "", "sigmoid", 32)
SITE = """
version: 1
camera: {{source: simulated}}
zones: {{orientation: left-right, warning_percent: 30, stop_percent: 15}}
relay: {{driver: none}}
evidence: {{dir: {runs}}}
detector: {{model: {model}, backend: openvino, precision: {precision}}}
"""


@pytest.fixture
def origin(tmp_path: Path) -> ModelFiles:
    """A model and its int8 twin, which counts detections from another score on. Neither is run here."""
    files = ModelFiles(tmp_path / "tiny.safetensors", tmp_path / "tiny.json")
    files.weights.write_bytes(b"weights")
    origin = replace(CARD, weights_sha256=sha256_of(files.weights))
    write_card(origin, files.card)
    graph = tmp_path / "tiny-int8.xml"
    graph.write_bytes(b"graph")
    graph.with_suffix(".bin").write_bytes(b"bytes")
    made = {"exported": {"format": "int8", "from_sha256": origin.weights_sha256}}
    twin = replace(CARD, name="tiny-int8", weights_sha256=sha256_of(graph), recipe=made)
    write_card(replace(twin, operating_point=OperatingPoint(0.4)), graph.with_suffix(".json"))
    return files


@pytest.fixture
def site(origin: ModelFiles, tmp_path: Path) -> Callable[[str], Settings]:
    """The same site, with its network computed in one precision or another."""

    def make(precision: str) -> Settings:
        path = tmp_path / f"{precision}.yaml"
        path.write_text(SITE.format(runs=tmp_path / "runs", model=origin.weights, precision=precision))
        return load(path)

    return make


def test_the_card_is_that_of_the_twin_where_the_twin_runs(site, origin: ModelFiles):
    assert card_of(site("float32")) == read_card(origin)
    assert card_of(site("int8")).name == "tiny-int8"
    assert model_sha256(site("int8")) != model_sha256(site("float32"))


def test_who_accepts_a_model_accepts_the_twin_that_runs(site):
    folder = approvals.accept(site("int8"), "A. Person")
    genesis, *_ = read_records(folder / "evidence")
    assert genesis["model_hash"] == card_of(site("int8")).weights_sha256


def test_a_lone_hand_is_held_to_the_threshold_of_the_network_that_runs(site):
    hand = HandLine((10.0, 20.0, 50.0, 80.0), 0.41, "hand")
    seen = DecisionLine(0, 0.0, (hand,), {}, State.RUN, Output.ON, "free")
    found = between(site("int8"), site("float32"), [seen], [replace(seen, hands=())], Limits())
    assert found is not None
    assert (found.score, found.fails) == (0.01, False)


def test_the_settings_offer_the_back_ends_that_can_be_loaded_and_no_others():
    assert get_args(Backend) == ("auto", *loading.BACKENDS)
    assert {name.partition("-")[0] for name in loading.BACKENDS} == set(loading.TAKES)


def test_the_settings_say_what_becomes_of_a_lost_device_in_the_words_of_the_detector():
    offered = get_args(DetectorSettings.model_fields["if_device_lost"].annotation)
    assert offered == (loading.LOCKOUT, loading.TO_CPU)
    assert DetectorSettings().if_device_lost == loading.Choice().if_device_lost
