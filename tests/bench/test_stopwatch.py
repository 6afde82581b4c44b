"""The clocks round every kind of detector; the path of a graphics card runs here on the CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from handguard.bench import bare, bench, worker
from handguard.bench.bare import in_turns
from handguard.bench.course import Order, _require_in_order, run_course
from handguard.bench.pictures import Footage
from handguard.bench.stopwatch import STAGES, TimedDetector
from handguard.bench.telling import draw_histogram, stop_path
from handguard.config import Settings, load
from handguard.detection.backends import device_engine
from handguard.detection.backends.device_engine import DeviceEngine
from handguard.detection.backends.torch_engine import TorchEngine
from handguard.detection.card import Card, OperatingPoint
from handguard.detection.detector import HandDetector, Region
from handguard.detection.device_detector import DetectorWithStandby, DeviceDetector
from handguard.detection.postprocess import Thresholds
from handguard.detection.ssd import Ssd
from handguard.errors import DeviceError, DeviceReplaced
from handguard.types import Frame, PictureFormat
from tests.networks import loud_network

ROOT = Path(__file__).parents[2]
CARD = Card("tiny", "palmnet-s", ("hand", "gloved_hand"), (128, 96), OperatingPoint(0.05), "", "sigmoid", 32)
LIMITS = Thresholds(0.05, one_class_per_hand=True)
WHOLE = Region(0, 0, 128, 96)
LOST_AFTER_S = 2.0  # of a run of 4 s
pytestmark = pytest.mark.usefixtures("one_thread")


def on_device() -> DeviceDetector:
    network = loud_network((128, 96)).requires_grad_(False)
    return DeviceDetector(CARD, DeviceEngine(network, (128, 96), "cpu", "float32"), LIMITS, WHOLE)


def on_host() -> HandDetector:
    return HandDetector(CARD, TorchEngine(loud_network((128, 96)), (128, 96)), LIMITS, WHOLE)


def frame(number: int) -> Frame:
    return Frame(number, 0, np.random.default_rng(number).integers(0, 255, (96, 128, 3), dtype=np.uint8))


def lose(engine: DeviceEngine) -> None:
    """From now on the device answers every call as a card that fell off the bus does."""

    def gone(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: device not ready or lost")

    engine._network.register_forward_pre_hook(gone)


def passes_every_clock(timed: TimedDetector, number: int) -> None:
    """One frame, judged between now and now, with the network's two clocks between the detector's."""
    began = time.monotonic_ns()
    assert len(timed.detect(frame(number))) > 0
    clocks = [began, timed.asked_ns, timed.network.fed_ns, timed.network.answered_ns, time.monotonic_ns()]
    assert clocks == sorted(clocks)
    assert timed.network.answered_ns - timed.network.fed_ns > 100_000  # a network, not two clocks in a row


@pytest.mark.parametrize("kind", [on_host, on_device])
def test_every_detector_passes_every_clock_and_finds_what_it_found_before(kind):
    plain, timed = kind(), TimedDetector(kind())
    for number in range(2):
        passes_every_clock(timed, number)
        expected = plain.detect(frame(number))
        np.testing.assert_array_equal(timed.detect(frame(number)).boxes_px, expected.boxes_px)
    assert timed.whole_path is (kind is on_device)
    assert timed.description == plain.description


def test_a_standby_is_timed_from_its_first_frame_and_names_itself():
    first = on_device()
    engine = first.engine
    timed = TimedDetector(DetectorWithStandby(first, on_host()))
    passes_every_clock(timed, 0)
    lose(engine)
    with pytest.raises(DeviceReplaced):
        timed.detect(frame(1))
    for number in (2, 3):
        passes_every_clock(timed, number)
    assert "was lost" in timed.description


def test_frames_that_passed_no_clock_are_no_measurement():
    rows = np.cumsum(np.ones((3, 8)), axis=1)
    _require_in_order(rows)
    rows[1, 3:5] = 0  # the network's clocks, never passed
    with pytest.raises(DeviceError, match=r"in the order captured, taken, .*, found another order in 1 of 3 frames"):
        _require_in_order(rows)


class Lent(DeviceEngine):
    """The engine of a card, on the CPU; under a card's name, so that it may have a standby."""

    lost_at_s = float("inf")  # on the monotonic clock

    def __init__(self, network: Ssd, input_px: tuple[int, int], _: str, __: str) -> None:
        super().__init__(network, input_px, "cpu", "float32")
        self.description = "torch cuda float32 graph"

        def gone(*_: object) -> None:
            if time.monotonic() > Lent.lost_at_s:
                raise torch.AcceleratorError("CUDA error: device not ready or lost")

        self._network.register_forward_pre_hook(gone)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The drawn scene, before the path of a graphics card with a standby."""
    monkeypatch.setattr(device_engine, "DeviceEngine", Lent)
    text = (ROOT / "configs/demo.yaml").read_text().replace("1280", "640").replace("720", "360")
    (tmp_path / "site.yaml").write_text(text)
    settings = load(tmp_path / "site.yaml")
    detector = settings.detector.model_copy(
        update={"model": "palmnet-s", "backend": "torch-cuda", "if_device_lost": "cpu"}  # a CPU runs it here
    )
    return settings.model_copy(update={"detector": detector})


def test_a_whole_run_on_a_device_is_timed_and_told_as_what_it_is(site: Settings, tmp_path: Path):
    result = run_course(site, Order(60, recorder=False, viewer=False, realtime=False), tmp_path / "run")
    assert result["judged"] > 5
    assert result["whole_path"]
    assert "standby openvino" in result["detector"]
    assert not [notice for notice in result["notices"] if "two detectors" in notice]
    assert all(result["ms"][stage]["p50"] >= 0 for stage in STAGES)
    assert result["ms"]["network"]["p50"] > 10 * result["ms"]["preprocess"]["p50"]
    assert "device: resize, network, boxes, NMS" in told(result)
    draw_histogram([result], tmp_path / "times.png")
    assert (tmp_path / "times.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_loses_its_device_goes_on_timed_and_says_so(
    site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def begin() -> None:
        monkeypatch.setattr(Lent, "lost_at_s", time.monotonic() + LOST_AFTER_S)

    order = Order(120, recorder=False, viewer=False, realtime=False)
    result = run_course(site, order, tmp_path / "run", ready=begin)
    assert "was lost" in result["detector"]
    assert result["locked_out_by"] == ""
    (notice,) = [notice for notice in result["notices"] if "two detectors" in notice]
    assert "torch cuda float32 graph" in notice
    assert all(result["ms"][stage]["p50"] >= 0 for stage in STAGES)


def test_the_bare_network_of_a_device_is_told_for_what_it_is(site: Settings):
    result = in_turns(site, rounds=5)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER, "the precedence of a live run was kept"
    assert result["whole_path"]
    assert result["bare_ms"]["min"] > 0


@pytest.mark.parametrize("realtime", [True, False])
def test_the_bare_network_runs_as_the_live_one_does(site: Settings, monkeypatch: pytest.MonkeyPatch, realtime: bool):
    asked: list[tuple[int, ...] | str] = []

    class Precedence:
        def __init__(self, cores: Collection[int] = ()) -> None:
            asked.append(tuple(cores))

        def take(self) -> None:
            asked.append("taken")

        def give_back(self) -> None:
            asked.append("given back")

    monkeypatch.setattr(bare, "Precedence", Precedence)
    monkeypatch.setattr(bare, "detector_of", lambda *_: on_device())
    noise = Footage("noise", PictureFormat(128, 96, 30.0), (frame(0).image,), (frame(1).image,))
    monkeypatch.setattr(bare, "footage_of", lambda _: noise)
    pinned = site.detector.model_copy(update={"cores": (1,)})
    in_turns(site.model_copy(update={"detector": pinned}), rounds=1, realtime=realtime)
    assert asked == ([(1,), "taken", "given back"] if realtime else [])


@pytest.mark.parametrize("realtime", [True, False])
def test_what_the_bench_was_asked_for_reaches_the_bare_network(monkeypatch: pytest.MonkeyPatch, realtime: bool):
    def measured_here(order: dict[str, Any]) -> Any:
        return worker.MEASUREMENTS[order["do"]](order)

    monkeypatch.setattr(bench, "measured", measured_here)
    monkeypatch.setattr(bench, "streams", lambda *_: [])
    monkeypatch.setattr(bare, "in_turns", lambda *_, realtime=True: {"realtime": realtime})
    request = bench.Request(ROOT / "configs/demo.yaml", realtime=realtime, starts=0)
    assert bench.bench(request)["bare"] == {"realtime": realtime}


def told(stream: dict[str, object]) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(stop_path(stream, "stop path"))
    return captured.get()
