"""A monitor reduced to its permits: `permit_sender.py PORT` resets once and then permits at 30 Hz for ever.

A program for tests that need something to kill or stop from outside.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from handguard.relay.board import BoardSettings
from handguard.relay.link import KeeperLink
from handguard.types import Output, Permit


def main(port: str) -> None:
    link = KeeperLink(BoardSettings("lcus", port))
    sys.stdout.write(f"{link.keeper_pid}\n")
    sys.stdout.flush()
    for seq in range(1_000_000):
        now_ns = time.monotonic_ns()
        link.send(Permit(seq, seq, now_ns - 20_000_000, now_ns, Output.ON if seq > 9 else Output.OFF))
        time.sleep(1 / 30)


main(sys.argv[1])
