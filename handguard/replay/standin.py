"""Stand-ins for what a book does not keep: the picture, the network, and the time it took.

The picture of a live run is not in its book; what was found in it is. So a plain
gray picture of the right size takes its place, each a little lighter than the one
before so that it never looks frozen, and a detector that has nothing to do with it
answers what was recorded: the same hands, the same failure, the same handing over to a standby.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handguard.errors import DeviceReplaced, RecordingError, mismatch
from handguard.evidence.schema import Record
from handguard.pipeline import REPLACED, UNRELATED, WRONG_SIZE
from handguard.types import Detections, Frame, HandClass, PictureFormat

_DARKEST, _SHADES = 64, 128  # gray levels that no exposure test minds
_FAILED = "detector "  # a fault of this name is the name of what the detector raised
_LABELS = {each.title: each for each in HandClass}


def frame_of(record: Record, picture: PictureFormat) -> Frame | None:
    """The frame of a recorded tick, with a stand-in picture; None if it had none."""
    seq = int(record["frame_seq"])
    if seq < 0:
        return None
    wrong = WRONG_SIZE in record["sensed"]["impairments"] and record["hands"] is None
    size = (1, 1) if wrong else (picture.height_px, picture.width_px)
    shade = np.uint8(_DARKEST + record["permit_seq"] % _SHADES)
    return Frame(seq, int(record["captured_ns"]), np.broadcast_to(shade, (*size, 3)))


def hands_of(record: Record) -> Detections:
    """The recorded hands of a judged frame, to the last bit. Raises `RecordingError`."""
    try:
        hands = record["hands"]
        boxes = np.array([hand["box_px"] for hand in hands], np.float32).reshape(-1, 4)
        scores = np.array([hand["score"] for hand in hands], np.float32)
        labels = np.array([_LABELS[hand["label"]] for hand in hands], np.int64)
        return Detections(boxes, scores, labels, int(record["frame_seq"]), int(record["captured_ns"]))
    except (KeyError, TypeError, ValueError) as error:
        where = f"record {record.get('seq')}: hands"
        raise RecordingError(mismatch(where, "boxes, scores and labels", error)) from error


class RecordedDetector:
    """`ports.Detector` that answers for one tick what was recorded there. One thread."""

    description = "as recorded"

    def __init__(self) -> None:
        self._record: Record = {}

    def turn_to(self, record: Record) -> None:
        """The tick whose answer is asked next."""
        self._record = record

    def detect(self, frame: Frame) -> Detections:
        """The recorded hands; raises by the same name, with the same words, what the detector raised.

        A standby that took over leaves no words in the record: it raises `DeviceReplaced` without any.
        """
        if self._record["hands"] is not None:
            return hands_of(self._record)
        told = self._record["sensed"]
        faults = told["faults"]
        if UNRELATED in faults:
            return Detections(*nothing(), frame.seq - 1, frame.captured_ns)
        if REPLACED in told["impairments"]:
            raise DeviceReplaced
        raised = next((name for name in faults if name.startswith(_FAILED)), f"{_FAILED}Unexplained")
        name, _, words = raised.removeprefix(_FAILED).partition(": ")
        raise type(name, (Exception,), {})(words)


class RecordedClock:
    """`ports.Clock` that tells the recorded times of one tick, each once and the last for ever."""

    def __init__(self) -> None:
        self._times_ns: list[int] = [0]

    def turn_to(self, record: Record) -> None:
        """The tick whose times are asked next."""
        judged_ns = int(record["judged_ns"])
        found = record["hands"] is not None
        self._times_ns = [int(record["detected_ns"]), judged_ns] if found else [judged_ns]

    def now_ns(self) -> int:
        """When the detector answered, then when the interlock stepped."""
        return self._times_ns.pop(0) if len(self._times_ns) > 1 else self._times_ns[0]


def nothing() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Boxes, scores and labels of no hand."""
    none: Sequence[float] = ()
    return np.zeros((0, 4), np.float32), np.array(none, np.float32), np.array(none, np.int64)
