"""Where faults are tried: it lends stands, programs and folders, and keeps a stand as long as it is whole.

Most faults leave the stand as good as before, so the next one is tried on it; one
that locked out or died is replaced. What every stand needs and no fault harms is
made once: pictures of the simulated table, and for some the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import cv2

from handguard.capture.simulated import SimulatedScene
from handguard.detection.detector import HandDetector, Region
from handguard.detection.loading import Choice, load_detector
from tests.faults.stand import PLAIN, Build, Stand, Supplies

SEED, WIDTH_PX, HEIGHT_PX = 7, 320, 180
EMPTY_FRAMES, HAND_FRAME = 24, 72  # of that scene: nobody there; a hand in the middle of the picture
TRIES = 5
ZONE_PX = ((100.0, 20.0), (220.0, 20.0), (220.0, 175.0), (100.0, 175.0))


def supplies(folder: Path) -> Supplies:
    """Pictures of the empty table in `folder`, one with a hand over it, and where that hand truly is."""
    play = SimulatedScene(SEED, WIDTH_PX, HEIGHT_PX, 30.0)
    pictures = [play.read().image for _ in range(HAND_FRAME + 1)]
    (hand,) = play.hands(HAND_FRAME)
    assert not any(play.hands(seq) for seq in range(EMPTY_FRAMES))
    folder.mkdir()
    for number, picture in enumerate(pictures[:EMPTY_FRAMES]):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return Supplies(folder, pictures[HAND_FRAME], hand.box_px, network, (WIDTH_PX, HEIGHT_PX), ZONE_PX)


@cache
def network() -> HandDetector:
    """The shipped one."""
    return load_detector(Choice(threads=1), Region(0, 0, WIDTH_PX, HEIGHT_PX))


class Bench:
    """One for each part of the catalogue. Close it."""

    def __init__(self, place: Path) -> None:
        self._place, self._count = place, 0
        self._supplies: Supplies | None = None
        self._stand: Stand | None = None

    @property
    def supplies(self) -> Supplies:
        if self._supplies is None:
            self._supplies = supplies(self._place / "pictures")
        return self._supplies

    def folder(self) -> Path:
        """An empty one."""
        self._count += 1
        folder = self._place / str(self._count)
        folder.mkdir()
        return folder

    @contextmanager
    def stand(self, build: Build = PLAIN) -> Iterator[Stand]:
        """A whole one of this build. It is not used again unless its user says that it is still whole."""
        if self._stand is None or self._stand.is_spent or self._stand.build != build:
            self._stand = self._fresh(build)
        self._stand.is_spent = True
        yield self._stand

    def _fresh(self, build: Build) -> Stand:
        """A new stand that has come to its reset; on a starved machine one may lock out before it has begun."""
        for _ in range(TRIES):
            self.close()
            self._stand = stand = Stand(self.folder(), build, self.supplies)
            if build.held or stand.begins():
                break
        return stand

    def close(self) -> None:
        stand, self._stand = self._stand, None
        if stand is not None:
            stand.close()
