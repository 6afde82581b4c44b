"""A file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from handguard.atomic import appearing_whole, write_atomically


def test_nothing_has_the_final_name_before_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with appearing_whole(path) as fresh:
        fresh.write_bytes(b"half")
        assert not path.exists()
        fresh.write_bytes(b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"old")
    with pytest.raises(TypeError), appearing_whole(path) as fresh:
        fresh.write_bytes("no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        write_atomically(tmp_path / "nowhere" / "a.json", b"x")
