"""Every wrong file is refused with one message: file, line, key, expected, found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from handguard import config
from handguard.capture.sources import is_device, is_network
from handguard.errors import ConfigError

GOOD = """\
version: 1
camera:
  source: 0
zones:
  - name: intake
    role: stop
    polygon: [[0, 0], [10, 0], [10, 10]]
relay:
  driver: simulated
"""
RING = "[0, 0], [10, 0], [10, 10]"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "site.yaml"


def refusal(file: Path, text: str | bytes) -> str:
    """The message for a file with this content, without the folder."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(file), "site.yaml")


def test_a_short_file_is_enough(file: Path) -> None:
    file.write_text(GOOD)
    settings = config.load(file)
    assert settings.camera.source == 0
    assert settings.interlock.restart == "manual"
    assert settings.reset.input == "none"


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def after(old: str, new: str) -> str:
    """The good file with a line added below another."""
    return changed(old, f"{old}\n  {new}")


PLAIN = "expected YAML in its plain form, found"
MISTAKES: dict[str, tuple[str | bytes, str]] = {
    "unknown key": (
        changed("source: 0", "sorce: 0\n  source: 0"),
        "3: camera.sorce: expected one of source, width_px, height_px, fps, seed, max_frame_age_ms, "
        "frozen_after_repeats, found the unknown key sorce; did you mean source?",
    ),
    "unknown block": (
        GOOD + "relays: 3\n",
        "10: relays: expected one of version, camera, detector, zones, interlock, safety, relay, reset, "
        "warning, evidence, found the unknown key relays; did you mean relay?",
    ),
    "unknown key like no other": (
        GOOD + "warning: {xyz: 3}\n",
        "10: warning.xyz: expected one of bell, lamp, found the unknown key xyz",
    ),
    "unknown key in a zone": (
        changed("role: stop", "role: stop\n    unit: px"),
        "7: zones[0].unit: expected one of name, role, polygon, units, found the unknown key unit; "
        "did you mean units?",
    ),
    "number in quotes": (
        after("source: 0", 'fps: "30"'),
        '4: camera.fps: expected a number, found "30"',
    ),
    "boolean source": (
        changed("source: 0", "source: true"),
        "3: camera.source: expected simulated, a camera number from 0 to 63, a path or a URL, found true",
    ),
    "no such camera number": (
        changed("source: 0", "source: -1"),
        "3: camera.source: expected simulated, a camera number from 0 to 63, a path or a URL, found -1",
    ),
    "text that cannot be printed": (
        GOOD + 'detector: {model: "a\\x85"}\n',
        '10: detector.model: expected text that can be printed, found "a\x85"',
    ),
    "empty text": (
        GOOD + 'evidence: {dir: ""}\n',
        '10: evidence.dir: expected text that can be printed, found ""',
    ),
    "broken pixel": (
        after("source: 0", "width_px: 640.5"),
        "4: camera.width_px: expected a whole number, found 640.5",
    ),
    "boolean number": (after("source: 0", "fps: true"), "4: camera.fps: expected a number, found true"),
    "yes for true": (
        GOOD + "warning: {bell: yes}\n",
        '10: warning.bell: expected true or false, found "yes"',
    ),
    "on for true": (GOOD + "warning: {bell: on}\n", '10: warning.bell: expected true or false, found "on"'),
    "number with a leading zero": (
        after("source: 0", "seed: 010"),
        '4: camera.seed: expected a whole number, found "010"',
    ),
    "word that is no choice": (
        changed("role: stop", "role: halt"),
        "6: zones[0].role: expected 'stop' or 'warning', found \"halt\"",
    ),
    "zone with two points": (
        changed(RING, "[0, 0], [10, 0]"),
        "7: zones[0].polygon: expected at least three corners, found [[0, 0], [10, 0]]",
    ),
    "half a corner": (
        changed("[10, 10]]", "[10]]"),
        "7: zones[0].polygon[2][1]: expected a value, found nothing",
    ),
    "corner of three": (
        changed("[10, 10]]", "[10, 10, 10]]"),
        "7: zones[0].polygon[2]: expected at most 2 items, found [10, 10, 10]",
    ),
    "not a number": (
        changed("[10, 10]]", "[10, .nan]]"),
        "7: zones[0].polygon[2][1]: expected a finite number, found .nan",
    ),
    "not a number, spelled another way": (
        changed("[10, 10]]", "[10, .NaN]]"),
        "7: zones[0].polygon[2][1]: expected a finite number, found .NaN",
    ),
    "infinite, spelled another way": (
        after("source: 0", "fps: -.Inf"),
        "4: camera.fps: expected a finite number, found -.Inf",
    ),
    "a driver that is none": (
        changed("driver: simulated", "driver: foo"),
        "9: relay.driver: expected 'simulated' or 'none' or 'lcus', 'heartbeat', 'gpio', 'modbus-rtu', 'modbus-tcp', "
        "'kmtronic', 'numato', 'devantech', 'dcttech' or 'icse01x', found \"foo\"",
    ),
    "an option that is no whole number": (
        changed("driver: simulated", "driver: lcus\n  port: /dev/a\n  options: {baud: 0.5}"),
        "11: relay.options.baud: expected text or a whole number, found 0.5",
    ),
    "an option with a name that is none": (
        changed("driver: simulated", "driver: lcus\n  port: /dev/a\n  options: {Baud: 1}"),
        '11: relay.options.Baud: expected letters, digits, spaces, _ . or -, found "Baud"',
    ),
    "infinite": (
        changed("[10, 10]]", "[10, -.inf]]"),
        "7: zones[0].polygon[2][1]: expected a finite number, found -.inf",
    ),
    "too large for a number": (
        changed("[10, 10]]", "[10, 1e999]]"),
        "7: zones[0].polygon[2][1]: expected a finite number, found 1e999",
    ),
    "absurdly long number": (
        after("source: 0", "seed: " + "9" * 5000),
        f"4: camera.seed: expected a finite number, found {'9' * 39}…",
    ),
    "large number": (
        after("source: 0", "seed: " + "9" * 30),
        f"4: camera.seed: expected less than 9.22337e+18, found {'9' * 30}",
    ),
    "no stop zone": (
        changed("role: stop", "role: warning"),
        "4: zones: expected at least one zone with role stop, found none",
    ),
    "pixels called norm": (
        changed("polygon:", "units: norm\n    polygon:"),
        "8: zones[0].polygon: expected corners from 0 to 1 where units is norm, found [10.0, 0.0]",
    ),
    "zones that are a word": (
        GOOD[: GOOD.index("  - name")].replace("zones:", "zones: all") + "relay: {driver: none}\n",
        '4: zones: expected a list of zones, or a block with orientation and two percentages, found "all"',
    ),
    "board without a port": (
        changed("driver: simulated", "driver: lcus"),
        "8: relay.port: expected the serial port of the board, found nothing",
    ),
    "port without a board": (
        after("driver: simulated", "port: /dev/ttyUSB0"),
        '10: relay.port: expected no port with driver simulated, found "/dev/ttyUSB0"',
    ),
    "loosened past the hard bound": (
        after("driver: simulated", "deadline_ms: 5000"),
        "10: relay.deadline_ms: expected 20 to 250 (a silent monitor must not leave the machine on for "
        "longer), found 5000",
    ),
    "later version": (changed("version: 1", "version: 2"), "1: version: expected 1, found 2"),
    "no relay": (changed("relay:\n  driver: simulated\n", ""), "1: relay: expected a value, found nothing"),
    "empty block": (
        changed("camera:\n  source: 0", "camera:"),
        "2: camera: expected a block of keys, found nothing",
    ),
    "key twice": (
        GOOD + "camera:\n  source: 1\n",
        "10: camera: expected each key once, found it again; it first stands in line 2",
    ),
    "key that is a number": (GOOD + "7: seven\n", '10: expected a key that is text, found "7"'),
    "empty": ("", " expected settings, found an empty file"),
    "only comments": ("# nothing\n", " expected settings, found an empty file"),
    "null": ("null\n", " expected a block of keys, found nothing"),
    "only words": ("just words\n", '1: expected a block of keys, found "just words"'),
    "a list": ("- 1\n- 2\n", "1: expected a block of keys, found [1, 2]"),
    "not YAML": ("a: [1, 2\nb: }\n", f"2: {PLAIN} expected ',' or ']', but got ':'"),
    "tabs": ("a:\n\t- 1\n", f"2: {PLAIN} found character '\\t' that cannot start any token"),
    "two documents": ("{}\n---\n{}\n", f"2: {PLAIN} but found another document"),
    "anchor": ("a: &x 1\nb: *x\n", f"1: {PLAIN} an anchor, alias or tag"),
    "tag": ("a: !!python/object/apply:os.system [id]\n", f"1: {PLAIN} an anchor, alias or tag"),
    "UTF-16": (b"\xff\xfeversion", "1: expected UTF-8 text, found the byte 0xff"),
    "Latin-1": (b"version: 1\nname: caf\xe9\n", "2: expected UTF-8 text, found the byte 0xe9"),
    "a zero byte": ("a: \x00\n", f" {PLAIN} special characters are not allowed"),
    "deep": ("[" * 50_000, " expected settings, found brackets nested too deeply to read"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_one_mistake_gives_one_line(file: Path, name: str) -> None:
    text, message = MISTAKES[name]
    assert refusal(file, text) == f"site.yaml:{message}"


def test_a_zone_without_its_dash_is_told_what_the_two_line_form_takes(file: Path) -> None:
    flat = GOOD.replace("  - name", "  name").replace("    role", "  role").replace("    poly", "  poly")
    expected = "expected one of orientation, warning_percent, stop_percent, found the unknown key polygon"
    assert f"site.yaml:7: zones.polygon: {expected}" in refusal(file, flat)


def test_a_key_that_is_a_list_is_refused(file: Path) -> None:
    assert "site.yaml:10: expected a key that is text, found" in refusal(file, GOOD + "? [a, b]\n: 1\n")


def test_all_mistakes_come_at_once_in_the_order_of_the_file(file: Path) -> None:
    text = after("source: 0", "fps: fast\n  fps: 2").replace("role: stop", "role: halt") + "colour: red\n"
    lines = [line.partition(": expected")[0] for line in refusal(file, text).splitlines()]
    assert lines == [
        "site.yaml:4: camera.fps",
        "site.yaml:5: camera.fps",
        "site.yaml:8: zones[0].role",
        "site.yaml:12: colour",
    ]


def test_a_thousand_mistakes_are_cut_short(file: Path) -> None:
    told = refusal(file, GOOD + "".join(f"wrong{i}: 1\n" for i in range(1000))).splitlines()
    assert len(told) == 21
    assert told[-1] == "site.yaml: and 980 more"


def test_too_many_corners_are_refused(file: Path) -> None:
    ring = ", ".join("[1, 1]" for _ in range(1000))
    told = refusal(file, changed(RING, ring))
    assert told == "site.yaml:7: zones[0].polygon: expected at most 64 items, found a list of 1000"


def test_a_million_corners_are_refused_unread(file: Path) -> None:
    told = refusal(file, changed("[0, 0]", "[0, 0], " * 1_000_000))
    assert told == "site.yaml: expected at most 256 KiB of settings, found a larger file"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: expected a file of settings, found no such file"):
        config.load(tmp_path / "none.yaml")


def test_a_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a file of settings, found a directory"):
        config.load(tmp_path)


def test_a_path_with_a_zero_byte_is_named() -> None:
    with pytest.raises(ConfigError, match="expected a readable file of settings, found embedded null byte"):
        config.load("a\0b")


@pytest.fixture
def not_root() -> Iterator[None]:
    """For root no file is unreadable; be nobody for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.mark.usefixtures("not_root")
def test_a_file_one_may_not_read_is_named() -> None:
    with pytest.raises(ConfigError, match="expected a readable file of settings, found permission denied"):
        config.load("/etc/shadow")


def test_a_byte_order_mark_is_no_mistake(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert config.load(file).version == 1


def test_a_word_that_others_take_for_a_boolean_is_text_here(file: Path) -> None:
    file.write_text(changed("name: intake", "name: no"))
    zones = config.load(file).zones
    assert isinstance(zones, tuple)
    assert zones[0].name == "no"


def test_the_same_name_twice_is_refused(file: Path) -> None:
    zone = GOOD[GOOD.index("  - name") : GOOD.index("relay:")]
    told = refusal(file, changed(zone, zone * 2))
    assert told == "site.yaml:4: zones: expected a different name for each zone, found intake, intake"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "reset: {input: simulated}",
            'reset.input: expected keyboard, gpio, board or none in the strict profile, found "sim',
        ),
        (
            "interlock: {restart: automatic}",
            'interlock.restart: expected manual in the strict profile, found "a',
        ),
    ],
)
def test_strict_refuses_what_basic_allows(file: Path, setting: str, message: str) -> None:
    file.write_text(f"{GOOD}{setting}\n")
    assert config.cautions(config.load(file))
    assert f"site.yaml:10: {message}" in refusal(file, f"{GOOD}{setting}\nsafety: {{profile: strict}}\n")


@pytest.mark.parametrize(
    ("source", "watches"),
    [
        ("0", True), ("/dev/video2", True), ("rtsp://camera/1", True), ("http://camera/x.mjpg", True),
        ("simulated", False), ("clips/a.mp4", False), ("pictures/", False), ("a 0", False), ("٣", False),
    ],
)  # fmt: skip
def test_with_a_real_board_the_strict_profile_wants_a_camera(file: Path, source: str, watches: bool) -> None:
    text = changed("source: 0", f"source: '{source}'").replace("driver: simulated", "driver: heartbeat\n  port: /dev/a")
    file.write_text(text)
    assert (is_device(source) or is_network(source)) is watches
    assert any("no person is watched" in told for told in config.cautions(config.load(file))) is not watches
    strict = f"{text}safety: {{profile: strict}}\n"
    if watches:
        file.write_text(strict)
        with pytest.raises(ConfigError, match="--source: expected a camera or a network stream in the strict profile"):
            config.with_source(config.load(file), "clips/a.mp4")
    else:
        assert "camera.source: expected a camera or a network stream in the strict" in refusal(file, strict)


def test_another_source_is_held_to_the_same_rule(file: Path) -> None:
    file.write_text(GOOD)
    settings = config.load(file)
    assert config.with_source(settings, "2").camera.source == 2
    assert config.with_source(settings, "clips/a.mp4").camera.source == "clips/a.mp4"
    assert settings.camera.source == 0
    with pytest.raises(
        ConfigError, match=r'--source: expected simulated, a camera number, a path .*, found " "'
    ):
        config.with_source(settings, " ")
