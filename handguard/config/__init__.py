"""Settings: one YAML file in, one frozen value out, or one message that names every mistake.

    text ── strict_yaml ──▶ tree with line numbers ── schema ──▶ Settings ── zones ──▶ polygons in pixels
                      └──────── problems: FILE:LINE: key.path: expected …, found … ────────┘

Nothing is guessed. A key that stands twice, a key nobody knows, a number in quotes
or a `yes` where true is meant is refused with its line, and all mistakes of a file
come in one message. `show` prints what a file amounts to with every default, and a
hash that changes only when the meaning does; evidence carries that hash.
"""

from __future__ import annotations

from handguard.config.loading import load, with_source
from handguard.config.resolved import dump, fingerprint, show
from handguard.config.rules import cautions, tells_of_its_contact
from handguard.config.schema import Settings
from handguard.config.zones import zones_for

__all__ = [
    "Settings", "cautions", "dump", "fingerprint", "load", "show", "tells_of_its_contact", "with_source", "zones_for",
]  # fmt: skip
