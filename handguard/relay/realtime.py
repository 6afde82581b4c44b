"""What a process may ask of Linux so that nothing makes it wait. All of it is optional.

The parent-death signal is left out on purpose: it fires when the *thread* that
started the process ends, and the end of the pipe already says that the monitor
is gone.
"""

from __future__ import annotations

import ctypes
import gc
import os

from handguard.relay.wire import Trait

PRIORITY = 50  # below the kernel's own threads at 99, above every ordinary program
_MCL_CURRENT_AND_FUTURE = 3
_PR_SET_TIMERSLACK = 29


def harden() -> Trait:
    """Ask for real-time scheduling and locked memory, stop the garbage collector; what was granted."""
    gc.collect()
    gc.freeze()
    gc.disable()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_TIMERSLACK, 1)
    locked = libc.mlockall(_MCL_CURRENT_AND_FUTURE) == 0
    return _realtime() | (Trait.LOCKED_MEMORY if locked else Trait.NONE)


def _realtime() -> Trait:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:
        return Trait.NONE
    return Trait.REALTIME
