"""The HID driver's frames, and its conversation with a model of the board.

NO SUCH BOARD AND NO hidraw DEVICE WAS EVER CONNECTED TO THIS. What the kernel and a
real board make of these ioctls has not been shown by any test of this project.
"""

from __future__ import annotations

import errno
import os

import pytest

from handguard.errors import DeviceError, DeviceMissing
from handguard.relay.board import BoardSettings, Command
from handguard.relay.dcttech import Dcttech, feature_request, is_open, set_report

OFF, ON = Command.OFF, Command.ON


class Board:
    """USBRelay8 behind `ioctl`: a name of five letters, and a bit for each relay."""

    def __init__(self, name: bytes = b"6QMBS") -> None:
        self.name, self.state = name, 0
        self.is_gone = False
        self.requests: list[int] = []

    def ioctl(self, fd: int, request: int, report: bytearray) -> None:
        os.fstat(fd)
        self.requests.append(request)
        if self.is_gone:
            raise OSError(errno.EPIPE, "Broken pipe")
        if request == 0xC0094807:
            report[:] = bytes((1, *self.name, 0, 0, self.state))
        elif request == 0xC0094806 and report[0] == 0 and report[1] in (0xFF, 0xFD):
            bit = 1 << (report[2] - 1)
            self.state = self.state | bit if report[1] == 0xFF else self.state & ~bit


@pytest.fixture
def board():
    return Board()


@pytest.fixture
def node(tmp_path):
    path = tmp_path / "hidraw0"
    path.write_bytes(b"")
    return path


def opened(node, board, channel: int = 1) -> Dcttech:
    return Dcttech(BoardSettings("dcttech", str(node), channel), control=board.ioctl)


def test_a_node_is_opened_by_one_user_at_a_time_and_beside_it_for_an_emergency(node, board):
    first = opened(node, board)
    with pytest.raises(DeviceMissing, match="expected a free port, found it in use by another process"):
        opened(node, board)
    Dcttech(BoardSettings("dcttech", str(node)), control=board.ioctl, exclusive=False).close()
    first.close()
    opened(node, board).close()


@pytest.mark.parametrize(
    ("channel", "command", "report"),
    [(1, ON, "00 ff 01" + " 00" * 6), (1, OFF, "00 fd 01" + " 00" * 6), (8, ON, "00 ff 08" + " 00" * 6)],
)
def test_reports_match_the_published_ones(channel, command, report):
    assert set_report(channel, command).hex(" ") == report


def test_the_ioctl_numbers_are_those_of_nine_bytes():
    assert (feature_request(0x06), feature_request(0x07)) == (0xC0094806, 0xC0094807)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (bytes((1, *b"6QMBS", 0, 0, 0b0100)), True), (bytes((1, *b"6QMBS", 0, 0, 0b0010)), False),
        (bytes(9), None), (b"", None), (bytes((1, *b"6QMBS", 7, 0, 0)), None),
    ],
)  # fmt: skip
def test_a_report_tells_of_the_contact_only_if_a_board_can_have_made_it(report, expected):
    assert is_open(report, channel=2) is expected


def test_opening_only_looks(node, board):
    opened(node, board).close()
    assert board.requests == [0xC0094807]


def test_the_contact_follows_and_is_told(node, board):
    relay = opened(node, board, channel=3)
    relay.ask()
    assert relay.contactor_open() is True
    relay.write(ON)
    assert board.state == 0b100
    assert relay.contactor_open() is None  # what was answered before tells nothing of it
    relay.ask()
    assert relay.contactor_open() is False
    relay.write(OFF)
    assert board.state == 0
    relay.close()
    relay.close()


def test_an_unplugged_board_is_an_error_of_every_word(node, board):
    relay = opened(node, board)
    board.is_gone = True
    for act in (lambda: relay.write(OFF), lambda: relay.write(ON), relay.ask):
        with pytest.raises(DeviceError, match="a transfer to the relay board failed"):
            act()
    relay.close()


def test_another_hid_device_is_not_taken_for_a_board(node):
    with pytest.raises(DeviceMissing, match="expected a board of the USBRelay family, found another HID"):
        opened(node, Board(name=bytes(5)))


def test_a_file_that_is_no_device_is_named(node):
    with pytest.raises(DeviceMissing, match="a transfer to the relay board failed"):
        Dcttech(BoardSettings("dcttech", str(node)))


def test_a_missing_node_is_named(tmp_path):
    with pytest.raises(DeviceMissing, match=r"relay.port: .*hidraw9: expected .* no such device"):
        Dcttech(BoardSettings("dcttech", str(tmp_path / "hidraw9")))
