"""The time of a start is that of a frame that was judged, or it is no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from handguard import watch
from handguard.bench import starting
from handguard.config import Settings, load
from handguard.detection.backends import cache, openvino_engine
from handguard.detection.card import Card, OperatingPoint
from handguard.detection.weights import save_model
from handguard.errors import DeviceError
from tests.networks import loud_network

ROOT = Path(__file__).parents[2]
CARD = Card("tiny", "palmnet-s", ("hand", "gloved_hand"), (128, 128), OperatingPoint(0.05), "", "sigmoid", 32)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A measurement changes its process, which is to be a fresh one; here it is not."""
    for maker in starting.MAKERS:
        monkeypatch.setattr(watch, maker, getattr(watch, maker))
    monkeypatch.setattr(cache, "ROOT", tmp_path / "cache")
    monkeypatch.setattr(openvino_engine, "CACHE", tmp_path / "cache" / "openvino")


def site(folder: Path, spoilt: bool) -> Settings:
    """The drawn scene before a small network; a spoilt one answers with numbers that are none."""
    network = loud_network((128, 128)).requires_grad_(False)
    if spoilt:
        network.box_head.predictors[0].bias.fill_(float("nan"))
    save_model(network, CARD, folder)
    text = (ROOT / "configs/demo.yaml").read_text().replace("1280", "320").replace("720", "180")
    (folder / "site.yaml").write_text(text)
    settings = load(folder / "site.yaml")
    return settings.model_copy(
        update={"detector": settings.detector.model_copy(update={"model": str(folder / "tiny")})}
    )


def test_a_start_ends_with_the_first_judged_frame(tmp_path: Path):
    told = starting.started(site(tmp_path, spoilt=False), tmp_path / "out")
    assert 0 < told["stages_s"]["first frame"] < starting.PATIENCE_S
    assert sum(told["stages_s"].values()) == pytest.approx(told["total_s"], abs=0.02)


def test_a_start_after_which_nothing_is_judged_is_an_error_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(starting, "PATIENCE_S", 1.0)
    with pytest.raises(DeviceError, match=r"start: expected a first frame judged within 1 s, found none \(.*finite"):
        starting.started(site(tmp_path, spoilt=True), tmp_path / "out")
