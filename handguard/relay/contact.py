"""What a board that is asked about its contact has said of it."""

from __future__ import annotations

from handguard.relay.board import Command


class AskedContact:
    """The newest answer, as long as it is news: one that was given before a change tells nothing after it."""

    def __init__(self) -> None:
        self.is_open: bool | None = None  # None: nothing was heard since the last change or question
        self._is_asked = False  # since the last change
        self._told = Command.OFF

    def turn(self, command: Command) -> None:
        """The board is told this; saying it again is no change."""
        if command is not self._told:
            self._told, self._is_asked, self.is_open = command, False, None

    def ask(self) -> None:
        """The board is asked; what it said before counts no more."""
        self._is_asked, self.is_open = True, None

    def heed(self, is_open: bool | None) -> None:
        """An answer was heard; None if it could not be understood. One to no question is not heeded."""
        if self._is_asked and is_open is not None:
            self.is_open = is_open
