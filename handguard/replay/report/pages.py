"""The pages themselves: an audit with a page for each recording, one replay, one live run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from handguard.assembly import model_sha256
from handguard.atomic import write_atomically
from handguard.config import Settings, fingerprint, zones_for
from handguard.errors import RecordingError, mismatch
from handguard.evidence.clips import FOLDER
from handguard.evidence.decisions import DecisionLine, read_decisions
from handguard.replay.approaches import Approach
from handguard.replay.audit import Audit, Row
from handguard.replay.book import cautions_of, holds_book
from handguard.replay.compare import Comparison, ran_ms, trips_of
from handguard.replay.drift import Drift
from handguard.replay.identity import sha256_of, software
from handguard.replay.recordings import picture_format
from handguard.replay.replay import DECISIONS
from handguard.replay.report import sections as parts
from handguard.replay.report import stills, timeline
from handguard.replay.report.charts import Way, legend, waterfall
from handguard.replay.report.markup import Content, Html, page, table, tag
from handguard.replay.reproduce import Reproduction
from handguard.replay.score import Score
from handguard.replay.words import (
    capital,
    counted,
    duration_in_words,
    fates_in_words,
    miss_rate_in_words,
    nuisance_in_words,
)

PAGE = "index.html"
Verdict = tuple[str, str]
GOOD, BAD = "good", "bad"
Progress = Callable[[int, "int | None"], None]


def write_audit_pages(audit: Audit, out: Path, progress: Progress = lambda *_: None) -> Path:
    """A page for every recording, then the one that leads to them. Raises `RecordingError`."""
    for done, row in enumerate(audit.rows, start=1):
        if row.a.lines:
            _write(_page_of(audit, row, out), _row_page(audit, row))
        progress(done, len(audit.rows))
    return _write(out / PAGE, _audit_page(audit, out))


def write_replay_page(
    recording: Path, settings: Settings, other: Settings | None, out: Path, comparison: Comparison | None,
    drift: Drift | None = None,
) -> Path:
    """The page of one replayed video, from the files in `out`. Raises `RecordingError`."""
    sheet = _sheet(recording, settings, out, out / "against" if other else None, comparison, None)
    trips = len(sheet.trips)
    lead = [parts.trips_in_words(trips), _seen_in_words(sheet.lines)]
    lead += [*_comparison_lead(comparison), *_drift_lead(drift)]
    verdict = _comparison_verdict(comparison, drift) or (counted(trips, "trip"), "plain")
    proof = [("recording", sha256_of(recording)), *_judged_by(settings, other)]
    return _write(out / PAGE, page(recording.name, "replay", verdict, lead, [
        *_body(sheet), *parts.kept([parts.comparison(comparison, *_names(settings, other))]), parts.proof(proof)
    ]))  # fmt: skip


def write_run_page(
    result: Reproduction, out: Path, other: Settings | None = None, comparison: Comparison | None = None
) -> Path:
    """The page of a live run that was stepped again into `out`. Raises `RecordingError`."""
    book = result.book
    zones = zones_for(book.settings, book.picture)
    lines = list(read_decisions(out / DECISIONS))
    trips = [trip.index for trip in trips_of(lines)][: stills.MOST_TRIPS]
    pictures = stills.taken_from_clips(book.folder.parent / FOLDER, lines, trips, zones)
    sheet = parts.Sheet(lines, zones, book.picture, pictures)
    held = result.divergence is None
    lead = [
        parts.trips_in_words(len(sheet.trips)),
        f"The record is {book.verification.verdict.value}, and stepped again {counted(result.ticks, 'tick')} came out"
        + (" exactly as recorded." if held else " as recorded before one that did not."),
        *_comparison_lead(comparison),
    ]
    verdict = ("reproduced", GOOD) if held else ("DIVERGED", BAD)
    verdict = _comparison_verdict(comparison) or verdict if held else verdict
    proof = [
        ("newest record", f"{book.verification.records - 1}"), ("signed by", str(book.verification.fingerprint)),
        ("settings", book.genesis["config_hash"]), ("model", book.genesis["model_hash"]),
        ("recorded with", book.genesis["software_version"]), ("stepped with", software()),
    ]  # fmt: skip
    title = book.folder.parent.name if book.folder.name == "evidence" else book.folder.name
    return _write(out / PAGE, page(title, "live run", verdict, lead, parts.kept([
        parts.told_at_the_start(cautions_of(book.folder)),
        parts.over_time(sheet), parts.trip_pictures(sheet), _stages(result), parts.hand_paths(sheet),
        parts.comparison(comparison, "as recorded", _names(book.settings, other)[1]),
        parts.proof(proof, tag("pre", book.verification.text()), tag("pre", result.text)),
    ])))  # fmt: skip


def _audit_page(audit: Audit, out: Path) -> str:
    totals = audit.totals
    failed = sum(bool(row.failures) for row in audit.rows)
    outcome = f"{failed} failed and {'says' if failed == 1 else 'say'} why below" if failed else "none failed"
    lead: list[Content] = [
        f"{counted(len(audit.rows), 'recording')}, {duration_in_words(totals.lasted_ms)} in all: {outcome}.",
        f"{capital(miss_rate_in_words(totals))}.",
        f"{capital(nuisance_in_words(totals))}.",
    ]
    head = ["recording", "", "frames", "trips", "stopped / approaches", "nuisance", "verdict"]
    about = "The strip shows the state over time, and below it, in blue, when a hand truly was in the picture."
    rows = [each for row in audit.rows for each in _audit_rows(row, _page_of(audit, row, out).relative_to(out))]
    sides = _names(audit.a, audit.b)
    proof = [("audited", str(audit.folder)), *_judged_by(audit.a, audit.b)]
    proof += [(row.name, row.a.job.identity.video_sha256) for row in audit.rows]
    states = [tag("span", words, class_=f"key k-{state.name}") for state, words in parts.STATE_WORDS.items()]
    body = parts.kept([
        parts.total_cards(totals, audit.times_real_time),
        parts.section("Every recording", about, table(head, rows), tag("p", *states, class_="legend")),
        parts.latencies(totals.latencies_ms),
        _comparisons(audit, *sides) if audit.b else None,
        parts.proof(proof),
    ])  # fmt: skip
    verdict = ("failed", BAD) if audit.fails else ("passed", GOOD)
    return page(f"Audit of {audit.folder.resolve().name}", "audit", verdict, lead, body)


def _audit_rows(row: Row, href: Path) -> list[list[Content]]:
    """The row itself, and below it why it fails."""
    why: list[list[Content]] = [[tag("td", each, colspan=7, class_="why")] for each in row.failures]
    return [_audit_row(row, href), *why]


def _audit_row(row: Row, href: Path) -> list[Content]:
    verdict = tag("td", "FAILED", class_="bad-text") if row.failures else tag("td", "ok", class_="good-text")
    score = row.score
    if score is None:
        return [row.name, "", "", "", "", "", verdict]
    caught = "–" if not score.approaches else f"{score.approaches - (score.missed or 0)} / {score.approaches}"
    nuisance = "–" if score.nuisance is None else score.nuisance
    strip = tag("td", timeline.strip(row.a.lines, row.approaches), class_="strip-cell")
    return [tag("a", row.name, href=href.as_posix()), strip, score.frames, score.trips, caught, nuisance, verdict]


def _comparisons(audit: Audit, a: str, b: str) -> Html:
    head = ["recording", "same", "earlier", "held", "later", "lost", "extra", "ran under A", "under B"]
    rows = []
    for row in audit.rows:
        if row.comparison is not None:
            counts = row.comparison.counts
            cells = [tag("td", n, class_="bad-text" if n and name in ("later", "lost") else None)
                     for name, n in counts.items()]  # fmt: skip
            rows.append([row.name, *cells, *[duration_in_words(ms) for ms in row.comparison.ran_ms]])
    about = f"A is {a}, B is {b}. Trips of A and what became of them in B: later and lost ones fail, the rest is cost."
    return parts.section("A against B", about, table(head, rows))


def _row_page(audit: Audit, row: Row) -> str:
    assert row.score is not None
    b = Path(row.b.job.out) if row.b and row.b.lines else None
    sheet = _sheet(row.path, row.a.settings, Path(row.a.job.out), b, row.comparison, row.approaches)
    lead: list[Content] = [_score_lead(row.score), *_comparison_lead(row.comparison), *_drift_lead(row.drift)]
    if row.a.outcome.proof:
        lead.append("Its record and its films are as they were written, and every verdict came out again as recorded.")
    lead += [parts.failures_list(row.failures)] if row.failures else []
    verdict = ("failed", BAD) if row.failures else ("passed", GOOD)
    identity = row.a.job.identity
    proof = [("recording", identity.video_sha256), ("settings", identity.settings_sha256),
             ("model", identity.model_sha256), ("program", identity.software)]  # fmt: skip
    proof += [("decisions", row.a.summary["decisions_sha256"])] if row.a.summary else []
    found = parts.comparison(row.comparison, *_names(row.a.settings, audit.b))
    proven = [tag("pre", "\n".join(row.a.outcome.proof))] if row.a.outcome.proof else []
    body = [parts.score_cards(row.score), *_body(sheet), *parts.kept([found]), parts.proof(proof, *proven)]
    kind = "live run in an audit" if proven else "recording of an audit"
    return page(row.name, kind, verdict, lead, body)


def _body(sheet: parts.Sheet) -> list[Html]:
    return parts.kept([
        parts.over_time(sheet), parts.trip_pictures(sheet), parts.hand_paths(sheet), parts.answers(sheet)
    ])  # fmt: skip


def _sheet(
    recording: Path, settings: Settings, a: Path, b: Path | None, comparison: Comparison | None,
    approaches: Sequence[Approach] | None,
) -> parts.Sheet:  # fmt: skip
    lines = list(read_decisions(a / DECISIONS))
    picture = picture_format(recording, settings.camera.fps)
    zones = zones_for(settings, picture)
    trips = [trip.index for trip in trips_of(lines)][: stills.MOST_TRIPS]
    if holds_book(recording):
        pictures = stills.taken_from_clips(recording / FOLDER, lines, trips, zones)
    else:
        pictures = stills.taken(recording, settings.camera.fps, lines, trips, zones)
    b_lines = list(read_decisions(b / DECISIONS)) if b else []
    return parts.Sheet(lines, zones, picture, pictures, approaches, comparison, b_lines)


def _stages(result: Reproduction) -> Html | None:
    """From capture to the wire, of each trip by a hand."""
    ways = []
    entries = result.book.entries
    for i, entry in enumerate(entries):
        if any(event["event"] == "tripped" and event["zone"] for event in entry.events):
            told, captured_ns = entry.decision, entry.decision["captured_ns"]
            ends = [told["taken_ns"], told["detected_ns"], told["judged_ns"]]
            reports = (each.decision["keeper"] for each in entries[i:] if each.decision["keeper"])
            ends += next(([r["written_ns"]] for r in reports
                          if r["permit_seq"] >= told["permit_seq"] and r["output"] == "off"), [])  # fmt: skip
            ways.append(Way(f"frame {entry.frame_seq}", tuple((end - captured_ns) / 1e6 for end in ends)))
    if not ways:
        return None
    about = (
        "Each trip by a hand, from the capture of its frame to OFF written by the keeper."
        " At 2 m/s a hand moves 2 mm in 1 ms."
    )
    return parts.section("How long each stage took", about, waterfall(ways[: stills.MOST_TRIPS]), legend())


def _score_lead(score: Score) -> str:
    told = parts.trips_in_words(score.trips)
    if score.approaches:
        reached = counted(score.approaches, "reach", "reaches")
        told += f" Of {reached} for the machine, {score.missed or 'none'} went unanswered."
    if score.nuisance is not None:
        stopped = f"it stopped {counted(score.nuisance, 'time')}" if score.nuisance else "it never stopped"
        told += f" Where nobody reached, {stopped}."
    return told


def _seen_in_words(lines: Sequence[DecisionLine]) -> str:
    lasted = duration_in_words(lines[-1].t_ms - lines[0].t_ms)
    seen = sum(bool(line.hands) for line in lines)
    ran = duration_in_words(ran_ms(lines))
    return f"Of {lasted} it could run for {ran}. A hand was found in {seen} of {counted(len(lines), 'frame')}."


def _comparison_lead(comparison: Comparison | None) -> list[str]:
    return [] if comparison is None else [f"Against the other settings: {fates_in_words(comparison)}."]


def _drift_lead(drift: Drift | None) -> list[str]:
    return [] if drift is None else [f"{capital(drift.words)}."]


def _comparison_verdict(comparison: Comparison | None, drift: Drift | None = None) -> Verdict | None:
    if drift is not None:
        return ("the back ends differ", BAD) if drift.fails else ("the back ends agree", GOOD)
    if comparison is None:
        return None
    return ("B protects less than A", BAD) if comparison.fails else ("B loses no trip", GOOD)


def _judged_by(settings: Settings, other: Settings | None) -> list[tuple[str, str]]:
    rows = [("settings A", fingerprint(settings)), ("model A", model_sha256(settings))]
    rows += [] if other is None else [("settings B", fingerprint(other)), ("model B", model_sha256(other))]
    return [*rows, ("program", software())]


def _names(a: Settings, b: Settings | None) -> tuple[str, str]:
    return Path(a.origin.file).name, "" if b is None else Path(b.origin.file).name


def _page_of(audit: Audit, row: Row, out: Path) -> Path:
    return out / "recordings" / f"{Path(row.a.job.out).parent.name}.html"


def _write(path: Path, text: str) -> Path:
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise RecordingError(mismatch(str(path), "a place to write the page", error)) from error
    return path
