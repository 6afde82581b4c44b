"""The hash of files is that of their bytes, however many blocks they fill."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from handguard.digest import add_file, sha256_of

BLOCK = 1 << 20


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path, size: int):
    data = bytes(i % 251 for i in range(size))
    (tmp_path / "film").write_bytes(data)
    assert sha256_of(tmp_path / "film") == hashlib.sha256(data).hexdigest()


def test_several_files_are_hashed_in_the_order_given(tmp_path: Path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    assert sha256_of(one, other) == hashlib.sha256(b"12").hexdigest()
    assert sha256_of(other, one) == hashlib.sha256(b"21").hexdigest()


def test_a_file_goes_into_a_hash_that_was_begun(tmp_path: Path):
    (tmp_path / "film").write_bytes(b"film")
    total = hashlib.sha256(b"name")
    add_file(total, tmp_path / "film")
    assert total.hexdigest() == hashlib.sha256(b"namefilm").hexdigest()


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "gone")
