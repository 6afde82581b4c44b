"""What can be done with a reset button that is no reset, and what the button does by itself."""
# ruff: noqa: E501  a row of a table is read as one line

from __future__ import annotations

import time

from handguard.capture import faulty
from tests.faults.fault import Fault, Reaction
from tests.faults.live import Live, Unstarted
from tests.faults.stand import Build, Stand

PERIOD_MS, STUCK_S, BOUNCE_NS = 34, 3.3, 20_000_000
HELD = Build(held=True)


def held_too_long(stand: Stand) -> None:
    stand.press(STUCK_S)


def bounce(stand: Stand) -> None:
    stand.button.bounce(BOUNCE_NS)
    time.sleep(0.6)


def too_early(stand: Stand) -> None:
    """Pressed while the hand is in, let go when it is out."""
    stand.reach_in()
    assert stand.until(lambda: stand.shown()["state"] == "TRIPPED")
    stand.button.hold()
    time.sleep(0.15)
    _let_go_when_free(stand)


def while_blind(stand: Stand) -> None:
    stand.camera.strike(faulty.Dark(gain=0.02))
    assert stand.until(lambda: stand.shown()["state"] == "TRIPPED")
    stand.button.hold()
    time.sleep(0.15)
    _let_go_when_free(stand)


def over_a_hand(stand: Stand) -> None:
    stand.reach_in()
    for _ in range(3):
        stand.press()
        time.sleep(0.05)


def held_from_the_beginning(stand: Stand) -> None:
    time.sleep(0.2)
    stand.button.let_go()


def _let_go_when_free(stand: Stand) -> None:
    stand.camera.mend()
    assert stand.until(lambda: stand.shown()["state"] == "AWAIT_RESET")
    stand.button.let_go()


COUNTS = "a press counts that begins and ends while the field is free, 0.1 to 3 s apart"
DOWN = '"reset_down":true'
STAYS_OFF = Reaction.STAYS_OFF
# fmt: off
FAULTS = (
    Fault("R01", "the button is held down at power-up, and let go later", "held before the first tick", COUNTS,
          STAYS_OFF, None, DOWN, Unstarted(held_from_the_beginning, HELD)),
    Fault("R02", "the button is taped down", "held for 3.3 s, then let go", "longer than any press: it is stuck, and that is shown",
          STAYS_OFF, None, "reset_stuck", Unstarted(held_too_long)),
    Fault("R03", "somebody brushes against the button", "held for 60 ms", COUNTS,
          STAYS_OFF, None, DOWN, Unstarted(lambda stand: stand.press(0.06))),
    Fault("R04", "the button bounces", "made and broken every 20 ms", COUNTS, STAYS_OFF, None, "free", Unstarted(bounce)),
    Fault("R05", "reset is pressed too early", "pressed while a hand is in the zone, let go after it has left", COUNTS,
          STAYS_OFF, None, DOWN, Unstarted(too_early)),
    Fault("R06", "reset is pressed in the dark", "pressed while the picture is dark, let go in the light", COUNTS,
          STAYS_OFF, None, DOWN, Unstarted(while_blind)),
    Fault("R07", "reset is pressed again and again over a hand", "three presses while a hand is in the zone", COUNTS,
          STAYS_OFF, None, "intruded: blades", Unstarted(over_a_hand)),
    Fault("R08", "the button's wires are gone", "reading it fails, while the machine runs", "a button that cannot be read blinds",
          Reaction.STOP, 3 * PERIOD_MS, "reset button unreadable",
          Live(lambda stand: stand.button.break_off(), lambda stand: stand.button.let_go())),
)
# fmt: on
