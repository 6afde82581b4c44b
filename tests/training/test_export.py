"""Exports are models with cards of their own, and one that decides otherwise is not written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from handguard.cli import main
from handguard.detection import openvino_graph
from handguard.detection.architectures import build
from handguard.detection.backends import cache, openvino_engine
from handguard.detection.card import Card, OperatingPoint, locate, read_card, write_card
from handguard.detection.detector import Region
from handguard.detection.golden import Golden, picture_sha256
from handguard.detection.loading import Choice, load_detector
from handguard.detection.weights import load_network, save_model
from handguard.errors import DatasetError, ModelError
from handguard.export_cli import told
from handguard.training.coco import Sample
from handguard.training.export_gate import (
    GateLimits,
    changes,
    imagined,
    losses,
    matched_pairs,
    refusals,
    zones_over,
)
from handguard.training.exporting import Export, calibration_set, export
from handguard.training.measures import Answer
from handguard.training.operating_point import Empty
from handguard.types import Detections, Frame
from tests.networks import loud_network
from tests.training.conftest import DrawnSet, filmed

CARD = Card("tiny", "palmnet-s", ("hand", "gloved_hand"), (96, 96), OperatingPoint(0.3), "", "sigmoid", 32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "ROOT", tmp_path / "cache")
    monkeypatch.setattr(openvino_engine, "CACHE", tmp_path / "cache" / "openvino")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_model(loud_network((96, 96)), CARD, tmp_path / "models")
    return tmp_path / "models" / "tiny"


def quiet(*_: object) -> None:
    """Nobody watches."""


SAMPLE = Sample(1, Path("none.jpg"), 90, 60, "drawn", np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def answer(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Answer:
    table = np.array(boxes, np.float32).reshape(-1, 4)
    n = len(table)
    return Answer(SAMPLE, Detections(table, np.full(n, score, np.float32), np.zeros(n, np.int64), 0, 0))


LEFT, RIGHT = (5.0, 5.0, 15.0, 15.0), (70.0, 45.0, 80.0, 55.0)


def test_equal_answers_change_nothing():
    same = changes([answer(LEFT, RIGHT), answer()], [answer(LEFT, RIGHT), answer()], 0.5)
    assert (same.hands, same.hands_lost, same.hands_new, same.share) == (2, 0, 0, 0.0)
    assert same.decisions == {"picture": 2, "parts": 18}


def test_a_lost_hand_frees_a_zone_and_the_whole_picture_only_if_it_was_the_last():
    changed = changes([answer(LEFT, RIGHT), answer(LEFT)], [answer(LEFT), answer()], 0.5)
    assert (changed.hands_lost, changed.hands_new) == (2, 0)
    assert changed.freed == {"picture": 1, "parts": 2}
    assert changed.share == 0.5


def test_a_new_hand_raises_a_zone():
    changed = changes([answer()], [answer(RIGHT)], 0.5)
    assert (changed.hands_lost, changed.hands_new) == (0, 1)
    assert changed.raised == {"picture": 1, "parts": 1}
    assert changed.freed == {"picture": 0, "parts": 0}


def test_a_hand_that_sinks_below_the_operating_point_is_lost():
    assert changes([answer(LEFT, score=0.5)], [answer(LEFT, score=0.4999)], 0.5).freed["picture"] == 1


def test_each_hand_is_matched_once_and_only_by_enough_overlap():
    boxes = np.array([LEFT, LEFT], np.float32)
    assert matched_pairs(boxes, boxes[:1]) == 1
    assert matched_pairs(boxes, np.array([RIGHT], np.float32)) == 0
    half = np.array([[0, 0, 10, 10], [0, 0, 10, 20]], np.float32)
    assert matched_pairs(half[:1], half[1:]) == 1  # an overlap of exactly one half
    assert matched_pairs(half[:1], half[1:] + np.array([0, 0, 0, 1], np.float32)) == 0


def test_the_zones_cover_the_picture_without_a_gap():
    whole, *parts = zones_over(90, 60)
    assert whole.polygon_px[2] == (90.0, 60.0)
    areas = [(p.polygon_px[2][0] - p.polygon_px[0][0]) * (p.polygon_px[2][1] - p.polygon_px[0][1]) for p in parts]
    assert sum(areas) == pytest.approx(90 * 60)


def test_a_limit_is_kept_at_the_limit_and_broken_one_past_it():
    none = changes([answer()], [answer()], 0.5)
    limits = GateLimits(0.01, 0.0)
    assert refusals({"ap50 any": 0.01}, none, limits) == []
    assert refusals({"ap50 any": 0.0101}, none, limits) == ["ap50 any: a loss of 0.0101, allowed 0.01"]
    assert refusals({"ap50 any": float("nan")}, none, limits)
    one = changes([answer()], [answer(LEFT)], 0.5)
    assert refusals({}, one, GateLimits(1, 1)) == []
    assert refusals({}, one, GateLimits(1, 0.99)) == [
        "zone decisions: a share of 1.0000 changed, allowed 0.99"
    ]


def test_pictures_without_a_hand_make_up_for_no_hand_that_is_lost():
    """2 in 100 decisions changed is allowed; 20 of 20 hands lost among 1,000 pictures would be just that."""
    origin = [answer(LEFT)] * 20 + [answer()] * 980
    changed = changes(origin, [answer()] * 1000, 0.5)
    assert changed.share == 0.02
    assert changed.share_freed == 1.0
    assert refusals({}, changed, GateLimits()) == [
        "zones with a hand: a share of 1.0000 free after the export, allowed 0.02"
    ]
    at_the_limit = changes([answer(LEFT)] * 50, [answer()] + [answer(LEFT)] * 49, 0.5)
    assert refusals({}, at_the_limit, GateLimits()) == []


def test_a_gate_without_a_near_hand_would_compare_nothing(model: Path, drawn: DrawnSet, tmp_path: Path):
    drawn.change("val", "annotations", [])
    with pytest.raises(DatasetError, match=r"val split of .*expected at least one near hand"):
        export(Export(tmp_path / "out", str(model), "openvino", gate=drawn.root), quiet)
    assert not list((tmp_path / "out").glob("*.xml"))


def test_losses_leave_out_what_could_not_be_measured():
    before = {"ap50": {"any": 0.5, "hand": None}, "ap50_near": {"any": 0.7}}
    after = {"ap50": {"any": 0.52, "hand": None}, "ap50_near": {"any": 0.6}}
    assert losses(before, after) == {"ap50 any": -0.02, "ap50_near any": 0.1}


def test_limits_outside_of_zero_to_one_are_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        GateLimits(max_ap_loss=2)


@pytest.mark.needs_module("onnxruntime")
def test_an_onnx_export_finds_what_its_origin_finds_and_says_where_it_comes_from(model: Path, tmp_path: Path):
    done = export(Export(tmp_path / "out", str(model), "onnx"), quiet)
    assert done.files is not None
    card = read_card(done.files)
    origin = read_card(locate(str(model)))
    assert card.recipe["exported"] == {"format": "onnx", "from": "tiny", "from_sha256": origin.weights_sha256}
    assert (card.name, card.any_multiple_of_px) == ("tiny-onnx", None)
    assert any("blue-green-red" in note for note in card.notes)
    priors = np.load(tmp_path / "out" / "tiny-onnx.priors.npy")
    np.testing.assert_array_equal(priors, load_network(locate(str(model)), origin, (96, 96)).priors.numpy())
    frame = Frame(0, 0, np.random.default_rng(4).integers(0, 255, (96, 96, 3), dtype=np.uint8))
    whole = Region(0, 0, 96, 96)
    ours = load_detector(Choice(str(done.files.weights), "onnxruntime-cpu", threads=1), whole).detect(frame)
    expected = load_detector(Choice(str(model), "torch-cpu"), whole).detect(frame)
    assert len(expected) > 0
    np.testing.assert_allclose(ours.boxes_px, expected.boxes_px, atol=0.01)


def test_an_export_that_decides_as_its_origin_passes_the_gate_and_its_card_says_so(model, drawn, tmp_path):
    done = export(Export(tmp_path / "out", str(model), "openvino", gate=drawn.root), quiet)
    assert done.refused == []
    assert done.files is not None
    gate = read_card(done.files).recipe["exported"]["gate"]
    assert gate["changes"]["hands"]["origin"] > 0
    assert gate["changes"]["share_changed"] == 0
    assert set(gate["losses"].values()) == {0.0}


def test_an_export_that_decides_otherwise_is_refused_with_exit_1_and_nothing_is_written(
    model, drawn, tmp_path, monkeypatch, capsys
):
    honest = openvino_graph.write_openvino

    def damaged(network, input_px, path, pictures):
        for predictor in network.class_head.predictors:
            torch.nn.init.constant_(predictor.bias, -30.0)  # blind
        honest(network, input_px, path, pictures)

    monkeypatch.setattr(openvino_graph, "write_openvino", damaged)
    out = tmp_path / "out"
    order = ["export", "--model", str(model), "--format", "openvino", "--gate", str(drawn.root), "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(order)
    assert ended.value.code == 1
    told = capsys.readouterr().out
    assert re.search(r"REFUSED   zone decisions: a share of \d\.\d+ changed, allowed 0\.02", told)
    assert "Nothing was written." in told
    assert not out.exists()


def test_an_export_that_would_not_start_is_refused(model: Path, drawn, tmp_path: Path):
    """It decides well enough on the pictures of this gate, and not as its card says on the golden one."""
    row = (40.0, 50.0, 150.0, 170.0, 0.9)
    golden = Golden(picture_sha256(), 0.3, 0.1, 0.9, {"96x96": (row,), "64x64": (row,)})
    write_card(replace(read_card(locate(str(model))), golden=golden), locate(str(model)).card)
    done = export(Export(tmp_path / "out", str(model), "openvino", gate=drawn.root), quiet)
    assert done.files is None
    assert len(done.refused) == 1  # no region asks for 64x64
    assert re.match(r"golden picture at 96x96: missing: 0.900 at 40, 50, 150, 170", done.refused[0])


@pytest.mark.slow
@pytest.mark.needs_module("nncf")
def test_int8_is_calibrated_gated_and_loaded_in_the_place_of_its_origin(model, drawn, capsys, monkeypatch):
    monkeypatch.setattr(openvino_engine, "int8_is_fast", lambda: True)  # nothing here depends on its numbers
    order = ["export", "--model", str(model), "--format", "int8", "--out", str(model.parent)]
    order += ["--data", str(drawn.root), "--pictures", "4", "--gate", str(drawn.root)]
    with pytest.raises(SystemExit) as ended:
        main([*order, "--max-ap-loss", "1", "--max-decision-changes", "1"])
    assert not ended.value.code
    assert "tiny-int8.xml" in capsys.readouterr().out
    twin = json.loads((model.parent / "tiny-int8.json").read_text())["recipe"]["exported"]
    assert twin["calibration"]["pictures"] == 4
    detector = load_detector(Choice(str(model), "openvino", "int8"), Region(0, 0, 96, 80))
    assert detector.description.startswith("tiny-int8 ")
    assert detector.description.endswith("openvino CPU int8")
    monkeypatch.setattr(openvino_engine, "int8_is_fast", lambda: False)
    with pytest.raises(ModelError, match=r"tiny-int8\.xml, a model in int8: expected a CPU that .*, found neither"):
        load_detector(Choice(str(model), "openvino", "int8"), Region(0, 0, 96, 80))


def test_what_stays_in_floating_point_is_next_to_the_picture_or_to_the_answer():
    graph = openvino_engine.graph_of(build("ssdlite-efficientnet-lite0", 2, (96, 96)).eval(), (96, 96))
    convolutions = [node for node in graph.get_ordered_ops() if node.get_type_name() in openvino_graph.CONVOLUTIONS]
    channels = [node.get_output_shape(0)[1] for node in convolutions if node.get_output_shape(0)[2:] == [48, 48]]
    assert channels == [32, 32, 16, 96]  # stem, its bottleneck, and what goes into the next stage
    predictors = {one.get_friendly_name() for one in convolutions if "head.predictors" in one.get_friendly_name()}
    assert len(predictors) == 8  # classes and boxes on each of four maps
    first = {one.get_friendly_name() for one in convolutions[:4]}
    assert openvino_graph.delicate(graph) == first | predictors


def test_an_export_that_sees_a_hand_where_there_is_none_is_refused():
    assert imagined(Empty(377, 0.344), 0.345) == []
    assert imagined(Empty(1377, 0.345), 0.345) == [
        "a hand of 0.345 in 1,377 recorded frames without one, counted from 0.345"
    ]


def test_an_empty_recording_judges_an_export_too(model: Path, drawn, tmp_path: Path):
    video = filmed(tmp_path / "empty.avi", 3)
    done = export(Export(tmp_path / "out", str(model), "openvino", gate=drawn.root, empty=(video,)), quiet)
    assert done.gate["empty"]["frames"] == 3
    assert done.gate["empty"]["highest_score"] > 0.3  # a network that was never trained sees hands everywhere
    assert [why.startswith("a hand of ") for why in done.refused] == [True]
    assert f"without a hand: 3 recorded frames, highest score {done.gate['empty']['highest_score']}" in told(done)


def test_an_empty_recording_without_a_gate_would_judge_nothing(model: Path, tmp_path: Path):
    with pytest.raises(DatasetError, match="--empty-footage: expected --gate, of which it is a part, found none"):
        Export(tmp_path / "out", str(model), "openvino", empty=(tmp_path / "empty.avi",))


def test_the_card_of_an_int8_model_says_with_how_many_pictures_it_was_calibrated(
    model: Path, drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    given = []
    honest = openvino_graph.write_openvino

    def unquantized(network, input_px, path, pictures):
        given.extend(pictures)
        honest(network, input_px, path)

    monkeypatch.setattr(openvino_graph, "write_openvino", unquantized)
    limits = GateLimits(1, 1)
    done = export(Export(tmp_path / "out", str(model), "int8", drawn.root, 128, drawn.root, limits=limits), quiet)
    assert done.files is not None
    calibration = read_card(done.files).recipe["exported"]["calibration"]
    assert calibration["pictures"] == len(given) == 12  # all there are, of the 128 that were asked for


def test_int8_without_pictures_to_calibrate_and_to_judge_is_refused(tmp_path: Path):
    with pytest.raises(DatasetError, match="export to int8: expected --data to calibrate with and --gate"):
        Export(tmp_path, format="int8", data=tmp_path)


def test_an_unknown_format_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="--format: expected one of onnx, openvino, int8, found tflite"):
        Export(tmp_path, format="tflite")


def test_int8_without_nncf_names_the_package(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ModelError, match=r"expected the package nncf \(pip install 'handguard\[int8\]'\)"):
        openvino_graph.quantized(None, [])


def test_calibration_pictures_are_spread_over_the_set(drawn):
    from handguard.training.datasets import Split, load_split

    samples = load_split(drawn.root, Split.TRAIN)
    chosen = calibration_set(samples, 3, (96, 96))
    assert [one.shape for one in chosen] == [(96, 96, 3)] * 3
    last = calibration_set(samples[-1:], 5, (96, 96))
    assert len(last) == 1
    np.testing.assert_array_equal(chosen[-1], last[0])
