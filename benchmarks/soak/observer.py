"""Says when the machine might run although it may not. Knows nothing of the product.

It hears events in the order of their times (monotonic, of one machine):

    frame    the camera sent a picture: was a hand truly in the stop zone, was the picture struck by a fault
    contact  a contact of one of the two boards moved; the machine can run while both are closed
    struck   the monitor or the keeper was stopped or killed; `continued` ends a stop
    started  a new monitor was started
    pressed  a person pressed the reset

A *reason* is why the contacts must be open, and since when. While both contacts are
closed for longer than a reason allows, that is one wrong state. A hand that is not
seen is no reason of the interlock's: the same network may miss it. Those are told as
`late` and compared with the records afterwards (`account`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MS = 1_000_000
PERIOD_NS = 34 * MS  # of the camera, which may have taken its picture just before the hand came
FRAME_AGE_NS = 100 * MS  # camera.max_frame_age_ms: an older picture is no picture
DEADLINE_NS = 100 * MS  # relay.deadline_ms: how long one permit lasts
BOARD_NS = 30 * MS  # bytes, relay, and the simulated board's own turn on a busy machine
SILENCE_LIMIT_NS = FRAME_AGE_NS + DEADLINE_NS + BOARD_NS
DEAD_LIMIT_NS = DEADLINE_NS + BOARD_NS  # keeper and board do not need the monitor for that
HAND_LIMIT_NS = PERIOD_NS + SILENCE_LIMIT_NS
BLIND_LIMIT_NS = 3 * PERIOD_NS + SILENCE_LIMIT_NS  # three equal or dark pictures are believed
GIVEN_UP_NS = 600 * MS  # a keeper that said nothing for so long is never believed again
HOLDING = frozenset({"monitor", "keeper"})
BLINDING = frozenset({"freeze", "dark"})


@dataclass(frozen=True, slots=True)
class Wrong:
    """The machine could run from `since_ns` on, for longer than the reason allowed."""

    reason: str
    since_ns: int  # when the reason began
    at_ns: int  # when the limit had passed
    detail: str = ""


@dataclass(slots=True)
class Stop:
    """One stop of the machine while a hand was on its way in: what the stop watch says."""

    hand_ns: int  # the first picture with the hand in the zone was taken
    open_ns: int


class Observer:
    """Feed it events in order; read `wrong`, `late`, `stops` and the counts at any time."""

    def __init__(self) -> None:
        self.wrong: list[Wrong] = []
        self.late: list[Wrong] = []
        self.stops: list[Stop] = []
        self.frames = self.approaches = self.closings = self.openings = self.presses = 0
        self.closed: list[tuple[int, int]] = []  # from, to: the machine could run
        self._contacts: dict[str, bool] = {}
        self._reasons: dict[str, tuple[int, int]] = {}  # name -> since, limit
        self._told: set[tuple[str, int]] = set()
        self._locked = ""  # a monitor or keeper is gone: only a new start may lead to ON
        self._pressed = False  # since the contacts opened last
        self._closed_since_ns = 0
        self._hears = {
            "frame": self._frame,
            "contact": self._contact,
            "end": self._unplugged,
            "struck": self._struck,
            "continued": self._continued,
            "started": self._started,
            "pressed": self._press,
        }

    @property
    def is_closed(self) -> bool:
        """Can the machine run now?"""
        return len(self._contacts) == 2 and all(self._contacts.values())

    @property
    def hand_in_zone(self) -> bool:
        return "hand" in self._reasons

    def hear(self, event: dict[str, Any]) -> None:
        """One event; those of unknown names only let time pass."""
        self._judge(event["ns"])
        heed = self._hears.get(event["event"])
        if heed is not None:
            heed(event)

    def end(self, now_ns: int) -> None:
        """The soak is over: what is closed now was closed until now."""
        if self.is_closed:
            self.closed.append((self._closed_since_ns, now_ns))

    def _judge(self, now_ns: int) -> None:
        if not self.is_closed:
            return
        for name, (since_ns, limit_ns) in self._reasons.items():
            due_ns = since_ns + limit_ns
            if now_ns > due_ns and (name, since_ns) not in self._told:
                self._told.add((name, since_ns))
                found = self.late if name == "hand" else self.wrong
                found.append(Wrong(name, since_ns, max(due_ns, self._closed_since_ns)))

    def _frame(self, event: dict[str, Any]) -> None:
        self.frames += 1
        self._reasons["no picture"] = event["taken_ns"], SILENCE_LIMIT_NS
        self._while("hand", event["stop"], event["taken_ns"], HAND_LIMIT_NS)
        self._while("blind", event["fault"] in BLINDING, event["taken_ns"], BLIND_LIMIT_NS)

    def _while(self, name: str, holds: bool, at_ns: int, limit_ns: int) -> None:
        if not holds:
            self._reasons.pop(name, None)
        elif name not in self._reasons:
            self.approaches += name == "hand"
            self._reasons[name] = at_ns, limit_ns

    def _contact(self, event: dict[str, Any]) -> None:
        was = self.is_closed
        self._contacts[event["board"]] = event["closed"]
        if self.is_closed and not was:
            self._closes(event["ns"])
        elif was and not self.is_closed:
            self._opens(event["ns"])

    def _closes(self, now_ns: int) -> None:
        self.closings += 1
        self._closed_since_ns = now_ns
        if not self._pressed:
            self.wrong.append(Wrong("closed without a reset", now_ns, now_ns))
        if self._locked:
            self.wrong.append(Wrong("closed in lockout", now_ns, now_ns, self._locked))

    def _opens(self, now_ns: int) -> None:
        self.openings += 1
        self.closed.append((self._closed_since_ns, now_ns))
        self._pressed = False
        if self.hand_in_zone:
            self.stops.append(Stop(self._reasons["hand"][0], now_ns))

    def _unplugged(self, event: dict[str, Any]) -> None:
        """The board's program ended: another one, open, takes its place. A weld ends with it."""
        self._contact({**event, "closed": False})

    def _struck(self, event: dict[str, Any]) -> None:
        """Only of those two that hold the stop path; a viewer may be struck at any time."""
        if event["who"] not in HOLDING:
            return
        name = f"{event['who']} {event['how']}"
        self._reasons[name] = event["ns"], DEAD_LIMIT_NS
        if event["how"] == "killed":
            self._locked = name

    def _continued(self, event: dict[str, Any]) -> None:
        name = f"{event['who']} stopped"
        since_ns, _ = self._reasons.pop(name, (event["ns"], 0))
        if event["who"] == "keeper" and event["ns"] - since_ns > GIVEN_UP_NS:
            self._locked = name

    def _started(self, event: dict[str, Any]) -> None:
        self._locked = ""
        for who in ("monitor", "keeper"):
            for how in ("stopped", "killed"):
                self._reasons.pop(f"{who} {how}", None)

    def _press(self, event: dict[str, Any]) -> None:
        self.presses += 1
        self._pressed = True
