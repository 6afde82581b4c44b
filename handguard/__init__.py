"""Watches hands near a hand-fed machine and drops its relay when one comes too close.

capture feeds frames to the detection of hands, zones judge where the hands are,
the interlock decides, and the relay lets the machine run or drops it; evidence
remembers, replay proves it again.
"""

from __future__ import annotations

__version__ = "0.1.0"
