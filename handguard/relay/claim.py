"""One user for one board: a claim on a port that has no lock of its own, held as long as the process lives.

A serial port can be locked and a GPIO line belongs to one process by nature. An
address on the network and a hidraw node can be opened by anybody, any number of
times: two keepers would then take turns at one contact, and neither would know. So
who opens such a port claims it first, and whoever comes second is refused.

A claim holds on one computer; of another one that speaks to the same address it
knows nothing. It needs no file, and the kernel ends it with the process, however that
ends. An emergency OFF asks for none.
"""

from __future__ import annotations

import fcntl
import socket
from typing import Any

from handguard.errors import DeviceMissing

TAKEN = "a free port, found it in use by another process"


def claimed_address(host: str, port: int) -> socket.socket:
    """Claim an address by its numbers; close what is returned to let go. Raises `DeviceMissing` or `OSError`."""
    numbers: tuple[Any, ...] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        claim.bind(f"\0handguard-board-{numbers[0]}:{numbers[1]}")
    except OSError:
        claim.close()
        raise DeviceMissing(f"relay.port: {host}:{port}: expected {TAKEN}") from None
    return claim


def claim_node(name: str, fd: int) -> None:
    """Claim an open device until it is closed. Raises `DeviceMissing`."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise DeviceMissing(f"relay.port: {name}: expected {TAKEN}") from None
