"""The settings of a live run: proven by their hash, also those that an older version wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from handguard.config import fingerprint
from handguard.config.resolved import fingerprint_of
from handguard.errors import RecordingError
from handguard.replay.book import settings_of


def values_of(settings) -> dict:
    return settings.model_dump(mode="json")


def test_settings_come_back_as_they_were_recorded(settings) -> None:
    genesis = {"settings": values_of(settings), "config_hash": fingerprint(settings)}
    assert values_of(settings_of(genesis, Path("run"))) == values_of(settings)


def test_settings_that_came_later_have_their_defaults_and_the_old_hash_still_holds(settings) -> None:
    old = values_of(settings)
    del old["evidence"]["clips"]
    back = settings_of({"settings": old, "config_hash": fingerprint_of(old)}, Path("run"))
    assert values_of(back) == values_of(settings)


def test_a_changed_setting_does_not_fit_the_hash(settings) -> None:
    values = values_of(settings)
    values["interlock"]["free_frames"] += 1
    with pytest.raises(RecordingError, match=r"run: settings: expected the settings of the run, sha256"):
        settings_of({"settings": values, "config_hash": fingerprint(settings)}, Path("run"))


def test_a_setting_that_this_version_does_not_know_is_named(settings) -> None:
    values = values_of(settings) | {"lasers": True}
    with pytest.raises(RecordingError, match=r"other settings than this version knows: (.|\n)*lasers"):
        settings_of({"settings": values, "config_hash": fingerprint_of(values)}, Path("run"))
