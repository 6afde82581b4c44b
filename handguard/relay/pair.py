"""Two channels on two boards: the contacts are in series, and the machine runs only while both are closed.

To the keeper a pair is one board, so that no rule has to know of two. What is said
goes to both, whatever happens at the first. When one fails, the other is told OFF
before anybody else hears of it; a pair of which only one can be opened tells that one
OFF and then fails to open, so that a keeper that tries again and again says OFF again
and again. Where their contacts disagree, the one that did not follow is believed.
"""

from __future__ import annotations

from collections.abc import Callable

from handguard.errors import ConfigError, DeviceError, HandguardError, mismatch
from handguard.relay.board import Capabilities, Command, Relay

Opens = Callable[[], Relay]


def both(first: Capabilities, second: Capabilities) -> Capabilities:
    """What two boards in series can promise: feedback only from both, a time limit from either, a button where
    no board has to rest, for one that rests is asked too seldom for a press.

    Raises `ConfigError` where one needs a longer rest than the other can go without a word.
    """
    limits_ms = [can.hw_timeout_ms for can in (first, second) if can.hw_timeout_ms is not None]
    rest_ms = max(first.min_interval_ms, second.min_interval_ms)
    if limits_ms and 3 * rest_ms > min(limits_ms):
        expected = f"boards that go together, as one drops out after {min(limits_ms)} ms"
        raise ConfigError(mismatch("relay.second", expected, f"one that needs {rest_ms} ms between two words"))
    return Capabilities(
        readback=first.readback and second.readback,
        ack=first.ack and second.ack,
        hw_timeout_ms=min(limits_ms, default=None),
        min_interval_ms=rest_ms,
        channels=1,
        button=(first.button or second.button) and not rest_ms,
    )


class Pair:
    """Implements `board.Relay`; one thread only."""

    def __init__(self, open_first: Opens, open_second: Opens) -> None:
        """Open both. Raises what the first failing one raises, after the other has been told OFF."""
        self._boards: list[Relay] = []
        self._told = Command.OFF
        failures = [failure for opens in (open_first, open_second) if (failure := self._open(opens))]
        if failures:
            self._say_off()
            self.close()
            raise failures[0]

    def _open(self, opens: Opens) -> HandguardError | None:
        try:
            self._boards.append(opens())
        except HandguardError as failure:
            return failure
        return None

    @property
    def capabilities(self) -> Capabilities:
        first, second = self._boards
        return both(first.capabilities, second.capabilities)

    def write(self, command: Command) -> None:
        """A repeated ON is for those that need it; to the others it would only be one more word to rest from."""
        is_renewal = command is Command.ON and self._told is Command.ON
        self._told = command
        self._to_both(lambda board: None if is_renewal and not _is_timed(board) else board.write(command))

    def ask(self) -> None:
        self._to_both(lambda board: board.ask())

    def contactor_open(self) -> bool | None:
        """None unless both have answered; then whether they followed, judged by the one that did not."""
        answers: list[bool | None] = []
        self._to_both(lambda board: answers.append(board.contactor_open()))
        if None in answers:
            return None
        return all(answers) if self._told is Command.OFF else any(answers)

    def reset_down(self) -> bool | None:
        """Of the first board that has a button."""
        return next((board.reset_down() for board in self._boards if board.capabilities.button), None)

    def close(self) -> None:
        for board in self._boards:
            board.close()

    def _to_both(self, act: Callable[[Relay], None]) -> None:
        failures: list[DeviceError] = []
        for board in self._boards:
            try:
                act(board)
            except DeviceError as failure:
                failures.append(failure)
        if failures:
            self._say_off()
            raise failures[0]

    def _say_off(self) -> None:
        """To each that takes it. A board that failed is tried as well; it may hear more than it says."""
        for board in self._boards:
            try:
                board.write(Command.OFF)
            except DeviceError:
                continue


def _is_timed(board: Relay) -> bool:
    return board.capabilities.hw_timeout_ms is not None
