"""Networks of several cameras share the cores of one computer: none may sit on the first core alone."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from handguard.detection.detector import Region
from handguard.detection.loading import Choice, load_detector


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: nothing to pin to")
def test_a_network_of_one_thread_may_run_on_every_core():
    detector = load_detector(Choice(backend="openvino", threads=1), Region(0, 0, 640, 360))
    allowed, over = os.sched_getaffinity(0), threading.Event()

    def inferring() -> int:
        own = threading.get_native_id()
        seen.append(own)
        while not over.is_set():
            detector.engine.infer()
        return own

    seen: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        pool.submit(inferring)
        while not seen:
            pass
        found = [os.sched_getaffinity(seen[0]) for _ in range(2000)]
        over.set()
    assert all(one == allowed for one in found)
