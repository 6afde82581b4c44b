"""Where a simulated board is plugged in: a pseudo-terminal, or a TCP port of this machine.

Both can be pulled out and pushed in again, and both are reached through a path:
that of the terminal is a link to it, that of the TCP port a file with its address.
"""

from __future__ import annotations

import os
import socket
import termios
import tty
from contextlib import suppress
from pathlib import Path
from typing import Protocol


class Port(Protocol):
    """The board's side of its connection to the computer."""

    def plug(self) -> dict[str, object]:
        """Make the board reachable; returns what the log says about it."""

    def unplug(self) -> None:
        """Hang up and vanish."""

    def fds(self) -> list[int]:
        """What to wait for. Empty while unplugged."""

    def read(self, fd: int) -> bytes:
        """What has come through this descriptor; empty if it only let somebody in or out."""

    def write(self, message: bytes) -> None:
        """Send without waiting. What nobody reads is lost, as with a real board."""


class Terminal:
    """A pseudo-terminal; its other end is held open so that users may come and go."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self._fds: tuple[int, int] | None = None  # master, slave; None while unplugged

    def plug(self) -> dict[str, object]:
        self._fds = master, slave = os.openpty()
        os.set_blocking(master, False)
        tty.setraw(slave, termios.TCSANOW)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(os.ttyname(slave))
        return {"tty": os.ttyname(slave)}

    def unplug(self) -> None:
        self._link.unlink(missing_ok=True)
        for fd in self._fds or ():
            os.close(fd)
        self._fds = None

    def fds(self) -> list[int]:
        return [self._fds[0]] if self._fds else []

    def read(self, fd: int) -> bytes:
        return os.read(fd, 4096)

    def write(self, message: bytes) -> None:
        if self._fds is not None:
            with suppress(BlockingIOError):  # nobody reads: a real board would not wait either
                os.write(self._fds[0], message)


class TcpPort:
    """A listening port with any number of users; the number stays the same after a replugging.

    While it is unplugged nobody is refused: who connects hears nothing, as of a board whose cable was pulled.
    """

    def __init__(self, link: Path) -> None:
        self._link = link
        self._number = 0
        self._server: socket.socket | None = None
        self._unheard: list[socket.socket] = []  # while unplugged: the port, and what keeps it full
        self._users: dict[int, socket.socket] = {}
        self._newest: socket.socket | None = None  # who spoke last, and is answered

    def plug(self) -> dict[str, object]:
        self._leave_unheard()
        self._server = socket.create_server(("127.0.0.1", self._number))
        self._server.setblocking(False)
        self._number = self._server.getsockname()[1]
        address = f"127.0.0.1:{self._number}"
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(address)
        return {"address": address}

    def unplug(self) -> None:
        self._link.unlink(missing_ok=True)
        for one in (*self._users.values(), *([self._server] if self._server else [])):
            one.close()
        self._users, self._server, self._newest = {}, None, None
        self._unheard = _full_port(self._number)

    def _leave_unheard(self) -> None:
        for one in self._unheard:
            one.close()
        self._unheard = []

    def fds(self) -> list[int]:
        return [*self._users, *([self._server.fileno()] if self._server else [])]

    def read(self, fd: int) -> bytes:
        if self._server is not None and fd == self._server.fileno():
            user, _ = self._server.accept()
            user.setblocking(False)
            self._users[user.fileno()] = user
            return b""
        return self._from_user(fd)

    def _from_user(self, fd: int) -> bytes:
        user = self._users[fd]
        try:
            data = user.recv(4096)
        except OSError:
            data = b""
        if data:
            self._newest = user
        else:
            del self._users[fd]
            user.close()
        return data

    def write(self, message: bytes) -> None:
        with suppress(OSError):
            if self._newest is not None:
                self._newest.send(message)


def _full_port(number: int) -> list[socket.socket]:
    """A port of this machine whose queue is full: the kernel drops whatever asks to be connected."""
    port = socket.create_server(("127.0.0.1", number), backlog=0)
    waiting = [socket.socket() for _ in range(2)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", number))
    return [port, *waiting]
