"""Peers that are missing, die or lie are said and left out, and take no numbers of others with them."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from benchmarks.peers import __main__ as bench
from benchmarks.peers import speaker as speakers
from benchmarks.peers.speaker import Peer, PeerError, Speaker
from handguard.detection.backends.torch_engine import TorchEngine
from handguard.detection.card import DEFAULT, Card, OperatingPoint, locate, read_card, write_card
from handguard.detection.detector import HandDetector, Region
from handguard.detection.postprocess import Thresholds
from handguard.detection.weights import load_network, save_model
from handguard.types import Frame
from tests.networks import loud_network

HERE = Path(sys.executable)
CARD = Card("tiny", "palmnet-s", ("hand", "gloved_hand"), (128, 128), OperatingPoint(0.5), "", "sigmoid", 32)
PEER = """
import sys
sys.path.insert(0, {folder!r})
from speaking import answer
calls = 0
def detect(picture):
    global calls
    calls += 1
    {act}
answer({name!r}, detect)
"""
WARM_UP = 2  # all of the pictures


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    path = tmp_path / "pictures.npy"
    np.save(path, np.zeros((2, 4, 4, 3), np.uint8))
    return path


def peer(folder: Path, name: str, act: str = "pass") -> Peer:
    """A program that speaks as all peers do, and does `act` to each picture."""
    script = folder / f"{name}.py"
    script.write_text(PEER.format(folder=str(speakers.HERE), name=f"{name} 1.0", act=act))
    return Peer(name, HERE, str(script))


@pytest.fixture
def two_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PICTURES", 2)


def test_a_peer_that_dies_is_left_out_and_the_others_go_on(tmp_path: Path, pictures: Path, two_pictures, capsys):
    act = f"if calls == {WARM_UP + 3}: raise MemoryError('no room for another picture')"
    wanted = [peer(tmp_path, bench.US), peer(tmp_path, "frail", act), peer(tmp_path, "steady")]
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        told = bench.started(wanted, pictures, left_out, stack.enter_context)
        times = bench.in_turns(told, 6, left_out)
    assert {name: len(own) for name, own in times.items()} == {bench.US: 6, "steady": 6}
    (why,) = left_out.values()
    assert why == (
        "frail: expected milliseconds, found it ended with 1: MemoryError: no room for another picture, in round 3 of 6"
    )
    assert f"LEFT OUT  frail: {why}" in capsys.readouterr().err
    assert bench.row("steady", "steady 1.0", times)["times_ours"] > 0


def test_nothing_is_told_without_ourselves(tmp_path: Path, pictures: Path, two_pictures):
    ours = peer(tmp_path, bench.US, f"if calls == {WARM_UP + 2}: sys.exit(3)")
    with ExitStack() as stack:
        told = bench.started([ours], pictures, {}, stack.enter_context)
        with pytest.raises(SystemExit, match=r"itself cannot be timed, so nothing was kept: .* ended with 3"):
            bench.in_turns(told, 6, {})


def test_one_that_cannot_begin_says_why(tmp_path: Path, pictures: Path):
    with pytest.raises(PeerError, match=r"\.cache/none/bin/python: expected the Python of an environment .*make peers"):
        Speaker(Peer("absent", Path(".cache/none/bin/python"), "x.py"), pictures)
    with pytest.raises(PeerError, match=r"lame: expected who it is, found it ended with 1: ImportError: no library$"):
        Speaker(peer(tmp_path, "lame", "raise ImportError('no library')"), pictures)
    (tmp_path / "no-program").write_text("")
    with pytest.raises(PeerError, match="no-program: expected a program that runs, found Permission denied"):
        Speaker(Peer("plain file", tmp_path / "no-program", "x.py"), pictures)


def test_an_answer_that_is_no_number_is_said(tmp_path: Path, pictures: Path):
    script = tmp_path / "chatty.py"
    script.write_text("print('chatty 1.0', flush=True)\ninput()\nprint('about a second', flush=True)\ninput()")
    expected = pytest.raises(PeerError, match="chatty: expected milliseconds, found 'about a second'")
    with Speaker(Peer("chatty", HERE, str(script)), pictures) as chatty, expected:
        chatty.took_ms(0)


def run_of(*names: str, **left_out: str) -> dict:
    return {"programs": [{"name": name, "is": name, "times_ours": 2.0} for name in names], "left_out": left_out}


def test_a_run_that_lost_a_peer_does_not_take_the_place_of_a_fuller_one():
    full, poor = run_of("us", "a", "b"), run_of("us", "a", b="no environment")
    assert bench.chosen(full, poor) == full | {"newer_run_lacked": {"b": "no environment"}}
    assert bench.complaints(full, poor, Path("peers.json")) == [
        "LEFT OUT  b: no environment",
        "KEPT      peers.json: the earlier numbers, for this run lost b",
        "`make peers` makes the environments they run in (docs/performance.md, Peers)",
    ]
    again = bench.chosen(bench.chosen(full, poor), run_of("us", a="gone", b="gone"))
    assert (again["programs"], again["newer_run_lacked"]) == (full["programs"], {"a": "gone", "b": "gone"})
    assert bench.chosen(again, full) == full
    assert bench.complaints(again, full, Path("peers.json")) == []


@pytest.mark.parametrize("earlier", [None, run_of("us", "a", b="no environment"), run_of("us")])
def test_a_run_that_lost_none_is_kept(earlier):
    poor = run_of("us", "a", b="no environment")
    assert bench.chosen(earlier, poor) == poor


def test_an_earlier_file_that_cannot_be_read_is_told_before_anything_is_measured(tmp_path: Path):
    assert bench.kept_before(tmp_path / "none.json") is None
    for text in ("{", "[]", "{}", "3"):
        (tmp_path / "peers.json").write_text(text)
        with pytest.raises(SystemExit, match=r"peers\.json: expected the numbers of an earlier run"):
            bench.kept_before(tmp_path / "peers.json")


def test_the_readme_says_who_is_missing_and_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(speakers.HERE.parent))  # as when it is run as a program
    import speed

    about = {"pictures": "24 of a.mp4", "priority": "ordinary priority"}
    full, poor = run_of("us", "a") | about, run_of("us", a="it died") | about
    assert speed._peers(full)[-1] == "| a | 2.0 |"
    assert speed._peers(poor)[-2:] == ["", "- Not measured: a (it died)."]
    older = bench.chosen(full, poor)
    assert speed._peers(older)[-1] == "- From an earlier run, for the newest had to do without a (it died)."
    assert speed._peers(None) == ["Peers were not measured."]


def test_cameras_that_stopped_nothing_are_told_without_numbers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(speakers.HERE.parent))
    import speed

    nothing = {"count": 0, "p50": None, "p99": None, "p999": None, "max": None}
    stops = {"count": 3, "p50": 2.0, "p99": 4.0, "p999": 4.0, "max": 4.0}
    assert speed._worst([nothing, stops]) == stops
    assert speed._row("off", speed._worst([nothing, nothing]), 1.0) == "| off (0) | – | – | – | – |"


def film(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        rng = np.random.default_rng(1)
        for _ in range(12):
            small = rng.integers(0, 255, (9, 16, 3), dtype=np.uint8)
            picture = cv2.resize(small, (320, 180), interpolation=cv2.INTER_CUBIC)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode())


@pytest.mark.needs_module("onnx")
def test_the_command_measures_who_is_here_and_keeps_what_it_cannot_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(bench, "PICTURES", 2)
    out = tmp_path / "peers.json"
    film(tmp_path / "film.mp4")
    earlier = run_of(bench.US, "MediaPipe Hands, following", bench.OPENCV)
    out.write_text(json.dumps(earlier))
    absent = ["--torchvision", ".cache/none", "--mediapipe", ".cache/none"]
    monkeypatch.setattr(sys, "argv", ["peers", str(tmp_path / "film.mp4"), "--rounds", "2", "--out", str(out), *absent])
    assert bench.main() == 1
    kept = json.loads(out.read_text())
    assert kept["programs"] == earlier["programs"]
    assert len(kept["newer_run_lacked"]) == 4
    said = capsys.readouterr()
    assert f"| OpenCV DNN {cv2.__version__}, {DEFAULT} " in said.out
    assert "the earlier numbers, for this run lost MediaPipe Hands, following" in said.err
    assert said.err.rstrip().endswith("(docs/performance.md, Peers)")


@pytest.mark.needs_module("onnx")
def test_opencv_reads_scores_as_the_card_of_the_model_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_model(loud_network((128, 128)), CARD, tmp_path)
    model, files = str(tmp_path / "tiny"), locate(str(tmp_path / "tiny"))
    bench.write_our_network(tmp_path, model)
    monkeypatch.syspath_prepend(str(speakers.HERE))
    import opencv_peer

    patches = np.random.default_rng(2).integers(0, 255, (18, 32, 3), dtype=np.uint8)
    picture = cv2.resize(patches, (1280, 720), interpolation=cv2.INTER_NEAREST)
    width, height = np.load(tmp_path / "input_px.npy").tolist()
    engine = TorchEngine(load_network(files, CARD, (width, height)), (width, height))
    found = []
    for point in (OperatingPoint(0.3, 0.6), OperatingPoint(0.33, 0.4)):
        write_card(replace(read_card(files), operating_point=point), files.card)
        told, detect = opencv_peer.detector_of(tmp_path, model)
        assert told == f"OpenCV DNN {cv2.__version__}, tiny {width}x{height} float32"
        limits = Thresholds(point.min_score, point.max_overlap, one_class_per_hand=True)
        ours = HandDetector(CARD, engine, limits, Region(0, 0, 1280, 720)).detect(Frame(0, 0, picture))
        np.testing.assert_allclose(detect(picture), ours.boxes_px, atol=0.5)
        found.append(len(ours))
    assert found[0] > found[1] > 0


def test_environments_are_sought_where_make_puts_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["peers", "film.mp4"])
    asked: argparse.Namespace = bench._asked()
    wanted = {one.python.as_posix() for one in bench.peers(asked, Path("scratch")) if one.python != HERE}
    makefile = (speakers.ROOT / "Makefile").read_text()
    assert wanted == {f".cache/peers/{name}/bin/python" for name in ("torchvision", "mediapipe")}
    assert ".cache/peers/$$peer" in makefile and "for peer in torchvision mediapipe" in makefile
