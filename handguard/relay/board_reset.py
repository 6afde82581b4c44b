"""A reset button wired to the relay board: what the keeper heard of it, passed on.

The board is asked about every 50 ms, so a press is known to that and no better. A
board that has not been heard of has no button, rather than one that is up.
"""

from __future__ import annotations

from handguard.errors import DeviceError
from handguard.relay.link import KeeperLink
from handguard.types import Button


class BoardReset:
    """Implements `ports.ResetInput`; the link belongs to the same thread."""

    def __init__(self, link: KeeperLink) -> None:
        self._link = link

    def read(self) -> Button:
        """As the newest report has it. Raises `DeviceError` when the board has told nothing."""
        is_down = self._link.reset_down
        if is_down is None:
            raise DeviceError("the relay board does not tell of its reset button")
        return Button(is_down)
