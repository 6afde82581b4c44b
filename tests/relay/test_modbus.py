"""Modbus frames against published ones, what cannot be built, commissioning, and an independent peer."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handguard.cli import main
from handguard.errors import ConfigError, DeviceError, DeviceMissing
from handguard.relay.board import BoardSettings, Command
from handguard.relay.boards import open_board, promised
from handguard.relay.commissioning import commission
from handguard.relay.modbus import COILS, LONGEST_FLASH, CoilFlash, CoilsRead, CoilWrite, Rtu, Tcp, crc16
from handguard.relay.modbus_board import Retrigger, address, rest_ms

OFF, ON = Command.OFF, Command.ON
PROVED = {"flash_ms": 300, "again_ms": 180, "held_ms": 450}


def silent(_: str) -> None:
    """Nobody listens."""


# Frames ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "frame"),
    [
        (CoilWrite(0, on=True), "01 05 00 00 ff 00 8c 3a"), (CoilWrite(0, on=False), "01 05 00 00 00 00 cd ca"),
        (CoilsRead(0), "01 01 00 00 00 08 3d cc"), (CoilsRead(7), "01 01 00 00 00 08 3d cc"),
        (CoilFlash(0, 1), "01 05 02 00 00 01 0d b2"), (CoilFlash(0, 2), "01 05 02 00 00 02 4d b3"),
        (CoilFlash(0, 5), "01 05 02 00 00 05 0c 71"), (CoilFlash(0, 7), "01 05 02 00 00 07 8d b0"),
    ],
)  # fmt: skip
def test_frames_match_the_published_ones(request_, frame):
    assert Rtu(1).wrap(request_).hex(" ") == frame


def every_request():
    for coil in range(COILS):
        yield from (CoilWrite(coil, on=on) for on in (False, True))
        yield from (CoilFlash(coil, tenths) for tenths in range(1, LONGEST_FLASH + 1))
        yield CoilsRead(coil)


def is_the_trap(frame: bytes) -> bool:
    """Function 5 to an address that flashes (or toggles, or means all), with FF00."""
    function, where, value = struct.unpack(">BHH", frame[1:6])
    return function == 5 and where >= COILS and value >= 0xFF00


def test_no_request_that_can_be_made_flashes_for_two_hours():
    frames = [Rtu(unit).wrap(request) for request, unit in product(every_request(), (1, 247))]
    assert len(frames) == 2 * COILS * (2 + LONGEST_FLASH + 1)
    assert not any(map(is_the_trap, frames))
    assert is_the_trap(bytes.fromhex("01 05 02 00 ff 00 8d 82"))  # what a library sends for "7"


@given(coil=st.integers(), value=st.integers() | st.booleans())
def test_whatever_the_fields_there_is_no_trap(coil, value):
    for make in (lambda: CoilFlash(coil, value), lambda: CoilWrite(coil, on=bool(value))):
        try:
            frame = Rtu(1).wrap(make())
        except ConfigError:
            continue
        assert not is_the_trap(frame)


@pytest.mark.parametrize("tenths", [0, -1, 51, 0xFF00, True])
def test_a_flash_beyond_its_bounds_is_refused(tenths):
    with pytest.raises(ConfigError, match="modbus flash-on: expected 1 to 50 tenths"):
        CoilFlash(0, tenths)


@pytest.mark.parametrize(("bits", "coil", "is_open"), [(0x51, 0, False), (0x51, 1, True), (0x01, 7, True)])
def test_an_answer_tells_of_the_coil(bits, coil, is_open):
    body = bytes((1, 1, 1, bits))
    heard = b"\x01\x01" + body + struct.pack("<H", crc16(body)) + b"\x01"
    (answer,) = Rtu(1).answers(heard)
    assert CoilsRead(coil).is_open(answer) is is_open
    assert list(Rtu(2).answers(heard)) == []


@given(st.binary(max_size=40))
def test_noise_before_an_answer_does_no_harm(noise):
    body = bytes((1, 1, 1, 1))
    answers = list(Rtu(1).answers(noise + body + struct.pack("<H", crc16(body))))
    assert body[1:] in answers or noise[-1:] == b"\x01"


@given(st.binary(max_size=200))
def test_any_noise_can_be_read(noise):
    tcp = Tcp(1)
    tcp.wrap(CoilsRead(0))
    assert all(isinstance(answer, bytes) for line in (Rtu(1), tcp) for answer in line.answers(noise))


def test_an_answer_of_one_byte_is_noise():
    """An exception without its number; the rest of the stream is still understood."""
    framing = Tcp(1)
    number = framing.wrap(CoilsRead(0))[:2]
    answer = number + bytes.fromhex("0000 0004 01 01 01 51")
    assert list(framing.answers(number + bytes.fromhex("0000 0002 01 85") + answer)) == [answer[7:]]


def test_an_answer_on_the_network_must_carry_the_number_of_its_question():
    tcp = Tcp(1)
    old, new = tcp.wrap(CoilsRead(0)), tcp.wrap(CoilsRead(0))
    replies = [frame[:5] + bytes((4, 1, 1, 1, 1)) for frame in (old, new)]
    assert list(tcp.answers(replies[0])) == []
    assert list(tcp.answers(b"".join(replies))) == [b"\x01\x01\x01"]


# Settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"flash_ms": 300}, "figures of `handguard relay commission`.*, found no figures"),
        ({**PROVED, "held_ms": 300}, "begins anew, found flash_ms 300, again_ms 180, held_ms 300"),
        ({**PROVED, "held_ms": 900}, "begins anew"),
        ({**PROVED, "again_ms": 20}, "begins anew"),
        ({**PROVED, "flash_ms": 250}, "relay.options.flash_ms: expected a multiple of 100, found 250"),
        ({**PROVED, "flash_ms": 100}, "a whole number from 200 to 5000, found 100"),
        ({"unit": 300}, "relay.options.unit: expected a whole number from 1 to 247, found 300"),
    ],
)
def test_wrong_options_are_named(options, complaint):
    with pytest.raises(ConfigError, match=complaint):
        open_board(BoardSettings("modbus-rtu", "/dev/null", options=options))


def test_only_a_proven_flash_is_a_time_limit():
    assert promised(BoardSettings("modbus-rtu", "x")).hw_timeout_ms is None
    assert promised(BoardSettings("modbus-rtu", "x", options=PROVED)).hw_timeout_ms == 300


@pytest.mark.parametrize(
    ("port", "found"), [("board", ("board", 502)), ("10.0.0.7:5020", ("10.0.0.7", 5020))]
)
def test_an_address_is_taken_apart(port, found):
    assert address(port) == found


@pytest.mark.parametrize("port", ["board:", "board:x", "board:0", "board:65536", ":502", "/dev/ttyUSB0"])
def test_what_is_no_address_is_named(port):
    with pytest.raises(ConfigError, match=r"relay.port: expected an address"):
        address(port)


def test_a_board_rests_for_question_and_answer():
    assert rest_ms(9600) == 31
    assert rest_ms(115200) == 14


# The board ---------------------------------------------------------------------------------


def test_a_refused_command_is_an_error(make_board):
    board = make_board("modbus-rtu", refuses=True)
    relay = open_board(BoardSettings("modbus-rtu", board.port))
    relay.write(ON)
    time.sleep(0.05)
    with pytest.raises(DeviceError, match="refused a command with Modbus exception 4"):
        relay.contactor_open()
    relay.close()


def test_a_renewal_needs_the_echo_of_the_one_before_and_off_needs_nothing(make_board):
    board = make_board("modbus-rtu", silent=True)
    relay = open_board(BoardSettings("modbus-rtu", board.port, options=PROVED))
    relay.write(ON)
    with pytest.raises(DeviceError, match="did not acknowledge"):
        relay.write(ON)
    relay.write(OFF)
    assert board.wait_until(lambda b: b.off_bytes_ns())
    relay.close()


def test_commissioning_refuses_a_time_that_no_flash_has_before_anything_closes():
    with pytest.raises(ConfigError, match="--flash-ms: expected a multiple of 100, found 250"):
        commission(BoardSettings("modbus-rtu", "/dev/nowhere"), 250, silent)


@pytest.mark.parametrize("kind", ["modbus-rtu", "modbus-tcp"])
def test_commissioning_measures_a_good_board(kind, make_board):
    board = make_board(kind)
    found = commission(BoardSettings(kind, board.port), 500, silent)
    assert promised(BoardSettings(kind, board.port, options=found.options)).hw_timeout_ms == 500
    assert not board.closed()
    assert board.off_bytes_ns()[-1] > board.on_bytes_ns()[-1]


@pytest.mark.parametrize(
    ("fault", "error", "complaint"),
    [
        ("keeps_flash", ConfigError, "a repeated flash-on begins anew, found"),
        ("flash_deaf", DeviceError, "expected OFF to end a flash-on within 150 ms"),
        ("silent", DeviceError, "expected an answer of the board, found silence"),
        ("refuses", DeviceError, "Modbus exception 4"),
    ],
)
def test_commissioning_refuses_a_board_that_is_no_watchdog(fault, error, complaint, make_board):
    board = make_board("modbus-rtu", **{fault: True})
    with pytest.raises(error, match=complaint):
        commission(BoardSettings("modbus-rtu", board.port), 500, silent)
    assert board.wait_until(lambda b: not b.closed())


def test_figures_of_a_board_that_keeps_its_first_flash_are_refused():
    with pytest.raises(ConfigError, match="begins anew"):
        Retrigger(flash_ms=300, again_ms=180, held_ms=330)


def test_the_command_prints_what_the_settings_need(make_board, capsys):
    board = make_board("modbus-tcp")
    with pytest.raises(SystemExit) as ended:
        main(["relay", "commission", "--driver", "modbus-tcp", "--port", board.port, "--flash-ms", "400",
              "--machine-is-isolated"])  # fmt: skip
    assert ended.value.code == 0
    assert "options: {unit: 1, flash_ms: 400, again_ms: " in capsys.readouterr().out


def test_the_command_wants_the_machine_isolated(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["relay", "commission", "--port", "/dev/null"])
    assert ended.value.code == 2
    assert "isolate the machine" in capsys.readouterr().err


# An independent peer -----------------------------------------------------------------------

SERVER = """
import asyncio, sys
from pymodbus.server import StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
coils = SimData(0, values=[False] * 64, datatype=DataType.BITS)
device = SimDevice(1, coils, use_bit_addressing=True)
asyncio.run(StartAsyncTcpServer(device, address=("127.0.0.1", int(sys.argv[1]))))
"""


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a Modbus server that this project did not write."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host, port = free.getsockname()
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)])
    yield f"{host}:{port}"
    process.terminate()
    process.wait()


def told(relay) -> bool | None:
    """Rest, ask, and wait for the answer; again if none comes, for this server may see two requests as one."""
    for _ in range(10):
        time.sleep(relay.capabilities.min_interval_ms / 1000)
        relay.ask()
        give_up_s = time.monotonic() + 1
        while time.monotonic() < give_up_s:
            if (found := relay.contactor_open()) is not None:
                return found
            time.sleep(0.005)
    return None


@pytest.mark.needs_module("pymodbus")
def test_our_driver_switches_the_coils_of_another_server(server):
    give_up_s = time.monotonic() + 60
    while True:
        try:
            relay = open_board(BoardSettings("modbus-tcp", server, channel=3))
            break
        except DeviceMissing:
            assert time.monotonic() < give_up_s
            time.sleep(0.2)
    answers = []
    for command in (OFF, ON, OFF):
        relay.write(command)
        answers.append(told(relay))
    relay.close()
    assert answers == [True, False, True]


@pytest.mark.needs_module("pymodbus")
def test_another_program_reads_what_our_board_was_told(make_board):
    from pymodbus.client import ModbusTcpClient

    board = make_board("modbus-tcp")
    host, port = address(board.port)
    relay = open_board(BoardSettings("modbus-tcp", board.port, channel=3))
    relay.write(ON)
    assert board.wait_until(lambda b: b.closed(3))
    client = ModbusTcpClient(host, port=port, timeout=2, retries=0)
    assert client.connect()
    assert client.read_coils(0, count=8, device_id=1).bits == [False, False, True, *[False] * 5]
    assert not client.write_coil(2, False, device_id=1).isError()
    assert board.wait_until(lambda b: not b.closed(3))
    client.close()
    relay.close()
