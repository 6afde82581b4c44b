"""Every back end runs the same network to the same hands, and what it cannot run it names in one sentence."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from handguard.detection import loading
from handguard.detection.backends import cache, onnx_engine, openvino_engine
from handguard.detection.backends.device_engine import DeviceEngine
from handguard.detection.card import (
    Card,
    ModelFiles,
    OperatingPoint,
    locate,
    read_card,
    sha256_of,
    write_card,
)
from handguard.detection.detector import HandDetector, Region
from handguard.detection.device_detector import DetectorWithStandby, DeviceDetector
from handguard.detection.loading import Choice, files_of, load_detector, settled
from handguard.detection.onnx_graph import write_onnx
from handguard.detection.postprocess import Thresholds
from handguard.detection.weights import load_network, save_model
from handguard.errors import DeviceError, DeviceReplaced, ModelError
from handguard.types import Frame
from tests.networks import loud_network

CARD = Card("tiny", "palmnet-s", ("hand", "gloved_hand"), (128, 128), OperatingPoint(0.05), "", "sigmoid", 32)
WHOLE = Region(0, 0, 160, 90)
onnx = pytest.mark.needs_module("onnxruntime")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setattr(cache, "ROOT", folder)
        patch.setattr(openvino_engine, "CACHE", folder / "openvino")
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_model(loud_network((128, 128)), CARD, folder)
    return folder / "tiny"


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network as an exported ONNX model with a card of its own."""
    folder = tmp_path_factory.mktemp("exported")
    files = locate(str(model))
    write_onnx(load_network(files, read_card(files), (128, 128)), (128, 128), folder / "tiny-onnx.onnx")
    _with_card(folder / "tiny-onnx.onnx", {"format": "onnx"})
    return folder / "tiny-onnx"


def _with_card(graph: Path, told: dict, **more: object) -> None:
    more = {"any_multiple_of_px": None, **more}
    card = replace(CARD, name=graph.stem, weights_sha256=sha256_of(graph), recipe={"exported": told}, **more)
    write_card(card, graph.with_suffix(".json"))


def as_openvino(model: Path, folder: Path, name: str, told: dict) -> Path:
    """The same network as an exported OpenVINO model."""
    import openvino as ov

    files = locate(str(model))
    network = load_network(files, read_card(files), (128, 128))
    folder.mkdir(exist_ok=True)
    ov.save_model(openvino_engine.graph_of(network, (128, 128)), folder / f"{name}.xml", compress_to_fp16=False)
    _with_card(folder / f"{name}.xml", told, any_multiple_of_px=32)
    return folder / name


def picture() -> Frame:
    rng = np.random.default_rng(4)
    return Frame(7, 99, rng.integers(0, 255, (90, 160, 3), dtype=np.uint8))


def require_same(ours: HandDetector, reference: HandDetector) -> None:
    found, expected = ours.detect(picture()), reference.detect(picture())
    assert len(expected) > 0
    np.testing.assert_allclose(found.boxes_px, expected.boxes_px, atol=0.01)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    assert found.labels.tolist() == expected.labels.tolist()


@onnx
def test_onnx_runtime_finds_what_torch_finds_in_float32(model: Path):
    ours = load_detector(Choice(str(model), "onnxruntime-cpu", threads=1), WHOLE)
    assert ours.description.endswith("onnxruntime cpu float32")
    require_same(ours, load_detector(Choice(str(model), "torch-cpu"), WHOLE))


@pytest.fixture
def kept_graph(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Choice, HandDetector, Path]:
    """A choice, the first detector of it, and the ONNX graph that was kept for the next."""
    monkeypatch.setattr(cache, "ROOT", tmp_path)
    choice = Choice(str(model), "onnxruntime-cpu", threads=1)
    first = load_detector(choice, WHOLE)
    (kept,) = tmp_path.glob("onnx/*.onnx")
    return choice, first, kept


@onnx
def test_a_kept_onnx_graph_that_is_damaged_is_made_anew(
    kept_graph: tuple[Choice, HandDetector, Path], caplog: pytest.LogCaptureFixture
):
    choice, first, kept = kept_graph
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    require_same(load_detector(choice, WHOLE), first)
    assert kept.read_bytes() == whole
    assert "cannot be used and is made anew" in caplog.text


@onnx
def test_a_kept_onnx_graph_for_another_input_is_made_anew(
    kept_graph: tuple[Choice, HandDetector, Path], caplog: pytest.LogCaptureFixture
):
    choice, first, kept = kept_graph
    write_onnx(loud_network((96, 96)), (96, 96), kept)
    require_same(load_detector(choice, WHOLE), first)
    assert "cannot be used and is made anew" in caplog.text


def lacks_its_package(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    return "expected the package onnxruntime"


def lacks_its_provider(monkeypatch: pytest.MonkeyPatch) -> str:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    return "onnxruntime-cpu: expected a provider of this ONNX Runtime"


def falls_back_to_another(monkeypatch: pytest.MonkeyPatch) -> str:
    session = onnx_engine._opened

    def opened(*asked):
        made = session(*asked)
        made.get_providers = lambda: ["AnotherExecutionProvider"]
        return made

    monkeypatch.setattr(onnx_engine, "_opened", opened)
    return "expected a provider that runs"


def fails_whatever_the_graph(monkeypatch: pytest.MonkeyPatch) -> str:
    import onnxruntime

    def fails(*_: object, **__: object) -> None:
        raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException("out of memory")

    monkeypatch.setattr(onnxruntime, "InferenceSession", fails)
    return "found out of memory"


@onnx
@pytest.mark.parametrize(
    "trouble", [lacks_its_package, lacks_its_provider, falls_back_to_another, fails_whatever_the_graph]
)
def test_a_kept_onnx_graph_is_not_blamed_for_what_is_wrong_elsewhere(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trouble
):
    choice = _kept_onnx(model, tmp_path, monkeypatch)
    (kept,) = tmp_path.glob("onnx/*.onnx")
    before = kept.stat()
    with pytest.raises(ModelError, match=trouble(monkeypatch)):
        load_detector(choice, WHOLE)
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert caplog.messages == []


@onnx
def test_a_precision_that_no_provider_computes_costs_no_kept_onnx_graph(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    choice = _kept_onnx(model, tmp_path, monkeypatch)
    (kept,) = tmp_path.glob("onnx/*.onnx")
    before = kept.stat().st_ino
    with pytest.raises(ModelError, match=r"precision: expected one that onnxruntime-cpu computes"):
        load_detector(replace(choice, precision="int8"), WHOLE)
    assert kept.stat().st_ino == before
    assert caplog.messages == []


def _kept_onnx(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Choice:
    """A choice whose graph lies in a cache of its own."""
    monkeypatch.setattr(cache, "ROOT", folder)
    choice = Choice(str(model), "onnxruntime-cpu", threads=1)
    load_detector(choice, WHOLE)
    return choice


def onnx_errors() -> list[str]:
    """Names of all that ONNX Runtime raises by itself; they share no base but `Exception`."""
    try:
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError:
        return []
    kinds = {name: kind for name, kind in vars(state).items() if isinstance(kind, type)}
    return [name for name, kind in kinds.items() if issubclass(kind, Exception)]


@onnx
@pytest.mark.parametrize("kind", [*onnx_errors(), "RuntimeError"])
def test_whatever_onnx_runtime_raises_on_a_frame_is_a_device_error_and_no_other_provider_goes_on(
    exported: Path, kind: str, capsys: pytest.CaptureFixture[str]
):
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    engine = load_detector(Choice(str(exported), "onnxruntime-cpu", threads=1), WHOLE).engine
    asked = []

    class Lost:
        """The session below the session, whose card fell off the bus."""

        def __getattr__(self, name: str):
            return getattr(inner, name)

        def run(self, *_: object):
            asked.append(1)
            raise getattr(state, kind, RuntimeError)("CUDA failure 999: unknown\nat a line of C++")

    inner, engine._session._sess = engine._session._sess, Lost()
    for _ in range(2):
        with pytest.raises(DeviceError, match=r"onnxruntime cpu float32: expected an answer, found CUDA failure 999"):
            engine.infer()
    assert len(asked) == 2
    assert capsys.readouterr().out == ""


@onnx
def test_an_onnx_graph_that_cannot_be_kept_runs_all_the_same(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("in the way of a folder")
    monkeypatch.setattr(cache, "ROOT", tmp_path / "file")
    ours = load_detector(Choice(str(model), "onnxruntime-cpu", threads=1), WHOLE)
    require_same(ours, load_detector(Choice(str(model), "torch-cpu"), WHOLE))
    assert "not kept, so every start makes it anew" in caplog.text


@onnx
def test_an_exported_onnx_model_runs_on_both_runtimes_and_finds_the_same(exported: Path):
    ours = load_detector(Choice(str(exported), "onnxruntime", threads=1), WHOLE)
    require_same(ours, load_detector(Choice(str(exported), "openvino", "float32"), WHOLE))


def test_an_exported_openvino_model_takes_the_input_that_suits_the_camera(model: Path, tmp_path: Path):
    graph = as_openvino(model, tmp_path, "ir", {"format": "openvino"})
    ours = load_detector(Choice(str(graph), "openvino", "float32"), WHOLE)
    assert ours.input_px != (128, 128)
    require_same(ours, load_detector(Choice(str(model), "torch-cpu"), WHOLE))


def test_an_int8_twin_takes_the_place_of_its_origin_unless_a_precision_is_asked_for(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    origin = _beside(model, tmp_path, read_card(locate(str(model))).weights_sha256)
    monkeypatch.setattr(openvino_engine, "int8_is_fast", lambda: True)
    assert Path(settled(Choice(str(origin), "openvino")).model).stem == "tiny-int8"
    assert settled(Choice(str(origin), "openvino", "bf16")).model == str(origin)
    assert settled(Choice(str(origin), "torch-cpu")).model == str(origin)
    monkeypatch.setattr(openvino_engine, "int8_is_fast", lambda: False)
    assert settled(Choice(str(origin), "openvino")).model == str(origin)
    assert Path(settled(Choice(str(origin), "openvino", "int8")).model).stem == "tiny-int8"
    twin = Choice(str(origin), "openvino", "int8")
    assert load_detector(twin, WHOLE).weights_sha256 == read_card(files_of(twin)).weights_sha256
    assert read_card(files_of(twin)).name == "tiny-int8"


def test_an_int8_model_of_other_weights_is_no_twin(model: Path, tmp_path: Path):
    origin = _beside(model, tmp_path, "0" * 64)
    with pytest.raises(ModelError, match=r"precision: int8: expected tiny-int8 beside the model .*no such model"):
        settled(Choice(str(origin), "openvino", "int8"))


def _beside(model: Path, folder: Path, from_sha256: str) -> Path:
    for suffix in (".safetensors", ".json"):
        os.link(model.with_suffix(suffix), folder / f"tiny{suffix}")
    as_openvino(model, folder, "tiny-int8", {"format": "int8", "from_sha256": from_sha256})
    return folder / "tiny"


def test_a_cpu_multiplies_bytes_fast_if_its_flags_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(openvino_engine, "CPU_INFO", info)
    assert not openvino_engine.int8_is_fast()
    info.write_text("flags : sse avx512f\n")
    assert not openvino_engine.int8_is_fast()
    info.write_text("flags : sse avx_vnni\n")
    assert openvino_engine.int8_is_fast()


def test_a_graph_for_another_input_is_refused_by_each_runtime(exported: Path, tmp_path: Path):
    os.link(exported.with_suffix(".onnx"), tmp_path / "other.onnx")
    _with_card(tmp_path / "other.onnx", {}, input_px=(96, 96))
    for backend in ("onnxruntime", "openvino"):
        with pytest.raises(ModelError, match=r"other\.onnx: expected .*96.*found"):
            load_detector(Choice(str(tmp_path / "other"), backend), WHOLE)


def test_a_graph_with_other_classes_than_its_card_is_refused(exported: Path, tmp_path: Path):
    os.link(exported.with_suffix(".onnx"), tmp_path / "odd.onnx")
    _with_card(tmp_path / "odd.onnx", {}, classes=("hand", "gloved_hand", "foot"))
    with pytest.raises(ModelError, match=r"odd\.onnx: expected scores \(680, 3\).* found \(680, 2\)"):
        load_detector(Choice(str(tmp_path / "odd"), "openvino"), WHOLE)


def test_a_file_that_is_no_graph_is_refused_by_each_runtime(tmp_path: Path):
    (tmp_path / "junk.onnx").write_bytes(b"not a graph")
    _with_card(tmp_path / "junk.onnx", {})
    for backend in ("onnxruntime", "openvino"):
        with pytest.raises(ModelError, match=r"junk\.onnx: expected a graph that"):
            load_detector(Choice(str(tmp_path / "junk"), backend), WHOLE)


def test_a_back_end_that_does_not_run_such_models_says_which_it_runs(exported: Path):
    with pytest.raises(ModelError, match=r"expected a model that torch-cpu runs \(\.safetensors\), found \.onnx"):
        load_detector(Choice(str(exported), "torch-cpu"), WHOLE)


@pytest.mark.parametrize(
    ("package", "backend", "told"),
    [
        ("onnxruntime", "onnxruntime", r"onnxruntime: expected the package onnxruntime \(pip install"),
        ("openvino", "openvino", r"openvino: expected the package openvino \(pip install openvino\), found none"),
    ],
)
def test_a_missing_runtime_names_the_package(model: Path, monkeypatch, package: str, backend: str, told: str):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=told):
        load_detector(Choice(str(model), backend), WHOLE)


@onnx
def test_a_provider_this_build_lacks_is_named(model: Path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime was built for a CUDA graphics card")
    with pytest.raises(ModelError, match=r"onnxruntime-cuda: expected a provider of this ONNX Runtime \(cpu\)"):
        load_detector(Choice(str(model), "onnxruntime-cuda"), WHOLE)


@onnx
def test_a_provider_that_silently_fell_back_is_refused_if_it_was_ordered(exported: Path, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnx_engine, "_opened", _falls_back)
    with pytest.raises(ModelError, match="onnxruntime-cuda: expected a provider that runs"):
        load_detector(Choice(str(exported), "onnxruntime-cuda"), WHOLE)
    assert "onnxruntime cpu" in load_detector(Choice(str(exported), "onnxruntime"), WHOLE).description


def _falls_back(runtime, graph, provider, precision, threads):
    """What ONNX Runtime does when the CUDA libraries are not there."""
    return runtime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])


@onnx
@pytest.mark.parametrize("backend", ["onnxruntime", "onnxruntime-cpu"])
def test_a_precision_the_provider_lacks_is_named(exported: Path, backend: str):
    with pytest.raises(ModelError, match=r"precision: expected one that onnxruntime-cpu computes \(float32\)"):
        load_detector(Choice(str(exported), backend, "fp16"), WHOLE)


def test_a_precision_nobody_knows_is_named(model: Path):
    with pytest.raises(ModelError, match=r"detector\.precision: expected one this CPU computes .*found int4"):
        load_detector(Choice(str(model), "openvino", "int4"), WHOLE)


def test_a_network_this_cpu_cannot_compile_is_named(model: Path, monkeypatch: pytest.MonkeyPatch):
    def refuses(*_: object) -> dict[str, str]:
        return {"INFERENCE_PRECISION_HINT": "no such thing"}

    monkeypatch.setattr(openvino_engine, "_properties", refuses)
    with pytest.raises(ModelError, match="expected a network that OpenVINO can compile for this CPU"):
        load_detector(Choice(str(model), "openvino"), WHOLE)


def test_what_to_do_when_a_device_is_lost_must_be_known():
    with pytest.raises(ModelError, match="if_device_lost: expected lockout or cpu, found hope"):
        settled(Choice(backend="torch-cpu", if_device_lost="hope"))


def test_auto_takes_a_card_only_where_torch_can_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loading, "NVIDIA_DRIVER", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert settled(Choice()).backend == "openvino"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert settled(Choice()).backend == "torch-cuda"


def device_detector(model: Path) -> DeviceDetector:
    """The path of the CUDA back end on the CPU, where a test can make it fail."""
    files = locate(str(model))
    card = read_card(files)
    engine = DeviceEngine(load_network(files, card, (160, 96)), (160, 96), "cpu", "float32")
    return DeviceDetector(card, engine, Thresholds(0.05, one_class_per_hand=True), WHOLE)


def lose(detector: DeviceDetector) -> None:
    """From now on the device answers every call as a card that fell off the bus does."""

    def gone(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: device not ready or lost")

    detector.engine._network.register_forward_pre_hook(gone)


def test_a_lost_device_is_an_error_at_every_frame_where_no_standby_is_allowed(model: Path):
    detector = device_detector(model)
    assert loading._with_standby(detector, Choice(str(model), "torch-cuda"), WHOLE) is detector
    lose(detector)
    for _ in range(2):
        with pytest.raises(DeviceError, match="device not ready or lost") as raised:
            detector.detect(picture())
        assert not isinstance(raised.value, DeviceReplaced)


def test_a_standby_takes_over_after_one_frame_that_nobody_judged(model: Path):
    first = device_detector(model)
    first.engine.description = first.description = "tiny torch cuda float32 graph"  # as it would be on a card
    choice = Choice(str(model), "torch-cuda", "float32", if_device_lost="cpu")
    detector = loading._with_standby(first, choice, WHOLE)
    assert isinstance(detector, DetectorWithStandby)
    assert detector.description.startswith("tiny torch cuda float32 graph, standby openvino")
    assert len(detector.detect(picture())) > 0
    lose(first)
    with pytest.raises(DeviceReplaced, match="device not ready or lost"):
        detector.detect(picture())
    straight = load_detector(Choice(str(model), "openvino"), WHOLE)
    np.testing.assert_array_equal(detector.detect(picture()).boxes_px, straight.detect(picture()).boxes_px)
    assert detector.description.startswith(straight.description)
    assert "was lost" in detector.description
    assert len(detector.recall(picture().image, 0.05)) > 0


def test_a_network_gone_mad_is_no_lost_device(model: Path):
    first = device_detector(model)
    first.engine._network.box_head.predictors[0].bias.data[:] = float("nan")
    detector = DetectorWithStandby(first, load_detector(Choice(str(model), "openvino"), WHOLE))
    for _ in range(2):
        with pytest.raises(ValueError, match="not finite"):
            detector.detect(picture())


def test_a_standby_that_fails_too_is_an_error_and_no_further_change(model: Path):
    first, second = device_detector(model), device_detector(model)
    detector = DetectorWithStandby(first, second)
    lose(first)
    lose(second)
    with pytest.raises(DeviceReplaced):
        detector.detect(picture())
    with pytest.raises(DeviceError) as raised:
        detector.detect(picture())
    assert not isinstance(raised.value, DeviceReplaced)


def test_a_model_on_the_cpu_needs_no_standby(model: Path):
    detector = load_detector(Choice(str(model), "openvino", if_device_lost="cpu"), WHOLE)
    assert type(detector) is HandDetector


def test_the_numbers_beside_a_graph_belong_to_its_hash(tmp_path: Path):
    graph = tmp_path / "one.xml"
    graph.write_text("graph")
    graph.with_suffix(".bin").write_bytes(b"1")
    before = sha256_of(graph)
    graph.with_suffix(".bin").write_bytes(b"2")
    assert sha256_of(graph) != before
    _with_card(graph, {})
    graph.with_suffix(".bin").unlink()
    with pytest.raises(ModelError, match="expected a readable file"):
        read_card(ModelFiles(graph, graph.with_suffix(".json")))
