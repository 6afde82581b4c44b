"""What a measurement was made on, for the benchmarks of this folder; the words are `handguard bench`'s."""

from __future__ import annotations

from handguard.bench.machine import described

__all__ = ["described"]
