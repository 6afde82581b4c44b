"""The stop path in fixed shapes, held on the CPU to the plain forms that say what is meant."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext
from inspect import signature
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from handguard.detection.backends import device_engine
from handguard.detection.backends.device_engine import DeviceEngine
from handguard.detection.backends.tensor_path import Letterbox, _doubles, found_in, survivors, table_of
from handguard.detection.boxes import iou_matrix
from handguard.detection.card import Card, OperatingPoint
from handguard.detection.detector import HandDetector, Region
from handguard.detection.device_detector import DeviceDetector
from handguard.detection.postprocess import Thresholds, found, suppressed
from handguard.detection.preprocess import letterboxed
from handguard.detection.scores import ScoreKind
from handguard.errors import DeviceError, ModelError
from handguard.types import Detections, Frame
from tests.networks import loud_network

CARD = Card("tiny", "palmnet-s", ("hand", "gloved_hand"), (128, 96), OperatingPoint(0.05), "", "sigmoid", 32)
LIMITS = Thresholds(0.05, one_class_per_hand=True)
no_card = not torch.cuda.is_available()
knows_liveness = "check_input_liveness" in signature(torch.cuda.graph.__init__).parameters
pytestmark = pytest.mark.usefixtures("one_thread")


def network() -> torch.nn.Module:
    return loud_network((128, 96)).requires_grad_(False)


def photograph(width: int, height: int) -> np.ndarray:
    """Smooth shapes, edges and grain, as in a picture."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:height, :width]
    base = 110 + 60 * np.sin(x / 17) * np.cos(y / 23) + 50 * ((x // 40 + y // 30) % 2)
    return np.clip(base[..., None] + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "input_px"),
    [
        ((1280, 720), (416, 256)),  # halved once
        ((1920, 1080), (416, 256)),  # halved twice
        ((641, 359), (320, 320)),  # odd: areas that end between pixels
        ((500, 500), (320, 320)),  # between two pixels
        ((200, 120), (320, 320)),  # enlarged
        ((320, 200), (320, 320)),  # as it is
        ((3, 400), (320, 320)),  # a sliver
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_letterbox_is_within_two_grey_levels_of_the_one_on_the_cpu(size, input_px, dtype):
    picture = photograph(*size)
    expected, placement = letterboxed(picture, input_px)
    with torch.inference_mode():
        letterbox = Letterbox(placement, dtype)
        letterbox(torch.from_numpy(255 - picture))  # of which nothing may be left
        ours = letterbox(torch.from_numpy(picture))[0].permute(1, 2, 0).float().numpy()
    apart = np.abs(ours - expected)
    assert apart.max() <= 2
    assert apart.mean() <= 0.35


@pytest.mark.parametrize("kind", list(ScoreKind))
@pytest.mark.parametrize("one_class", [True, False])
@pytest.mark.parametrize("min_score", [0.01, 0.5])
def test_hands_are_those_of_the_postprocess(kind: ScoreKind, one_class: bool, min_score: float):
    rng = np.random.default_rng(11)
    priors = network().priors.numpy()
    logits = rng.normal(-2, 1.5, (len(priors), 2 + (kind is ScoreKind.SOFTMAX))).astype(np.float32)
    offsets = rng.normal(0, 1, (len(priors), 4)).astype(np.float32)
    limits = Thresholds(min_score, one_class_per_hand=one_class)
    table = table_of(*(torch.from_numpy(x) for x in (logits, offsets, priors)), kind, limits).numpy()
    ours, expected = found_in(table, limits), found(logits, offsets, priors, kind, limits)
    assert len(expected.scores) > 10
    np.testing.assert_allclose(ours.boxes_norm, expected.boxes_norm, atol=1e-6)
    np.testing.assert_allclose(ours.scores, expected.scores, atol=1e-6)
    assert ours.labels.tolist() == expected.labels.tolist()


@pytest.mark.parametrize(("candidates", "keep"), [(400, 200), (12, 200), (400, 3), (12, 3), (10_000, 10_000)])
def test_what_is_left_out_is_as_sure_as_the_postprocess_says(candidates: int, keep: int):
    rng = np.random.default_rng(11)
    priors = network().priors.numpy()
    logits = rng.normal(-2, 1.5, (len(priors), 2)).astype(np.float32)
    offsets = np.zeros((len(priors), 4), np.float32)
    limits = Thresholds(0.3, candidates=candidates, keep=keep)
    tensors = (torch.from_numpy(one) for one in (logits, offsets, priors))
    ours = found_in(table_of(*tensors, ScoreKind.SIGMOID, limits).numpy(), limits)
    expected = found(logits, offsets, priors, ScoreKind.SIGMOID, limits)
    assert ours.left_out == pytest.approx(expected.left_out, abs=1e-6)
    assert (expected.left_out > 0) == (candidates == 12 or keep == 3)


@pytest.mark.parametrize("max_overlap", [0.1, 0.3, 0.45])
def test_boxes_are_doubles_from_the_overlap_on_that_the_postprocess_has(max_overlap: float):
    rng = np.random.default_rng(8)
    low = rng.random((60, 2)).astype(np.float32)
    boxes = torch.from_numpy(np.concatenate([low, low + rng.random((60, 2), np.float32) ** 2], axis=1))
    overlaps = iou_matrix(boxes, boxes)
    ours = _doubles(boxes, max_overlap)
    clear = (overlaps - max_overlap).abs() > 1e-5
    assert ours[clear].tolist() == (overlaps > max_overlap)[clear].tolist()
    assert 60 < int(ours.sum()) < 3600


class Launches(TorchDispatchMode):
    """Counts what a card would have to launch: everything but views and allocations."""

    FREE = ("view", "_unsafe_view", "permute", "slice", "select", "expand", "t", "unsqueeze", "empty")

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name not in self.FREE:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def test_what_comes_before_and_after_the_network_is_few_launches():
    priors = network().priors
    logits, offsets = torch.zeros(len(priors), 2), torch.zeros(len(priors), 4)
    letterbox = Letterbox(letterboxed(photograph(320, 180), (128, 96))[1])
    picture = torch.zeros((180, 320, 3), dtype=torch.uint8)
    with Launches() as before:
        letterbox(picture)
    with Launches() as after:
        table_of(logits, offsets, priors, ScoreKind.SIGMOID, LIMITS)
    assert len(before.names) <= 4, before.names
    assert len(after.names) <= 63, after.names  # of which the rounds of suppression are two each


@given(st.integers(1, 40), st.integers(0, 10_000), st.floats(0.05, 0.6))
def test_suppression_is_the_greedy_one_when_the_rounds_suffice(count: int, seed: int, share: float):
    doubles, candidates = _graph(count, seed, share)
    assert survivors(doubles, candidates, rounds=count + count % 2).tolist() == _greedy(doubles, candidates)


@given(st.integers(1, 40), st.integers(0, 10_000), st.floats(0.05, 0.6), st.integers(0, 4))
def test_unfinished_suppression_never_loses_a_hand(count: int, seed: int, share: float, half: int):
    doubles, candidates = _graph(count, seed, share)
    kept = survivors(doubles, candidates, rounds=2 * half).bool()
    greedy = torch.tensor(_greedy(doubles, candidates))
    assert bool((kept | ~greedy).all())  # every hand of the greedy answer is there
    assert bool((candidates | ~kept).all())  # and nothing that was no candidate


def test_a_chain_of_doubles_longer_than_the_rounds_keeps_too_many_and_not_too_few():
    count = 60
    doubles = torch.zeros(count, count, dtype=torch.bool)
    for i in range(count - 1):
        doubles[i, i + 1] = doubles[i + 1, i] = True
    kept = survivors(doubles, torch.ones(count, dtype=torch.bool))
    assert set(range(0, count, 2)) <= set(torch.nonzero(kept)[:, 0].tolist())


def _graph(count: int, seed: int, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    half = torch.rand(count, count, generator=random) < share
    return (half | half.T), torch.rand(count, generator=random) < 0.9


def _greedy(doubles: torch.Tensor, candidates: torch.Tensor) -> list[bool]:
    alive = candidates.tolist()
    for i in range(len(alive)):
        for j in range(i):
            alive[i] = alive[i] and not (alive[j] and bool(doubles[j, i]))
    return alive


def detectors(region: Region) -> tuple[DeviceDetector, HandDetector]:
    from handguard.detection.backends.torch_engine import TorchEngine

    on_device = DeviceEngine(network(), (128, 96), "cpu", "float32")
    on_host = TorchEngine(network(), (128, 96))
    return DeviceDetector(CARD, on_device, LIMITS, region), HandDetector(CARD, on_host, LIMITS, region)


def test_the_whole_path_finds_what_the_host_finds_where_both_see_the_same_pixels():
    region = Region(20, 10, 148, 106)  # of the input's own size: nothing is resized
    on_device, on_host = detectors(region)
    for number in range(3):
        frame = Frame(number, 7, np.roll(photograph(200, 120), 13 * number, axis=1))
        ours, expected = on_device.detect(frame), on_host.detect(frame)
        assert len(expected) > 0
        np.testing.assert_allclose(ours.boxes_px, expected.boxes_px, atol=1e-3)
        np.testing.assert_allclose(ours.scores, expected.scores, atol=1e-5)
        assert (ours.frame_seq, ours.captured_ns) == (number, 7)


def test_another_picture_goes_through_the_same_network_on_the_device():
    on_device, _ = detectors(Region(0, 0, 200, 120))
    picture = photograph(128, 96)
    _, straight = detectors(Region(0, 0, 128, 96))
    expected = straight.detect(Frame(0, 0, picture))
    assert len(expected) > 0
    np.testing.assert_allclose(on_device.recall(picture, 0.05).boxes_px, expected.boxes_px, atol=1e-3)


def test_the_bare_network_is_that_of_the_reference():
    ours, reference = (one.engine for one in detectors(Region(0, 0, 128, 96)))
    for engine in (ours, reference):
        engine.canvas[:] = photograph(128, 96)
    for mine, expected in zip(ours.infer(), reference.infer(), strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-4)


def test_a_network_gone_mad_raises_instead_of_finding_nothing():
    mad = network()
    mad.box_head.predictors[0].bias.data[:] = float("nan")
    detector = DeviceDetector(
        CARD, DeviceEngine(mad, (128, 96), "cpu", "float32"), LIMITS, Region(0, 0, 128, 96)
    )
    with pytest.raises(ValueError, match="not finite"):
        detector.detect(Frame(0, 0, photograph(128, 96)))


def test_a_network_gone_wild_leaves_no_place_free():
    wild = network()
    for predictor in wild.class_head.predictors:
        torch.nn.init.zeros_(predictor.weight)
        torch.nn.init.constant_(predictor.bias, 30.0)  # every score is 1: which hands are looked at is chance
    limits, region = Thresholds(0.05, candidates=9, one_class_per_hand=True), Region(20, 10, 148, 106)
    detector = DeviceDetector(CARD, DeviceEngine(wild, (128, 96), "cpu", "float32"), limits, region)
    frame = Frame(3, 7, photograph(200, 120))
    hands = detector.detect(frame)
    assert hands.boxes_px[-1].tolist() == [20, 10, 148, 106] and hands.scores[-1] == 1
    assert len(hands) > 1 and (hands.frame_seq, hands.captured_ns) == (3, 7)


def test_a_download_that_did_not_happen_cannot_pass_for_the_last_one():
    detector, _ = detectors(Region(0, 0, 128, 96))
    frame = Frame(0, 0, photograph(128, 96))
    assert len(detector.detect(frame)) > 0
    (path,) = detector.engine._paths.values()
    path._replay = lambda: None
    with pytest.raises(ValueError, match="not finite"):
        detector.detect(frame)


def test_whatever_torch_raises_on_a_frame_is_a_device_error_with_its_first_line():
    detector, _ = detectors(Region(0, 0, 128, 96))
    detector.warm_up(1)

    def gone(*_: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be …")

    detector.engine._network.register_forward_pre_hook(gone)
    with pytest.raises(DeviceError, match=r"expected an answer, found CUDA error: unspecified launch failure$"):
        detector.detect(Frame(0, 0, photograph(128, 96)))


def test_a_precision_torch_does_not_know_is_named():
    with pytest.raises(ModelError, match=r"detector\.precision: expected one of float32, bf16, fp16, found int4"):
        DeviceEngine(network(), (128, 96), "cpu", "int4")


def test_bf16_finds_the_hands_of_float32_to_two_pixels_and_a_twentieth_of_a_score():
    region = Region(0, 0, 128, 96)
    rough = DeviceDetector(CARD, DeviceEngine(network(), (128, 96), "cpu", "bf16"), LIMITS, region)
    exact, _ = detectors(region)
    frame = Frame(0, 0, photograph(128, 96))
    one, other = rough.detect(frame), exact.detect(frame)
    assert abs(one.scores[0] - other.scores[0]) < 0.05
    best = int(np.argmin(np.abs(other.boxes_px - one.boxes_px[0]).sum(axis=1)))
    np.testing.assert_allclose(one.boxes_px[0], other.boxes_px[best], atol=2)


class Graph(TorchDispatchMode):
    """In the place of torch's graph: remembers, without keeping it, all that is read and was not made meanwhile."""

    def __init__(self, _: object = None, **__: object) -> None:
        super().__init__()
        self.read: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for storage in storages_of((args, kwargs)):
            if storage.data_ptr() not in self._made:
                self.read.setdefault(storage.data_ptr(), weakref.ref(storage))
        self._made |= {storage.data_ptr() for storage in storages_of(out)} - set(self.read)
        return out

    @property
    def dead(self) -> int:
        return sum(storage() is None for storage in self.read.values())


def storages_of(values: object) -> list[torch.UntypedStorage]:
    return [one.untyped_storage() for one in tree_iter(values) if isinstance(one, torch.Tensor)]


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """Every graph captured from now on, on a CPU that is taken for a card."""
    made: list[Graph] = []
    real = device_engine.captured
    stream = SimpleNamespace(wait_stream=lambda _: None, synchronize=lambda: None)

    def graph(*_: object, **__: object) -> Graph:
        made.append(Graph())
        return made[-1]

    monkeypatch.setattr(device_engine, "captured", lambda step, _: real(step, torch.device("cuda")))
    for name, stub in {
        "Stream": lambda _: stream,
        "current_stream": lambda _: stream,
        "stream": lambda _: nullcontext(),
        "CUDAGraph": lambda: SimpleNamespace(replay=lambda: None),
        "graph": graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stub)
    return made


def test_all_that_a_graph_reads_lives_as_long_as_its_path(graphs: list[Graph]):
    detector, _ = detectors(Region(0, 0, 200, 120))
    engine = detector.engine
    path = engine.prepare(detector._letterbox.placement, LIMITS)
    (graph,) = graphs
    weights, gone = len(list(engine._network.parameters())), weakref.ref(engine)
    gc.collect()
    assert graph.dead == 0  # neither of what only the path had: the letterbox
    del detector, engine
    gc.collect()
    assert gone() is None  # nor of what the engine had: weights and priors
    assert path is not None
    assert len(graph.read) > weights  # and the letterbox, the priors, the frame and the table
    assert graph.dead == 0


def test_an_engine_goes_with_its_last_user_and_its_paths_do_not_keep_it(graphs: list[Graph]):
    detector, _ = detectors(Region(0, 0, 200, 120))
    detector.engine.prepare(detector._letterbox.placement, LIMITS)
    gone = weakref.ref(detector.engine._network)
    gc.disable()  # memory of a card weighs nothing in Python's own account: nobody would look for it
    try:
        del detector
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("precision", "rounds_to_tf32"), [("float32", False), ("bf16", True)])
def test_what_is_captured_is_computed_as_it_was_warmed_up_by_cudnn_and_float32_is_float32(
    graphs: list[Graph], precision: str, rounds_to_tf32: bool
):
    detector = DeviceDetector(
        CARD, DeviceEngine(network(), (128, 96), "cpu", precision), LIMITS, Region(0, 0, 128, 96)
    )
    seen: list[tuple[bool, bool, bool]] = []
    cudnn = torch.backends.cudnn
    detector.engine._network.register_forward_pre_hook(
        lambda *_: seen.append((cudnn.enabled, cudnn.benchmark, cudnn.allow_tf32))
    )
    detector.engine.prepare(detector._letterbox.placement, LIMITS)
    assert len(graphs) == 1
    assert len(seen) > device_engine.WARM_UP_ROUNDS
    detector.engine.infer()
    assert set(seen) == {(True, True, rounds_to_tf32)}
    assert not cudnn.benchmark  # and afterwards all is as it was


def assert_same_hands(ours: Detections, expected: Detections) -> None:
    """In whatever order, for two of nearly one score may change places."""
    ours_rows, rows = (np.column_stack([one.boxes_px, 50 * one.scores, 100 * one.labels]) for one in (ours, expected))
    assert len(ours_rows) == len(rows)
    apart = np.abs(ours_rows[:, None] - rows[None]).max(axis=2)
    assert apart.min(axis=0).max() < 0.5, "a hand is lost"
    assert apart.min(axis=1).max() < 0.5, "a hand is new"


@pytest.mark.skipif(no_card, reason="NOT SHOWN: a CUDA graph needs a CUDA graphics card")
def test_a_captured_graph_answers_as_the_same_functions_do_without_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device_engine, "CHECKS_LIVENESS", knows_liveness)
    region = Region(0, 0, 200, 120)
    graph = DeviceDetector(CARD, DeviceEngine(network(), (128, 96), "cuda", "float32"), LIMITS, region)
    plain = DeviceDetector(CARD, DeviceEngine(network(), (128, 96), "cpu", "float32"), LIMITS, region)
    graph.warm_up()
    for size in ((320, 256), (640, 360)):  # other paths, whose memory must not be that of the first
        graph.recall(photograph(*size), 0.05)
    for number in range(4):
        frame = Frame(number, 0, np.roll(photograph(200, 120), 13 * number, axis=1))
        ours, expected = graph.detect(frame), plain.detect(frame)
        assert len(expected) > 0
        assert_same_hands(ours, expected)
        graph.recall(photograph(320, 256), 0.05)  # as the minute's self-check does


@pytest.mark.skipif(no_card, reason="NOT SHOWN: float32 on a card needs a CUDA graphics card")
def test_float32_on_a_card_is_float32():
    ours, reference = (DeviceEngine(network(), (128, 96), device, "float32") for device in ("cuda", "cpu"))
    for engine in (ours, reference):
        engine.canvas[:] = photograph(128, 96)
    for mine, expected in zip(ours.infer(), reference.infer(), strict=True):
        np.testing.assert_allclose(mine, expected, atol=1e-3)


@pytest.mark.skipif(no_card, reason="NOT SHOWN: half precision in a graph needs a CUDA graphics card")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_on_a_card_finds_the_best_hand_of_float32(precision: str):
    region = Region(0, 0, 200, 120)
    rough = DeviceDetector(CARD, DeviceEngine(network(), (128, 96), "cuda", precision), LIMITS, region)
    exact = DeviceDetector(CARD, DeviceEngine(network(), (128, 96), "cpu", "float32"), LIMITS, region)
    for number in range(3):
        frame = Frame(number, 0, np.roll(photograph(200, 120), 13 * number, axis=1))
        one, other = rough.detect(frame), exact.detect(frame)
        assert abs(one.scores[0] - other.scores[0]) < 0.05
        best = int(np.argmin(np.abs(other.boxes_px - one.boxes_px[0]).sum(axis=1)))
        np.testing.assert_allclose(one.boxes_px[0], other.boxes_px[best], atol=4)


@pytest.mark.skipif(no_card, reason="NOT SHOWN: a network gone mad on a card needs a CUDA graphics card")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_gone_mad_on_a_card_raises_instead_of_finding_nothing(value: float):
    mad = network()
    mad.box_head.predictors[0].bias.data[:] = value
    detector = DeviceDetector(CARD, DeviceEngine(mad, (128, 96), "cuda", "fp16"), LIMITS, Region(0, 0, 128, 96))
    with pytest.raises(ValueError, match="not finite"):
        detector.detect(Frame(0, 0, photograph(128, 96)))


def test_greedy_suppression_in_numpy_is_the_one_meant():
    rng = np.random.default_rng(2)
    low = rng.random((30, 2)).astype(np.float32)
    boxes = np.concatenate([low, low + 0.3], axis=1)
    kept = suppressed(boxes, np.zeros(30, np.int64), 0.45)
    side = np.clip(
        np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2]), 0, 1
    )
    inter = side.prod(axis=2)
    doubles = torch.from_numpy(inter / (2 * 0.09 - inter) > 0.45)
    alive = survivors(doubles, torch.ones(30, dtype=torch.bool), rounds=30)
    assert kept.tolist() == torch.nonzero(alive)[:, 0].tolist()
