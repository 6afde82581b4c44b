"""Camera trust: frozen, dark and overexposed pictures are not believed, and live ones are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from handguard.safety.camera_trust import BRIGHT, DARK, FROZEN, SAMPLE_STEP_PX, Limits, Memory, look

LIMITS = Limits()


def noisy(seed: int, mean: int = 120) -> NDArray[np.uint8]:
    """A live picture: no two are equal."""
    noise = np.random.default_rng(seed).integers(-5, 6, (48, 64, 3))
    return np.clip(mean + noise, 0, 255).astype(np.uint8)


def flat(value: int) -> NDArray[np.uint8]:
    return np.full((48, 64, 3), value, np.uint8)


def reasons_of(images: list[NDArray[np.uint8]], limits: Limits = LIMITS) -> list[set[str]]:
    """What is said about each picture of a sequence."""
    memory, said = Memory(), []
    for image in images:
        memory, reasons = look(memory, image, limits)
        said.append(set(reasons))
    return said


def test_a_live_picture_is_believed():
    assert reasons_of([noisy(i) for i in range(20)]) == [set()] * 20


def test_a_frozen_picture_is_found_out_at_its_third_showing():
    assert reasons_of([noisy(1)] * 4) == [set(), set(), {FROZEN}, {FROZEN}]


def test_repeats_count_only_in_a_row():
    live, stuck = noisy(1), noisy(2)
    assert reasons_of([stuck, stuck, live, stuck, stuck, live]) == [set()] * 6


def test_a_picture_that_moves_again_is_believed_again():
    assert reasons_of([noisy(1)] * 5 + [noisy(2)])[-1] == set()


def test_how_many_repeats_are_frozen_is_a_setting():
    said = reasons_of([noisy(1)] * 7, Limits(frozen_after_repeats=5))
    assert said == [set()] * 5 + [{FROZEN}] * 2


def test_one_changed_sample_is_enough_to_be_alive():
    still = noisy(1)
    alive = still.copy()
    alive[SAMPLE_STEP_PX, SAMPLE_STEP_PX, 2] += 1
    assert reasons_of([still, still, alive]) == [set()] * 3


def test_the_sample_is_every_eighth_pixel_both_ways():
    memory, _ = look(Memory(), noisy(1), LIMITS)
    assert memory.sample is not None
    assert len(memory.sample) == 6 * 8 * 3


def test_the_sample_does_not_change_with_the_picture_it_was_taken_from():
    image = noisy(1)
    memory, _ = look(Memory(), image, LIMITS)
    image[:] = 0
    assert memory.sample is not None
    assert min(memory.sample) > 0


def test_a_picture_of_another_size_is_not_a_repeat():
    memory, _ = look(Memory(), flat(100), LIMITS)
    memory, _ = look(memory, np.full((24, 64, 3), 100, np.uint8), LIMITS)
    assert memory.repeats == 0


def test_a_lens_cap_is_dark_at_its_third_frame():
    assert reasons_of([noisy(i, mean=4) for i in range(4)]) == [set(), set(), {DARK}, {DARK}]


def test_a_lamp_in_the_lens_is_overexposed_at_its_third_frame():
    assert reasons_of([noisy(i, mean=252) for i in range(4)]) == [set(), set(), {BRIGHT}, {BRIGHT}]


def test_bad_exposure_counts_only_in_a_row():
    dark, bright, good = noisy(1, 4), noisy(2, 252), noisy(3)
    assert reasons_of([dark, dark, good, dark, dark, bright, bright, dark]) == [set()] * 8


@pytest.mark.parametrize(("value", "reasons"), [(12, set()), (11, {DARK}), (243, set()), (244, {BRIGHT})])
def test_the_limits_of_exposure_are_still_believed(value: int, reasons: set[str]):
    patient = Limits(frozen_after_repeats=9)
    assert reasons_of([flat(value)] * 3, patient)[-1] == reasons


def test_frozen_and_dark_are_both_said():
    assert reasons_of([flat(0)] * 3)[-1] == {FROZEN, DARK}


def test_a_picture_smaller_than_the_step_is_judged_too():
    assert reasons_of([np.full((1, 1, 3), 100, np.uint8)] * 3)[-1] == {FROZEN}


def test_what_is_called_what_by_others():
    assert (FROZEN, DARK, BRIGHT) == ("frozen", "dark", "overexposed")
    assert SAMPLE_STEP_PX == 8
    assert Limits(2, 12.0, 243.0, 3) == LIMITS
    assert (Memory().sample, Memory().repeats, Memory().dark, Memory().bright) == (None, 0, 0, 0)


@pytest.mark.parametrize("name", ["frozen_after_repeats", "exposure_frames"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_a_count_that_would_switch_a_test_off_is_refused(name: str, value: float):
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"^{name}: expected a finite number of at least 1, found {value}$"):
        Limits(**wrong)
    assert Limits(**{name: 1}) != LIMITS


@pytest.mark.parametrize(
    ("darkest", "brightest"),
    [(0, 243), (12, 255), (100, 100), (243, 12), (math.nan, 243), (12, math.nan), (-1, 300)],
)
def test_exposure_limits_that_would_switch_a_test_off_are_refused(darkest: float, brightest: float):
    found = f"^expected 0 < darkest_mean < brightest_mean < 255, found {darkest:g} and {brightest:g}$"
    with pytest.raises(ValueError, match=found):
        Limits(darkest_mean=darkest, brightest_mean=brightest)


def test_exposure_limits_at_the_ends_of_the_scale_are_allowed():
    assert Limits(darkest_mean=0.5, brightest_mean=254.5).darkest_mean == 0.5


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (719, 1281), (720, 1280)])
def test_the_sample_is_every_eighth_pixel_of_every_eighth_row(size: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    memory, _ = look(Memory(), image, LIMITS)
    assert memory.sample is not None
    sampled = image[::SAMPLE_STEP_PX, ::SAMPLE_STEP_PX]
    assert memory.sample == b"".join(sampled[:, :, color].tobytes() for color in range(3))


@pytest.mark.parametrize("mean", [11, 12, 13, 242, 243, 244])
def test_the_bounds_of_exposure_are_exact(mean: int):
    said = reasons_of([flat(mean)] * 3, Limits(frozen_after_repeats=100))[-1]
    assert said == ({DARK} if mean < 12 else {BRIGHT} if mean > 243 else set())
