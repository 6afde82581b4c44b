"""The GPIO driver on a chip that knows the kernel's manners, and on gpio-sim where the kernel has it."""

from __future__ import annotations

import inspect
import sys
import time
from datetime import timedelta

import pytest

from handguard.errors import ConfigError, DeviceError, DeviceMissing
from handguard.relay.board import BoardSettings, Command
from handguard.relay.boards import promised
from handguard.relay.gpio import Gpio, LineRequest
from handguard.relay.simulated_gpio import FakeChip, FakeRequest

OFF, ON = Command.OFF, Command.ON
OUT, FEEDBACK, HEARTBEAT = 17, 27, 22
pytestmark = pytest.mark.needs_module("gpiod")


def settings_of(**options) -> BoardSettings:
    return BoardSettings("gpio", "/dev/gpiochip0", options={"line": OUT, **options})


@pytest.fixture
def chip():
    return FakeChip()


@pytest.fixture
def opened(chip):
    relays = []

    def opens(**options) -> Gpio:
        relays.append(Gpio(settings_of(**options), request=chip.request_lines))
        return relays[-1]

    yield opens
    for relay in relays:
        relay.close()


# The output --------------------------------------------------------------------------------


def test_opening_requests_the_output_inactive_and_writes_nothing(chip, opened):
    opened(feedback_line=FEEDBACK, heartbeat_line=HEARTBEAT, pump_ms=100)
    wanted = chip.settings[OUT]
    assert (wanted.direction.name, wanted.output_value.name) == ("OUTPUT", "INACTIVE")
    assert not chip.is_active(OUT) and not chip.is_active(HEARTBEAT)
    assert not chip.writes
    assert chip.consumers == {"handguard"}


@pytest.mark.parametrize("active_low", [0, 1])
def test_the_line_follows_the_command(active_low, chip, opened):
    relay = opened(active_low=active_low)
    assert chip.levels[OUT] == bool(active_low)
    relay.write(ON)
    assert chip.levels[OUT] != bool(active_low)
    relay.write(OFF)
    assert chip.levels[OUT] == bool(active_low)


def test_off_drops_the_line_before_the_heartbeat(chip, opened):
    relay = opened(heartbeat_line=HEARTBEAT, pump_ms=100)
    relay.write(ON)
    chip.writes.clear()
    relay.write(OFF)
    assert chip.writes == [(OUT, False), (HEARTBEAT, False)]


def test_the_heartbeat_toggles_with_every_word_and_with_nothing_else(chip, opened):
    relay = opened(heartbeat_line=HEARTBEAT, pump_ms=100)
    for _ in range(4):
        relay.write(ON)
        relay.ask()
        relay.contactor_open()
    assert [active for line, active in chip.writes if line == HEARTBEAT] == [True, False, True, False]


def test_a_chip_that_is_gone_is_an_error_of_every_word(chip, opened):
    relay = opened(feedback_line=FEEDBACK)
    chip.is_gone = True
    for act in (lambda: relay.write(OFF), relay.contactor_open):
        with pytest.raises(DeviceError, match=r"/dev/gpiochip0: .*line failed"):
            act()
    relay.close()
    relay.close()


# Feedback ----------------------------------------------------------------------------------


def test_a_contact_to_ground_means_that_the_contactor_has_dropped(chip, opened):
    relay = opened(feedback_line=FEEDBACK)
    assert relay.contactor_open() is False  # pulled up: a cut wire is no proof of anything
    chip.drive(FEEDBACK, False, at_ns=1)
    assert relay.contactor_open() is True


def test_edges_are_stamped_by_the_kernel_and_debounced(chip, opened):
    relay = opened(feedback_line=FEEDBACK, debounce_ms=7)
    for at_ns, high in ((100, False), (200, True), (300, False)):
        chip.drive(FEEDBACK, high, at_ns)
    relay.contactor_open()
    assert list(relay.feedback_edges_ns) == [100, 200, 300]
    wanted = chip.settings[FEEDBACK]
    assert wanted.debounce_period == timedelta(milliseconds=7)
    assert (wanted.bias.name, wanted.edge_detection.name, wanted.event_clock.name) == (
        "PULL_UP", "BOTH", "MONOTONIC",
    )  # fmt: skip


def test_only_so_many_edges_are_kept(chip, opened):
    relay = opened(feedback_line=FEEDBACK)
    for at in range(200):
        chip.drive(FEEDBACK, bool(at % 2), at)
    relay.contactor_open()
    assert len(relay.feedback_edges_ns) == 64


def test_without_a_feedback_line_nothing_is_claimed(opened):
    relay = opened()
    assert not relay.capabilities.readback
    assert relay.contactor_open() is None


def test_a_pump_is_a_time_limit():
    assert promised(settings_of(heartbeat_line=HEARTBEAT, pump_ms=100)).hw_timeout_ms == 100
    assert promised(settings_of()).hw_timeout_ms is None


# Refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"line": -1}, r"relay.options.line: expected a whole number from 0 to 1023"),
        ({"feedback_line": OUT}, r"a different number for every line, found 17, 17"),
        ({"pump_ms": 100}, r"heartbeat_line and pump_ms together"),
        ({"heartbeat_line": HEARTBEAT}, r"heartbeat_line and pump_ms together"),
        ({"active_low": 2}, r"relay.options.active_low: expected one of 0, 1, found 2"),
        ({"debounce_ms": 51}, r"relay.options.debounce_ms"),
    ],
)
def test_wrong_options_are_named(options, complaint, chip):
    with pytest.raises(ConfigError, match=complaint):
        Gpio(settings_of(**options), request=chip.request_lines)


def test_a_line_must_be_named():
    with pytest.raises(ConfigError, match=r"relay.options: expected line.*, found none"):
        promised(BoardSettings("gpio", "/dev/gpiochip0"))


def test_a_line_in_use_is_named(chip, opened):
    opened()
    with pytest.raises(DeviceMissing, match=r"relay.port: /dev/gpiochip0: expected a GPIO chip .* busy"):
        opened()


@pytest.mark.parametrize("line", [32, 900])
def test_a_line_that_the_chip_does_not_have_is_named(line, chip):
    with pytest.raises(DeviceMissing, match="offset out of range"):
        Gpio(settings_of(line=line), request=chip.request_lines)


def test_a_missing_chip_is_named():
    with pytest.raises(DeviceMissing, match=r"relay.port: /dev/gpiochip99: expected a GPIO chip"):
        Gpio(BoardSettings("gpio", "/dev/gpiochip99", options={"line": 1}))


@pytest.mark.parametrize(("module", "found"), [(None, "none"), (object(), "gpiod 1")])
def test_a_missing_or_old_library_is_named(module, found, chip, monkeypatch):
    monkeypatch.setitem(sys.modules, "gpiod", module)
    with pytest.raises(ConfigError, match=f"expected the Python package gpiod 2, found {found}"):
        Gpio(settings_of(), request=chip.request_lines)


def test_a_contact_that_went_and_came_back_between_two_looks_has_not_followed(chip, opened):
    relay = opened(feedback_line=FEEDBACK)
    chip.drive(FEEDBACK, False, at_ns=1)
    assert relay.contactor_open() is True
    for at_ns, high in ((2, True), (3, False)):  # closed for a moment, without a command
        chip.drive(FEEDBACK, high, at_ns)
    assert relay.contactor_open() is False
    assert relay.contactor_open() is True
    relay.write(ON)
    chip.drive(FEEDBACK, True, at_ns=4)
    assert relay.contactor_open() is False
    for at_ns, high in ((5, False), (6, True)):  # bounced while it should be closed
        chip.drive(FEEDBACK, high, at_ns)
    assert relay.contactor_open() is True
    assert relay.contactor_open() is False


# The fake and the library ------------------------------------------------------------------


def test_the_fake_has_the_methods_that_are_used_and_the_library_has_them_too():
    import gpiod

    used = {name for name in vars(LineRequest) if name in vars(FakeRequest) and not name.startswith("__init")}
    used -= {"__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__qualname__"}
    assert used == {"get_value", "set_value", "wait_edge_events", "read_edge_events", "release", "__bool__"}
    for name in used:
        ours, theirs = (inspect.signature(getattr(one, name)) for one in (FakeRequest, gpiod.LineRequest))
        assert list(ours.parameters)[1:] == list(theirs.parameters)[1 : len(ours.parameters)], name
    ours, theirs = (inspect.signature(one) for one in (FakeChip.request_lines, gpiod.request_lines))
    assert set(ours.parameters) - {"self"} <= set(theirs.parameters)


# A chip of the kernel ----------------------------------------------------------------------


def test_a_chip_of_the_kernel_follows_and_is_followed(simulated_chip):
    path, lines = simulated_chip
    relay = Gpio(BoardSettings("gpio", path, options={"line": 1, "feedback_line": 2, "debounce_ms": 0}))
    value = lines / "sim_gpio1" / "value"
    assert value.read_text().strip() == "0"
    relay.write(ON)
    assert value.read_text().strip() == "1"
    assert relay.contactor_open() is False
    before_ns = time.monotonic_ns()
    (lines / "sim_gpio2" / "pull").write_text("pull-down")
    assert relay.contactor_open() is True
    assert before_ns <= relay.feedback_edges_ns[-1] <= time.monotonic_ns()
    relay.write(OFF)
    assert value.read_text().strip() == "0"
    relay.close()
