"""What only shows when the whole file is seen: what a profile refuses, what a person must be told.

Both are tables of a sentence and the setting it looks at.
"""

from __future__ import annotations

from collections.abc import Iterator

from handguard.config.problems import Key, Problem, shown
from handguard.config.schema import Settings


def refused_by_profile(settings: Settings) -> Iterator[Problem]:
    """What a strict installation may not do. Empty for the basic profile."""
    if settings.safety.profile != "strict":
        return
    may_not: dict[Key, tuple[str, bool]] = {
        ("reset", "input"): ("keyboard or none in the strict profile", settings.reset.input == "simulated"),
        ("interlock", "restart"): ("manual in the strict profile", settings.interlock.restart != "manual"),
        ("relay", "driver"): ("a relay in the strict profile", settings.relay.driver == "none"),
    }
    for key, (expected, refused) in may_not.items():
        if refused:
            block, name = key
            yield Problem(key, expected, shown(getattr(getattr(settings, str(block)), str(name))))


def cautions(settings: Settings) -> tuple[str, ...]:
    """What a person must be told loudly before this runs; empty for a plain installation."""
    told = {
        "the restart is automatic: the machine starts by itself once its zones are free": (
            settings.interlock.restart == "automatic"
        ),
        "the reset is simulated: nobody looks before the machine starts": settings.reset.input == "simulated",
        "the relay is simulated: no machine is stopped": settings.relay.driver == "simulated",
        "there is no relay: no machine is stopped": settings.relay.driver == "none",
        "the picture is simulated: no person is watched": settings.camera.source == "simulated",
    }
    return tuple(sentence for sentence, applies in told.items() if applies)
