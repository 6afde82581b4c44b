"""Where pictures come from: what each source shows, under which licence, and how often it is drawn.

A data folder may bring its own table, `sources.json`; the sources of the shipped
models are listed in `models/data/sources.json`. A source in neither table is named
as unknown in the card, never left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handguard.detection.card import SHIPPED
from handguard.errors import DatasetError, mismatch
from handguard.training.coco import Sample

TABLE = "sources.json"
NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Source:
    """One row of the table. `weight` is how often a picture is drawn in training, against 1."""

    name: str
    shows: str
    licence: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < float("inf"):
            raise ValueError(f"weight of {self.name} must be positive, got {self.weight}")


def known_sources(root: Path) -> dict[str, Source]:
    """By name: the shipped table, overruled by the data folder's own. Raises `DatasetError`."""
    tables = [_read(path) for path in (SHIPPED / "data" / TABLE, root / TABLE) if path.is_file()]
    return {source.name: source for table in tables for source in table}


def weights_of(samples: Sequence[Sample], known: dict[str, Source]) -> dict[str, float]:
    """How often to draw from each source that occurs."""
    names = sorted({sample.source for sample in samples})
    return {name: known[name].weight for name in names if name in known}


def listed(split: str, samples: Sequence[Sample], known: dict[str, Source]) -> list[dict[str, Any]]:
    """One row per source for the card: name, what it shows, licence, pictures, hands."""
    pictures = Counter(sample.source for sample in samples)
    hands: Counter[str] = Counter()
    for sample in samples:
        hands[sample.source] += len(sample.boxes_px)
    rows = []
    for name, count in sorted(pictures.items()):
        source = known.get(name, Source(name, NOT_STATED, NOT_STATED))
        row = {"split": split, "source": name, "shows": source.shows, "licence": source.licence}
        rows.append({**row, "pictures": count, "hands": hands[name]})
    return rows


def _read(path: Path) -> list[Source]:
    try:
        return [Source(**row) for row in json.loads(path.read_text())["sources"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        expected = '{"sources": [{"name", "shows", "licence", "weight"}, …]}'
        raise DatasetError(mismatch(str(path), expected, error)) from error
