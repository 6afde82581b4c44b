"""`handguard export`: a compiled form of a model, and the gate it has to pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handguard.learning_cli import listening

if TYPE_CHECKING:
    from handguard.training.exporting import Exported

# Rooms are imported inside the commands: `handguard --help` must not wait for torch.
exporting = typer.Typer()
REFUSED = 1
Share = Annotated[float, typer.Option(min=0, max=1)]


@exporting.command()
def export(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for graph, priors and card. models/: a model by name.")
    ],
    model: Annotated[
        str | None, typer.Option(help="A model under models/ by name, or a path. Default: the shipped one.")
    ] = None,
    format: Annotated[str, typer.Option(help="onnx, openvino, or int8 (OpenVINO, by NNCF).")] = "onnx",
    data: Annotated[
        Path | None, typer.Option(help="int8: folder whose train pictures it is calibrated with.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="int8: how many of them.")] = 300,
    gate: Annotated[
        Path | None, typer.Option(help="Folder whose val pictures decide whether the export may stand in.")
    ] = None,
    empty_footage: Annotated[
        Path | None,
        typer.Option(help="With --gate: recordings without a hand, in which the export must not see one either."),
    ] = None,
    max_ap_loss: Share = 0.005,
    max_decision_changes: Share = 0.02,
) -> None:
    """Write a model for another runtime, or in int8, if it decides as its origin does.

    The gate compares hands and zone decisions of both at the operating point, and their average
    precision. Exit 1 if it refuses; then nothing is written.
    """
    from handguard.detection.card import DEFAULT
    from handguard.training.export_gate import GateLimits
    from handguard.training.exporting import Export
    from handguard.training.exporting import export as run_export
    from handguard.training.footage import empty_recordings

    limits = GateLimits(max_ap_loss, max_decision_changes)
    empty = tuple(empty_recordings(empty_footage))
    wanted = Export(out, model or DEFAULT, format, data, pictures, gate, empty, limits)
    with listening("export") as listener:
        done = run_export(wanted, listener.progress)
    typer.echo(told(done))
    if done.files is None:
        raise typer.Exit(REFUSED)


def told(done: Exported) -> str:
    """What the gate found, and what became of the export."""
    lines = _gate_lines(done.gate) if done.gate else ["No gate: nothing is known about its decisions."]
    if done.files is None:
        return "\n".join([*lines, *(f"REFUSED   {why}" for why in done.refused), "Nothing was written."])
    return "\n".join([*lines, str(done.files.weights), str(done.files.card)])


def _gate_lines(gate: dict[str, Any]) -> list[str]:
    hands, zones = gate["changes"]["hands"], gate["changes"]["zones"]
    lines = [f"{gate['before']['measured_with']} → {gate['after']['measured_with']}"]
    lines += [
        f"  {table} {view}: {gate['before'][table][view]} → {gate['after'][table][view]}"
        for table in ("ap50", "ap50_near")
        for view in gate["before"][table]
    ]
    lines.append(f"  hands: {hands['origin']}, of these lost {hands['lost']}; new {hands['new']}")
    lines += [
        f"  zones, {name}: {row['decisions']} decisions, freed {row['freed']}, raised {row['raised']}"
        for name, row in zones.items()
    ]
    if empty := gate.get("empty"):
        lines.append(f"  without a hand: {empty['frames']:,} recorded frames, highest score {empty['highest_score']}")
    return lines
