"""Commands for the person who answers for the machine: self-test, accept, proof-test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handguard.errors import SelfTestFailed

# Rooms are imported inside the commands: `handguard --help` must not wait for torch.
approving = typer.Typer()

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="Settings (YAML). `handguard config show` explains them.")
]
OutFolder = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the record.")]
Who = Annotated[str, typer.Option(help="Your name, for the record.")]
NOT_PASSED = 1


@approving.command("self-test")
def self_test(config: ConfigFile, out: OutFolder = None) -> None:
    """Do what every start does before the machine may be switched on, and print it as a table.

    Exit 0 when all passed, 2 at the first failure. With safety.self_test.move_contact it CLOSES THE CONTACT once.
    """
    from handguard.approvals import self_test as prove
    from handguard.config import load

    try:
        table = prove(load(config), out)
    except SelfTestFailed as error:
        typer.echo("\n".join(error.table))
        raise
    typer.echo("\n".join(table))


@approving.command()
def accept(config: ConfigFile, who: Who) -> None:
    """Sign that configuration, zones and model are right as they are now. Any later change refuses to start."""
    from handguard.approvals import accept as sign
    from handguard.config import load

    typer.echo(f"accepted by {who}: {sign(load(config), who)}")


@approving.command("proof-test")
def proof_test(config: ConfigFile, who: Who, out: OutFolder = None) -> None:
    """Reach in with test pieces, as told step by step; each reach must warn, stop and be confirmed.

    THE MACHINE IS GIVEN PERMISSION TO RUN: secure it first (docs/safety-manual.md). Ctrl-C ends it early.
    Exit 0 when every step passed, 1 otherwise; the signed record is written in any case.
    """
    from handguard.approvals import proof_test as examine
    from handguard.config import load

    done = examine(load(config), out, who, typer.echo)
    typer.echo(f"record: {done.folder}")
    if not done.passed:
        raise typer.Exit(NOT_PASSED)
