"""A stand-in for whatever looks at the feed: copies every new frame until the feed ends.

    python -m handguard.bench.viewer FEED PAUSE_S

Looks again after PAUSE_S when there is nothing new. Says at its end how many it saw whole.
"""

from __future__ import annotations

import sys
import time

from handguard.desk.feed import FeedReader


def main(feed: str, pause_s: float) -> int:
    """How many pictures were seen."""
    reader, turn, seen = FeedReader(feed), 0, 0
    while not reader.closed:
        view = reader.newest(turn)
        if view is None:
            time.sleep(pause_s)
            continue
        turn = view.turn
        seen += view.image is not None
    reader.close()
    return seen


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1], float(sys.argv[2]))}\n")
