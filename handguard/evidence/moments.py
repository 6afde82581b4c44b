"""Times as the book writes them: `2025-01-31T12:00:00.000000Z`, so that texts compare as times do."""

from __future__ import annotations

from datetime import datetime, timezone

_FORM = "%Y-%m-%dT%H:%M:%S.%fZ"


def utc_text(moment: datetime) -> str:
    """A moment as the book writes it."""
    return moment.astimezone(timezone.utc).strftime(_FORM)


def moment_of(text: str) -> datetime:
    """The moment of a text of the book, in UTC. Raises `ValueError` for any other text."""
    return datetime.strptime(text, _FORM).replace(tzinfo=timezone.utc)
