"""A signal reaches its handler whatever networks have come and gone: the monitor ends with OFF, not with a crash."""

from __future__ import annotations

import subprocess
import sys

import pytest

TWO_GO_IN_THE_ORDER_THEY_CAME = """
import gc, signal
from handguard.detection.detector import Region
from handguard.detection.loading import Choice, load_detector
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
first, second = (load_detector(Choice(backend="openvino"), Region(0, 0, 320, 180)) for _ in range(2))
del first
gc.collect()
del second
gc.collect()
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.parametrize("options", [[], ["-X", "faulthandler"]], ids=["plain", "faulthandler"])
def test_a_signal_is_handled_after_networks_have_gone(options: list[str]):
    command = [sys.executable, *options, "-c", TWO_GO_IN_THE_ORDER_THEY_CAME]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr
