"""The page of the soaks tells what the kept results say, and nothing else."""

from __future__ import annotations

import json

import pytest

from benchmarks.soak.__main__ import RESULTS, ROOT
from benchmarks.soak.pictures import page


def kept(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def test_the_committed_page_is_the_page_of_the_committed_results():
    assert (ROOT / "docs" / "soak.md").read_text() == page(kept("soak"), kept("soak-calm"))


def test_each_soak_fills_its_own_part():
    calm = kept("soak-calm") | {"hours": 17.25, "frames_judged": 1234567, "stops_by_hand": 7654, "wrong_states": 13}
    told = page(kept("soak") | {"hours": 98.5}, calm)
    assert "| hours | 98.5 |" in told
    assert "17.25 hours, 1234567 pictures judged, 7654 stops by a hand, 13 wrong states" in told


def test_a_process_too_young_to_tell_a_drift_has_a_dash():
    calm = kept("soak-calm")
    calm["memory_mib"]["monitor"] |= {"median": 1.5, "most": 2.5, "drift_per_hour": None}
    assert "| monitor | 1.5 | 2.5 | – |" in page(kept("soak"), calm)


@pytest.mark.parametrize("name", ["soak", "soak-calm"])
def test_no_committed_soak_had_a_wrong_state(name):
    assert kept(name)["wrong_states"] == 0
