"""One sitting of a training that takes several: `python benchmarks/gpu_sitting.py --pack DIR --run DIR …`.

For a card that is lent for minutes. A sitting unpacks the pictures (`gpu_pack`), puts the checkpoint of the
last sitting together again, trains, and stops by itself just after a checkpoint, so that no step is lost.
What is worth keeping then lies in `--back`: metrics, curves, and the checkpoint in pieces no larger
than `--piece-mb`. Give the next sitting that folder as `--from`.

    the checkpoint     weights, average, optimiser, step: training goes on as if never stopped
    --average-only     only the average, in half precision, as average.pt: for `handguard package`, not to go on from
    --only-bring-back  nothing is trained: look at a run that goes on meanwhile

What `handguard train` has in a recipe file comes from `models/recipes/ARCHITECTURE.yaml` where there is one,
or from `--recipe`. Every sitting of a training must be given the same.

The same command on a CPU with `--steps 50` is the rehearsal. The share of time the card waited
for pictures is in losses.csv (`waited_share`); more `--workers` than that needs are wasted.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import torch
from gpu_pack import unpack
from kept import say

from handguard.atomic import write_atomically, write_json
from handguard.detection.architectures import REMEDY
from handguard.errors import HandguardError, mismatch
from handguard.training import checkpoints
from handguard.training.checkpoints import CHECKPOINT, Checkpoint
from handguard.training.command import Job, train_command
from handguard.training.listening import Listener
from handguard.training.meter import LOSSES, METRICS

RECIPES = Path(__file__).parents[1] / "models" / "recipes"
TABLES = (LOSSES, METRICS)
SMALL = (*TABLES, "curves.png")
PIECE, LIST = ".part-", ".parts.json"  # a piece of a file, and what all of them are


class SittingOver(Exception):
    """The time is up and the newest checkpoint is on disk."""


class Watch:
    """A `Listener.progress` that ends the sitting at the first checkpoint after `limit_s`."""

    def __init__(self, checkpoint: Path, limit_s: float) -> None:
        self._checkpoint, self._limit_s = checkpoint, limit_s
        self._began = time.monotonic()
        self._stamp_when_over: int | None = None  # of the checkpoint that lay there when the time was up

    def progress(self, done: int, total: int | None) -> None:
        """After every step. Raises `SittingOver`."""
        if done == total or time.monotonic() - self._began < self._limit_s:
            return
        stamp = self._checkpoint.stat().st_mtime_ns if self._checkpoint.exists() else 0
        if self._stamp_when_over is None:
            self._stamp_when_over = stamp
        elif stamp != self._stamp_when_over:
            raise SittingOver


def sit(job: Job, limit_s: float) -> bool:
    """Train until done (True) or until the time is up (False)."""
    watch = Watch(job.out / CHECKPOINT, limit_s)
    try:
        train_command(job, Listener(watch.progress, say))
    except SittingOver:
        return False
    return True


def split(path: Path, out: Path, piece_bytes: int) -> list[Path]:
    """`path` as numbered pieces in `out`, and, last, a list that says how many there are and what they make."""
    out.mkdir(parents=True, exist_ok=True)
    written, whole = [], hashlib.sha256()
    with path.open("rb") as file:
        for number, data in enumerate(iter(lambda: file.read(piece_bytes), b"")):
            piece = out / f"{path.name}{PIECE}{number:03d}"
            piece.write_bytes(data)
            whole.update(data)
            written.append(piece)
    listed = out / f"{path.name}{LIST}"
    write_json(listed, {"pieces": [piece.name for piece in written], "sha256": whole.hexdigest()})
    return [*written, listed]


def joined(folder: Path, name: str) -> bytes | None:
    """The file that was split into `folder`; None if none was. Pieces that its list does not name are left alone."""
    listed = folder / f"{name}{LIST}"
    if not listed.exists():
        if any(folder.glob(f"{name}{PIECE}*")):
            raise SystemExit(mismatch(str(folder), f"{listed.name} beside the pieces of {name}", "none"))
        return None
    told = json.loads(listed.read_text())
    if missing := [piece for piece in told["pieces"] if not (folder / piece).exists()]:
        raise SystemExit(mismatch(str(listed), f"{len(told['pieces'])} pieces", f"no {', '.join(missing)}"))
    data = b"".join((folder / piece).read_bytes() for piece in told["pieces"])
    if (found := hashlib.sha256(data).hexdigest()) != told["sha256"]:
        raise SystemExit(mismatch(str(listed), f"pieces of one file, sha256 {told['sha256']}", found))
    return data


def resume(last: Path, run: Path) -> None:
    """Put the last sitting's checkpoint and tables where training looks for them; what lies there goes first."""
    run.mkdir(parents=True, exist_ok=True)
    if (run / CHECKPOINT).exists():
        return
    data = joined(last, CHECKPOINT)
    if data is None:
        raise SystemExit(mismatch(str(last), f"pieces of {CHECKPOINT}, for {run} has none either", "none"))
    write_atomically(run / CHECKPOINT, data)
    for table in TABLES:
        if (last / table).exists():
            shutil.copy(last / table, run / table)


def bring_back(run: Path, back: Path, piece_bytes: int, average_only: bool) -> list[Path]:
    """What the next sitting, or a person, needs, in `back`; pieces of an earlier sitting give way to it."""
    back.mkdir(parents=True, exist_ok=True)
    for stale in (*back.glob(f"*{LIST}"), *back.glob(f"*{PIECE}[0-9][0-9][0-9]")):
        stale.unlink()
    kept = [run / name for name in SMALL]
    brought = [Path(shutil.copy(path, back)) for path in kept if path.exists()]
    for path in _large(run, average_only):
        brought += split(path, back, piece_bytes)
    return brought


def _large(run: Path, average_only: bool) -> Iterator[Path]:
    """What travels in pieces: the checkpoint or its average."""
    if not average_only:
        yield run / CHECKPOINT
        return
    average = run / "average.pt"
    average.write_bytes(light(checkpoints.read(run / CHECKPOINT)))
    yield average


def light(saved: Checkpoint) -> bytes:
    """A checkpoint to package, not to go on from: only the average, its convolutions in half precision."""
    half = {name: value.half() if value.ndim > 1 else value for name, value in saved.average.items()}
    state = {f.name: getattr(saved, f.name) for f in fields(saved)} | {"model": {}, "average": half, "optimizer": {}}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def orders() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, help="folder of piece-*.tar; needed unless --only-bring-back")
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run; kept while the machine is")
    parser.add_argument("--back", type=Path, required=True, help="folder for what comes back")
    parser.add_argument("--from", dest="last", type=Path, help="what came back from the last sitting")
    parser.add_argument("--minutes", type=float, default=7.0, help="then stop at the next checkpoint (every 2 minutes)")
    parser.add_argument("--architecture", default="palmnet-s")
    parser.add_argument("--recipe", type=Path, help="default: the architecture's own in models/recipes, if it has one")
    parser.add_argument("--steps", type=int, default=20_000, help="of the whole training, not of this sitting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--workers", type=int, default=15, help="processes that decode and augment")
    parser.add_argument("--init", type=Path, help="weights to start from")
    parser.add_argument("--teacher", help="a model whose answers are learnt in place of the labels")
    parser.add_argument("--reset-heads", action="store_true", help="of --init, leave out what belongs to other classes")
    parser.add_argument("--time-budget", type=float, help="minutes of the whole training; the learning rate follows")
    parser.add_argument("--piece-mb", type=float, default=15.0)
    parser.add_argument("--average-only", action="store_true")
    parser.add_argument("--only-bring-back", action="store_true")
    wanted = parser.parse_args()
    if wanted.pack is None and not wanted.only_bring_back:
        parser.error("--pack is needed to train")
    return wanted


def own_recipe(architecture: str) -> Path | None:
    """The recipe file of a network, which holds with the small-object remedy too; None if it has none."""
    path = RECIPES / f"{architecture.removesuffix(REMEDY)}.yaml"
    return path if path.exists() else None


def job_of(wanted: argparse.Namespace, data: Path) -> Job:
    """The whole training, of which this sitting is a part."""
    return Job(
        data,
        wanted.run,
        wanted.architecture,
        wanted.steps,
        wanted.batch_size,
        wanted.seed,
        wanted.device,
        wanted.workers,
        init=wanted.init,
        teacher=wanted.teacher,
        reset_heads=wanted.reset_heads,
        recipe=wanted.recipe or own_recipe(wanted.architecture),
        in_memory=True,
        packaged=False,
        time_budget_s=60 * wanted.time_budget if wanted.time_budget else None,
    )


def whole_sitting(wanted: argparse.Namespace) -> None:
    """Unpack, go on, train, bring back. Raises `HandguardError`."""
    if not wanted.only_bring_back:
        train(wanted)
    for path in bring_back(wanted.run, wanted.back, round(wanted.piece_mb * 1e6), wanted.average_only):
        say(str(path))


def train(wanted: argparse.Namespace) -> None:
    """What there is time for. Raises `HandguardError`."""
    job = job_of(wanted, unpack(wanted.pack, wanted.run / "pictures"))
    say(f"recipe {job.recipe or 'as handguard train has it'}")
    if wanted.last is not None:
        resume(wanted.last, wanted.run)
    say("training is over" if sit(job, wanted.minutes * 60) else "to be continued with --from")


def main() -> None:
    try:
        whole_sitting(orders())
    except HandguardError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
