"""What a profile asks of a board: known before anything is opened, and told where it is only a caution."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from handguard import config
from handguard.config.schema import Board
from handguard.errors import ConfigError
from handguard.relay.board import BoardSettings
from handguard.relay.boards import DRIVERS, REFUSED, promised
from handguard.wiring import board_settings, require_button, require_profile

FLASH = "unit: 1, flash_ms: 300, again_ms: 180, held_ms: 450"
# driver, port, options, is timed, has feedback
BOARDS = [
    ("lcus", "/dev/x", "", False, True),
    ("lcus", "/dev/x", "query: none", False, False),
    ("kmtronic", "/dev/x", "", False, True),
    ("numato", "/dev/x", "", False, True),
    ("devantech", "/dev/x", "", False, True),
    ("dcttech", "/dev/x", "", False, True),
    ("modbus-rtu", "/dev/x", "", False, True),
    ("modbus-rtu", "/dev/x", FLASH, True, True),
    ("modbus-tcp", "board:502", "", False, True),
    ("modbus-tcp", "board:502", FLASH, True, True),
    ("heartbeat", "/dev/x", "", True, True),
    ("heartbeat", "/dev/x", "contactors: 0", True, False),
    ("gpio", "/dev/gpiochip0", "line: 3", False, False),
    ("gpio", "/dev/gpiochip0", "line: 3, feedback_line: 4", False, True),
    ("gpio", "/dev/gpiochip0", "line: 3, feedback_line: 4, heartbeat_line: 5, pump_ms: 100", True, True),
]
every_board = pytest.mark.parametrize(("driver", "port", "options", "timed", "feedback"), BOARDS)


def loaded(folder: Path, relay: str, profile: str = "basic", reset: str = "input: none") -> config.Settings:
    path = folder / "site.yaml"
    path.write_text(
        f"version: 1\ncamera: {{source: 0}}\nsafety: {{profile: {profile}}}\nrelay: {{{relay}}}\n"
        f"reset: {{{reset}}}\n"
        "zones: {orientation: left-right, warning_percent: 60, stop_percent: 30}\n"
    )
    return config.load(path)


def test_every_driver_can_be_configured_and_no_other():
    assert set(get_args(Board)) == set(DRIVERS) | set(REFUSED)


@every_board
def test_settings_say_of_a_board_what_its_driver_says(driver, port, options, timed, feedback, tmp_path):
    settings = loaded(tmp_path, f"driver: {driver}, port: '{port}', options: {{{options}}}")
    can = promised(board_settings(settings, None))
    assert (can.hw_timeout_ms is not None, can.readback) == (timed, feedback)
    told = "; ".join(config.cautions(settings))
    assert ("no time limit of its own" in told) is not timed
    assert ("no feedback" in told) is not feedback


@every_board
def test_strict_refuses_a_board_that_lacks_a_time_limit_or_feedback(
    driver, port, options, timed, feedback, tmp_path
):
    settings = loaded(tmp_path, f"driver: {driver}, port: '{port}', options: {{{options}}}", "strict")
    board = board_settings(settings, None)
    if timed and feedback:
        require_profile(settings, board)
        return
    with pytest.raises(ConfigError, match=r"site.yaml: relay.driver: expected a board with .*strict") as told:
        require_profile(settings, board)
    assert ("a time limit of its own" in str(told.value)) is not timed
    assert ("feedback" in str(told.value)) is not feedback


def test_a_second_board_brings_the_time_limit_for_both(tmp_path):
    relay = "driver: numato, port: /dev/a, second: {driver: heartbeat, port: /dev/b}"
    settings = loaded(tmp_path, relay, "strict")
    board = board_settings(settings, None)
    assert board.second == BoardSettings("heartbeat", "/dev/b")
    require_profile(settings, board)
    assert not [told for told in config.cautions(settings) if "relay board" in told]


def test_a_dangerous_family_is_refused_with_the_reason_before_anything_is_opened(tmp_path):
    settings = loaded(tmp_path, "driver: icse01x, port: /dev/x")
    with pytest.raises(ConfigError, match="close contacts with it"):
        require_profile(settings, board_settings(settings, None))


@every_board
def test_a_button_at_the_board_is_refused_where_the_board_reads_none(
    driver, port, options, timed, feedback, tmp_path
):
    relay = f"driver: {driver}, port: '{port}', options: {{{options}}}"
    settings = loaded(tmp_path, relay, reset="input: board")
    board = board_settings(settings, None)
    if driver == "heartbeat" and feedback:
        require_button(settings, board)
        return
    complaint = rf"site.yaml: reset.input: expected gpio, keyboard or none: .* {driver} board .*, found board"
    with pytest.raises(ConfigError, match=complaint):
        require_button(settings, board)


def test_a_button_at_no_board_is_refused(tmp_path):
    settings = loaded(tmp_path, "driver: none", reset="input: board")
    with pytest.raises(ConfigError, match=r"reset.input: expected gpio"):
        require_button(settings, None)


@pytest.mark.parametrize(
    ("reset", "complaint"),
    [
        ("input: gpio", r"reset.chip: expected the GPIO chip and line of the button, found nothing"),
        ("input: gpio, chip: /dev/gpiochip0", r"reset.line: expected the GPIO chip and line of the button"),
        ("input: keyboard, line: 3", r"reset.line: expected no line with input keyboard, found 3"),
        ("input: board, chip: /dev/gpiochip0", r"reset.chip: expected no chip with input board"),
        ("input: gpio, chip: /dev/gpiochip0, line: 3, debounce_ms: 51", r"reset.debounce_ms: expected at most 50"),
        ("input: network", r"reset.input: expected 'simulated', 'keyboard', 'gpio', 'board' or 'none'"),
    ],
)
def test_a_reset_that_makes_no_sense_is_named(reset, complaint, tmp_path):
    with pytest.raises(ConfigError, match=complaint):
        loaded(tmp_path, "driver: none", reset=reset)


@pytest.mark.parametrize(
    ("relay", "complaint"),
    [
        ("driver: heartbeat", r"relay.port: expected the serial port of the board"),
        ("driver: none, second: {driver: lcus, port: /dev/b}", r"relay.second: expected no second"),
        ("driver: lcus, port: /dev/a, options: {Bad: 1}", r"relay.options"),
        ("driver: toaster, port: /dev/a", r"relay.driver"),
    ],
)
def test_a_relay_that_makes_no_sense_is_named(relay, complaint, tmp_path):
    with pytest.raises(ConfigError, match=complaint):
        loaded(tmp_path, relay)
