"""A recipe file says all that the command line does not, and nothing it cannot mean."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from handguard.errors import ConfigError
from handguard.training.augment import Augmentation
from handguard.training.loop import Recipe
from handguard.training.recipe_file import Ordered, read_recipe_file

SHIPPED = Path(__file__).parents[2] / "models" / "recipes"


def read(folder: Path, text: str, architecture: str = "palmnet-s") -> Ordered:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return read_recipe_file(path, architecture)


def test_every_kind_of_value_arrives(tmp_path: Path) -> None:
    ordered = read(
        tmp_path,
        """
        learning_rate: 2e-3
        warmup_steps: 100
        precision: float32
        focal_loss: true
        frozen: [backbone.stem, backbone.edge]
        sides_px: [[0.5, [192, 224]], [1, [320]]]
        source_weights: {factory_gloves: 2}
        augmentation: {zoom: [0.5, 2], mosaic: 0, photometric: false}
        """,
    )
    recipe = ordered.applied(Recipe("palmnet-s"))
    assert (recipe.learning_rate, recipe.warmup_steps, recipe.precision) == (2e-3, 100, "float32")
    assert recipe.focal_loss
    assert recipe.frozen == ("backbone.stem", "backbone.edge")
    assert recipe.ema_decay == Recipe("palmnet-s").ema_decay
    assert ordered.sides_px == ((0.5, (192, 224)), (1.0, (320,)))
    assert ordered.source_weights == {"factory_gloves": 2.0}
    assert ordered.augmentation == replace(Augmentation(), zoom=(0.5, 2.0), mosaic=0.0, photometric=False)


def test_json_says_the_same_and_an_empty_table_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"weight_decay": 0.05, "augmentation": {"flip": 0}}))
    assert read_recipe_file(path, "palmnet-s") == Ordered(
        {"weight_decay": 0.05}, replace(Augmentation(), flip=0.0)
    )
    assert read(tmp_path, "{}") == Ordered()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat: 1", r"recipe\.yaml: expected only augmentation, .*, found 'learning_rat'"),
        ("focal_loss: 2", "focal_loss: expected true or false, found 2"),
        ("frozen: backbone.stem", "frozen: expected a list of parts of the network, found 'backbone.stem'"),
        ("frozen: [1]", r"frozen: expected a list of parts of the network, found \[1\]"),
        ("learning_rate: fast", "learning_rate: expected a number, found 'fast'"),
        ("learning_rate: 2", "learning_rate: expected a number from 1e-08 to 1, found 2"),
        ("learning_rate: .nan", "learning_rate: expected a finite number"),
        ("learning_rate: 1\nlearning_rate: 2", "learning_rate: expected each key once"),
        ("ema_decay: true", "ema_decay: expected a number, found True"),
        ("warmup_steps: 1.5", "warmup_steps: expected a whole number"),
        ("precision: fp8", "precision: expected bf16 or float32, found 'fp8'"),
        ("augmentation: {mosaik: 1}", "augmentation: expected only aspect, .*, found 'mosaik'"),
        ("augmentation: {mosaic: 2}", "augmentation.mosaic: expected a probability"),
        ("augmentation: {zoom: 2}", "augmentation.zoom: expected 2 numbers, found 2"),
        ("augmentation: {zoom: [2, 1]}", "augmentation.zoom: expected two rising factors"),
        ("augmentation: {photometric: 1}", "augmentation.photometric: expected true or false, found 1"),
        ("augmentation: [1]", "augmentation: expected a table of names and values"),
        ("source_weights: {a: -1}", r"source_weights\.a: expected a number from 0"),
        ("sides_px: [320]", "sides_px: expected rows"),
        ("sides_px: [[0.5, [320]]]", "sides_px: expected rows .* the last share 1"),
        ("sides_px: [[0.5, [320]], [0.5, [320]], [1, [320]]]", "sides_px: expected rows"),
        ("sides_px: [[1, []]]", "sides_px: expected sides in multiples of 32 from 64 on"),
        ("sides_px: [[1, [300]]]", "sides_px: expected sides in multiples of 32 .*, found 300"),
        ("a: [", "expected YAML"),
        ("", "found an empty file"),
        ("3", "expected a table"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value) and "recipe.yaml" in str(caught.value)


def test_a_network_with_one_input_size_takes_no_other(tmp_path: Path) -> None:
    assert read(tmp_path, "sides_px: [[1, [300]]]", "ssd300-vgg16").sides_px == ((1.0, (300,)),)
    with pytest.raises(ConfigError, match="expected sides of 300, as ssd300-vgg16 takes them, found 320"):
        read(tmp_path, "sides_px: [[1, [320]]]", "ssd300-vgg16")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: expected a training recipe"):
        read_recipe_file(tmp_path / "nowhere.yaml", "palmnet-s")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_recipes_fit_their_architecture(path: Path) -> None:
    assert read_recipe_file(path, path.stem) != Ordered()
