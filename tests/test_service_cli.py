"""`handguard service`: who may clear a lockout, what is written down about it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from handguard.cli import main
from handguard.evidence.lockout import LOCKOUT, LockoutFile, Standing, held, lockout_file
from handguard.evidence.reading import read_records
from handguard.evidence.signing import KEY_NAME
from handguard.evidence.verification import Verdict
from handguard.evidence.verify import verify

LOCKED = Standing(True, "fault: contactor", "20260101-000000Z", "2026-01-01T00:00:00.000000Z")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(
        "version: 1\ncamera: {source: 0}\nrelay: {driver: lcus, port: /dev/x}\n"
        "zones: {orientation: left-right, warning_percent: 60, stop_percent: 30}\n"
        f"evidence: {{dir: {tmp_path / 'runs'}}}\n"
    )
    return path


@pytest.fixture
def file(tmp_path: Path) -> LockoutFile:
    """Of a machine that has run before."""
    return lockout_file(tmp_path / "runs", tmp_path / "runs" / KEY_NAME)


def service(*arguments: str) -> int:
    """The exit status of one command."""
    with pytest.raises(SystemExit) as ended:
        main(["service", *arguments])
    return int(ended.value.code or 0)


def clear(config: Path, who: str = "Ada", reason: str = "new K1") -> int:
    return service("clear-lockout", "--config", str(config), "--who", who, "--reason", reason)


def test_clearing_is_recorded_signed_and_then_done(config, file, tmp_path, capsys):
    file.write(LOCKED)
    assert clear(config) == 0
    (run,) = (tmp_path / "runs").glob("*-service")
    assert f"cleared by Ada: new K1; recorded in {run / 'evidence'}" in capsys.readouterr().out
    assert verify(run / "evidence").verdict is Verdict.INTACT
    (action,) = (record for record in read_records(run / "evidence") if record["kind"] == "operator")
    assert (action["action"], action["who"]) == ("clear_lockout", "Ada")
    was = "LOCKED OUT since 2026-01-01T00:00:00.000000Z in 20260101-000000Z: fault: contactor"
    assert action["detail"] == f"new K1; was {was}"
    cleared = file.read()
    assert (cleared.locked, cleared.cause, cleared.who, cleared.why) == (False, "fault: contactor", "Ada", "new K1")


def test_it_says_how_things_stand(config, file, capsys):
    assert service("show", "--config", str(config)) == 0
    assert capsys.readouterr().out == "not locked out\n"
    file.write(LOCKED)
    service("show", "--config", str(config))
    assert "LOCKED OUT since 2026-01-01" in capsys.readouterr().out
    clear(config)
    capsys.readouterr()
    service("show", "--config", str(config))
    assert "not locked out; cleared" in capsys.readouterr().out


def test_a_missing_state_can_be_cleared_like_any_other(config, file, capsys):
    file.path.unlink()
    service("show", "--config", str(config))
    assert capsys.readouterr().out == "LOCKED OUT: fault: lockout state missing\n"
    assert clear(config) == 0
    assert not file.read().locked


def test_nothing_is_recorded_where_there_is_nothing_to_clear(config, file, tmp_path, capsys):
    assert clear(config) == 0
    assert capsys.readouterr().out == "not locked out\n"
    assert not list((tmp_path / "runs").glob("*-service"))


@pytest.mark.parametrize(
    ("who", "reason", "named"), [(" ", "x", "--who"), ("Ada", "", "--reason"), ("A\x07", "x", "--who")]
)
def test_a_name_and_a_reason_are_wanted(who, reason, named, config, file, capsys):
    file.write(LOCKED)
    assert clear(config, who, reason) == 2
    assert f"{named}: expected a few words" in capsys.readouterr().err
    assert file.read() == LOCKED


def test_a_monitor_at_work_is_not_cleared_under_its_feet(config, file, capsys):
    file.write(LOCKED)
    with held(file.path.parent, alone=False):
        assert clear(config) == 2
    assert "expected no monitor at work on it: stop it first" in capsys.readouterr().err
    assert file.read() == LOCKED


def test_a_folder_where_nothing_ever_ran_is_no_machine(config, tmp_path, capsys):
    assert clear(config) == 2
    assert "expected the folder of a machine that has run before" in capsys.readouterr().err
    assert not (tmp_path / "runs" / LOCKOUT).exists()


def test_a_record_that_cannot_be_written_clears_nothing(config, file, monkeypatch, capsys):
    def is_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file.write(LOCKED)
    monkeypatch.setattr("handguard.evidence.ledger.Ledger.close", is_full)
    assert clear(config) == 3
    assert "No space left on device" in capsys.readouterr().err
    assert file.read() == LOCKED
