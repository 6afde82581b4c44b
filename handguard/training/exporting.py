"""From a model to a compiled form of it, which is a model with a card of its own.

    onnx            NAME-onnx.onnx     one input size; for ONNX Runtime, TensorRT, OpenCV
    openvino        NAME-openvino.xml  float32, any input the network takes
    int8            NAME-int8.xml      by NNCF, calibrated on training pictures

The export is written to a scratch folder first, run from there as a detector, and
held to the gate; only what passes is moved to its place. The card says what it was
made from, how it was calibrated and what the gate found. Beside each graph lie its priors
(`.priors.npy`, `(P, 4)` centre and size as fractions of the input), which any other program
needs to decode the answers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.atomic import appearing_whole
from handguard.detection import card as cards
from handguard.detection.loading import INT8, TWIN, Choice
from handguard.detection.preprocess import letterboxed
from handguard.detection.ssd import Ssd
from handguard.detection.weights import load_network
from handguard.errors import DatasetError, ModelError, mismatch
from handguard.training.beforehand import require_near_hand
from handguard.training.coco import Sample, decode_picture
from handguard.training.datasets import Split, load_split
from handguard.training.evaluation import OnProgress, Run, numbers, run_detector
from handguard.training.export_gate import GateLimits, changes, imagined, losses, refusals
from handguard.training.footage import empty_scene
from handguard.training.golden_making import departures
from handguard.training.writing import writing

FORMATS = {"onnx": "-onnx", "openvino": "-openvino", INT8: TWIN}  # and what each adds to the name
PRIORS = ".priors.npy"
INTERFACE = (
    "Input `picture`: uint8 (1, height, width, 3), blue-green-red; the picture letterboxed with its aspect "
    "kept, top left, the rest grey 114. Normalisation is inside. Outputs: class logits (1, P, C) and box "
    "offsets (1, P, 4), to be decoded with the priors beside the graph."
)


@dataclass(frozen=True, slots=True)
class Export:
    """What a person asks for."""

    out: Path
    model: str = cards.DEFAULT
    format: str = "onnx"  # of FORMATS
    data: Path | None = None  # folder whose train pictures calibrate int8
    pictures: int = 300  # for calibration
    gate: Path | None = None  # folder whose val pictures judge
    empty: tuple[Path, ...] = ()  # recordings without a hand, which judge too
    limits: GateLimits = field(default_factory=GateLimits)

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ModelError(mismatch("--format", f"one of {', '.join(FORMATS)}", self.format))
        if self.format == INT8 and (self.data is None or self.gate is None):
            raise DatasetError(
                mismatch("export to int8", "--data to calibrate with and --gate to judge by", "not both")
            )
        if self.empty and self.gate is None:
            raise DatasetError(mismatch("--empty-footage", "--gate, of which it is a part", "none"))
        if self.pictures < 1:
            raise DatasetError(mismatch("--pictures", "at least 1", self.pictures))


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of it. `files` is None where the gate refused, and then nothing was written."""

    files: cards.ModelFiles | None
    refused: list[str]
    gate: dict[str, Any]


def export(wanted: Export, progress: OnProgress) -> Exported:
    """Compile, judge, and only then write. Raises `ModelError`, `DatasetError`, `DeviceError`."""
    files = cards.locate(wanted.model)
    card = cards.read_card(files)
    if files.weights.suffix != cards.WEIGHTS:
        raise ModelError(mismatch(str(files.weights), "a model with weights to export", files.weights.suffix))
    network = load_network(files, card, card.input_px)
    pictures = _to_calibrate_with(wanted, card)
    with tempfile.TemporaryDirectory() as folder:
        graph = _written(wanted, network, card, pictures, Path(folder))
        draft = _card_of(wanted, card, graph, len(pictures))
        cards.write_card(draft, graph.with_suffix(".json"))
        refused, judged = _judged(wanted, files, card, graph, progress)
        if refused:
            return Exported(None, refused, judged)
        told = {**draft.recipe["exported"], **({"gate": judged} if judged else {})}
        final = replace(draft, recipe={**draft.recipe, "exported": told}, metrics=judged.get("after", {}))
        with writing(wanted.out):
            return Exported(_moved(graph, final, wanted.out), [], judged)


def _to_calibrate_with(wanted: Export, card: cards.Card) -> list[NDArray[np.uint8]]:
    """Inputs from the train pictures; none but for int8. Raises `DatasetError`."""
    if wanted.format != INT8 or wanted.data is None:
        return []
    return calibration_set(load_split(wanted.data, Split.TRAIN), wanted.pictures, card.input_px)


def _written(
    wanted: Export, network: Ssd, card: cards.Card, pictures: list[NDArray[np.uint8]], folder: Path
) -> Path:
    """The graph and its priors, in a scratch folder."""
    suffix = cards.ONNX if wanted.format == "onnx" else cards.OPENVINO
    graph = folder / f"{card.name}{FORMATS[wanted.format]}{suffix}"
    np.save(graph.with_suffix(PRIORS), network.priors.numpy())
    if wanted.format == "onnx":
        from handguard.detection.onnx_graph import write_onnx

        write_onnx(network, card.input_px, graph)
        return graph
    from handguard.detection.openvino_graph import write_openvino

    write_openvino(network, card.input_px, graph, pictures)
    return graph


def calibration_set(
    samples: Sequence[Sample], pictures: int, input_px: tuple[int, int]
) -> list[NDArray[np.uint8]]:
    """Inputs `(height, width, 3)` from so many pictures, or all there are, spread evenly over the set, so that every
    source is heard."""
    chosen = np.linspace(0, len(samples) - 1, min(pictures, len(samples))).round().astype(int)
    return [letterboxed(decode_picture(samples[i]), input_px)[0] for i in chosen]


def _card_of(wanted: Export, card: cards.Card, graph: Path, calibrated_with: int) -> cards.Card:
    """The origin's card, with what the export is and was made from, and with how many pictures. The golden answer
    stays the origin's: an export that differs from it by more than its tolerance must not run."""
    told: dict[str, Any] = {"format": wanted.format, "from": card.name, "from_sha256": card.weights_sha256}
    if wanted.format == INT8:
        method = "NNCF, mixed preset, bias corrected layer by layer; largest map and predictors in float"
        told["calibration"] = {"pictures": calibrated_with, "split": "train", "method": method}
    return replace(
        card,
        name=graph.stem,
        weights_sha256=cards.sha256_of(graph),
        any_multiple_of_px=None if wanted.format == "onnx" else card.any_multiple_of_px,
        recipe={**card.recipe, "exported": told},
        notes=[f"Exported from {card.name}, whose numbers are not this model's.", INTERFACE, *card.notes],
    )


def _judged(
    wanted: Export, files: cards.ModelFiles, card: cards.Card, graph: Path, progress: OnProgress
) -> tuple[list[str], dict[str, Any]]:
    """Why the gate refuses, and all it found; both empty where nobody asked for a gate."""
    if wanted.gate is None:
        return [], {}
    samples = load_split(wanted.gate, Split.VAL)
    require_near_hand(samples, wanted.gate)
    score = card.operating_point.min_score
    own, exports = _precisions(wanted)
    origin = run_detector(Choice(str(files.weights), "openvino", own), samples, progress)
    compiled = Choice(str(graph), "openvino", exports)
    after = run_detector(compiled, samples, progress)
    changed = changes(origin.answers, after.answers, score)
    tables = {name: _accuracy(run, score) for name, run in (("before", origin), ("after", after))}
    lost = losses(tables["before"], tables["after"])
    told = {"limits": asdict(wanted.limits), "losses": lost, "changes": changed.told(), **tables}
    refused = refusals(lost, changed, wanted.limits) + departures(compiled)
    if wanted.empty:
        empty = empty_scene(compiled, wanted.empty, progress)
        told["empty"] = {"frames": empty.frames, "highest_score": round(empty.highest, 4)}
        refused += imagined(empty, score)
    return refused, told


def _precisions(wanted: Export) -> tuple[str, str | None]:
    """Of the origin and of the export. An int8 graph is held to what it takes the place of; a float one is judged for
    the export alone, not for bf16."""
    if wanted.format != INT8:
        return "float32", "float32"
    from handguard.detection.backends.openvino_engine import allowed

    return allowed(None), None


def _accuracy(run: Run, min_score: float) -> dict[str, Any]:
    kept = ("pictures", "hands", "ap50", "ap50_near", "coco", "at_operating_point", "measured_with")
    found = numbers(run, min_score)
    return {name: found[name] for name in kept}


def _moved(graph: Path, card: cards.Card, out: Path) -> cards.ModelFiles:
    """Everything into `out`, each file whole, the card last: where it lies, all lies."""
    out.mkdir(parents=True, exist_ok=True)
    parts = [graph.with_suffix(suffix) for suffix in (PRIORS, ".bin") if graph.with_suffix(suffix).exists()]
    for part in (*parts, graph):
        with appearing_whole(out / part.name) as fresh:
            fresh.write_bytes(part.read_bytes())
    files = cards.ModelFiles(out / graph.name, out / f"{graph.stem}.json")
    cards.write_card(card, files.card)
    return files
