"""The reset button on a line of the computer: levels and edges that belong together, and what counts as a press."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from handguard.errors import DeviceError, DeviceMissing
from handguard.relay.gpio_reset import GpioReset
from handguard.relay.simulated_gpio import FakeChip
from handguard.safety.interlock import Limits, Memory, Observation, step
from handguard.types import Button, State

BUTTON = 5
MS = 1_000_000
LIMITS = Limits(max_frame_age_ns=100 * MS, edm_timeout_ns=50 * MS, free_frames=3)

pytestmark = pytest.mark.needs_module("gpiod")


@pytest.fixture
def chip() -> FakeChip:
    return FakeChip()


@pytest.fixture
def button(chip):
    button = GpioReset(chip.path, BUTTON, 20, request=chip.request_lines)
    yield button
    button.close()
    button.close()


def test_it_is_down_while_it_is_held_to_ground_since_the_kernels_stamp(chip, button):
    assert button.read() == Button(down=False, since_ns=None)
    chip.drive(BUTTON, False, at_ns=11)
    assert button.read() == button.read() == Button(down=True, since_ns=11)
    chip.drive(BUTTON, True, at_ns=12)
    assert button.read() == Button(down=False, since_ns=12)


def test_the_line_is_pulled_up_debounced_and_stamped_by_the_kernel(chip, button):
    wanted = chip.settings[BUTTON]
    assert wanted.debounce_period == timedelta(milliseconds=20)
    assert (wanted.bias.name, wanted.edge_detection.name, wanted.event_clock.name) == (
        "PULL_UP", "BOTH", "MONOTONIC",
    )  # fmt: skip
    assert wanted.active_low


def test_a_button_held_from_the_beginning_has_no_edge(chip):
    chip.levels[BUTTON] = False
    assert GpioReset(chip.path, BUTTON, 0, request=chip.request_lines).read() == Button(down=True)


def test_an_edge_that_comes_while_it_is_read_has_the_level_read_again(chip, button, monkeypatch):
    level, late = chip.is_active, [lambda: chip.drive(BUTTON, False, at_ns=21)]

    def overtaken(line: int) -> bool:
        found = level(line)
        while late:
            late.pop()()
        return found

    monkeypatch.setattr(chip, "is_active", overtaken)
    assert button.read() == Button(down=True, since_ns=21)


def test_a_chip_that_is_gone_is_an_error_and_no_level(chip, button):
    chip.is_gone = True
    with pytest.raises(DeviceError, match=r"/dev/gpiochip0 line 5: reading the reset button failed"):
        button.read()


def test_a_line_in_use_is_named(chip, button):
    with pytest.raises(DeviceMissing, match=r"reset.chip: /dev/gpiochip0: expected a GPIO chip with free lines 5"):
        GpioReset(chip.path, BUTTON, 20, request=chip.request_lines)


# With the interlock ------------------------------------------------------------------------


class Stand:
    """A free field before the interlock, at 30 frames a second, with this button."""

    def __init__(self, chip: FakeChip, button: GpioReset) -> None:
        self.chip, self.button, self.memory, self.now_ns = chip, button, Memory(), 0
        self.tick(3)
        assert self.memory.state is State.AWAIT_RESET

    def tick(self, n: int = 1) -> Stand:
        for _ in range(n):
            self.now_ns += 33 * MS
            found = self.button.read()
            seen = Observation(
                self.now_ns, self.now_ns, self.now_ns, False, found.down, True, reset_since_ns=found.since_ns
            )
            self.memory = step(self.memory, seen, LIMITS)
        return self

    def turn(self, is_down: bool, after_ms: float) -> Stand:
        """So long after the newest tick."""
        self.chip.drive(BUTTON, not is_down, self.now_ns + round(after_ms * MS))
        return self


@pytest.mark.parametrize(
    ("held_ms", "state"), [(99, State.AWAIT_RESET), (100, State.RUN), (3000, State.RUN), (3001, State.AWAIT_RESET)]
)
def test_a_press_is_measured_between_edges_to_the_millisecond(chip, button, held_ms, state):
    stand = Stand(chip, button).turn(True, after_ms=32)
    ticks, rest_ms = divmod(32 + held_ms, 33)
    stand.tick(ticks).turn(False, after_ms=rest_ms)
    assert stand.tick().memory.state is state


def test_a_button_that_chatters_between_ticks_is_no_press(chip, button):
    stand = Stand(chip, button)
    for _ in range(10):
        stand.turn(True, after_ms=1).turn(False, after_ms=30).turn(True, after_ms=31).tick()
    assert stand.turn(False, after_ms=1).tick().memory.state is State.AWAIT_RESET


def test_a_taped_button_is_stuck_from_the_first_tick_until_it_is_let_go(chip):
    chip.levels[BUTTON] = False
    stand = Stand(chip, GpioReset(chip.path, BUTTON, 20, request=chip.request_lines))
    assert stand.memory.reset_is_stuck
    assert stand.memory.cause == "free: reset button stuck"
    assert not stand.turn(False, after_ms=1).tick().memory.reset_is_stuck
    stand.turn(True, after_ms=1).tick(5).turn(False, after_ms=1)
    assert stand.tick().memory.state is State.RUN


# A chip of the kernel ----------------------------------------------------------------------


def test_a_line_of_the_kernel_is_read_and_stamped(simulated_chip):
    path, lines = simulated_chip
    button = GpioReset(path, 3, 0)
    assert button.read() == Button(down=False)
    before_ns = time.monotonic_ns()
    (lines / "sim_gpio3" / "pull").write_text("pull-down")
    found = button.read()
    assert found.down
    assert found.since_ns is not None and before_ns <= found.since_ns <= time.monotonic_ns()
    button.close()
