"""What a person reads in the terminal at the end of a comparison or an audit."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from handguard.replay.audit import Audit, Row
from handguard.replay.compare import Comparison
from handguard.replay.words import fates_in_words, miss_rate_in_words, nuisance_in_words


def told_comparison(comparison: Comparison) -> RenderableType:
    """The fate of every trip of A in B."""
    verdict = ("B PROTECTS LESS", "bold red") if comparison.fails else ("B loses no trip", "bold green")
    table = Table("A trips at", "frame", "cause", "in B", box=None, padding=(0, 3), header_style="dim")
    for each in comparison.trips:
        late = f" by {each.late_ms:+.0f} ms" if each.late_ms else ""
        style = "bold red" if each.fate.fails else ""
        fate = Text(each.fate.value + late, style)
        table.add_row(f"{each.trip.t_ms / 1000:.2f} s", str(each.trip.frame), each.trip.cause, fate)
    for trip in comparison.extra:
        table.add_row("", str(trip.frame), trip.cause, f"extra, at {trip.t_ms / 1000:.2f} s")
    return Group(Text(), Text(verdict[0], verdict[1]), Text(fates_in_words(comparison)), table)


def told_audit(audit: Audit) -> RenderableType:
    """One line for each recording, then all together."""
    head = ("recording", "frames", "trips", "missed", "nuisance", "")
    table = Table(*head, box=None, padding=(0, 3), header_style="dim")
    for row in audit.rows:
        table.add_row(*_cells(row))
    verdict = ("AUDIT FAILED", "bold red") if audit.fails else ("audit passed", "bold green")
    facts = [miss_rate_in_words(audit.totals), nuisance_in_words(audit.totals)]
    if audit.times_real_time is not None:
        facts.append(f"{audit.times_real_time:.1f} × real time in each process")
    why = [Text(f"{row.name}: {words}", "red") for row in audit.rows for words in row.failures]
    return Group(Text(), table, Text(), Text(*verdict), *why, *[Text(fact) for fact in facts])


def _cells(row: Row) -> tuple[str | Text, ...]:
    words = Text("FAILED", "red") if row.failures else Text("ok", "green")
    if row.score is None:
        return Text(row.name), "", "", "", "", words
    missed = "–" if not row.score.approaches else f"{row.score.missed} of {row.score.approaches}"
    nuisance = "–" if row.score.nuisance is None else str(row.score.nuisance)
    return Text(row.name), str(row.score.frames), str(row.score.trips), missed, nuisance, words
