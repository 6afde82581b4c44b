"""Cards, weights and back ends, on a small untrained network written as a model of its own."""

from __future__ import annotations

import gc
import json
import os
import pwd
import resource
import shutil
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from handguard.cli import main
from handguard.detection import pictures
from handguard.detection.backends import cache, openvino_engine
from handguard.detection.card import Card, OperatingPoint, locate, read_card, write_card
from handguard.detection.detector import Region
from handguard.detection.loading import Choice, load_detector
from handguard.detection.weights import load_network, save_model
from handguard.errors import ModelError
from handguard.types import Detections, Frame
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


@pytest.fixture(scope="module")
def by_torch(model: Path) -> Detections:
    return load_detector(Choice(str(model), "torch-cpu"), WHOLE).detect(picture())


@pytest.fixture(scope="module")
def filled(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that knows the model."""
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino_engine, "CACHE", folder)
        load_detector(Choice(str(model), "openvino"), WHOLE)
    return folder


def require_finds(model: Path, expected: Detections) -> None:
    found = load_detector(Choice(str(model), "openvino", "float32"), WHOLE).detect(picture())
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.boxes_px, expected.boxes_px, atol=0.01)


@pytest.mark.parametrize(("suffix", "left"), [(".xml", 0.5), (".bin", None), (".priors.npy", 0.0)])
def test_what_is_kept_and_damaged_is_made_anew(
    model: Path, by_torch: Detections, filled: Path, monkeypatch, caplog, suffix: str, left: float | None
):
    shutil.copytree(filled, openvino_engine.CACHE)
    (kept,) = openvino_engine.CACHE.glob(f"*{suffix}")
    whole = kept.read_bytes()
    kept.unlink()
    if left is not None:
        kept.write_bytes(whole[: int(len(whole) * left)])
    require_finds(model, by_torch)
    (said,) = caplog.messages
    assert ".xml: cannot be used and is made anew: " in said
    assert len(kept.read_bytes()) == pytest.approx(len(whole), rel=0.01)  # names in a graph are counted up
    assert len(list(openvino_engine.CACHE.iterdir())) == 3  # nothing half done is left
    monkeypatch.setattr("handguard.detection.weights.load_network", None)
    require_finds(model, by_torch)
    assert len(caplog.messages) == 1


def test_a_cache_folder_that_cannot_be_is_told_and_done_without(
    model: Path, by_torch: Detections, tmp_path: Path, monkeypatch, caplog
):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(openvino_engine, "CACHE", tmp_path / "file" / "cache")
    require_finds(model, by_torch)
    (said,) = caplog.messages
    assert said.startswith(str(tmp_path / "file" / "cache"))
    assert "not kept, so every start makes it anew: " in said
    assert "Not a directory" in said


def test_a_disk_that_takes_no_more_is_told_and_done_without(model: Path, by_torch: Detections, caplog):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # the weights take more
    try:
        require_finds(model, by_torch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (said,) = caplog.messages
    assert "not kept, so every start makes it anew: " in said
    assert list(openvino_engine.CACHE.iterdir()) == []


def test_a_folder_in_the_place_of_what_is_kept_is_told_and_done_without(
    model: Path, by_torch: Detections, filled: Path, caplog
):
    shutil.copytree(filled, openvino_engine.CACHE)
    (kept,) = openvino_engine.CACHE.glob("*.xml")
    kept.unlink()
    kept.mkdir()
    require_finds(model, by_torch)
    assert any("not kept, so every start makes it anew: " in one for one in caplog.messages)


def priors() -> np.ndarray:
    return np.linspace(0, 1, 20, dtype=np.float32).reshape(5, 4)


def kept_once(folder: Path, name: str, used_s: int) -> None:
    for suffix in openvino_engine.PARTS:
        (folder / f"{name}{suffix}").write_bytes(bytes(100))
        os.utime(folder / f"{name}{suffix}", (used_s, used_s))


def test_what_was_used_longest_ago_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for used_s, name in enumerate(("oldest", "used-again", "middle", "new-1.0"), start=1):
        kept_once(tmp_path, name, used_s)
    cache.used(tmp_path / "used-again.xml")
    monkeypatch.setattr(cache, "LIMIT_BYTES", 900)
    cache.make_room(tmp_path, openvino_engine.PARTS)
    assert sorted(file.stem for file in tmp_path.glob("*.xml")) == ["middle", "new-1.0", "used-again"]
    assert len(list(tmp_path.iterdir())) == 9
    monkeypatch.setattr(cache, "LIMIT_BYTES", 1)
    cache.make_room(tmp_path, openvino_engine.PARTS)
    assert [file.stem for file in tmp_path.glob("*.xml")] == ["used-again"]  # the newest stays, however large


def test_a_network_that_is_kept_makes_room_and_one_that_is_read_is_in_use(
    model: Path, by_torch: Detections, monkeypatch: pytest.MonkeyPatch
):
    openvino_engine.CACHE.mkdir()
    for used_s, name in enumerate(("older", "newer"), start=1):
        kept_once(openvino_engine.CACHE, name, used_s)
    monkeypatch.setattr(cache, "LIMIT_BYTES", 1)
    require_finds(model, by_torch)
    (graph,) = openvino_engine.CACHE.glob("*.xml")
    os.utime(graph, (1, 1))
    require_finds(model, by_torch)
    assert graph.stat().st_mtime > 1


def test_priors_are_made_once_and_then_read(tmp_path: Path, caplog):
    kept = tmp_path / "new" / "priors.npy"
    np.testing.assert_array_equal(cache.kept_priors(kept, priors), priors())
    np.testing.assert_array_equal(cache.kept_priors(kept, lambda: pytest.fail("made again")), priors())
    assert caplog.messages == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:40],
        lambda whole: whole[:-1],
        lambda whole: whole + b"0",
        lambda whole: bytes(len(whole)),
        lambda whole: whole.replace(b"(5, 4)", b"(5, 4("),
        lambda whole: whole.replace(b"(5, 4)", b"(4, 4)"),
        lambda whole: whole.replace(b"(5, 4)", b"(4, 5)"),
        lambda whole: whole.replace(b"<f4", b"<i4"),
        lambda whole: whole.replace(b"'<f4'", b" '|O'"),
    ],
    ids=["empty", "header", "short", "long", "zeros", "torn", "fewer", "turned", "integers", "objects"],
)
def test_priors_that_were_damaged_are_made_anew(tmp_path: Path, caplog, damage: Callable[[bytes], bytes]):
    kept = tmp_path / "priors.npy"
    cache.write_priors(kept, priors())
    whole = kept.read_bytes()
    kept.write_bytes(damage(whole))
    assert kept.read_bytes() != whole
    np.testing.assert_array_equal(cache.kept_priors(kept, priors), priors())
    (said,) = caplog.messages
    assert said.startswith(f"{kept}: cannot be used and is made anew: ")
    assert kept.read_bytes() == whole


def test_priors_that_cannot_be_kept_are_made_and_told(tmp_path: Path, caplog):
    (tmp_path / "file").write_text("no folder")
    np.testing.assert_array_equal(cache.kept_priors(tmp_path / "file" / "priors.npy", priors), priors())
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path / 'file' / 'priors.npy'}: not kept, so every start makes it anew: ")


@pytest.mark.parametrize(
    ("named", "root"), [("/var/cache/x", "/var/cache/x"), ("", "~/.cache"), ("here", "~/.cache"), (None, "~/.cache")]
)
def test_caches_lie_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, named: str | None, root: str):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if named is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert cache.user_caches() == Path(root).expanduser()


def test_a_user_without_a_home_has_no_cache_and_no_error(monkeypatch: pytest.MonkeyPatch):
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert cache.user_caches() == cache.NO_HOME


def test_detections_carry_the_frame_they_came_from(model: Path):
    found = load_detector(Choice(str(model), "torch-cpu"), WHOLE).detect(picture())
    assert (found.frame_seq, found.captured_ns) == (7, 99)


def detected(model: Path, out: Path, *files: Path, more: Sequence[str] = ()) -> int:
    """The exit status of `handguard detect`."""
    order = ["detect", *map(str, files), "--json", str(out), "--model", str(model), "--backend", "torch-cpu", *more]
    with pytest.raises(SystemExit) as ended:
        main(order)
    return int(ended.value.code or 0)


def test_boxes_go_to_a_folder_that_is_made(model: Path, by_torch: Detections, tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), picture().image)
    assert detected(model, tmp_path / "new" / "deep" / "hands.json", tmp_path / "a.png") == 0
    told = json.loads((tmp_path / "new" / "deep" / "hands.json").read_text())
    assert [(one["file"], one["width_px"], one["height_px"]) for one in told["images"]] == [
        (str(tmp_path / "a.png"), 160, 90)
    ]
    np.testing.assert_allclose([one["box_px"] for one in told["images"][0]["hands"]], by_torch.boxes_px, atol=0.01)


def test_pictures_of_many_sizes_are_listed_as_given_with_one_detector_at_a_time(
    model: Path, by_torch: Detections, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made: list[weakref.ref] = []

    def load(choice: Choice, region: Region):
        gc.collect()
        assert all(one() is None for one in made), "the detector of another size is still there"
        detector = load_detector(choice, region)
        made.append(weakref.ref(detector.engine))
        return detector

    monkeypatch.setattr(pictures, "load_detector", load)
    files = [tmp_path / f"{number}.png" for number in range(6)]
    turned = np.ascontiguousarray(np.rot90(picture().image))
    for number, file in enumerate(files):
        cv2.imwrite(str(file), (picture().image, turned, turned[:64])[number % 3])
    assert detected(model, tmp_path / "hands.json", *files) == 0
    assert len(made) == 3
    told = json.loads((tmp_path / "hands.json").read_text())["images"]
    assert [(one["file"], one["width_px"], one["height_px"]) for one in told] == [
        (str(file), *((160, 90), (90, 160), (90, 64))[number % 3]) for number, file in enumerate(files)
    ]
    for one in (told[0], told[3]):
        np.testing.assert_allclose([hand["box_px"] for hand in one["hands"]], by_torch.boxes_px, atol=0.01)
    assert told[1]["hands"] == told[4]["hands"] != told[0]["hands"]


def test_a_picture_that_changes_its_size_meanwhile_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def load(choice: Choice, region: Region):
        cv2.imwrite(str(tmp_path / "a.png"), picture().image[:60])
        return load_detector(choice, region)

    monkeypatch.setattr(pictures, "load_detector", load)
    cv2.imwrite(str(tmp_path / "a.png"), picture().image)
    assert detected(model, tmp_path / "hands.json", tmp_path / "a.png") == 2
    assert "a.png: expected 160x90 as before, found another size" in capsys.readouterr().err
    assert not (tmp_path / "hands.json").exists()


@pytest.mark.parametrize("score", ["45", "1", "0", "-0.5", "nan", "inf"])
def test_a_score_that_no_hand_has_is_refused(model: Path, tmp_path: Path, score: str):
    cv2.imwrite(str(tmp_path / "a.png"), picture().image)
    assert detected(model, tmp_path / "hands.json", tmp_path / "a.png", more=["--min-score", score]) == 2
    assert not (tmp_path / "hands.json").exists()


@pytest.mark.parametrize("score", [0.0, 1.0, 45.0, -0.5, float("nan")])
def test_a_score_that_no_hand_has_is_no_choice(model: Path, score: float):
    with pytest.raises(ModelError, match=f"the lowest score of a hand: expected one between 0 and 1, found {score}"):
        load_detector(Choice(str(model), "torch-cpu", min_score=score), WHOLE)


def test_the_lowest_score_is_the_one_chosen(model: Path):
    everything, few = (
        load_detector(Choice(str(model), "torch-cpu", min_score=score), WHOLE).detect(picture())
        for score in (0.01, 0.3)
    )
    assert 0 < len(few) < len(everything)
    assert everything.scores.min() < 0.3 <= few.scores.min()


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("a.png/hands.json", "expected room and leave to write, found File exists"),
        ("a.png/deep/hands.json", "expected room and leave to write, found Not a directory"),
        (".", "expected a file to write, found a folder"),
    ],
)
def test_boxes_that_cannot_be_written_are_refused_before_the_work(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, told: str
):
    (tmp_path / "a.png").write_bytes(b"no picture, which the work would say")
    assert detected(model, tmp_path / out, tmp_path / "a.png") == 2
    assert f"handguard: {tmp_path / out}: {told}" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ("min_score", "sure", "is_flooded"),
    [(None, 0.06, True), (0.01, 0.04, True), (0.01, 0.06, True), (0.2, 0.3, True), ("measured", 0.06, False)],
)
def test_hands_beyond_the_limit_count_as_one_that_fills_the_region_if_they_count_at_all(
    model: Path, min_score: float | str | None, sure: float, is_flooded: bool
):
    """The operating point of the card is 0.05; what is only measured does not count."""
    region = Region(8, 4, 152, 84)
    asked = Choice(str(model), "torch-cpu")
    choice = asked.measuring(0.01) if min_score == "measured" else replace(asked, min_score=min_score)
    detector = load_detector(choice, region)
    logits, offsets = detector.engine.infer()
    every = np.full_like(logits, np.log(sure / (1 - sure)))
    detector.engine.infer = lambda: (every, np.zeros_like(offsets))
    hands = detector.detect(picture())
    assert len(hands) > 1
    assert (hands.boxes_px[-1].tolist() == [8, 4, 152, 84]) is is_flooded
    assert hands.scores.max() == pytest.approx(sure)


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
