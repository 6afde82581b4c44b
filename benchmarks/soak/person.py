"""The person at the machine: looks whether a hand is near, presses the reset, calls for service.

Unlocks the boards with their own buttons first, for a board that fell silent
latches. When several presses have brought nothing, the program is in lockout or
worse, and a technician clears the lockout and starts it again.
"""

from __future__ import annotations

import time

from benchmarks.soak.observer import Observer
from benchmarks.soak.site import Boards, Note, Service

FREE_S = 0.3  # nobody in the zone for so long before pressing
PATIENCE_S = 1.8  # before pressing again
PRESSES_BEFORE_SERVICE = 5
LOCKOUT = b"LOCKOUT"  # as the panel shows it: one press is tried all the same
STARTING_S = 4.0  # a program that is starting is left alone
UNLOCK_S = 0.4  # from the boards' buttons to the console's


class Person:
    """Tell it `look` often; it sleeps nowhere."""

    def __init__(self, observer: Observer, boards: Boards, service: Service, note: Note) -> None:
        self._observer, self._boards, self._service, self._note = observer, boards, service, note
        self._free_since_s = self._pressed_s = time.monotonic()
        self._strike_due_s: float | None = None
        self._tries = 0
        self.services = 0

    def look(self) -> None:
        """See whether the machine stands though it could run, and do something about it."""
        now_s = time.monotonic()
        if self._observer.hand_in_zone:
            self._free_since_s = now_s
        if self._observer.is_closed:
            self._tries, self._strike_due_s = 0, None
            return
        if self._strike_due_s is not None and now_s >= self._strike_due_s:
            self._strike_due_s = None
            self.press()
        elif self._may_press(now_s):
            self._begin(now_s)

    def press(self) -> None:
        """The reset button at the console."""
        self._note("pressed")
        self._service.console.strike()

    def _may_press(self, now_s: float) -> bool:
        is_free = now_s - self._free_since_s >= FREE_S
        is_patient = now_s - self._pressed_s >= PATIENCE_S
        is_there = self._service.is_up and now_s - self._service.started_s >= STARTING_S
        return is_free and is_patient and is_there and self._strike_due_s is None

    def _begin(self, now_s: float) -> None:
        self._pressed_s = now_s
        in_lockout = self._service.console.shows(LOCKOUT)
        if self._tries >= (1 if in_lockout else PRESSES_BEFORE_SERVICE):
            self._tries = 0
            self.services += 1
            self._note("serviced")
            self._service.repair()
            return
        self._tries += 1
        self._boards.press()
        self._strike_due_s = now_s + UNLOCK_S
