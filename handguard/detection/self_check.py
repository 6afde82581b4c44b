"""Is the running detector still the one that was packaged? Asked with the golden picture, through its own engine.

At the start, and about once a minute while a machine is guarded, the live engine is
shown the golden picture between two frames and held to the card (`golden`). It finds
what no frame can show: a compiled cache that was damaged, an accelerator that
began to compute wrongly, weights changed in memory. A detector that is merely blind
looks, frame by frame, like an empty table.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from handguard.detection import golden
from handguard.detection.detector import HandDetector
from handguard.types import Detections


class SelfCheck:
    """`ports.SelfCheck` for one detector; belongs to the detector's thread.

    Raises `ModelError` when the model's card holds no answer for this engine's input.
    """

    def __init__(self, detector: HandDetector) -> None:
        card = detector.card
        self._detector = detector
        self._expected = golden.expected_rows(card.golden, detector.input_px, card.name)
        assert card.golden is not None
        self._golden = card.golden

    def failure(self) -> str | None:
        """How the detector differs from its card, in words; None when it does not. Never raises."""
        try:
            found = rows_of(self._detector.recall(golden.picture(), self._golden.min_score))
        except Exception as error:  # noqa: BLE001  as on the stop path: whatever a detector does wrong is a fault
            return f"{type(error).__name__}: {error}"
        return ", ".join(islice(self._golden.differences(self._expected, found), 4)) or None


def rows_of(hands: Detections) -> tuple[golden.Row, ...]:
    """Boxes and scores as the card holds them, best first."""
    table = np.column_stack([hands.boxes_px, hands.scores]).astype(float)
    return tuple((row[0], row[1], row[2], row[3], row[4]) for row in table.tolist())
