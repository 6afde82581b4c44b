"""Cards, weights and back ends, on a small untrained network written as a model of its own."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from handguard.detection.backends import openvino_engine
from handguard.detection.card import Card, OperatingPoint, locate, read_card, write_card
from handguard.detection.detector import Region
from handguard.detection.loading import Choice, load_detector
from handguard.detection.weights import load_network, save_model
from handguard.errors import ModelError
from handguard.types import Frame
from tests.networks import loud_network

CARD = Card("tiny", "palmnet-s", ("hand", "gloved_hand"), (128, 128), OperatingPoint(0.05), "", "sigmoid", 32)
WHOLE = Region(0, 0, 160, 90)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(loud_network((128, 128)), CARD, folder)
    return folder / "tiny"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "CACHE", tmp_path / "cache")


def picture() -> Frame:
    rng = np.random.default_rng(4)
    return Frame(7, 99, rng.integers(0, 255, (90, 160, 3), dtype=np.uint8))


def test_openvino_in_float32_finds_what_torch_finds(model: Path):
    results = [
        load_detector(Choice(str(model), backend, "float32"), WHOLE).detect(picture())
        for backend in ("torch-cpu", "openvino")
    ]
    assert len(results[0]) > 0
    np.testing.assert_allclose(results[0].boxes_px, results[1].boxes_px, atol=0.01)
    np.testing.assert_allclose(results[0].scores, results[1].scores, atol=1e-4)
    assert results[0].labels.tolist() == results[1].labels.tolist()


def test_a_second_start_needs_no_torch(model: Path, monkeypatch: pytest.MonkeyPatch):
    load_detector(Choice(str(model), "openvino"), WHOLE)
    monkeypatch.setattr("handguard.detection.weights.load_network", None)
    assert load_detector(Choice(str(model), "openvino"), WHOLE).detect(picture()).frame_seq == 7


def test_detections_carry_the_frame_they_came_from(model: Path):
    found = load_detector(Choice(str(model), "torch-cpu"), WHOLE).detect(picture())
    assert (found.frame_seq, found.captured_ns) == (7, 99)


def test_a_region_finds_hands_in_pixels_of_the_whole_picture(model: Path):
    found = load_detector(Choice(str(model), "torch-cpu"), Region(96, 32, 160, 90)).detect(picture())
    assert len(found) > 0
    assert (found.boxes_px[:, [0, 2]] >= 96).all()
    assert (found.boxes_px[:, [1, 3]] >= 32).all()
    assert (found.boxes_px[:, 2] <= 160).all()


def test_a_network_gone_mad_raises_instead_of_finding_nothing(model: Path):
    detector = load_detector(Choice(str(model), "torch-cpu"), WHOLE)
    scores, offsets = detector.engine.infer()
    detector.engine.infer = lambda: (np.full_like(scores, np.nan), offsets)
    with pytest.raises(ValueError, match="not finite"):
        detector.detect(picture())


def test_the_card_survives_writing_and_reading(model: Path):
    files = locate(str(model))
    assert replace(read_card(files), weights_sha256="") == CARD


def test_an_unknown_model_names_the_file_it_looked_for():
    with pytest.raises(
        ModelError, match=r"model nowhere: expected a file .*nowhere\.safetensors .*no such file"
    ):
        locate("nowhere")


def test_weights_that_changed_since_the_card_are_refused(model: Path, tmp_path: Path):
    files = locate(str(model))
    changed = tmp_path / "tiny.safetensors"
    changed.write_bytes(files.weights.read_bytes() + b"\0")
    (tmp_path / "tiny.json").write_text(files.card.read_text())
    with pytest.raises(ModelError, match="sha256"):
        read_card(locate(str(tmp_path / "tiny")))


def test_weights_of_another_network_are_refused_with_what_is_missing(model: Path):
    files = locate(str(model))
    wrong = replace(read_card(files), architecture="palmnet-m")
    with pytest.raises(ModelError, match=r"expected weights of palmnet-m, found \d+ missing"):
        load_network(files, wrong, (128, 128))


def test_weights_of_another_shape_are_refused_with_the_name(model: Path):
    files = locate(str(model))
    three = replace(read_card(files), classes=("hand", "gloved_hand", "foot"))
    with pytest.raises(ModelError, match=r"class_head.*of shape"):
        load_network(files, three, (128, 128))


@pytest.mark.parametrize(
    "damage",
    [
        {"architecture": "vgg"},
        {"scores": "loud"},
        {"schema": 2},
        {"operating_point": {"min_score": 7}},
        {"colour": 1},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_a_damaged_card_is_refused(model: Path, tmp_path: Path, damage: dict):
    files = locate(str(model))
    card = {**json.loads(files.card.read_text()), **damage}
    (tmp_path / "tiny.json").write_text(json.dumps(card))
    (tmp_path / "tiny.safetensors").write_bytes(files.weights.read_bytes())
    with pytest.raises(ModelError):
        load_detector(Choice(str(tmp_path / "tiny"), "torch-cpu"), WHOLE)


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path):
    import hashlib

    (tmp_path / "junk.safetensors").write_bytes(b"not weights")
    digest = hashlib.sha256(b"not weights").hexdigest()
    write_card(replace(CARD, name="junk", weights_sha256=digest), tmp_path / "junk.json")
    with pytest.raises(ModelError, match="a safetensors file"):
        load_detector(Choice(str(tmp_path / "junk"), "torch-cpu"), WHOLE)


def test_cuda_without_a_card_is_a_clear_error(model: Path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA graphics card")
    with pytest.raises(ModelError, match="expected a CUDA device, found none"):
        load_detector(Choice(str(model), "torch-cuda"), WHOLE)


def test_an_unknown_back_end_is_a_clear_error(model: Path):
    with pytest.raises(ModelError, match=r"detector\.backend: expected auto or one of openvino"):
        load_detector(Choice(str(model), "abacus"), WHOLE)


def test_a_precision_the_cpu_lacks_is_a_clear_error(model: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(openvino_engine.CAPABILITY, "bf16", "QUANTUM")
    with pytest.raises(ModelError, match=r"detector\.precision"):
        load_detector(Choice(str(model), "openvino", "bf16"), WHOLE)


def test_every_shipped_card_fits_its_weights():
    from handguard.detection.card import SHIPPED

    cards = sorted(SHIPPED.glob("*.json"))
    assert cards
    for card in cards:
        files = locate(card.stem)
        read = read_card(files)
        if files.weights.suffix == ".safetensors":  # an exported graph is no network, and its hash has been held
            load_network(files, read, read.input_px)
        assert asdict(read)["data"], f"{card.name} names no training data"
