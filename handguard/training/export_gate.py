"""Whether an exported model may stand in for its origin: by its decisions, not by its tensors.

Both are run as detectors over the same annotated pictures and compared:

    hands      at the operating point, matched by overlap: which are lost, which are new
    zones      the whole picture, and each of nine parts of it, as stop zones: which would be judged otherwise
    accuracy   average precision before and after, from `evaluation`, all hands and near ones
    empty      recordings without a hand, where asked for: is one seen there?

A zone that was intruded and is free after the export is the loss that matters most, so it is
counted and limited by itself, as a share of those that were intruded: however many pictures
without a hand stand beside them, they make up for none. The limits hold the largest loss of
accuracy, the largest share of zones that were freed, and the largest of decisions changed at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.safety.zones import ZoneField
from handguard.training.measures import Answer
from handguard.training.metrics import iou_np
from handguard.training.operating_point import Empty
from handguard.types import Detections, Zone, ZoneRole

SAME_HAND_IOU = 0.5
PARTS = 3  # a side: the picture in nine zones
WHOLE = "picture"

Numbers = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What an export may cost. Shares and average precisions, 0 to 1."""

    max_ap_loss: float = 0.005
    max_decision_changes: float = 0.02  # share of zone decisions; freed ones also of those that were intruded

    def __post_init__(self) -> None:
        if not (0 <= self.max_ap_loss <= 1 and 0 <= self.max_decision_changes <= 1):
            raise ValueError(f"expected limits from 0 to 1, found {self}")


@dataclass(frozen=True, slots=True)
class Changes:
    """Decisions of two models about the same pictures."""

    hands: int  # of the origin, at its operating point
    hands_lost: int
    hands_new: int
    decisions: dict[str, int]  # how many were taken, about the whole picture and about its parts
    intruded: dict[str, int]  # of these, by the origin's hands
    freed: dict[str, int]  # intruded before, free after: the dangerous way
    raised: dict[str, int]  # free before, intruded after

    @property
    def share(self) -> float:
        """The larger share of changed decisions."""
        return max((self.freed[k] + self.raised[k]) / max(self.decisions[k], 1) for k in self.decisions)

    @property
    def share_freed(self) -> float:
        """The larger share of intruded zones that are free after."""
        return max(self.freed[k] / max(self.intruded[k], 1) for k in self.decisions)

    def told(self) -> Numbers:
        """For a card or a JSON file."""
        of_hands = {"origin": self.hands, "lost": self.hands_lost, "new": self.hands_new}
        kinds = ("decisions", "intruded", "freed", "raised")
        zones = {name: {kind: getattr(self, kind)[name] for kind in kinds} for name in self.decisions}
        shares = {"share_changed": round(self.share, 5), "share_freed": round(self.share_freed, 5)}
        return {"hands": of_hands, "zones": zones, **shares}


def changes(origin: Sequence[Answer], export: Sequence[Answer], min_score: float) -> Changes:
    """Compare answers about the same pictures, in the same order, at one score."""
    hands = lost = new = 0
    kinds = (WHOLE, "parts")
    decisions, intruded, freed, raised = (dict.fromkeys(kinds, 0) for _ in range(4))
    for one, other in zip(origin, export, strict=True):
        before, after = (at_least(answer.hands, min_score) for answer in (one, other))
        pairs = matched_pairs(before.boxes_px, after.boxes_px)
        hands, lost, new = hands + len(before), lost + len(before) - pairs, new + len(after) - pairs
        for zone, was, now in _verdicts(one, before, after):
            kind = WHOLE if zone == WHOLE else "parts"
            decisions[kind] += 1
            intruded[kind] += was
            freed[kind] += was and not now
            raised[kind] += now and not was
    return Changes(hands, lost, new, decisions, intruded, freed, raised)


def at_least(found: Detections, min_score: float) -> Detections:
    """The hands that count in operation."""
    kept = found.scores >= min_score
    return Detections(
        found.boxes_px[kept], found.scores[kept], found.labels[kept], found.frame_seq, found.captured_ns
    )


def matched_pairs(first: NDArray[np.float32], second: NDArray[np.float32]) -> int:
    """How many boxes of one answer are in the other, each counting once, best overlap first."""
    overlap = iou_np(first, second)
    pairs = 0
    while overlap.size and overlap.max() >= SAME_HAND_IOU:
        row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
        overlap = np.delete(np.delete(overlap, row, axis=0), column, axis=1)
        pairs += 1
    return pairs


def _verdicts(answer: Answer, before: Detections, after: Detections) -> Iterator[tuple[str, bool, bool]]:
    sample = answer.sample
    field = ZoneField(zones_over(sample.width_px, sample.height_px), sample.width_px, sample.height_px, 1.0)
    for was, now in zip(field.judge(before, None), field.judge(after, None), strict=True):
        yield was.name, was.intruded, now.intruded


def zones_over(width_px: int, height_px: int) -> tuple[Zone, ...]:
    """The whole picture and its nine parts, as stop zones."""
    x, y = (np.linspace(0, side, PARTS + 1) for side in (width_px, height_px))
    rows = [(WHOLE, 0.0, 0.0, float(width_px), float(height_px))]
    rows += [
        (f"part {i} {j}", float(x[i]), float(y[j]), float(x[i + 1]), float(y[j + 1]))
        for j in range(PARTS)
        for i in range(PARTS)
    ]
    return tuple(
        Zone(name, ZoneRole.STOP, ((x1, y1), (x2, y1), (x2, y2), (x1, y2))) for name, x1, y1, x2, y2 in rows
    )


def losses(before: Numbers, after: Numbers) -> dict[str, float]:
    """Average precision given up, by view; negative where it was gained. Views without hands are left out."""
    return {
        f"{table} {view}": round(before[table][view] - after[table][view], 4)
        for table in ("ap50", "ap50_near")
        for view in before[table]
        if before[table][view] is not None and after[table][view] is not None
    }


def refusals(lost: dict[str, float], changed: Changes, limits: GateLimits) -> list[str]:
    """Why an export may not stand in for its origin; empty if it may."""
    refused = [
        f"{view}: a loss of {loss:.4f}, allowed {limits.max_ap_loss:g}"
        for view, loss in lost.items()
        if not loss <= limits.max_ap_loss
    ]
    allowed = f"allowed {limits.max_decision_changes:g}"
    if not changed.share <= limits.max_decision_changes:
        refused.append(f"zone decisions: a share of {changed.share:.4f} changed, {allowed}")
    if not changed.share_freed <= limits.max_decision_changes:
        refused.append(f"zones with a hand: a share of {changed.share_freed:.4f} free after the export, {allowed}")
    return refused


def imagined(empty: Empty, min_score: float) -> list[str]:
    """Why an export that sees a hand where there is none may not stand in for its origin."""
    if empty.highest < min_score:
        return []
    seen = f"a hand of {empty.highest:.3f} in {empty.frames:,} recorded frames without one"
    return [f"{seen}, counted from {min_score:g}"]
