"""What a detector does wrong, and what comes out of a damaged network. A doubt is never "no hands"."""
# ruff: noqa: E501  a row of a table is read as one line

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from handguard.types import Detections
from tests.faults.fault import Fault, Reaction
from tests.faults.live import Live
from tests.faults.stand import DEADLINE_MS, Build, Stand
from tests.faults.switches import Floats

PERIOD_MS = 100
REAL = Build(network=True, fps=10.0)  # the shipped network, at a rate that a busy machine keeps up with
SEEN_MS = 3 * PERIOD_MS  # the next picture, and the time it takes to look
Outputs = tuple[Floats, Floats]


def computes(bend: Callable[[Floats, Floats], Outputs]) -> Live:
    """The engine's output, changed before anything looks at it."""

    def inject(stand: Stand) -> None:
        stand.network.bend = bend

    return Live(inject, build=REAL)


def answers(bend: Callable[[Detections], object], *, mends: bool = False) -> Live:
    """The detector's answer, changed."""

    def inject(stand: Stand) -> None:
        stand.network.answer = bend

    return Live(inject, (lambda stand: stand.network.mend()) if mends else None)


def with_one(value: float, array: Floats) -> Floats:
    array[len(array) // 2, 0] = value
    return array


def raises(error: Exception) -> Callable[[object], object]:
    def answer(_: object) -> object:
        raise error

    return answer


def slow_by(seconds: float) -> Callable[[object], object]:
    def answer(found: object) -> object:
        time.sleep(seconds)
        return found

    return answer


def everywhere(logits: Floats, offsets: Floats) -> Outputs:
    return np.full_like(logits, 9.0), offsets


ENGINE = "the output of the real network, changed before it is decoded: "
CHECKED = "every output is held to its shape and to be finite"
LOCKOUT, STOP = Reaction.LOCKOUT, Reaction.STOP
NAN, INF = float("nan"), float("inf")
# fmt: off
FAULTS = (
    Fault("D01", "one score is not a number", ENGINE + "one NaN among the scores", CHECKED,
          LOCKOUT, SEEN_MS, "fault: detector ValueError", computes(lambda s, b: (with_one(NAN, s), b))),
    Fault("D02", "one score is infinite", ENGINE + "one infinity among the scores", CHECKED,
          LOCKOUT, SEEN_MS, "fault: detector ValueError", computes(lambda s, b: (with_one(INF, s), b))),
    Fault("D03", "one box is not a number, though no hand is there", ENGINE + "one NaN among the boxes", CHECKED,
          LOCKOUT, SEEN_MS, "fault: detector ValueError", computes(lambda s, b: (s, with_one(NAN, b)))),
    Fault("D04", "one box is infinite", ENGINE + "one infinity among the boxes", CHECKED,
          LOCKOUT, SEEN_MS, "fault: detector ValueError", computes(lambda s, b: (s, with_one(-INF, b)))),
    Fault("D05", "the network answers for half of its priors", ENGINE + "half of the rows", CHECKED,
          LOCKOUT, SEEN_MS, "fault: detector ValueError", computes(lambda s, b: (s[: len(s) // 2], b[: len(b) // 2]))),
    Fault("D06", "scores and boxes do not belong together", ENGINE + "one score too few", CHECKED,
          LOCKOUT, SEEN_MS, "fault: detector ValueError", computes(lambda s, b: (s[1:], b))),
    Fault("D07", "the network knows one class more than the card", ENGINE + "one more column of scores", CHECKED,
          LOCKOUT, SEEN_MS, "fault: detector ValueError", computes(lambda s, b: (np.repeat(s, 2, axis=1), b))),
    Fault("D08", "boxes have five sides", ENGINE + "one more column of boxes", CHECKED,
          LOCKOUT, SEEN_MS, "fault: detector ValueError", computes(lambda s, b: (s, np.repeat(b, 2, axis=1)))),
    Fault("D09", "the network sees hands everywhere", ENGINE + "every score high",
          "what is beyond the limit of hands counts as one that fills the picture",
          STOP, SEEN_MS, "intruded: blades",
          Live(lambda stand: setattr(stand.network, "bend", everywhere), lambda stand: stand.network.mend(), REAL)),
    Fault("D10", "the back end fails", "detecting raises RuntimeError", "the one place that catches everything",
          LOCKOUT, 150, "fault: detector RuntimeError: device lost", answers(raises(RuntimeError("device lost")))),
    Fault("D11", "no memory is left for the network", "detecting raises MemoryError",
          "the one place that catches everything",
          LOCKOUT, 150, "fault: detector MemoryError", answers(raises(MemoryError()))),
    Fault("D12", "the detector answers for another picture", "the answer carries the number of the frame before",
          "number and time in the answer", LOCKOUT, 150, "fault: detector answered for another frame",
          answers(lambda found: replace(found, frame_seq=found.frame_seq - 1))),
    Fault("D13", "the detector answers nothing at all", "the answer is None", "the one place that catches everything",
          LOCKOUT, 150, "fault: detector AttributeError", answers(lambda found: None)),
    Fault("D14", "the detector hangs for a second, again and again", "each look takes a second",
          "the keeper's deadline; afterwards the age of the frame",
          STOP, DEADLINE_MS + 34, "permit-late", answers(slow_by(1.0), mends=True)),
    Fault("D15", "the detector becomes slow", "each look takes 300 ms", "the keeper's deadline, or the age of the frame",
          STOP, DEADLINE_MS + 34, "blind: stale frame", answers(slow_by(0.3), mends=True)),
)
# fmt: on
