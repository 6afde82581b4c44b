"""The page says what the lists say, and the lists are whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.catalogue import FAULTS, PARTS, Part
from tests.faults.fault import Fault, Reaction
from tests.faults.page import PAGE, read_measured, text

HERE = Path(__file__).parent
OFF_AFTERWARDS = {Reaction.STOP, Reaction.LOCKOUT, Reaction.END, Reaction.RUNS_ON}
LEAST = 60


def test_the_page_is_what_the_lists_make_of_it():
    assert PAGE.read_text() == text(read_measured()), "run: python -m tests.faults --write"


def test_there_are_enough_and_none_twice():
    ids = [fault.id for fault in FAULTS]
    assert len(ids) >= LEAST
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Z]\d\d", name) for name in ids)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.module)
def test_every_part_has_a_file_that_tries_its_list(part: Part):
    tests = (HERE / f"test_{part.module}.py").read_text()
    assert f"from tests.faults.{part.module} import FAULTS" in tests
    assert "fault.trial(fault, bench)" in tests
    assert [fault.id for fault in part.faults] == sorted(fault.id for fault in part.faults)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_every_row_is_whole(fault: Fault):
    assert all((fault.fails, fault.injected, fault.detected, fault.recorded))
    assert (fault.limit_ms is not None) == (fault.reaction in OFF_AFTERWARDS)
