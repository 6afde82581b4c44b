"""What a service manager is told: ready, alive, stopping, and a line for people.

systemd listens on a datagram socket named in the environment; a word to it is one
datagram (sd_notify(3)). Nothing here waits, and nothing here raises: a service
manager that is gone or does not read must not hold the stop path. Without a service
manager every call does nothing.

`alive` has no clock that could send it by itself. It is called by whoever has just
seen a newly judged frame, and sends at most four times within the limit.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

SOCKET, LIMIT, PROCESS = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
WORDS_PER_LIMIT = 4


class ServiceManager:
    """One process's line to whoever started the service. One thread."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Read where to speak to; `environment` of None is this process's own."""
        told = os.environ if environment is None else environment
        self._address = _address(told.get(SOCKET, ""))
        self._limit_ns = _limit_ns(told)
        self._socket = _socket() if self._address else None
        self._alive_ns = -self._limit_ns
        self._status = ""

    def ready(self) -> None:
        """The service does what it is for."""
        self._say("READY=1")

    def alive(self) -> None:
        """Something was judged just now. Sends only where a watchdog waits, and not more often than it needs."""
        now_ns = time.monotonic_ns()
        if self._limit_ns and WORDS_PER_LIMIT * (now_ns - self._alive_ns) >= self._limit_ns:
            self._alive_ns = now_ns
            self._say("WATCHDOG=1")

    def status(self, words: str) -> None:
        """One line for people (`systemctl status`); sent when it changes."""
        if words != self._status:
            self._status = words
            self._say(f"STATUS={words}")

    def stopping(self) -> None:
        """The end has begun."""
        self._say("STOPPING=1")

    def close(self) -> None:
        """Nothing is said any more. Safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, word: str) -> None:
        if self._socket is not None and self._address is not None:
            with suppress(OSError):
                self._socket.sendto(word.encode(), self._address)


def _socket() -> socket.socket:
    speaks = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    speaks.setblocking(False)
    return speaks


def _address(name: str) -> str | None:
    """Of the socket: a path, or `@name` in the abstract namespace; None for anything else."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _limit_ns(told: Mapping[str, str]) -> int:
    """How long the watchdog waits; 0 for none, or for one that waits for somebody else.

    The keeper is a child of the process that the watchdog names.
    """
    limit_us, process = told.get(LIMIT, ""), told.get(PROCESS, "")
    is_for_us = not process or process in (str(os.getpid()), str(os.getppid()))
    return int(limit_us) * 1000 if limit_us.isdecimal() and is_for_us else 0
