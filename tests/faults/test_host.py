"""Whatever happens to the computer and its processes, the machine ends up stopped."""

from __future__ import annotations

import pytest

from tests.faults.bench import Bench
from tests.faults.fault import Fault
from tests.faults.host import FAULTS


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # a loop that breaks
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_it_ends_in_off(fault: Fault, bench: Bench) -> None:
    fault.trial(fault, bench)
