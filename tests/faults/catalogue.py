"""Every fault, in the order of the page. What is not listed here is neither tried nor told."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults import board, camera, detector, evidence, host, keeper, reset, start
from tests.faults.fault import Fault


@dataclass(frozen=True)
class Part:
    """One table of the page, and the file of tests that tries it."""

    title: str
    module: str
    faults: tuple[Fault, ...]


PARTS = (
    Part("Camera", "camera", camera.FAULTS),
    Part("Detector", "detector", detector.FAULTS),
    Part("Permits and keeper", "keeper", keeper.FAULTS),
    Part("Board, cable, contact and feedback", "board", board.FAULTS),
    Part("Reset", "reset", reset.FAULTS),
    Part("Record, disk and viewers", "evidence", evidence.FAULTS),
    Part("Computer, processes and operator", "host", host.FAULTS),
    Part("Before the start: settings, model, devices, folders", "start", start.FAULTS),
)
FAULTS = tuple(fault for part in PARTS for fault in part.faults)
