"""Threads of a stand come before other programs, as the live loop and its keeper do; what they start does not."""

from __future__ import annotations

import os
from contextlib import suppress


def take() -> None:
    """For the thread that asks, where the system grants it."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def give_back() -> None:
    """The thread that asks is one of many again."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
