"""`handguard events …` as a person types it, in a process of its own."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from handguard.evidence.ledger import WritePolicy
from handguard.evidence.schema import Genesis
from handguard.evidence.signing import SigningKey
from handguard.evidence.writer import EvidenceWriter
from handguard.types import Output, Permit, Tripped, WarningRaised
from tests.desk.feeding import REPORT, decided


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a warning and a trip; its records are 2 to 12."""
    folder = tmp_path_factory.mktemp("house") / "runs"
    key = SigningKey.load_or_create(folder / "signing-key.pem")
    policy = WritePolicy(min_free_bytes=1)
    with EvidenceWriter.open(folder / "r1" / "evidence", Genesis("m", "0", "c", "h", "b"), key, policy) as writer:
        for n in range(6):
            decision = decided(n, trip=n == 4)
            times = decision.times
            writer.record(decision, Permit(n, n, times.captured_ns, times.judged_ns, Output.ON), REPORT)
        writer.event(WarningRaised(5, 1, "belt", 0.5))
        writer.event(Tripped(9, -1, "blind: frozen", None, 0.0))
    return folder


def events(runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "handguard.cli", "events", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=runs.parent)


def test_trips_are_listed_with_their_names(runs):
    done = events(runs, "list", "--kind", "trip", "--tz", "UTC")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) == 2 and lines[0].startswith("r1:7 ") and "intruded" in lines[0]
    assert events(runs, "list", "--since", "2999-01-01").stdout == "no such event\n"


def test_a_word_about_a_trip_is_kept_and_shown(runs):
    assert events(runs, "mark", "r1:7", "nuisance", "--why", "sleeve", "--who", "anna").stdout == "r1:7: nuisance\n"
    assert events(runs, "hold", "r1:7").returncode == 0
    assert events(runs, "list", "--kind", "trip").stdout.splitlines()[0].endswith("nuisance held")
    shown = events(runs, "show", "r1:7").stdout
    assert "anna: nuisance sleeve" in shown and '"event": "tripped"' in shown and "no film shows it" in shown
    assert events(runs, "release", "r1:7").returncode == 0
    assert not events(runs, "list", "--kind", "trip").stdout.splitlines()[0].endswith("held")
    assert "notes: 3, as written" in events(runs, "verify", "runs/r1").stdout


def test_the_report_of_today_counts(runs):
    done = events(runs, "report", "--tz", "UTC", "--out", "page.xlsx")
    assert done.returncode == 0, done.stderr
    assert "trips         2 (intruded 1, blind: frozen 1)" in done.stdout
    assert (runs.parent / "page.xlsx").read_bytes().startswith(b"PK")


def test_a_report_for_other_programs_holds_a_number_a_line(runs):
    assert events(runs, "report", "--tz", "UTC", "--out", "page.csv").returncode == 0
    lines = csv.DictReader((runs.parent / "page.csv").read_text("utf-8-sig").splitlines())
    found = {(line["what"], line["of"]): line["value"] for line in lines}
    assert (found["trips", ""], found["trips by cause", "intruded"]) == ("2", "1")
    assert found["warnings by zone", "belt"] == "1"
    assert sum(int(found[name, ""]) for name in ("nuisance", "genuine", "unmarked")) == 2
    assert int(found["response ms", "count"]) + int(found["without response", ""]) == 1


def test_a_shift_over_midnight_is_eight_hours(runs):
    done = events(runs, "report", "--day", "2025-01-31", "--shift", "22:00-06:00", "--tz", "Europe/Berlin")
    assert "2025-01-31T21:00:00" in done.stdout and "2025-02-01T05:00:00" in done.stdout


@pytest.mark.parametrize("name", ["all.csv", "all.json", "all.xlsx"])
def test_events_are_exported(runs, name):
    done = events(runs, "export", name, "--kind", "trip")
    assert (done.returncode, done.stdout) == (0, f"2 events in {name}\n")
    assert (runs.parent / name).stat().st_size > 50


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("list", "--runs", "nowhere"), 3, "expected a run, or a folder of runs"),
        (("list", "--kind", "bang"), 2, "expected one of trip"),
        (("list", "--tz", "Mars/Base"), 2, "expected a time zone such as Europe/Berlin"),
        (("list", "--since", "yesterday"), 2, "expected 2025-01-31 or"),
        (("report", "--shift", "6-14h"), 2, "expected two times such as 06:00-14:00"),
        (("report", "--shift", "06:00Z-14:00"), 2, "expected two times such as 06:00-14:00"),
        (("report", "--shift", "06:00Z-14:00Z", "--tz", "Europe/Berlin"), 2, "expected two times such as"),
        (("report", "--day", "9999-12-31"), 2, "expected 2025-01-31 or"),
        (("list", "--since", "0001-01-01T00:00+05:00"), 2, "expected 2025-01-31 or"),
        (("list", "--until", "9999-12-31T23:59-05:00"), 2, "expected 2025-01-31 or"),
        (("mark", "r1:7", "nuisance", "--who", "a\nb"), 2, "--who: expected a few words"),
        (("show", "r1:999"), 3, "expected a record 999"),
        (("show", "r2:1"), 3, "expected RUN:NUMBER"),
        (("mark", "r1:7", "silly"), 2, "expected nuisance, genuine or comment"),
        (("mark", "r1:7", "nuisance", "--key", "no.pem"), 2, "expected the signing key of the machine"),
        (("export", "all.pdf"), 2, "expected a name ending in .csv"),
        (("verify", "nowhere"), 3, "expected a folder with a recording"),
    ],
)
def test_a_wrong_word_is_one_clear_message(runs, arguments, code, words):
    done = events(runs, *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
