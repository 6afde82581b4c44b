"""From a model's name to a running detector: the one place where a back end is chosen.

    back end        runs models that are                 on
    openvino        weights, exported .xml and .onnx     CPU: float32, bf16, and int8 of an exported model
    onnxruntime     weights, exported .onnx              CPU, CUDA or TensorRT, whichever its build has
    torch-cpu       weights                              CPU: the reference
    torch-cuda      weights                              a CUDA card: the whole path in one graph

`auto` is torch-cuda where a card answers, else openvino. A model exported to int8 (`handguard
export --format int8`) that lies beside its origin as `NAME-int8` takes its place on
OpenVINO where the CPU multiplies bytes fast, unless a precision is asked for.
What was chosen is in the detector's description, which every run prints and records.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handguard.atomic import write_atomically
from handguard.detection import card as cards
from handguard.detection.detector import HandDetector, Region, fitted_input
from handguard.detection.postprocess import Thresholds
from handguard.detection.scores import ScoreKind
from handguard.errors import ModelError, mismatch

if TYPE_CHECKING:
    from handguard.detection.ssd import Ssd

BACKENDS = (
    "openvino",
    "torch-cpu",
    "torch-cuda",
    "onnxruntime",
    "onnxruntime-cpu",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
)
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
INT8 = "int8"
TWIN = "-int8"  # what an int8 model is called after its origin
LOCKOUT, TO_CPU = "lockout", "cpu"
ON_THE_CPU = ("openvino CPU", "onnxruntime cpu", "torch cpu")  # how such engines describe themselves


@dataclass(frozen=True, slots=True)
class Choice:
    """How a model is to be run."""

    model: str = cards.DEFAULT
    backend: str = "auto"  # or one of BACKENDS
    precision: str | None = None  # None: the fastest the device computes
    min_score: float | None = None  # None: the card's operating point
    threads: int | None = None
    if_device_lost: str = LOCKOUT  # or TO_CPU: a standby on the CPU takes over, after a trip
    counts_from: float | None = None  # None: the lower one of `min_score` and the card's operating point

    def measuring(self, lowest: float) -> Choice:
        """The same for a measurement, which wants all hands down to this score and none beyond those it can be told."""
        return replace(self, min_score=lowest, counts_from=1.0)


@dataclass(frozen=True, slots=True)
class _Order:
    """What an opener is given: the choice, settled."""

    choice: Choice
    files: cards.ModelFiles
    card: cards.Card
    input_px: tuple[int, int]
    thresholds: Thresholds
    region: Region

    def network(self) -> Ssd:
        """The network with its weights, or, of an exported model, only its layout."""
        from handguard.detection.architectures import build
        from handguard.detection.weights import load_network

        if self.files.weights.suffix == cards.WEIGHTS:
            return load_network(self.files, self.card, self.input_px)
        return build(self.card.architecture, len(self.card.classes), self.input_px, sizes=self.card.prior_sizes)

    @property
    def graph(self) -> Path | None:
        """The exported graph; None for weights."""
        return None if self.files.weights.suffix == cards.WEIGHTS else self.files.weights


def load_detector(choice: Choice, region: Region) -> HandDetector:
    """A detector for one region of a picture, warmed up. Raises `ModelError`."""
    choice = settled(choice)
    files = cards.locate(choice.model)
    card = cards.read_card(files)
    input_px = card.input_px
    if card.any_multiple_of_px is not None:
        input_px = fitted_input(region.size_px, card.input_px, card.any_multiple_of_px)
    point = card.operating_point
    tells_from = card.counts_from(choice.min_score)
    counts_from = min(point.min_score, tells_from) if choice.counts_from is None else choice.counts_from
    thresholds = Thresholds(tells_from, point.max_overlap, one_class_per_hand=True, counts_from=counts_from)
    kind = choice.backend.partition("-")[0]
    if files.weights.suffix not in TAKES[kind]:
        expected = f"a model that {choice.backend} runs ({' or '.join(TAKES[kind])})"
        raise ModelError(mismatch(str(files.weights), expected, files.weights.suffix))
    detector = _OPENERS[kind](_Order(choice, files, card, input_px, thresholds, region))
    _require_fits(detector, files)
    detector.warm_up()
    return _with_standby(detector, choice, region)


def settled(choice: Choice) -> Choice:
    """The choice with its back end named, and the model that really runs. Raises `ModelError`."""
    backend = _automatic() if choice.backend == "auto" else choice.backend
    if backend not in BACKENDS:
        raise ModelError(mismatch("detector.backend", f"auto or one of {', '.join(BACKENDS)}", backend))
    if choice.if_device_lost not in (LOCKOUT, TO_CPU):
        expected = f"{LOCKOUT} or {TO_CPU}"
        raise ModelError(mismatch("detector.if_device_lost", expected, choice.if_device_lost))
    if choice.min_score is not None and not 0 < choice.min_score < 1:  # nan included
        raise ModelError(mismatch("the lowest score of a hand", "one between 0 and 1", choice.min_score))
    choice = replace(choice, backend=backend)
    return _as_int8(choice) if backend == "openvino" else choice


def files_of(choice: Choice) -> cards.ModelFiles:
    """Where the network lies that `load_detector` would run, maybe a twin of the one named. Raises `ModelError`."""
    return cards.locate(settled(choice).model)


def _as_int8(choice: Choice) -> Choice:
    """The int8 twin of the model, where one lies beside it and is wanted, or would be faster."""
    if choice.precision not in (None, INT8):
        return choice
    files = cards.locate(choice.model)
    if files.weights.suffix != cards.WEIGHTS and _exported(files).get("format") == INT8:
        return replace(choice, precision=None)
    twin = _twin(files)
    if twin is not None and (choice.precision == INT8 or _int8_is_fast()):
        return replace(choice, model=str(twin.weights), precision=None)
    if choice.precision == INT8:
        expected = f"{files.weights.stem}{TWIN} beside the model (`handguard export --format int8`)"
        raise ModelError(mismatch("detector.precision: int8", expected, "no such model"))
    return choice


def _int8_is_fast() -> bool:
    _require_package("openvino")
    from handguard.detection.backends.openvino_engine import int8_is_fast

    return int8_is_fast()


def _twin(files: cards.ModelFiles) -> cards.ModelFiles | None:
    """The int8 model made from exactly these weights; None if there is none."""
    path = files.weights.with_name(f"{files.card.stem}{TWIN}{cards.OPENVINO}")
    if not path.is_file():
        return None
    twin = cards.locate(str(path))
    origin = _exported(twin).get("from_sha256")
    return twin if origin == cards.read_card(files).weights_sha256 else None


def _exported(files: cards.ModelFiles) -> dict[str, Any]:
    """How an exported model was made, from its card; empty for one that was trained."""
    return cards.read_card(files).recipe.get("exported", {})  # type: ignore[no-any-return]


def _automatic() -> str:
    """CUDA where its driver is there and torch can use it; torch is asked only then, it costs a second."""
    if NVIDIA_DRIVER.exists():
        import torch

        if torch.cuda.is_available():
            return "torch-cuda"
    return "openvino"


def _with_standby(detector: HandDetector, choice: Choice, region: Region) -> HandDetector:
    """The detector, and behind it one on the CPU where that is wanted and the first does not run there already."""
    if choice.if_device_lost == LOCKOUT or detector.engine.description.startswith(ON_THE_CPU):
        return detector
    from handguard.detection.device_detector import DetectorWithStandby

    standby = replace(choice, backend="openvino", precision=None, if_device_lost=LOCKOUT)
    return DetectorWithStandby(detector, load_detector(standby, region))


def _require_package(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        where = f"detector.backend: {name}"
        raise ModelError(mismatch(where, f"the package {name} (pip install {name})", "none"))


def _require_fits(detector: HandDetector, files: cards.ModelFiles) -> None:
    """Whether the engine answers in the shape that the card and the priors say. Raises `ModelError`."""
    logits, offsets = detector.engine.infer()
    count, card = len(detector.engine.priors), detector.card
    columns = len(card.classes) + (ScoreKind(card.scores) is ScoreKind.SOFTMAX)
    if (logits.shape, offsets.shape) != ((count, columns), (count, 4)):
        expected = f"scores {(count, columns)} and boxes {(count, 4)} as its card says"
        raise ModelError(mismatch(str(files.weights), expected, f"{logits.shape} and {offsets.shape}"))


def _openvino(order: _Order) -> HandDetector:
    _require_package("openvino")
    from handguard.detection.backends.openvino_engine import OpenVinoEngine

    key, wanted = order.card.fingerprint, order.choice
    engine = OpenVinoEngine(key, order.network, order.input_px, wanted.precision, wanted.threads, order.graph)
    return HandDetector(order.card, engine, order.thresholds, order.region)


def _onnxruntime(order: _Order) -> HandDetector:
    from handguard.detection.backends import cache
    from handguard.detection.backends.onnx_engine import GraphError, providers_for

    providers_for(_provider(order), order.choice.precision)  # what no graph could help is told before one is made
    if order.graph is not None:
        return _on_onnxruntime(order, order.graph)
    kept = cache.ROOT / "onnx" / f"{_stem(order)}.onnx"
    if not os.path.exists(kept):
        return _on_fresh_graph(order, kept)
    try:
        detector = _on_onnxruntime(order, kept)
    except GraphError as error:
        return _on_fresh_graph(order, kept, error)
    cache.used(kept)
    return detector


def _on_fresh_graph(order: _Order, kept: Path, damage: ModelError | None = None) -> HandDetector:
    """On a graph made now, which is then kept. `damage`, of the one kept so far, is believed and told once the fresh
    one runs: where it does not either, the graph was not to blame. Raises `ModelError`."""
    from handguard.detection.backends import cache
    from handguard.detection.onnx_graph import write_onnx

    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / kept.name
        write_onnx(order.network(), order.input_px, fresh)
        detector = _on_onnxruntime(order, fresh)
        if damage is not None:
            cache.tell_damaged(kept, damage)
        with cache.keeping(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, fresh.read_bytes())
            cache.make_room(kept.parent, (".onnx", ".npy"))
        return detector


def _on_onnxruntime(order: _Order, graph: Path) -> HandDetector:
    from handguard.detection.backends import cache
    from handguard.detection.backends.onnx_engine import OnnxEngine

    kept = cache.ROOT / "onnx" / f"{_stem(order)}.npy"
    priors = cache.kept_priors(kept, lambda: order.network().priors.numpy())
    choice = order.choice
    engine = OnnxEngine(graph, priors, order.input_px, _provider(order), choice.precision, choice.threads)
    return HandDetector(order.card, engine, order.thresholds, order.region)


def _provider(order: _Order) -> str | None:
    """What follows `onnxruntime-` in the back end's name; None: whichever loads."""
    return order.choice.backend.partition("-")[2] or None


def _stem(order: _Order) -> str:
    return f"{order.card.fingerprint[:16]}-{order.input_px[0]}x{order.input_px[1]}"


def _torch(order: _Order) -> HandDetector:
    if order.choice.backend == "torch-cpu":
        from handguard.detection.backends.torch_engine import TorchEngine

        engine = TorchEngine(order.network(), order.input_px, order.choice.precision or "float32")
        return HandDetector(order.card, engine, order.thresholds, order.region)
    from handguard.detection.backends.device_engine import DeviceEngine
    from handguard.detection.device_detector import DeviceDetector

    on_card = DeviceEngine(order.network(), order.input_px, "cuda", order.choice.precision or "fp16")
    return DeviceDetector(order.card, on_card, order.thresholds, order.region)


TAKES = {
    "openvino": (cards.WEIGHTS, cards.OPENVINO, cards.ONNX),
    "onnxruntime": (cards.WEIGHTS, cards.ONNX),
    "torch": (cards.WEIGHTS,),
}
_OPENERS: dict[str, Callable[[_Order], HandDetector]] = {
    "openvino": _openvino,
    "onnxruntime": _onnxruntime,
    "torch": _torch,
}
