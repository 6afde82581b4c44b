"""Whatever is wrong before the start is refused in one message, and the relay was never told ON."""

from __future__ import annotations

import pytest

from tests.faults.bench import Bench
from tests.faults.fault import Fault
from tests.faults.start import FAULTS


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_it_does_not_start(fault: Fault, bench: Bench) -> None:
    fault.trial(fault, bench)
