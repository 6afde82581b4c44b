"""The README's picture, from the simulated scene: `python benchmarks/pictures.py`.

Judges the scene of configs/demo.yaml with the shipped network and draws the frame
in which the machine trips for the second time, a moment after the stop.
"""

from __future__ import annotations

from pathlib import Path

import cv2

from handguard.assembly import detector_of, rules_of
from handguard.capture.simulated import SimulatedScene
from handguard.config import load
from handguard.evidence.overlay import draw
from handguard.relay.operator import SimulatedOperator
from handguard.replay.ticks import ticks
from handguard.types import State

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "demo.jpg"
SECONDS = 30.0
TRIP = 2  # the one that is shown
FRAMES_AFTER = 2


def main() -> None:
    settings = load(ROOT / "configs" / "demo.yaml")
    scene = SimulatedScene(settings.camera.seed, duration_s=SECONDS)
    rules = rules_of(settings, scene.format)
    detector = detector_of(settings, rules.zones.zones, scene.format)
    trips, since = 0, 0
    before = State.SELF_TEST
    for tick in ticks(scene, detector, rules, SimulatedOperator(settings.reset.after_free_s)):
        now = tick.decision.state
        trips += before is State.RUN and now is State.TRIPPED
        since = since + 1 if trips == TRIP else 0
        before = now
        if since > FRAMES_AFTER and tick.frame is not None:
            drawn = draw(tick.frame.image, tick.decision, rules.zones.zones)
            cv2.imwrite(str(PICTURE), drawn, [cv2.IMWRITE_JPEG_QUALITY, 88])
            return
    raise SystemExit(f"expected {TRIP} trips in {SECONDS:g} s of the scene, found {trips}")


if __name__ == "__main__":
    main()
