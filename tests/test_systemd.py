"""Words to a service manager: over a real datagram socket, never waiting, never raising."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from handguard.systemd import ServiceManager


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.setblocking(False)
        yield server


def words(server: socket.socket) -> list[str]:
    heard = []
    while True:
        try:
            heard.append(server.recv(4096).decode())
        except BlockingIOError:
            return heard


def manager(server: socket.socket, **more: str) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": server.getsockname(), **more})


def test_every_word_is_one_datagram(listening):
    told = manager(listening, WATCHDOG_USEC="1000000")
    told.ready()
    told.status("RUN: free")
    told.alive()
    told.stopping()
    told.close()
    assert words(listening) == ["READY=1", "STATUS=RUN: free", "WATCHDOG=1", "STOPPING=1"]


def test_a_status_is_sent_when_it_changes(listening):
    told = manager(listening)
    for line in ("RUN: free", "RUN: free", "TRIPPED: blind: camera", "RUN: free"):
        told.status(line)
    told.close()
    assert words(listening) == ["STATUS=RUN: free", "STATUS=TRIPPED: blind: camera", "STATUS=RUN: free"]


def test_a_name_in_the_abstract_namespace_is_reached():
    name = f"handguard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0{name}")
        server.setblocking(False)
        told = ServiceManager({"NOTIFY_SOCKET": f"@{name}"})
        told.ready()
        told.close()
        assert words(server) == ["READY=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_service_manager_nothing_happens(environment):
    told = ServiceManager(environment)
    told.ready()
    told.status("RUN: free")
    told.alive()
    told.stopping()
    told.close()
    told.close()


def test_a_service_manager_that_is_gone_is_not_waited_for(listening, tmp_path):
    told = manager(listening, WATCHDOG_USEC="1")
    listening.close()
    (tmp_path / "notify").unlink()
    told.ready()
    told.alive()
    told.close()


def test_a_service_manager_that_does_not_read_is_not_waited_for(listening):
    told = manager(listening)
    begin_s = time.monotonic()
    for number in range(5000):
        told.status(f"tick {number}")
    told.close()
    assert time.monotonic() - begin_s < 10
    assert 0 < len(words(listening)) < 5000


def test_signs_of_life_come_at_most_four_times_within_the_limit(listening, monkeypatch):
    now = [10**12]
    monkeypatch.setattr("handguard.systemd.time.monotonic_ns", lambda: now[0])
    told = manager(listening, WATCHDOG_USEC="1000000")
    for _ in range(101):
        told.alive()
        now[0] += 10_000_000
    told.close()
    assert words(listening) == ["WATCHDOG=1"] * 5  # at 0, 250, 500, 750 and 1000 ms


@pytest.mark.parametrize(
    ("named", "heard"),
    [({}, 1), ({"WATCHDOG_PID": str(os.getpid())}, 1), ({"WATCHDOG_PID": str(os.getppid())}, 1),
     ({"WATCHDOG_PID": "1000000000"}, 0), ({"WATCHDOG_USEC": "soon"}, 0), ({"WATCHDOG_USEC": "0"}, 0)],
)  # fmt: skip
def test_a_watchdog_hears_of_the_process_it_names_and_of_its_children(listening, named, heard):
    told = manager(listening, **{"WATCHDOG_USEC": "1000000", **named})
    told.alive()
    told.close()
    assert words(listening) == ["WATCHDOG=1"] * heard


def test_this_process_is_asked_where_nothing_else_is_given(listening, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", listening.getsockname())
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    told = ServiceManager()
    told.ready()
    told.alive()
    told.close()
    assert words(listening) == ["READY=1"]
