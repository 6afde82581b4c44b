"""Our own board: driver, firmware and the firmware's twin, held to one file of vectors and to each other.

The firmware is the C of firmware/, compiled for this computer and spoken to through
a real terminal.
"""

from __future__ import annotations

import csv
import itertools
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from handguard.errors import DeviceError
from handguard.relay.board import BoardSettings, Command
from handguard.relay.board_reset import BoardReset
from handguard.relay.boards import open_board
from handguard.relay.heartbeat import ANSWER_SIZE, HW_TIMEOUT_MS, BoardState, Cause, Word, answers, request
from handguard.relay.link import KeeperLink
from handguard.relay.simulated_heartbeat import HeartbeatBoard, HeartbeatLogic
from handguard.relay.simulated_model import MS, BoardFaults, Pending

OFF, ON = Command.OFF, Command.ON
FIRMWARE = Path(__file__).parents[2] / "firmware"
VECTORS = FIRMWARE / "vectors.csv"
ROWS = list(csv.DictReader(VECTORS.read_text().splitlines()))
CASES = {name: list(rows) for name, rows in itertools.groupby(ROWS, lambda row: row["case"])}
ATTEMPTS = 5
SLACK_MS = 400  # of a machine that is doing something else


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder with the compiled firmware."""
    build = tmp_path_factory.mktemp("firmware")
    make = ["make", "-s", "-C", str(FIRMWARE), f"BUILD={build}", "all"]
    done = subprocess.run(make, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return build


@pytest.fixture(params=["twin", "firmware"])
def board(request, make_board):
    """The same board twice: as Python, and as the C that a microcontroller runs."""
    if request.param == "twin":
        return make_board("heartbeat")
    return make_board("heartbeat", program=(str(request.getfixturevalue("built") / "board"),))


@pytest.fixture
def relay(board):
    relay = open_board(BoardSettings("heartbeat", board.port))
    yield relay
    relay.close()


def answered(relay, limit_s: float = 1.0) -> bool | None:
    """Look until the board has answered something since the last change."""
    give_up_s = time.monotonic() + limit_s
    while relay.contactor_open() is None and time.monotonic() < give_up_s:
        time.sleep(0.002)
    return relay.contactor_open()


def comes_to_say(relay, is_open: bool, limit_s: float = 1.0) -> bool:
    """Ask until the contactors, which follow the board's contact after a moment, are told to be so."""
    give_up_s = time.monotonic() + limit_s
    while answered(relay) is not is_open and time.monotonic() < give_up_s:
        relay.ask()
    return answered(relay) is is_open


def runs_while_told(board, relay) -> bool:
    """Ten words 20 ms apart. False, with the latch released, where we stood still for so long that the board
    rightly dropped out; a board that drops out although it was told is an error."""
    running(board, relay)
    told_ns = [time.monotonic_ns()]
    try:
        for _ in range(10):
            time.sleep(0.02)
            relay.write(ON)
            told_ns.append(time.monotonic_ns())
        return answered(relay) is False
    except DeviceError:
        told_ns.append(time.monotonic_ns())
        assert max(b - a for a, b in itertools.pairwise(told_ns)) > 60 * MS, "it was told in time, and dropped out"
    board.press()
    time.sleep(0.45)
    return False


def running(board, relay) -> None:
    relay.write(OFF)
    assert answered(relay) is True
    relay.write(ON)
    assert board.wait_until(lambda b: bool(b.contact_changes()))


# Vectors -----------------------------------------------------------------------------------


@pytest.mark.needs_program("cc")
@pytest.mark.needs_program("make")
def test_the_firmware_holds_to_the_vectors(built):
    done = subprocess.run([built / "vectors", VECTORS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{len(ROWS)} rows\n")


@pytest.mark.needs_program("cc")
@pytest.mark.needs_program("make")
def test_the_firmware_is_really_compared(built, tmp_path):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(VECTORS.read_text().replace(",1,1,0\n", ",1,1,3\n", 1))
    done = subprocess.run([built / "vectors", wrong], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith("line ")


@pytest.mark.parametrize("rows", CASES.values(), ids=CASES)
def test_the_twin_holds_to_the_vectors(rows):
    logic = HeartbeatLogic(int(rows[0]["nonce"]), int(rows[0]["feedback"]))
    for row in rows:
        now_ms = int(row["at_ms"])
        logic.tick(now_ms, int(row["inputs"]))
        said = logic.receive(bytes.fromhex(row["hear"]), now_ms)
        found = (said.hex(), int(logic.output), logic.state, logic.cause)
        assert found == (row["say"], int(row["running"]), int(row["state"]), int(row["cause"])), row


def test_the_driver_speaks_as_the_vectors_do():
    known = {word.value: word for word in Word}
    frames = [bytes.fromhex(row["hear"]) for row in ROWS if len(row["hear"]) == 16]
    frames = [frame for frame in frames if frame[:2] == b"\xa5\x01" and frame[3] in known]
    whole = [f for f in frames if request(f[2], known[f[3]], f[4] | f[5] << 8) == f]
    assert len(whole) >= len(frames) - 1 > 50  # one is damaged on purpose


def test_the_driver_understands_every_answer_of_the_vectors():
    rows = [row for row in ROWS if len(row["say"]) == 2 * ANSWER_SIZE]
    assert len(rows) > 50
    for row in rows:
        (found,) = answers(b"\x5a\x01" + bytes.fromhex(row["say"]) + b"\x5a")
        assert (found.state, found.cause) == (BoardState(int(row["state"])), Cause(int(row["cause"])))
        assert found.uptime_ms == int(row["at_ms"]) % 65536


def test_two_words_differ_in_at_least_four_bits():
    assert all(bin(one ^ other).count("1") >= 4 for one, other in itertools.combinations(Word, 2))


@pytest.mark.parametrize("position", range(ANSWER_SIZE))
def test_a_damaged_answer_is_none(position):
    frame = bytearray.fromhex(next(row["say"] for row in ROWS if row["say"]))
    frame[position] ^= 0x10
    assert list(answers(bytes(frame))) == []


def test_a_board_that_runs_for_seconds_is_woken_a_few_times_for_each_word():
    board, waiting, wakings = HeartbeatBoard(BoardFaults()), [], 0
    words = 100
    for seq in range(words):
        now_ns = (1 + seq * 33) * MS
        waiting += board.hear(request(seq, Word.RUN, board._logic.nonce), now_ns)
        while due := [one for one in waiting if one.event == "wake" and one.at_ns <= now_ns]:
            waiting = [one for one in waiting if one not in due]
            waiting += [new for one in due for new in board.wake(one.at_ns)]
            wakings += len(due)
        waiting = _contacts_moved(board, waiting, now_ns)
    assert board.closed[1]
    assert wakings <= 3 * words


def _contacts_moved(board: HeartbeatBoard, waiting: list[Pending], now_ns: int) -> list[Pending]:
    for one in waiting:
        if one.event == "contact" and one.at_ns <= now_ns:
            board.move(one.channel, one.closed)
    return [one for one in waiting if one.at_ns > now_ns]


# Driver and board --------------------------------------------------------------------------


@pytest.mark.needs_program("cc")
@pytest.mark.needs_program("make")
@pytest.mark.usefixtures("promptly")
class TestEitherBoard:
    """What holds for the twin and for the firmware."""

    def test_it_runs_while_told_again_and_stops_when_told(self, board, relay):
        assert any(runs_while_told(board, relay) for _ in range(ATTEMPTS))
        relay.write(OFF)
        assert board.wait_until(lambda b: not b.closed())
        assert comes_to_say(relay, is_open=True)

    def test_it_drops_out_by_itself_and_latches(self, board, relay):
        running(board, relay)
        assert board.wait_until(lambda b: not b.closed())
        dropped_ms = (board.contact_changes()[-1][0] - board.on_bytes_ns()[-1]) / 1e6
        print(f"open {dropped_ms:.1f} ms after the last RUN")
        assert 90 < dropped_ms < HW_TIMEOUT_MS + SLACK_MS
        relay.write(OFF)
        assert comes_to_say(relay, is_open=True)
        relay.write(ON)
        time.sleep(0.05)
        with pytest.raises(DeviceError, match="is latched and will not run: silence"):
            relay.contactor_open()
        assert not board.closed()

    def test_only_its_button_releases_the_latch(self, board, relay):
        running(board, relay)
        assert board.wait_until(lambda b: not b.closed())
        time.sleep(0.05)
        board.press()
        time.sleep(0.45)
        relay.write(OFF)
        assert answered(relay) is True
        relay.write(ON)
        assert board.wait_until(lambda b: len(b.contact_changes()) == 3)

    def test_a_repeated_run_latches(self, board, relay):
        running(board, relay)
        replayed = bytes.fromhex(str(board.events("bytes")[-1]["hex"]))
        with open(board.port, "wb", buffering=0) as port:
            port.write(replayed)
        assert board.wait_until(lambda b: not b.closed())

    def test_losing_power_is_off_and_forgets_the_latch(self, board, relay):
        running(board, relay)
        board.unplug()
        assert not board.closed()
        board.replug()
        relay.close()
        again = open_board(BoardSettings("heartbeat", board.port))
        running_before = len(board.contact_changes())
        again.write(OFF)
        assert answered(again) is True
        again.write(ON)
        assert board.wait_until(lambda b: len(b.contact_changes()) > running_before)
        again.close()


@pytest.mark.needs_program("cc")
@pytest.mark.needs_program("make")
def test_the_firmware_sees_a_welded_contactor(built, tmp_path, promptly):
    log, link = tmp_path / "log", tmp_path / "tty"
    arguments = [built / "board", "heartbeat", "--link", link, "--log", log, "--welded"]
    board = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    assert board.stdout is not None and board.stdout.readline() == b"ready\n"
    relay = open_board(BoardSettings("heartbeat", str(link)))
    relay.write(OFF)
    answered(relay)
    relay.write(ON)
    time.sleep(0.03)
    relay.write(OFF)
    assert answered(relay) is False
    time.sleep(0.35)
    link.write_bytes(request(99, Word.QUERY, 0))
    time.sleep(0.05)
    relay.close()
    board.terminate()
    board.wait()
    board.stdout.close()
    said = [line for line in log.read_text().splitlines() if '"reply"' in line][-1]
    assert '"5a 01 63 02 04 00' in said  # latched: feedback


def test_a_run_before_any_answer_is_refused_here(make_board):
    board = make_board("heartbeat", silent=True)
    relay = open_board(BoardSettings("heartbeat", board.port))
    relay.write(OFF)
    with pytest.raises(DeviceError, match="did not answer"):
        relay.write(ON)
    assert board.wait_until(lambda b: b.off_bytes_ns())
    assert not board.on_bytes_ns()
    relay.close()


def test_without_contactors_wired_back_there_is_no_feedback(make_board):
    board = make_board("heartbeat")
    relay = open_board(BoardSettings("heartbeat", board.port, options={"contactors": 0}))
    assert not relay.capabilities.readback
    relay.write(OFF)
    assert answered(relay, limit_s=0.1) is None
    relay.close()


# Its button, as the monitor sees it ----------------------------------------------------------


@pytest.fixture
def link(board):
    link = KeeperLink(BoardSettings("heartbeat", board.port))
    yield link
    link.close()


def held_ms(button: BoardReset, limit_s: float = 10.0) -> float:
    """Look until the button has been down and is up again; for how long it was seen down."""
    down_ns, give_up_s = 0, time.monotonic() + limit_s
    while time.monotonic() < give_up_s:
        is_down = button.read().down
        if is_down and not down_ns:
            down_ns = time.monotonic_ns()
        if down_ns and not is_down:
            return (time.monotonic_ns() - down_ns) / 1e6
        time.sleep(0.005)
    raise AssertionError("no press was seen")


def test_a_press_at_the_board_reaches_the_monitor_with_its_length(board, link):
    assert link.wait_for_button()
    button = BoardReset(link)
    assert not button.read().down
    board.press()
    assert 100 <= held_ms(button) <= 300 + SLACK_MS


def test_a_taped_button_is_down_from_the_first_word_on(make_board):
    board = make_board("heartbeat", taped=True)
    link = KeeperLink(BoardSettings("heartbeat", board.port))
    assert link.wait_for_button()
    assert BoardReset(link).read().down
    link.close()


def test_a_board_that_was_unplugged_has_no_button_rather_than_one_that_is_up(make_board):
    board = make_board("heartbeat")
    link = KeeperLink(BoardSettings("heartbeat", board.port))
    assert link.wait_for_button()
    board.unplug()
    give_up_s = time.monotonic() + 5
    while link.reset_down is not None and time.monotonic() < give_up_s:
        time.sleep(0.01)
    with pytest.raises(DeviceError, match="does not tell of its reset button"):
        BoardReset(link).read()
    link.close()


def test_a_lost_keeper_has_no_button(board, link):
    assert link.wait_for_button()
    os.kill(link.keeper_pid, signal.SIGKILL)
    give_up_s = time.monotonic() + 5
    while link.reset_down is not None and time.monotonic() < give_up_s:
        time.sleep(0.01)
    with pytest.raises(DeviceError):
        BoardReset(link).read()
