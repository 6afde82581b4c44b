"""Whether the record of a live run can answer what other settings would have made of it.

A book holds hands, not pictures. It tells all hands of one network, from one score on, in
the part of the picture that the network was shown. What lies beyond, another network, a
lower score, a zone elsewhere, would come out as a field without hands: it is refused.

From which score on is told by `detector.min_score` of the run. Without one it was the
operating point of its network's card. The book names the weights, not the card: the card at
hand counts as that of the run if it has those weights, and no recorded score lies below its
point. Whatever the score was, it was not above the lowest that is recorded. So a card whose
point was lowered since, for the same weights, would go unnoticed as long as no hand tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from handguard.assembly import card_of
from handguard.config import Settings, zones_for
from handguard.detection.card import Card
from handguard.errors import ConfigError, ModelError, mismatch
from handguard.replay.book import Book

_FINDS_THE_SAME = frozenset({"min_score", "threads", "cores", "if_device_lost", "self_check_s"})  # of `detector`
_WHY = "a book holds hands, not pictures"
_Box = tuple[float, float, float, float]  # x1 y1 x2 y2 in pixels


def least_score(book: Book, settings: Settings) -> float:
    """From which score on a recorded hand counts; 0 for the run's own settings.

    Raises `ConfigError` for settings that ask what only the pictures could answer.
    """
    if settings is book.settings:
        return 0.0
    card = _card_of_the_run(book, settings)
    _require_looked_at(book, settings)
    asked = _threshold(settings, card)
    if asked is None and book.settings.detector.min_score is None:
        return 0.0  # the card's own both times, and no card is at hand that says otherwise
    where = f"{settings.origin.file}: detector.min_score"
    if asked is None:
        raise ConfigError(mismatch(where, "a score, or the card of the run's network at hand", "neither"))
    _require_told_of(book, card, asked, where)
    return asked


def _card_of_the_run(book: Book, settings: Settings) -> Card | None:
    """The card of the network, None if there is none at hand. Raises `ConfigError` if it is not the run's."""
    was, wanted = (each.detector.model_dump(exclude=set(_FINDS_THE_SAME)) for each in (book.settings, settings))
    where = f"{settings.origin.file}: detector"
    changed = [key for key in was if was[key] != wanted[key]]
    if changed:
        raise ConfigError(mismatch(where, f"that of the run: {_WHY}", f"another {', '.join(changed)}"))
    card = None
    with suppress(ModelError):
        card = card_of(settings)
    ran = str(book.genesis["model_hash"])
    if card is not None and card.weights_sha256 != ran:
        expected = f"the network of the run, weights sha256 {ran[:16]}…: {_WHY}"
        raise ConfigError(mismatch(where, expected, f"{card.name}, {card.weights_sha256[:16]}…"))
    return card


def _threshold(settings: Settings, card: Card | None) -> float | None:
    """From which score on these settings count a hand; None where the card would tell and is not at hand."""
    asked = settings.detector.min_score
    return asked if card is None else card.counts_from(asked)


def _require_told_of(book: Book, card: Card | None, asked: float, where: str) -> None:
    """Raises `ConfigError` unless the record holds every hand from that score on."""
    scores = [hand["score"] for entry in book.entries for hand in entry.decision["hands"] or ()]
    lowest = min(scores, default=None)
    had = _threshold(book.settings, card)
    if book.settings.detector.min_score is None and had is not None and _below(lowest, had):
        had = None  # the card is another than that of the run, for all its weights
    if (had is not None and asked >= had) or (lowest is not None and not _below(asked, lowest)):
        return
    if had is not None:
        expected = f"{had:g}, from which on the run counted hands, or more: {_WHY}"
        raise ConfigError(mismatch(where, expected, f"{asked:g}"))
    proven = "nothing of it" if lowest is None else f"only that it was not above {lowest:g}, a recorded score"
    expected = "a record that tells from which score on the run counted hands, or the card of its network"
    raise ConfigError(mismatch(where, expected, f"{asked:g}, and a record that tells {proven}"))


def _below(score: float | None, limit: float) -> bool:
    """Whether a detector with that limit would not count it: it compares in single precision."""
    return score is not None and bool(np.float32(score) < np.float32(limit))


def _require_looked_at(book: Book, settings: Settings) -> None:
    """Raises `ConfigError` for a zone that reaches beyond the part of the picture that the network was shown."""
    detector, picture = book.settings.detector, book.picture
    if detector.region == "full":
        return
    width_px, height_px = picture.width_px, picture.height_px
    x1, y1, x2, y2 = _bounds([corner for zone in zones_for(book.settings, picture) for corner in zone.polygon_px])
    grow = detector.region_margin * max(x2 - x1, y2 - y1)  # as `detection.detector.region_round`, at the least
    seen = max(0.0, x1 - grow), max(0.0, y1 - grow), min(width_px, x2 + grow), min(height_px, y2 + grow)
    for zone in zones_for(settings, picture):
        x1, y1, x2, y2 = _bounds(zone.polygon_px)
        asked = max(0.0, x1), max(0.0, y1), min(width_px, x2), min(height_px, y2)
        if asked[0] < seen[0] or asked[1] < seen[1] or asked[2] > seen[2] or asked[3] > seen[3]:
            expected = f"zones within {_in_words(seen)}, which is all that was looked at: {_WHY}"
            raise ConfigError(mismatch(f"{settings.origin.file}: zone {zone.name}", expected, _in_words(asked)))


def _bounds(corners: Sequence[tuple[float, float]]) -> _Box:
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _in_words(box: _Box) -> str:
    x1, y1, x2, y2 = (round(side) for side in box)
    return f"{x1},{y1} to {x2},{y2} px"
