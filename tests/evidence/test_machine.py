from __future__ import annotations

from pathlib import Path

from handguard.evidence import machine


def test_a_machine_has_one_name_that_is_not_its_machine_id():
    assert machine.machine_id() == machine.machine_id()
    assert len(machine.machine_id()) == 32
    path = Path("/etc/machine-id")
    assert not path.exists() or path.read_text().strip() != machine.machine_id()


def test_a_machine_without_an_id_is_named_after_its_host(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_MACHINE_ID", tmp_path / "nothing")
    assert len(machine.machine_id()) == 32


def test_the_boot_is_the_kernels_and_unknown_where_the_kernel_does_not_say(tmp_path, monkeypatch):
    assert machine.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    monkeypatch.setattr(machine, "_BOOT_ID", tmp_path / "nothing")
    assert machine.boot_id() == "unknown"
