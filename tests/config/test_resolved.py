"""The resolved file says everything, reads back to itself, and its hash follows the meaning alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from handguard import config
from handguard.config.loading import checked
from handguard.config.schema import Settings
from handguard.config.strict_yaml import parse
from handguard.errors import ConfigError
from handguard.safety.limits import BOUNDS

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
SHORT = (
    "version: 1\ncamera: {source: 0}\nzones: {orientation: left-right, warning_percent: 9, stop_percent: 5}\n"
)
SHORT += "relay: {driver: none}\n"


def settings_of(text: str) -> Settings:
    return checked(parse(text.encode()), "text")


def bounded(name: str) -> st.SearchStrategy[float]:
    return st.floats(BOUNDS[name].low, BOUNDS[name].high)


def whole(name: str) -> st.SearchStrategy[int]:
    return st.integers(int(BOUNDS[name].low), int(BOUNDS[name].high))


TRICKY = "no yes on null ~ true 1e3 0x1F 010 1:30 2026-01-01 .inf -a a: # << & *x ! % @ ` ' [ {"
words = st.text(min_size=1, max_size=30).filter(lambda t: t.strip() and t.isprintable()) | st.sampled_from(
    TRICKY.split()
)
names = st.from_regex(r"[A-Za-z0-9_.-][A-Za-z0-9_ .-]{0,10}", fullmatch=True)
corners = st.lists(st.tuples(*[st.floats(0, 1, allow_subnormal=False)] * 2), min_size=3, max_size=6)
optional_sizes = st.none() | st.integers(64, 16384)

cameras = st.fixed_dictionaries(
    {"source": st.integers(0, 63) | words},
    optional={
        "width_px": optional_sizes,
        "height_px": optional_sizes,
        "fps": st.none() | bounded("camera.fps"),
        "seed": st.integers(0, 2**63 - 1),
        "max_frame_age_ms": whole("camera.max_frame_age_ms"),
    },
)
detectors = st.fixed_dictionaries(
    {}, optional={"model": st.none() | words, "region_margin": st.floats(0, 1), "precision": st.just("bf16")}
)
drawn = st.lists(
    st.fixed_dictionaries({"name": names, "polygon": corners}, optional={"units": st.just("norm")}),
    min_size=1,
    max_size=3,
    unique_by=lambda zone: zone["name"],
).map(lambda zones: [{**zone, "role": "stop"} for zone in zones])
lines = st.fixed_dictionaries(
    {
        "orientation": st.sampled_from(["left-right", "bottom-top"]),
        "warning_percent": st.floats(51, 99),
        "stop_percent": st.floats(1, 50),
    }
)
relays = st.just({"driver": "simulated"}) | st.fixed_dictionaries({"driver": st.just("lcus"), "port": words})
files = st.fixed_dictionaries(
    {"version": st.just(1), "camera": cameras, "zones": drawn | lines, "relay": relays},
    optional={
        "detector": detectors,
        "interlock": st.fixed_dictionaries({"free_frames": whole("interlock.free_frames")}),
        "reset": st.fixed_dictionaries({"after_free_s": bounded("reset.after_free_s")}),
        "warning": st.fixed_dictionaries({"bell": st.booleans()}),
        "evidence": st.fixed_dictionaries({"dir": words, "fsync_s": st.floats(0.001, 60)}),
    },
)


@given(values=files)
def test_a_dump_reads_back_to_the_same_settings(values: dict[str, Any]) -> None:
    first = Settings.model_validate_json(json.dumps(values))
    again = settings_of(config.dump(first))
    assert again == first
    assert config.fingerprint(again) == config.fingerprint(first)
    assert config.dump(again) == config.dump(first)


@given(values=files, order=st.randoms(use_true_random=False))
def test_order_of_keys_and_comments_do_not_change_the_hash(
    values: dict[str, Any], order: random.Random
) -> None:
    settings = Settings.model_validate_json(json.dumps(values))
    blocks = list(settings.model_dump(mode="json").items())
    order.shuffle(blocks)
    text = "".join(f"# about {name}\n{name}: {flow(block, order)}  # so\n\n" for name, block in blocks)
    assert config.fingerprint(settings_of(text)) == config.fingerprint(settings)


def flow(block: Any, order: random.Random) -> str:
    """A block on one line, its keys in any order."""
    if not isinstance(block, dict):
        return json.dumps(block)
    keys = order.sample(list(block), len(block))
    return json.dumps({key: block[key] for key in keys})


def test_one_for_one_point_nought_does_not_change_the_hash() -> None:
    either = [settings_of(f"{SHORT}evidence: {{fsync_s: {text}}}\n") for text in ("1", "1.0", "1e0")]
    assert len({config.fingerprint(settings) for settings in either}) == 1


def leaves(values: dict[str, Any], key: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, value in values.items():
        found |= leaves(value, (*key, name)) if isinstance(value, dict) else {(*key, name): value}
    return found


@pytest.mark.parametrize(
    "line",
    [
        "detector: {model: other}",
        "interlock: {free_frames: 16}",
        "interlock: {restart: automatic}",
        "safety: {profile: strict}",
        "reset: {input: keyboard}",
        "warning: {bell: false}",
        "evidence: {dir: elsewhere}",
    ],
)
def test_any_setting_changes_the_hash(line: str) -> None:
    text = SHORT.replace("driver: none", "driver: simulated")
    assert config.fingerprint(settings_of(text + line + "\n")) != config.fingerprint(settings_of(text))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_file_loads_and_is_shown(path: Path) -> None:
    text = config.show(path)
    assert f"# sha256 {config.fingerprint(config.load(path))}" in text
    assert settings_of(text) == config.load(path)
    for caution in config.cautions(config.load(path)):
        assert f"# CAUTION: {caution}\n" in text


def test_there_are_shipped_files() -> None:
    assert {"demo.yaml", "camera.yaml"} <= {path.name for path in CONFIGS}


def test_the_starting_point_for_a_site_explains_every_key_in_its_line() -> None:
    path = next(path for path in CONFIGS if path.name == "camera.yaml")
    text = path.read_text()
    for key in leaves(config.load(path).model_dump(mode="json")):
        written = [line for line in text.splitlines() if line.strip().startswith(f"{key[-1]}:")]
        assert written, f"{'.'.join(key)} does not stand in {path.name}"
        assert key == ("zones",) or all("#" in line for line in written), f"{key} has no comment"


def test_a_tame_installation_needs_no_caution_and_a_wild_one_gets_all() -> None:
    tame = SHORT.replace("driver: none", "driver: heartbeat, port: /dev/ttyACM0") + "evidence: {dir: /var/lib/a}\n"
    wild = SHORT.replace("source: 0", "source: simulated")
    wild += "reset: {input: simulated}\ninterlock: {restart: automatic}\n"
    assert config.cautions(settings_of(tame)) == ()
    (told,) = config.cautions(settings_of(tame.replace("/var/lib/a", "a")))
    assert told.startswith("evidence.dir is a relative path")
    assert len(config.cautions(settings_of(wild))) == 4


def test_every_hard_bound_belongs_to_a_setting_and_holds_at_its_limit() -> None:
    for name, bound in BOUNDS.items():
        *blocks, key = name.split(".")
        field: object = Settings
        for block in blocks:
            assert isinstance(field, type)
            assert issubclass(field, BaseModel)
            field = field.model_fields[block].annotation
        assert isinstance(field, type)
        assert issubclass(field, BaseModel)
        assert key in field.model_fields, f"{name} is no setting"
        for value, fits in ((bound.low, True), (bound.high, True), (bound.high + 1, False)):
            assert accepted(blocks, key, value) is fits, f"{name}: {value}"


def accepted(blocks: list[str], key: str, value: float) -> bool:
    settings = yaml.safe_load(SHORT)
    number = int(value) if float(value).is_integer() else value
    inside = settings
    for block in blocks:
        inside = inside.setdefault(block, {})
    inside[key] = number
    try:
        settings_of(json.dumps(settings))
    except ConfigError:
        return False
    return True
