"""`handguard service …`: what only a person at the machine may do, who has repaired what was wrong."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handguard.errors import ConfigError, RecordingError, mismatch, require_words

if TYPE_CHECKING:
    from handguard.config import Settings
    from handguard.evidence.lockout import LockoutFile, Standing

# Rooms are imported inside the commands: `handguard --help` must not wait for them.
service_app = typer.Typer(help="Service actions, on this computer only.", no_args_is_help=True)
ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The settings of the machine.")]


@service_app.command("show")
def show_lockout(config: ConfigFile) -> None:
    """Say whether the machine is locked out, since when and why."""
    from handguard.config import load

    typer.echo(_told(_file(load(config)).read()))


@service_app.command("clear-lockout")
def clear_lockout(
    config: ConfigFile,
    who: Annotated[str, typer.Option(help="Your name: it is recorded and signed.")],
    reason: Annotated[str, typer.Option(help="What was wrong, and what was done about it.")],
) -> None:
    """Clear a lockout, once what caused it is repaired. The monitor must be stopped.

    Recorded in a signed book of its own beside the runs. The machine stays off until the
    monitor has been started and a person has reset it.
    """
    from handguard.config import load
    from handguard.evidence.ledger import stamp_now
    from handguard.evidence.lockout import Standing, held

    require_words("--who", who)
    require_words("--reason", reason)
    settings = load(config)
    file = _file(settings)
    try:
        with held(Path(settings.evidence.dir), alone=True):
            was = file.read()
            if not was.locked:
                typer.echo(_told(was))
                return
            book = _record(settings, who, f"{reason}; was {_told(was)}")
            file.write(Standing(False, was.cause, was.run, stamp_now().wall_time_utc, who, reason))
    except OSError as error:
        raise RecordingError(mismatch(str(file.path), "a folder that can be written", error)) from error
    typer.echo(f"cleared by {who}: {reason}; recorded in {book}")


def _file(settings: Settings) -> LockoutFile:
    from handguard.evidence.lockout import lockout_file
    from handguard.evidence.signing import KEY_NAME

    folder = Path(settings.evidence.dir)
    if not (folder / KEY_NAME).exists():
        raise ConfigError(mismatch(f"{folder}", "the folder of a machine that has run before", "no signing key"))
    return lockout_file(folder, folder / KEY_NAME)


def _record(settings: Settings, who: str, detail: str) -> Path:
    """A book with this one action, signed and closed. Raises `RecordingError` or `OSError`."""
    from handguard import __version__
    from handguard.config import fingerprint
    from handguard.evidence.ledger import Ledger, WritePolicy, stamp_now
    from handguard.evidence.machine import boot_id, machine_id
    from handguard.evidence.schema import Genesis, OperatorAction, operator_record
    from handguard.evidence.signing import KEY_NAME, SigningKey

    folder = Path(settings.evidence.dir)
    values = settings.model_dump(mode="json")
    genesis = Genesis(machine_id(), __version__, fingerprint(settings), "no model", boot_id(), settings=values)
    book = folder / datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%SZ-service") / "evidence"
    ledger = Ledger(book, genesis, SigningKey.load_or_create(folder / KEY_NAME), WritePolicy())
    now_ns = stamp_now().monotonic_ns
    ledger.write([operator_record(OperatorAction.CLEAR_LOCKOUT, now_ns, who, detail)])
    ledger.close("service action", 0)
    return book


def _told(standing: Standing) -> str:
    if standing.locked:
        since = f" since {standing.wall_time_utc} in {standing.run}" if standing.run else ""
        return f"LOCKED OUT{since}: {standing.cause}"
    by = f"; cleared {standing.wall_time_utc} by {standing.who}: {standing.why}" if standing.who else ""
    return f"not locked out{by}"
