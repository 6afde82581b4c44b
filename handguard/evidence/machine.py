"""Which computer, and which start of it: two texts for the genesis record."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def machine_id() -> str:
    """32 hex digits that stay the same on this computer, and tell nobody its own machine-id.

    Where there is no machine-id (a bare container), the host's name is hashed instead.
    """
    secret = _first_line(_MACHINE_ID) or platform.node()
    return hashlib.sha256(b"handguard machine\n" + secret.encode()).hexdigest()[:32]


def boot_id() -> str:
    """The kernel's name for this start of the computer; monotonic times compare only within one."""
    return _first_line(_BOOT_ID) or "unknown"


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
