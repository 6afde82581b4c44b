"""What a fault of the catalogue is: one value that says what fails, what must follow, and how it is tried.

Each is injected for real, and each ends with an open contact at a board that is a
program of its own. How it gets there differs:

    STOP       the machine is stopped; once the cause is gone a person may reset it
    LOCKOUT    the machine is stopped until service has been there; no reset button ends it
    END        the program ends, and the machine is stopped with it
    STAYS_OFF  the machine was not running, and what was done to it does not start it
    REFUSED    the program says what is wrong and does not begin
    RUNS_ON    nothing that guards is touched: it is told, the machine runs on, and a hand stops it in time
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

SLACK_MS = 800  # of a shared machine, on top of every limit; the page tells what was measured


class Reaction(Enum):
    """What must follow; the value is what the page says of it."""

    STOP = "stop; a reset may follow once it is over"
    LOCKOUT = "stop and lockout until service"
    END = "stop; the program ends"
    STAYS_OFF = "stays off"
    REFUSED = "does not start"
    RUNS_ON = "told, and the machine runs on; a hand stops it as ever"


@dataclass(frozen=True)
class Fault:
    """One row. `trial` injects it into real parts, holds them to the row and returns the milliseconds it took."""

    id: str
    fails: str
    injected: str
    detected: str
    reaction: Reaction
    limit_ms: int | None  # from the injection to the open contact; None: it was open, and stays so
    recorded: str  # stands in the record afterwards; of a refusal: in the message
    trial: Callable[[Fault, Any], float | None]

    @property
    def allowed_ms(self) -> float:
        """The limit, and the slack of the machine this runs on."""
        return (self.limit_ms or 0) + SLACK_MS
