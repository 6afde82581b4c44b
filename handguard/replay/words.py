"""Numbers in plain sentences, for the terminal and the page alike."""

from __future__ import annotations

from handguard.replay.compare import Comparison
from handguard.replay.interval import rate_95, share_95
from handguard.replay.score import MS_PER_HOUR, Totals


def counted(number: int, one: str, many: str = "") -> str:
    """`1 trip`, `2 trips`, `no trips`."""
    return f"{number or 'no'} {one if number == 1 else many or one + 's'}"


def capital(words: str) -> str:
    """The beginning of a sentence."""
    return words[:1].upper() + words[1:]


def duration_in_words(ms: float) -> str:
    """`4.2 s`, `1 min 12 s`, `2 h 05 min`."""
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def miss_rate_in_words(totals: Totals) -> str:
    """How many approaches were missed, and what so many can tell."""
    if not totals.approaches:
        return "no approach is known in these recordings: nothing is proven about missing one"
    low, high = share_95(totals.missed, totals.approaches)
    share = 100 * totals.missed / totals.approaches
    return (
        f"{totals.missed} of {counted(totals.approaches, 'approach', 'approaches')} missed: {share:.1f} %"
        f" (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )


def nuisance_in_words(totals: Totals) -> str:
    """How often the machine stopped where nobody reached."""
    if not totals.free_ms:
        return "no time is known in which nobody reached: nothing is proven about nuisance trips"
    hours = totals.free_ms / MS_PER_HOUR
    low, high = rate_95(totals.nuisance, hours)
    return (
        f"{counted(totals.nuisance, 'nuisance trip')} in {duration_in_words(totals.free_ms)} without a hand:"
        f" {totals.nuisance / hours:.1f} per hour (95 % interval {low:.1f} to {high:.1f})"
    )


def fates_in_words(comparison: Comparison) -> str:
    """What became of A's trips in B."""
    counts = comparison.counts
    parts = [f"{counts[name]} {name}" for name in counts if name != "extra" and counts[name]]
    told = f"of A's {counted(len(comparison.trips), 'trip')} B has {', '.join(parts)}" if parts else "A never trips"
    ran_a, ran_b = (duration_in_words(ms) for ms in comparison.ran_ms)
    extra = counted(counts["extra"], "extra trip")
    return f"{told}; {extra}; the machine ran {ran_a} under A, {ran_b} under B"
