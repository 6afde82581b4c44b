"""Every fault of the detector stops the machine, within its limit, on record."""

from __future__ import annotations

import pytest

from tests.faults.bench import Bench
from tests.faults.detector import FAULTS
from tests.faults.fault import Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_it_ends_in_off(fault: Fault, bench: Bench) -> None:
    fault.trial(fault, bench)
