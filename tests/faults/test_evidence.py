"""Whatever is wrong with the evidence, the machine ends up stopped, within its limit, on record."""

from __future__ import annotations

import pytest

from tests.faults.bench import Bench
from tests.faults.evidence import FAULTS
from tests.faults.fault import Fault


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # E04 is one
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_it_ends_in_off(fault: Fault, bench: Bench) -> None:
    fault.trial(fault, bench)
