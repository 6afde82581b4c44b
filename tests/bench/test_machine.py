"""What a measurement says of its machine, on machines that lack what this one has."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from handguard.bench import machine

H200 = "NVIDIA H200, 580.159.03, 143771 MiB"


@pytest.fixture
def a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A driver's tool that knows one card, first on the path."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho '{H200}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tool


@pytest.fixture
def no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def versions(monkeypatch: pytest.MonkeyPatch, known: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in known:
            raise PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr(machine, "version", version)


@pytest.mark.usefixtures("no_card")
def test_what_is_not_installed_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch):
    versions(monkeypatch, {"torch": "2.11.0", "opencv-python-headless": "5.0", "numpy": "2.5"})
    told = machine.described()
    assert told["openvino"] == "not installed"
    assert told["opencv-python"] == "5.0 (opencv-python-headless)"
    assert told["torch"] == "2.11.0"
    assert not {"cards", "cuda", "cudnn"} & set(told)


def test_neither_form_of_a_package_is_not_installed(monkeypatch: pytest.MonkeyPatch):
    versions(monkeypatch, {})
    assert machine.installed("opencv-python") == "not installed"


@pytest.mark.usefixtures("a_card")
def test_a_card_is_named_with_its_driver_and_torch_is_only_asked_where_it_is_imported(monkeypatch: pytest.MonkeyPatch):
    cudnn = SimpleNamespace(version=lambda: 91900)
    torch = SimpleNamespace(version=SimpleNamespace(cuda="13.0"), backends=SimpleNamespace(cudnn=cudnn))
    monkeypatch.setitem(sys.modules, "torch", torch)
    told = machine.described()
    assert told["cards"] == [{"name": "NVIDIA H200", "driver_version": "580.159.03", "memory.total": "143771 MiB"}]
    assert (told["cuda"], told["cudnn"]) == ("13.0", "91900")
    monkeypatch.delitem(sys.modules, "torch")
    assert not {"cuda", "cudnn"} & set(machine.described())
    assert "torch" not in sys.modules


def test_a_tool_that_fails_knows_no_card(a_card: Path):
    a_card.write_text("#!/bin/sh\necho 'no devices were found'\nexit 6\n")
    assert machine.cards() == []
