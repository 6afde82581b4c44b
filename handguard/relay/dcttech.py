"""HID relay boards that call themselves USBRelay1 to USBRelay8 (dcttech.com): no watchdog.

They are driven by feature reports of eight bytes, sent through the kernel's hidraw
node with two ioctls; no library is needed. `FF n` closes contact n and `FD n` opens
it. A report that is read holds a name of five letters and, in its last byte, one bit
a channel.

`port` is a /dev/hidraw node, never a number of vendor and product: those of this
board are shared by devices that have nothing to do with relays. Before anything is
written the node must answer with a report that can come from such a board.

An ioctl waits for the USB transfer, usually less than a millisecond; a board that
hangs makes it wait for seconds, in which the keeper can say nothing else. Nor can it
tell a board that was replaced. For anything but a lamp, choose another board.

No such board has been connected to this driver yet: only its frames and its
conversation with a model of the board have been tested.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress

from handguard.errors import DeviceError, DeviceMissing, mismatch
from handguard.relay.board import BoardSettings, Capabilities, Command
from handguard.relay.claim import claim_node
from handguard.relay.contact import AskedContact
from handguard.relay.options import channel_within, known_only

CHANNELS = 8
REPORT_SIZE = 9  # a report number, which is 0, and eight bytes
MIN_INTERVAL_MS = 20  # none is published
_HIDIOCSFEATURE, _HIDIOCGFEATURE = 0x06, 0x07
_CLOSE, _OPEN = 0xFF, 0xFD

Control = Callable[[int, int, bytearray], object]  # as fcntl.ioctl: descriptor, request, buffer


def feature_request(number: int, size: int = REPORT_SIZE) -> int:
    """The ioctl number: read and write, `size` bytes, type H (linux/hidraw.h)."""
    return 3 << 30 | size << 16 | ord("H") << 8 | number


def set_report(channel: int, command: Command) -> bytearray:
    """The report that moves one contact."""
    return bytearray((0, _CLOSE if command is Command.ON else _OPEN, channel, *bytes(6)))


def is_open(report: bytes, channel: int) -> bool | None:
    """What a report that was read says of a contact; None if it can come from no such board."""
    name = report[1:6]
    if len(report) != REPORT_SIZE or not all(0x20 < letter < 0x7F for letter in name) or report[6]:
        return None
    return not report[8] >> (channel - 1) & 1


class Dcttech:
    """One channel of such a board. Implements `board.Relay`; one thread only."""

    def __init__(
        self, settings: BoardSettings, *, exclusive: bool = True, control: Control = fcntl.ioctl
    ) -> None:
        """Open and claim the node, and read one report. Raises `ConfigError` or `DeviceMissing`."""
        self._capabilities = self.promise(settings)
        self._name, self._channel, self._control = settings.port, settings.channel, control
        self._contact = AskedContact()
        self._fd = _opened(settings.port)
        try:
            if exclusive:
                claim_node(self._name, self._fd)
            is_board = is_open(self._read(), self._channel) is not None
        except DeviceError as error:
            os.close(self._fd)
            raise DeviceMissing(str(error)) from error
        if not is_board:
            os.close(self._fd)
            expected = "a board of the USBRelay family"
            raise DeviceMissing(mismatch(f"relay.port: {self._name}", expected, "another HID device"))

    @classmethod
    def promise(cls, settings: BoardSettings) -> Capabilities:
        """What the driver will declare for these settings, without opening anything."""
        known_only(settings, ())
        channel_within(settings, CHANNELS)
        return Capabilities(
            readback=True, ack=False, hw_timeout_ms=None, min_interval_ms=MIN_INTERVAL_MS, channels=CHANNELS
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def write(self, command: Command) -> None:
        self._contact.turn(command)
        self._transfer(_HIDIOCSFEATURE, set_report(self._channel, command))

    def ask(self) -> None:
        """The answer comes with the question: the kernel waits for it."""
        self._contact.ask()
        self._contact.heed(is_open(self._read(), self._channel))

    def contactor_open(self) -> bool | None:
        return self._contact.is_open

    def reset_down(self) -> None:
        """No button."""

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def _read(self) -> bytes:
        report = bytearray((1, *bytes(REPORT_SIZE - 1)))
        self._transfer(_HIDIOCGFEATURE, report)
        return bytes(report)

    def _transfer(self, number: int, report: bytearray) -> None:
        try:
            self._control(self._fd, feature_request(number), report)
        except OSError as error:
            raise DeviceError(f"{self._name}: a transfer to the relay board failed: {error}") from error


def _opened(port: str) -> int:
    try:
        return os.open(port, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        reasons = {
            errno.ENOENT: "a relay board on this port, found no such device",
            errno.EACCES: "permission to open it (a udev rule for hidraw?), found none",
        }
        reason = reasons.get(error.errno or 0, f"a hidraw device, found: {error}")
        raise DeviceMissing(f"relay.port: {port}: expected {reason}") from error
