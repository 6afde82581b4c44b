"""Detectors whose network runs on a device of its own: the whole path there, and what happens when it is lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from handguard.detection.backends.device_engine import DeviceEngine
from handguard.detection.card import Card
from handguard.detection.detector import HandDetector, Region
from handguard.detection.postprocess import Thresholds
from handguard.detection.preprocess import Letterbox
from handguard.errors import DeviceError, DeviceReplaced
from handguard.types import Detections, Frame


class DeviceDetector(HandDetector):
    """A `HandDetector` that sends pixels to its engine and gets hands back; the host draws and decodes nothing.

    `detect` and `recall` raise `DeviceError` if the device fails, `ValueError` if the
    network is not finite. The first picture of a new size or score is slow: it is
    captured for.
    """

    engine: DeviceEngine

    def __init__(self, card: Card, engine: DeviceEngine, thresholds: Thresholds, region: Region) -> None:
        super().__init__(card, engine, thresholds, region)

    def warm_up(self, rounds: int = 3) -> None:
        """Capture the path and walk it a few times, so that the first real frame is not the slow one."""
        width, height = self._region.size_px
        nothing = np.zeros((height, width, 3), np.uint8)
        for _ in range(rounds):
            self.engine.look(nothing, self._letterbox.placement, self._thresholds)

    def _seen(
        self, frame: Frame, crop: NDArray[np.uint8], letterbox: Letterbox, limits: Thresholds
    ) -> Detections:
        return self._told(frame, self.engine.look(crop, letterbox.placement, limits), letterbox.placement)


class DetectorWithStandby(HandDetector):
    """A detector on a device that may be lost, and one on the CPU, warmed up, that then takes over for good.

    The frame at which the device was lost is not judged by either: it raises
    `DeviceReplaced`, which trips the machine, and a person has to reset it.
    """

    def __init__(self, first: HandDetector, standby: HandDetector) -> None:
        super().__init__(first.card, first.engine, first._thresholds, first._region)
        self._now, self._standby = first, standby
        self.both = first, standby
        self.description = f"{first.description}, standby {standby.engine.description}"

    def detect(self, frame: Frame) -> Detections:
        return self._asked(lambda detector: detector.detect(frame))

    def recall(self, picture: NDArray[np.uint8], min_score: float) -> Detections:
        return self._asked(lambda detector: detector.recall(picture, min_score))

    def _asked(self, ask: Callable[[HandDetector], Detections]) -> Detections:
        try:
            return ask(self._now)
        except DeviceError as error:
            if self._now is self._standby:
                raise
            self._now, self.engine = self._standby, self._standby.engine
            self.description = f"{self._standby.description} (the first choice was lost: {error})"
            raise DeviceReplaced(str(error)) from error
