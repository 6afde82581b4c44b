"""What is wrong before the start: one message that names file, key, expected and found, and a relay never told ON."""
# ruff: noqa: E501  a row of a table is read as one line

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import serial
import yaml

from benchmarks.soak.site import CameraProgram
from handguard.cli import main
from handguard.detection.card import DEFAULT, SHIPPED
from handguard.relay.simulated_board import SimulatedBoard
from handguard.relay.simulated_model import BoardFaults
from tests.faults.bench import Bench
from tests.faults.fault import Fault, Reaction

SQUARE = [[10, 10], [90, 10], [90, 90], [10, 90]]
SOUND: dict[str, Any] = {
    "version": 1,
    "camera": {},
    "zones": [{"name": "blades", "role": "stop", "polygon": SQUARE}],
    "relay": {"driver": "simulated"},
    "evidence": {"clips": {"enabled": False}},
}
Settings = dict[str, Any]
Prepare = Callable[[Path, Settings, ExitStack], None]


@dataclass(frozen=True)
class Refused:
    """Start the program on settings that `prepare` has spoiled, or on a place that it has."""

    prepare: Prepare
    names: tuple[str, ...] = ()  # what else the message must name

    def __call__(self, fault: Fault, bench: Bench) -> None:
        place, settings = bench.folder(), deepcopy(SOUND)
        settings["evidence"]["dir"] = str(place / "runs")
        settings["camera"]["source"] = str(bench.supplies.folder)
        with ExitStack() as stack:
            self.prepare(place, settings, stack)
            file = place / "site.yaml"
            if not file.exists():
                file.write_text(yaml.safe_dump(settings))
            code, said = started(file, place / "out")
        assert code in (2, 3), (code, said)
        assert "Traceback" not in said
        for name in (fault.recorded, *self.names):
            assert name in said, f"expected {name!r} in: {said}"
        assert not any('"closed": true' in log.read_text() for log in place.rglob("*.jsonl"))


def started(file: Path, out: Path) -> tuple[object, str]:
    """What the command line answers in this process: its exit code, and all that it said on one line."""
    said, code = StringIO(), None
    with redirect_stderr(said), redirect_stdout(said):
        try:
            main(["run", "--config", str(file), "--out", str(out), "--duration", "0.1"])
        except SystemExit as ended:
            code = ended.code
    return code, " ".join(said.getvalue().split())


def key(dotted: str, value: object, *names: str) -> Refused:
    """One key of the settings is another."""

    def prepare(_: Path, settings: Settings, __: ExitStack) -> None:
        *blocks, last = dotted.split(".")
        block = settings
        for name in blocks:
            block = block.setdefault(name, {})
        block[last] = value

    return Refused(prepare, (dotted, *names))


def zone(*names: str, **changes: object) -> Refused:
    def prepare(_: Path, settings: Settings, __: ExitStack) -> None:
        settings["zones"][0] |= changes

    return Refused(prepare, ("zones", *names))


def text(content: bytes, *names: str) -> Refused:
    """The file of settings holds just this."""
    return Refused(lambda place, _, __: void((place / "site.yaml").write_bytes(content)), names)


def model(spoil: Callable[[Path], object], *names: str) -> Refused:
    """A copy of the shipped model, spoiled."""

    def prepare(place: Path, settings: Settings, _: ExitStack) -> None:
        for ending in ("json", "safetensors"):
            shutil.copy(SHIPPED / f"{DEFAULT}.{ending}", place)
        spoil(place / DEFAULT)
        settings["detector"] = {"model": str(place / DEFAULT)}

    return Refused(prepare, names)


def void(_: object) -> None:
    """For what returns something that nobody wants."""


def flip_a_bit(base: Path) -> None:
    file = base.with_suffix(".safetensors")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def card(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(base: Path) -> None:
        file = base.with_suffix(".json")
        data = json.loads(file.read_text())
        change(data)
        file.write_text(json.dumps(data))

    return spoil


def on_board(kind: str = "lcus", board: BoardFaults | None = None, busy: bool = False, **more: Any) -> Prepare:
    """A board program at a terminal, and settings that name it; `more` are keys of other blocks."""

    def prepare(place: Path, settings: Settings, stack: ExitStack) -> None:
        running = stack.enter_context(SimulatedBoard(place / "tty", place / "board.jsonl", board, kind))
        if busy:
            stack.enter_context(serial.Serial(os.path.realpath(running.link), exclusive=True))
        settings["relay"] = {"driver": kind, "port": str(running.link), **more.pop("relay", {})}
        for name, block in more.items():
            settings[name] = settings.get(name, {}) | block

    return prepare


def watched(prepare: Prepare) -> Prepare:
    """The same with a camera on the network, which the strict profile wants."""

    def with_a_camera(place: Path, settings: Settings, stack: ExitStack) -> None:
        prepare(place, settings, stack)
        camera = CameraProgram(place / "camera.log", seed=1)
        stack.callback(camera.close)
        settings["camera"] = {"source": f"http://127.0.0.1:{camera.port}/"}

    return with_a_camera


def a_damaged_video(place: Path, settings: Settings, _: ExitStack) -> None:
    (place / "film.mp4").write_bytes(os.urandom(4096))
    settings["camera"] = {"source": str(place / "film.mp4")}


def a_used_folder(place: Path, settings: Settings, _: ExitStack) -> None:
    (place / "out" / "evidence").mkdir(parents=True)
    (place / "out" / "evidence" / "segment-000001.jsonl").write_text("an earlier record\n")


def a_file_in_the_way(place: Path, settings: Settings, _: ExitStack) -> None:
    (place / "runs").write_text("not a folder")


def a_damaged_key(place: Path, settings: Settings, _: ExitStack) -> None:
    (place / "runs").mkdir()
    (place / "runs" / "signing-key.pem").write_text("-----BEGIN PRIVATE KEY-----\nnone\n")


CROSSED, OUTSIDE = [[10, 10], [90, 90], [90, 10], [10, 90]], [[10, 10], [900, 10], [900, 90]]
READ, AT_BOARD, AT_MODEL = "the settings are checked whole", "before the keeper is started", "the card is held to its weights"
REFUSED = Reaction.REFUSED
# fmt: off
FAULTS = (
    Fault("S01", "a key is misspelt", "`relais` beside `relay`", READ, REFUSED, None, "relais", key("relais", {}, "relay")),
    Fault("S02", "a number is a word", "`interlock.free_frames: many`", READ, REFUSED, None, '"many"',
          key("interlock.free_frames", "many", "expected")),
    Fault("S03", "a number is not a number", "`interlock.fastest_widths_per_s: .nan`", READ, REFUSED, None, "finite",
          key("interlock.fastest_widths_per_s", float("nan"))),
    Fault("S04", "a safety number is loosened", "`relay.deadline_ms: 5000`", READ, REFUSED, None, "20 to 250",
          key("relay.deadline_ms", 5000, "5000")),
    Fault("S05", "the trip of one frame is taken away", "`interlock.free_frames: 0`", READ, REFUSED, None, "3 to 3000",
          key("interlock.free_frames", 0)),
    Fault("S06", "a zone crosses itself", "a polygon like an hourglass", READ, REFUSED, None, "cross itself",
          zone(polygon=CROSSED)),
    Fault("S07", "a zone lies outside of the picture", "a corner at x = 900", READ, REFUSED, None, "320x180",
          zone("900", polygon=OUTSIDE)),
    Fault("S08", "there is no stop zone", "the only zone warns", READ, REFUSED, None, "at least one zone with role stop",
          zone(role="warning")),
    Fault("S09", "a zone has two corners", "a line in place of a polygon", READ, REFUSED, None, "at least three corners",
          zone(polygon=SQUARE[:2])),
    Fault("S10", "the file of settings is cut off", "its last line ends in the middle", READ, REFUSED, None, "site.yaml",
          text(b"version: 1\ncamera: {source: simul", "expected")),
    Fault("S11", "the file of settings is damaged", "bytes that are no text", READ, REFUSED, None, "site.yaml",
          text(b"\xff\xfe\x00version: 1\n", "expected")),
    Fault("S12", "a key stands twice", "`version` in two lines", READ, REFUSED, None, "version",
          text(b"version: 1\nversion: 1\n", "expected", "site.yaml")),
    Fault("S13", "the camera is not there", "`camera.source: /dev/video63`", "the source is opened first", REFUSED, None,
          "/dev/video63", Refused(lambda _, settings, __: settings.update(camera={"source": "/dev/video63"}))),
    Fault("S14", "the recording is damaged", "4 KiB of noise in film.mp4", "the source is opened first", REFUSED, None,
          "film.mp4", Refused(a_damaged_video)),
    Fault("S15", "the camera is too slow for the deadline", "4 frames/s and 100 ms", "rate against deadline", REFUSED, None,
          "expected at least 300 for a source of 4 frames/s",
          Refused(lambda _, settings, __: settings["camera"].update(fps=4.0), ("relay.deadline_ms",))),
    Fault("S16", "one bit of the weights is another", "a bit flipped in a copy of the shipped weights", AT_MODEL,
          REFUSED, None, "sha256", model(flip_a_bit, "expected")),
    Fault("S17", "the card of the model is cut off", "half of a copy of the shipped card", AT_MODEL, REFUSED, None, "a model card",
          model(lambda base: base.with_suffix(".json").write_text('{"name": "palm'), f"{DEFAULT}.json")),
    Fault("S18", "the card belongs to another network", "its architecture is another", AT_MODEL, REFUSED, None, "missing",
          model(card(lambda data: data.update(architecture="palmnet-m")), "palmnet-m")),
    Fault("S19", "the card switches the detector off", "an operating point of 1.5", AT_MODEL, REFUSED, None, "min_score",
          model(card(lambda data: data["operating_point"].update(min_score=1.5)))),
    Fault("S20", "the weights are gone", "only the card is left", AT_MODEL, REFUSED, None, "no such file",
          model(lambda base: base.with_suffix(".safetensors").unlink())),
    Fault("S21", "the board is not there", "a port of that name does not exist", "the keeper opens it first", REFUSED, None,
          "no such device", Refused(lambda _, s, __: s.update(relay={"driver": "lcus", "port": "/dev/ttyNOWHERE"}), ("relay.port",))),
    Fault("S22", "somebody else has the board", "the port is locked by another program", "the keeper locks it", REFUSED, None,
          "in use by another process", Refused(on_board(busy=True), ("relay.port",))),
    Fault("S23", "the board is one that a restart energizes", "`relay.driver: icse01x`", READ, REFUSED, None,
          "a board that a restart leaves off", Refused(lambda _, s, __: s.update(relay={"driver": "icse01x", "port": "/dev/x"}))),
    Fault("S24", "strict, but nobody has accepted these settings", "`safety.profile: strict` with settings as they were found",
          AT_BOARD, REFUSED, None, "nobody has accepted it yet",
          Refused(watched(on_board("heartbeat", safety={"profile": "strict"})))),
    Fault("S25", "strict, but the machine restarts by itself", "`interlock.restart: automatic`", READ, REFUSED, None, "manual in the strict profile",
          Refused(on_board("heartbeat", safety={"profile": "strict"}, interlock={"restart": "automatic"}), ("interlock.restart",))),
    Fault("S26", "strict, but nobody presses the reset", "`reset.input: simulated`", READ, REFUSED, None, "reset.input",
          Refused(on_board("heartbeat", safety={"profile": "strict"}, reset={"input": "simulated"}), ("strict",))),
    Fault("S27", "the keyboard resets, but there is none", "no terminal", "the button is opened before the loop begins",
          REFUSED, None, "no terminal", key("reset.input", "keyboard")),
    Fault("S28", "both channels are one board", "the same port twice", AT_BOARD, REFUSED, None, "a port of its own",
          Refused(lambda place, s, stack: (on_board()(place, s, stack), s["relay"].update(
              second={"driver": "lcus", "port": s["relay"]["port"]}))[0], ("relay.second.port",))),
    Fault("S29", "the feedback limit is shorter than the board's rest", "`relay.edm_timeout_ms: 110` with an LCUS board",
          AT_BOARD, REFUSED, None, "expected at least 160", Refused(on_board(relay={"edm_timeout_ms": 110}), ("relay.edm_timeout_ms",))),
    Fault("S30", "the camera is too slow for the board's own time limit", "10 frames/s and a board of 100 ms",
          AT_BOARD, REFUSED, None, "drops out by itself after 100 ms",
          Refused(on_board("heartbeat", camera={"fps": 10.0}, relay={"deadline_ms": 200}), ("camera.fps",))),
    Fault("S31", "the folder of this run holds another", "an earlier record in its place", "the record is begun before the keeper",
          REFUSED, None, "evidence", Refused(a_used_folder, ("expected",))),
    Fault("S32", "the folder for records cannot be made", "a file in its place", "the record is begun before the keeper",
          REFUSED, None, "runs", Refused(a_file_in_the_way, ("expected",))),
    Fault("S33", "the key that signs records is damaged", "a key that is none", "the record is begun before the keeper",
          REFUSED, None, "signing-key.pem", Refused(a_damaged_key, ("expected",))),
)
# fmt: on
