"""`handguard replay` and `handguard audit`: judge recordings again, and say what comes out.

Exit 0 when all is well, 1 when a comparison or an audit fails, 2 for a wrong input,
3 for a recording that is damaged or comes out otherwise than it was recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from handguard.errors import ConfigError, mismatch

if TYPE_CHECKING:
    from handguard.replay.audit import Audit
    from handguard.replay.compare import Comparison
    from handguard.replay.drift import Drift, Limits

# Rooms are imported inside the commands: `handguard --help` must not wait for them.
replaying = typer.Typer()

FAILED = 1
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings (YAML). A live run brings its own."),
]
Against = Annotated[
    Path | None,
    typer.Option("--against", "-b", help="Other settings: what would they have lost, or cost?"),
]
BoxDrift = Annotated[
    float | None,
    typer.Option(
        min=0.0, show_default="12", help="Pixels that boxes may differ by, where B only computes the network otherwise."
    ),
]
ScoreDrift = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, show_default="0.02", help="The same for scores.")
]
ReportPage = Annotated[bool, typer.Option("--report/--no-report", help="Write pages to be read in a browser.")]


@replaying.command()
def replay(
    recording: Annotated[
        Path, typer.Argument(help="A video file, a folder of pictures, or the folder of a live run.")
    ],
    config: ConfigFile = None,
    against: Against = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for decisions.jsonl, summary.json and the page.")
    ] = None,
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Also write annotated.mp4 with zones and hands.")
    ] = False,
    report: ReportPage = False,
    box_drift: BoxDrift = None,
    score_drift: ScoreDrift = None,
) -> None:
    """Judge a recording frame by frame, with the same rules as live and faster than real time.

    Run twice, the decisions are byte for byte the same. A live run is verified and
    stepped again from its own record: it says REPRODUCED, or DIVERGED at the first
    frame that comes out otherwise. With --against, lost and later trips fail; where the
    other settings name only another back end or precision, every decision must be equal.
    The record of a live run holds hands, not pictures: there --annotate and the options for
    drift are refused, and so are other settings that only the pictures could answer.
    """
    from handguard.replay.book import holds_book

    if holds_book(recording):
        _refuse_for_a_run({"--annotate": annotate or None, "--box-drift": box_drift, "--score-drift": score_drift})
        return _replay_run(recording, config, against, out, report)
    if config is None:
        raise ConfigError(mismatch("--config", f"settings to judge {recording} by", "nothing"))
    if out is None:
        raise ConfigError(mismatch("--out", "a folder for the results", "nothing"))
    _replay_video(recording, config, against, out, annotate, report, _limits(box_drift, score_drift))


@replaying.command()
def audit(
    folder: Annotated[Path, typer.Argument(help="Videos and live runs, with audit.yaml and truth files, if any.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="Settings (YAML) to judge by.")],
    against: Against = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; an earlier audit goes on.")] = Path(
        "audit"
    ),
    workers: Annotated[int, typer.Option("--workers", "-j", min=1, help="Recordings at a time, on this computer.")] = 2,
    scheduler: Annotated[
        str | None, typer.Option(help="tcp://HOST:8786 of a Dask cluster that sees the same folders.")
    ] = None,
    expects: Annotated[
        Path | None, typer.Option(help="The plan; without it, audit.yaml in the folder, if there is one.")
    ] = None,
    report: ReportPage = True,
    box_drift: BoxDrift = None,
    score_drift: ScoreDrift = None,
) -> None:
    """Judge every recording of a folder, and hold it against what is known and expected.

    Ends with misses per approach and nuisance trips per hour, each with its 95 % interval.
    """
    from handguard.config import load
    from handguard.desk.closing import progress_bar
    from handguard.replay.audit import Options
    from handguard.replay.audit import audit as judge

    options = Options(out, workers, scheduler, expects, _limits(box_drift, score_drift))
    settings, other = load(config), load(against) if against else None
    with progress_bar(f"audit {folder.name}") as progress:
        result = judge(folder, settings, other, options, progress)
    if report:
        _pages(result, out)
    _tell_audit(result, out)
    if result.fails:
        raise typer.Exit(FAILED)


def _limits(box_px: float | None, score: float | None) -> Limits:
    """What was asked for, and the usual for what was not. Raises `ConfigError` for what limits nothing."""
    from handguard.replay.drift import Limits

    asked = {"box_px": box_px, "score": score}
    try:
        return Limits(**{name: value for name, value in asked.items() if value is not None})
    except ValueError as error:
        raise ConfigError(f"--box-drift and --score-drift: {error}") from error


def _refuse_for_a_run(given: dict[str, object]) -> None:
    """What takes pictures or a network, which the record of a live run does not hold. Raises `ConfigError`."""
    option = next((name for name, value in given.items() if value is not None), None)
    if option is not None:
        expected = "a video or a folder of pictures: the record of a live run holds hands, not pictures"
        raise ConfigError(mismatch(option, expected, "a live run"))


def _replay_video(
    video: Path, config: Path, against: Path | None, out: Path, annotate: bool, report: bool,
    tolerated: Limits,
) -> None:  # fmt: skip
    from handguard.config import load
    from handguard.desk.closing import progress_bar, told
    from handguard.replay.replay import replay_video
    from handguard.replay.report.pages import write_replay_page
    from handguard.replay.whatif import compared, drifted

    settings, other = load(config), load(against) if against else None
    with progress_bar(f"replay {video.name}") as progress:
        done = replay_video(video, settings, out, annotate=annotate, progress=progress)
    Console().print(told(done.summary))
    if other is not None:
        with progress_bar("the same, by the other settings") as progress:
            replay_video(video, other, out / "against", annotate=annotate, progress=progress)
    comparison = None if other is None else compared(out, out / "against")
    drift = None if other is None else drifted(settings, other, out, out / "against", tolerated)
    if report:
        _tell_page(write_replay_page(video, settings, other, out, comparison, drift))
    _tell_comparison(comparison, drift)


def _tell_page(page: Path) -> None:
    Console().print(f"page        {page}", markup=False, soft_wrap=True)


def _tell_comparison(comparison: Comparison | None, drift: Drift | None = None) -> None:
    """Say what B would have lost or cost. Exit 1 if it protects less, or if two back ends differ."""
    if comparison is None:
        return
    from handguard.replay.telling import told_comparison

    Console().print(told_comparison(comparison))
    if drift is not None:
        Console().print(drift.words, style="red" if drift.fails else "green", soft_wrap=True)
    if comparison.fails or (drift is not None and drift.fails):
        raise typer.Exit(FAILED)


def _replay_run(run: Path, config: Path | None, against: Path | None, out: Path | None, report: bool) -> None:
    from handguard.config import load
    from handguard.replay.book import read_book
    from handguard.replay.report.pages import write_run_page
    from handguard.replay.whatif import compared, replay_book, write_reproduction

    console = Console()
    book = read_book(run, load(config) if config else None)
    console.print(book.verification.text(), markup=False, soft_wrap=True)
    result = write_reproduction(book, out)
    console.print(result.text, markup=False, soft_wrap=True)
    result.raise_if_diverged()
    if against is None and not report:
        return
    if out is None:
        raise ConfigError(mismatch("--out", "a folder for the comparison or the page", "nothing"))
    other, comparison = load(against) if against else None, None
    if other is not None:
        what_if = out / "what-if"
        replay_book(book, book.settings, what_if)
        replay_book(book, other, what_if / "against")
        comparison = compared(what_if, what_if / "against")
    if report:
        _tell_page(write_run_page(result, out, other, comparison))
    _tell_comparison(comparison)


def _pages(result: Audit, out: Path) -> None:
    from handguard.desk.closing import progress_bar
    from handguard.replay.report.pages import write_audit_pages

    with progress_bar("pages") as progress:
        write_audit_pages(result, out, progress)


def _tell_audit(result: Audit, out: Path) -> None:
    from handguard.replay.telling import told_audit

    console = Console()
    console.print(told_audit(result))
    console.print(f"results     {out}", markup=False, soft_wrap=True)
