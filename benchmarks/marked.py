"""The part of a page that a benchmark writes: what stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`."""

from __future__ import annotations

import re
from pathlib import Path

from handguard.atomic import write_atomically


def rewrite(page: Path, name: str, text: str) -> None:
    """Put `text` between the marks; a page without them stays as it is."""
    part = re.compile(rf"(<!-- {name}:begin -->\n).*(<!-- {name}:end -->)", re.DOTALL)
    told = part.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page.read_text())
    write_atomically(page, told.encode())
