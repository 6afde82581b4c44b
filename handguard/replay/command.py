"""How a module of this package is started as a process of its own, in the very folder of who starts it.

Settings and options may name files from the folder that a person works in, so a process
that is to judge must work there too. `python -m` would look in that folder for modules
before all others, and a file of a person's there, `queue.py`, would take part in the
verdict: so the package is named by its own place, and the folder is not looked in.
"""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2].resolve()  # what must be on its path to import handguard


def command_of(module: str) -> tuple[str, ...]:
    """What runs a module as `python -m` would; arguments follow it. Leave `cwd` as it is."""
    path = f"sys.path[:] = [{str(_ROOT)!r}, *filter(None, sys.path)]"
    start = f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return sys.executable, "-c", f"import sys; {path}; {start}"
