"""The model card: what a set of weights is, what it was trained on, and how far it can be trusted.

A model is two files side by side: `NAME.safetensors` holds numbers and
`NAME.json`, the card, holds everything else. The card names the network that
the weights fit, the score from which a detection counts, and the hash of the
weights; a card that does not fit its weights is refused. An exported model has a
compiled graph in the place of its weights: `NAME.onnx`, or `NAME.xml` with its
numbers in `NAME.bin`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from handguard import digest
from handguard.atomic import write_atomically
from handguard.detection.golden import Golden
from handguard.detection.scores import ScoreKind
from handguard.errors import ModelError, mismatch

SHIPPED = Path(__file__).parents[2] / "models"
DEFAULT = "ssdlite-efficientnet-lite0-slim"
SCHEMA = 1
WEIGHTS, ONNX, OPENVINO = ".safetensors", ".onnx", ".xml"  # what a model can be, in the order it is looked for


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """From which score a detection counts in operation, and how doubles are merged."""

    min_score: float
    max_overlap: float = 0.45
    chosen: str = ""  # how the score was chosen, in words

    def __post_init__(self) -> None:
        if not (0 < self.min_score < 1 and 0 < self.max_overlap < 1):
            raise ValueError(f"min_score and max_overlap must lie between 0 and 1, got {self}")


@dataclass(frozen=True, slots=True)
class Card:
    """See the module. `input_px` is (width, height) as trained and evaluated."""

    name: str
    architecture: str
    classes: tuple[str, ...]
    input_px: tuple[int, int]
    operating_point: OperatingPoint
    weights_sha256: str
    scores: str  # a ScoreKind: how logits become scores
    any_multiple_of_px: int | None = None  # the network takes any input of such sides; None: only input_px
    prior_sizes: list[list[list[float]]] | None = None  # as in priors.Sizes; None: the network's own rule
    geometry: str = "letterbox"  # decided once for training and deployment: see preprocess.py
    data: list[dict[str, Any]] = field(default_factory=list)  # source, licence, pictures
    recipe: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    golden: Golden | None = None  # its answer to the golden picture; None: it cannot be checked as it runs
    schema: int = SCHEMA

    def counts_from(self, asked: float | None) -> float:
        """The score from which a hand counts: the one asked for, or the card's own."""
        return self.operating_point.min_score if asked is None else asked

    @property
    def fingerprint(self) -> str:
        """Names the network with its weights: what a compiled form of it is kept under."""
        parts = (self.weights_sha256, self.architecture, *self.classes)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where the two files of a model lie."""

    weights: Path  # its suffix, WEIGHTS, ONNX or OPENVINO, says what it is
    card: Path


def locate(model: str) -> ModelFiles:
    """The files of a shipped model by name, or of any model by the path of either file; else `ModelError`."""
    path = Path(model)
    known = (WEIGHTS, ONNX, OPENVINO)
    if path.suffix in {*known, ".json"} or path.parent != Path("."):
        base = path.with_suffix("") if path.suffix in {*known, ".json"} else path
    else:
        base = SHIPPED / model
    forms = [base.with_name(base.name + suffix) for suffix in known]
    weights = path if path.suffix in known else next((one for one in forms if one.is_file()), forms[0])
    files = ModelFiles(weights, base.with_name(base.name + ".json"))
    for file in (files.weights, files.card):
        if not file.is_file():
            shipped = ", ".join(sorted(one.stem for one in SHIPPED.glob("*.json"))) or "none"
            expected = f"a file {file} (shipped models: {shipped})"
            raise ModelError(mismatch(f"model {model}", expected, "no such file"))
    return files


def read_card(files: ModelFiles) -> Card:
    """The card, checked against the hash of its weights. Raises `ModelError`."""
    try:
        data = json.loads(files.card.read_text())
        point = OperatingPoint(**data.pop("operating_point"))
        data["classes"], data["input_px"] = tuple(data["classes"]), tuple(data["input_px"])
        golden = data.pop("golden", None)
        card = Card(operating_point=point, golden=None if golden is None else Golden.read(golden), **data)
        ScoreKind(card.scores)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(mismatch(str(files.card), "a model card", error)) from error
    if card.schema != SCHEMA:
        raise ModelError(mismatch(f"{files.card}: schema", str(SCHEMA), card.schema))
    try:
        found = sha256_of(files.weights)
    except OSError as error:
        raise ModelError(mismatch(str(files.weights), "a readable file", error)) from error
    if found != card.weights_sha256:
        raise ModelError(mismatch(f"{files.weights}", f"sha256 {card.weights_sha256} as in its card", found))
    return card


def write_card(card: Card, path: Path) -> None:
    """Write the card, whole or not at all."""
    write_atomically(path, (json.dumps(asdict(card), indent=2) + "\n").encode())


def sha256_of(path: Path) -> str:
    """Names what a model computes: its weights, or its graph with the numbers beside it. Raises `OSError`."""
    return digest.sha256_of(path, path.with_suffix(".bin")) if path.suffix == OPENVINO else digest.sha256_of(path)
