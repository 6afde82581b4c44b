"""`handguard relay …`: work on a relay board before it may hold a machine."""

from __future__ import annotations

from typing import Annotated

import typer

from handguard.errors import ConfigError

relay_app = typer.Typer(help="Work on a relay board.", no_args_is_help=True)


@relay_app.callback()
def relay() -> None:
    """Work on a relay board."""


@relay_app.command("commission")
def commission_board(
    port: Annotated[str, typer.Option(help="/dev/serial/by-path/… or host:port.")],
    driver: Annotated[str, typer.Option(help="modbus-rtu or modbus-tcp.")] = "modbus-rtu",
    unit: Annotated[int, typer.Option(help="The board's address.", min=0, max=255)] = 1,
    channel: Annotated[int, typer.Option(min=1, max=32)] = 1,
    flash_ms: Annotated[
        int, typer.Option(help="Drop out after so long; in steps of 100.", min=200, max=5000)
    ] = 300,
    isolated: Annotated[
        bool, typer.Option("--machine-is-isolated", help="Yes: nothing moves when this contact closes.")
    ] = False,
) -> None:
    """Measure whether a board's flash-on is a watchdog. CLOSES THE CONTACT three times.

    Prints the figures that relay.options must hold; a board that cannot be one is refused.
    """
    from handguard.relay.board import BoardSettings
    from handguard.relay.commissioning import commission

    if not isolated:
        expected = "isolate the machine, then add --machine-is-isolated"
        raise ConfigError(f"the contact will close three times: {expected}")
    options: dict[str, str | int] = {"unit": unit}
    found = commission(BoardSettings(driver, port, channel, options), flash_ms, typer.echo)
    told = ", ".join(f"{key}: {value}" for key, value in {**options, **found.options}.items())
    typer.echo(f"relay:\n  driver: {driver}\n  port: {port}\n  channel: {channel}\n  options: {{{told}}}")
