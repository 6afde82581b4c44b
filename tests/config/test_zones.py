"""A site's zones become polygons in pixels, or one message says why they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
import shapely

from handguard import config
from handguard.errors import ConfigError
from handguard.types import PictureFormat, Zone, ZoneRole

HD = PictureFormat(1280, 720, 30)


def zones(file: Path, text: str, picture: PictureFormat = HD) -> tuple[Zone, ...]:
    file.write_text("version: 1\ncamera: {source: 0}\nrelay: {driver: none}\nzones:" + text)
    return config.zones_for(config.load(file), picture)


def drawn(corners: str, units: str = "px") -> str:
    return f"\n  - {{name: a, role: stop, units: {units}, polygon: [{corners}]}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "site.yaml"


def test_pixels_pass_through(file: Path) -> None:
    (zone,) = zones(file, drawn("[0, 0], [1280, 0], [1280, 720.5]"))
    assert zone == Zone("a", ZoneRole.STOP, ((0, 0), (1280, 0), (1280, 720.5)))


def test_norm_is_stretched_over_the_picture(file: Path) -> None:
    (zone,) = zones(file, drawn("[0, 0], [1, 0], [1, 0.5]", "norm"))
    assert zone.polygon_px == ((0, 0), (1280, 0), (1280, 360))


@pytest.mark.parametrize(
    ("orientation", "stop_px", "warning_px"),
    [
        ("left-right", (1088, 0, 1280, 720), (896, 0, 1280, 720)),
        ("right-left", (0, 0, 192, 720), (0, 0, 384, 720)),
        ("top-bottom", (0, 612, 1280, 720), (0, 504, 1280, 720)),
        ("bottom-top", (0, 0, 1280, 108), (0, 0, 1280, 216)),
    ],
)
def test_two_lines_make_strips_at_the_edge_where_the_orientation_ends(
    file: Path, orientation: str, stop_px: tuple[float, ...], warning_px: tuple[float, ...]
) -> None:
    text = f" {{orientation: {orientation}, warning_percent: 30, stop_percent: 15}}\n"
    bounds = {zone.role: shapely.Polygon(zone.polygon_px).bounds for zone in zones(file, text)}
    assert bounds[ZoneRole.STOP] == pytest.approx(stop_px)
    assert bounds[ZoneRole.WARNING] == pytest.approx(warning_px)


def test_the_stop_line_may_not_lie_before_the_warning_line(file: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"4: zones\.warning_percent: expected more than stop_percent \(30\)"
    ):
        zones(file, " {orientation: left-right, warning_percent: 30, stop_percent: 30}\n")


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        ("[0, 0], [1300, 0], [10, 10]", "expected corners inside the 1280x720 picture, found (1300, 0)"),
        ("[0, 0], [-9, 5], [10, 10]", "expected corners inside the 1280x720 picture, found (-9, 5)"),
        ("[0, 0], [9, 9], [9, 0], [0, 9]", "expected a polygon that does not cross itself, found "),
        ("[0, 0], [9, 9], [4.5, 4.5]", "site.yaml:5: zones[0].polygon: expected a"),
    ],
    ids=["past the right edge", "past the left edge", "bow tie", "flat"],
)
def test_a_polygon_that_cannot_be_judged_is_refused_with_its_reason(
    file: Path, corners: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        zones(file, drawn(corners))
    assert f"{file}:5: zones[0].polygon: " in str(caught.value)
    assert message in str(caught.value)


def test_every_bad_polygon_is_named_at_once(file: Path) -> None:
    text = drawn("[0, 0], [9999, 0], [10, 10]")
    text += text.strip("\n").replace("name: a", "name: b") + "\n"
    with pytest.raises(ConfigError) as caught:
        zones(file, text)
    assert [line.split(" expected")[0] for line in str(caught.value).splitlines()] == [
        f"{file}:5: zones[0].polygon:",
        f"{file}:6: zones[1].polygon:",
    ]


def test_the_same_file_fits_one_picture_and_not_a_smaller_one(file: Path) -> None:
    text = drawn("[0, 0], [1280, 0], [1280, 720]")
    assert zones(file, text)
    with pytest.raises(ConfigError, match="inside the 640x480 picture"):
        zones(file, text, PictureFormat(640, 480, 30))
