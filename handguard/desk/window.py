"""The window: the newest picture with zones and boxes, in a program of its own.

`python -m handguard.desk.window FEED ZONES` shows what the monitor feeds; closing the window or
pressing q closes the view and nothing else.
"""

from __future__ import annotations

import json
import os
import sys

import cv2

from handguard.desk.feed import FeedReader, View
from handguard.desk.snapshot import decision_in
from handguard.errors import HandguardError
from handguard.evidence.overlay import draw
from handguard.types import Zone, ZoneRole

TITLE = "handguard"
WAIT_MS = 15


def zones_from(text: str) -> tuple[Zone, ...]:
    """Zones as the monitor hands them over: `[[name, role, [[x, y], …]], …]`."""
    return tuple(
        Zone(name, ZoneRole(role), tuple((float(x), float(y)) for x, y in polygon))
        for name, role, polygon in json.loads(text)
    )


def follow(reader: FeedReader, zones: tuple[Zone, ...]) -> None:
    """Show the feed until the monitor ends or the window is closed."""
    parent, turn = os.getppid(), 0
    cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
    while not reader.closed and os.getppid() == parent:
        view = reader.newest(turn)
        if view is not None:
            turn = view.turn
            _show(view, zones)
        if cv2.waitKey(WAIT_MS) & 0xFF == ord("q") or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            return


def _show(view: View, zones: tuple[Zone, ...]) -> None:
    if view.image is not None:
        cv2.imshow(TITLE, draw(view.image, decision_in(view.snapshot), zones, view.snapshot["started_ns"]))


def main(arguments: list[str]) -> int:
    try:
        reader = FeedReader(arguments[0])
        follow(reader, zones_from(arguments[1]))
    except (HandguardError, cv2.error) as error:
        sys.stderr.write(f"window: {error}\n")
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
