"""The simulated scene as a source of frames: repeatable, paced, endable."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from handguard.capture.simulated import SimulatedScene
from handguard.errors import ConfigError, DeviceError, EndOfVideo
from handguard.types import Frame

WIDTH_PX, HEIGHT_PX = 480, 270
PERIOD_NS = round(1e9 / 30)


class HandClock:
    """A clock that only moves when somebody waits or pushes it."""

    def __init__(self) -> None:
        self.at_ns = 7_000_000_000

    def now_ns(self) -> int:
        return self.at_ns

    def wait_s(self, seconds: float) -> None:
        self.at_ns += max(1, round(seconds * 1e9))


def scene(seed: int = 5, **options: object) -> SimulatedScene:
    return SimulatedScene(seed, WIDTH_PX, HEIGHT_PX, **options)  # type: ignore[arg-type]


def live_scene(clock: HandClock, seed: int = 5) -> SimulatedScene:
    return scene(seed, live=True, clock=clock, wait_s=clock.wait_s)


def frames(source: SimulatedScene, count: int) -> list[Frame]:
    return [source.read() for _ in range(count)]


def test_the_same_seed_draws_the_same_pictures() -> None:
    one, other = frames(scene(), 70), frames(scene(), 70)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, other, strict=True))


def test_another_seed_draws_other_pictures() -> None:
    assert not np.array_equal(scene(5).read().image, scene(6).read().image)


def test_no_two_frames_are_equal_even_of_an_empty_table() -> None:
    pictures = [frame.image.tobytes() for frame in frames(scene(), 20)]
    assert len(set(pictures)) == len(pictures)


def test_virtual_time_counts_periods_from_zero() -> None:
    got = frames(scene(), 5)
    assert [frame.seq for frame in got] == [0, 1, 2, 3, 4]
    assert [frame.captured_ns for frame in got] == [round(k * 1e9 / 30) for k in range(5)]


def test_live_frames_come_at_thirty_a_second_on_the_given_clock() -> None:
    clock = HandClock()
    source = live_scene(clock)
    got = frames(source, 40)
    assert source.started_ns == 7_000_000_000
    due = [source.started_ns + round(k * 1e9 / 30) for k in range(40)]
    assert all(0 <= frame.captured_ns - at < 1_000 for frame, at in zip(got, due, strict=True))


def test_live_stamps_strictly_increase_on_the_real_clock() -> None:
    stamps = [frame.captured_ns for frame in frames(scene(live=True), 12)]
    assert all(later > earlier for earlier, later in pairwise(stamps))


def test_a_late_reader_loses_frames_and_sees_the_gap() -> None:
    clock = HandClock()
    source = live_scene(clock)
    frames(source, 3)
    clock.at_ns += 10 * PERIOD_NS
    late, following = frames(source, 2)
    assert late.seq == 12
    assert following.seq == 13


def test_a_live_picture_shows_its_own_number_of_the_virtual_scene() -> None:
    clock = HandClock()
    live = frames(live_scene(clock), 4)[3]
    assert np.array_equal(live.image, frames(scene(), 4)[3].image)


def test_a_finite_scene_ends_with_end_of_video() -> None:
    source = scene(duration_s=0.1)
    assert [frame.seq for frame in frames(source, 3)] == [0, 1, 2]
    with pytest.raises(EndOfVideo, match="3 frames"):
        source.read()


def test_a_closed_scene_refuses_to_read_and_closes_twice() -> None:
    source = scene()
    source.close()
    source.close()
    with pytest.raises(DeviceError, match="closed"):
        source.read()


def test_interrupt_ends_a_wait_in_progress() -> None:
    clock = HandClock()
    source = scene(live=True, clock=clock, wait_s=lambda _: source.interrupt())
    source.read()
    with pytest.raises(DeviceError, match="closed"):
        source.read()


@pytest.mark.parametrize(("seed", "width_px", "height_px"), [(-1, 480, 270), (0, 480, 480), (0, 160, 90)])
def test_a_scene_that_cannot_be_drawn_is_refused(seed: int, width_px: int, height_px: int) -> None:
    with pytest.raises(ConfigError, match=r"simulated scene: .* expected .* found"):
        SimulatedScene(seed, width_px, height_px)


def test_the_time_to_draw_a_frame_is_reported(record_property: pytest.RecordProperty) -> None:
    source = SimulatedScene(7)
    spent_ms = []
    for _ in range(150):
        begun_ns = time.perf_counter_ns()
        source.read()
        spent_ms.append((time.perf_counter_ns() - begun_ns) / 1e6)
    p50, p99 = np.percentile(spent_ms, (50, 99))
    record_property("render_ms", {"p50": round(float(p50), 2), "p99": round(float(p99), 2)})
    print(f"1280x720: p50 {p50:.2f} ms, p99 {p99:.2f} ms a frame")
    assert len(spent_ms) == 150
