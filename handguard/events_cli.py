"""`handguard events …`: look at what was recorded, prove it, and say what it was."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, time, timedelta, timezone, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handguard.errors import ConfigError, mismatch, require_words

if TYPE_CHECKING:
    import sqlite3

    from handguard.evidence.questions import FoundEvent, Query

# Rooms are imported inside the commands: `handguard --help` must not wait for them.
events_app = typer.Typer(help="Look at recorded evidence.", no_args_is_help=True)

KEY_NAME = "signing-key.pem"
Who = Annotated[str, typer.Option(help="Without it, the user of this computer.")]
MachineKey = Annotated[Path | None, typer.Option(help="The signing key of the machine.")]
Runs = Annotated[
    Path, typer.Option("--runs", "-r", help="A folder of runs, or one run. The settings call it evidence.dir.")
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind", help="trip, warning, cleared, state, operator, fault, caution, clip, start, stop. May be repeated."
    ),
]
Since = Annotated[str, typer.Option(help="From this time on: 2025-01-31, 2025-01-31T06:00 or …Z for UTC.")]
Until = Annotated[str, typer.Option(help="Before this time.")]
InZone = Annotated[str, typer.Option("--zone", help="Only this zone.")]
Cause = Annotated[str, typer.Option(help="Only causes that hold this text.")]
TimeZone = Annotated[str, typer.Option("--tz", help="Europe/Berlin, UTC … Without it, that of this computer.")]
EventName = Annotated[str, typer.Argument(help="RUN:NUMBER, as `handguard events list` shows it.")]


@events_app.command("list")
def list_events(
    runs: Runs = Path("runs"),
    kind: Kinds = None,
    since: Since = "",
    until: Until = "",
    zone: InZone = "",
    cause: Cause = "",
    newest: Annotated[int, typer.Option("--newest", "-n", min=0, help="So many of the newest; 0: all.")] = 40,
    tz: TimeZone = "",
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the index anew from the books.")] = False,
) -> None:
    """List events: trips, warnings and what else is asked for. Proves nothing: see `verify`."""
    place = _zone(tz)
    with _asked(runs, _query(kind, since, until, zone, cause, newest, place), rebuild) as (events, _):
        for event in events:
            typer.echo(_line(event, place))
        if not events:
            typer.echo("no such event")


@events_app.command("show")
def show_event(name: EventName, runs: Runs = Path("runs")) -> None:
    """Everything about one event: its record, the decision, its films, what people said."""
    from handguard.evidence.clip_check import film_states
    from handguard.evidence.index import open_index
    from handguard.evidence.notes import read_notes
    from handguard.evidence.questions import clips_showing, find_named

    with open_index(runs) as base:
        found = find_named(runs, name)
        clips = clips_showing(base, found.run.resolve().name, found.at_ns)
    typer.echo(json.dumps(found.record, indent=2))
    if found.decision is not None:
        typer.echo(f"decision before it: {json.dumps(found.decision, indent=2)}")
    for line in film_states(found.run, clips) or ["no film shows it"]:
        typer.echo(line)
    for note in read_notes(found.run):
        if note.event_seq == found.record["seq"]:
            typer.echo(f"{note.wall_time_utc}  {note.who}: {note.action.value} {note.why}")


@events_app.command("export")
def export_events(
    out: Annotated[Path, typer.Argument(help="A file ending in .csv, .xlsx or .json.")],
    runs: Runs = Path("runs"),
    kind: Kinds = None,
    since: Since = "",
    until: Until = "",
    zone: InZone = "",
    cause: Cause = "",
    tz: TimeZone = "",
) -> None:
    """Write events to a table for other programs."""
    from handguard.evidence.export import EVENT_COLUMNS, event_row, write_table

    with _asked(runs, _query(kind, since, until, zone, cause, 0, _zone(tz))) as (events, _):
        write_table(out, [event_row(event) for event in events], EVENT_COLUMNS, "events")
        typer.echo(f"{len(events)} events in {out}")


@events_app.command("report")
def report(
    runs: Runs = Path("runs"),
    day: Annotated[str, typer.Option(help="2025-01-31; without it, today.")] = "",
    shift: Annotated[str, typer.Option(help="06:00-14:00; one that ends before it begins ends the next day.")] = "",
    tz: TimeZone = "",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also as .csv, .xlsx or .json, a line for each number.")
    ] = None,
) -> None:
    """A day or a shift on one page: warnings, trips by cause, nuisance, response times, faults."""
    from handguard.evidence.export import write_table
    from handguard.evidence.index import open_index
    from handguard.evidence.shift import COLUMNS, Period, shift_report

    begin, end = _period(day, shift, _zone(tz))
    with open_index(runs) as base:
        page = shift_report(base, runs, Period(f"{day or 'today'} {shift}".strip(), begin, end))
    typer.echo(f"handguard report {page.title}")
    for label, words in page.lines():
        typer.echo(f"{label:<14}{words}")
    if out is not None:
        write_table(out, page.rows(), COLUMNS, "report")


@events_app.command("mark")
def mark(
    name: EventName,
    verdict: Annotated[str, typer.Argument(help="nuisance, genuine or comment.")],
    why: Annotated[str, typer.Option(help="In a few words.")] = "",
    who: Who = "",
    runs: Runs = Path("runs"),
    key: MachineKey = None,
) -> None:
    """Say what an event was. Signed, chained to its run, and never undone: the newest word counts."""
    if verdict not in ("nuisance", "genuine", "comment"):
        raise ConfigError(mismatch("mark", "nuisance, genuine or comment", verdict))
    _note(name, verdict, who, why, runs, key)


@events_app.command("hold")
def hold(
    name: EventName,
    why: Annotated[str, typer.Option(help="In a few words: an incident, a claim.")] = "",
    who: Who = "",
    runs: Runs = Path("runs"),
    key: MachineKey = None,
) -> None:
    """Keep every film that shows this event, whatever the quota says."""
    _note(name, "hold", who, why, runs, key)


@events_app.command("release")
def release(
    name: EventName,
    why: Annotated[str, typer.Option(help="In a few words.")] = "",
    who: Who = "",
    runs: Runs = Path("runs"),
    key: MachineKey = None,
) -> None:
    """Let the films of a held event go again, when their time comes."""
    _note(name, "release", who, why, runs, key)


@events_app.command("verify")
def verify_events(
    folder: Annotated[Path, typer.Argument(help="The folder of a run, or its evidence folder.")],
    key: Annotated[
        str | None, typer.Option(help="Public key, hex or file. Without it, the record's own.")
    ] = None,
) -> None:
    """Prove that nobody has changed a record, a film or a note: edits, deletions, order, signatures, clocks."""
    from handguard.evidence.clip_check import check_clips
    from handguard.evidence.index import open_index
    from handguard.evidence.notes import BOOK, read_notes
    from handguard.evidence.signing import PublicKey
    from handguard.evidence.verify import verify

    run = folder if (folder / BOOK).is_dir() else folder.parent
    result = verify(run / BOOK if run == folder else folder, PublicKey.read(key) if key else None)
    typer.echo(result.text())
    result.raise_if_damaged()
    if (run / BOOK).is_dir():
        with open_index(run.resolve().parent) as base:
            films = check_clips(run, base)
        typer.echo(films.text())
        films.raise_if_damaged()
        typer.echo(f"notes: {len(read_notes(run))}, as written")


@contextmanager
def _asked(
    runs: Path, query: Query, rebuild: bool = False
) -> Iterator[tuple[list[FoundEvent], sqlite3.Connection]]:
    from handguard.evidence.index import open_index
    from handguard.evidence.questions import damages, find_events

    with open_index(runs, afresh=rebuild) as base:
        yield find_events(base, runs, query), base
        for damage in damages(base):
            typer.echo(f"DAMAGED {damage}", err=True)


def _query(
    kind: list[str] | None, since: str, until: str, zone: str, cause: str, newest: int, place: tzinfo | None
) -> Query:
    from handguard.evidence.moments import utc_text
    from handguard.evidence.questions import Query

    begin_utc, end_utc = (utc_text(_moment(text, place)) if text else "" for text in (since, until))
    return Query(tuple(kind or ()), begin_utc, end_utc, zone, cause, newest)


def _line(event: FoundEvent, place: tzinfo | None) -> str:
    from handguard.evidence.moments import moment_of

    when = moment_of(event.wall_time_utc).astimezone(place).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    marks = " ".join(word for word in (event.verdict, "held" if event.held else "") if word)
    response = "" if event.response_ms is None else f"OFF after {event.response_ms:.1f} ms"
    words = "  ".join(word for word in (event.what, event.cause or "", response, marks) if word)
    return f"{event.name:<24} {when}  {event.kind:<9} {words}"


def _note(name: str, action: str, who: str, why: str, runs: Path, key: Path | None) -> None:
    from handguard.evidence.moments import utc_text
    from handguard.evidence.notes import Note, NoteAction, add_note
    from handguard.evidence.questions import find_named
    from handguard.evidence.signing import SigningKey

    who = who or _user()
    require_words("--who", who)
    if why:
        require_words("the words", why)
    found = find_named(runs, name)
    path = key or found.run.resolve().parent / KEY_NAME
    if not path.is_file():
        raise ConfigError(mismatch(str(path), "the signing key of the machine (or name it: --key)", "no file"))
    said = utc_text(datetime.now(timezone.utc))
    note = Note(NoteAction(action), found.record["seq"], found.at_ns, who, why, said)
    add_note(found.run, note, SigningKey.load_or_create(path))
    typer.echo(f"{name}: {action}")


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _zone(name: str) -> tzinfo | None:
    """A time zone by name; None is the computer's own."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(mismatch("--tz", "a time zone such as Europe/Berlin", repr(name))) from error


def _moment(text: str, place: tzinfo | None) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        placed = moment if moment.tzinfo else _placed(moment, place)
        placed.astimezone(timezone.utc)
        placed + timedelta(days=2)  # what is asked for may end on the next day
    except (ValueError, OverflowError) as error:
        raise ConfigError(mismatch("time", "2025-01-31 or 2025-01-31T06:00", repr(text))) from error
    return placed


def _placed(moment: datetime, place: tzinfo | None) -> datetime:
    return moment.replace(tzinfo=place) if place else moment.astimezone()


def _period(day: str, shift: str, place: tzinfo | None) -> tuple[datetime, datetime]:
    """A whole day, or the shift that begins on it."""
    date = _moment(day, place) if day else datetime.now(timezone.utc).astimezone(place)
    midnight = date.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if not shift:
        return _placed(midnight, place), _placed(midnight + timedelta(days=1), place)
    try:
        begin, end = (time.fromisoformat(each.strip()) for each in shift.split("-"))
        if begin.tzinfo or end.tzinfo:
            raise ValueError("a time zone belongs into --tz")
    except ValueError as error:
        raise ConfigError(mismatch("--shift", "two times such as 06:00-14:00", repr(shift))) from error
    ends_on = midnight if end > begin else midnight + timedelta(days=1)
    return _placed(datetime.combine(midnight, begin), place), _placed(datetime.combine(ends_on, end), place)
