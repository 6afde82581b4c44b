"""What fine-tuning on one place gives there, and costs elsewhere, with and without old pictures mixed in.

    python benchmarks/fine_tuning.py DATA SCRATCH

One source of DATA stands for a site, the other sources for the earlier training. The
shipped network is fine-tuned by `handguard fine-tune` on the site alone, and with 30 % of
old pictures, from the same seed; both are judged on the site's val pictures and on every
third of the others. The network has seen all of these sources before: a new place would gain more,
so read the second column of tables for what is forgotten. A finished run is kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from kept import keep, orders

from handguard.bench import machine

RESULTS = Path(__file__).parent / "results" / "fine_tuning.json"
SITE = "factory_gloves"
STEPS, BATCH = 150, 16
SHARES = (0.0, 0.3)
EVERY_NTH_OLD = 3  # val picture is judged on


def part_of(data: Path, split: str, out: Path, *, site: bool, every_nth: int) -> None:
    """The annotations of one source, or of all others, beside a link to the pictures."""
    source = json.loads((data / split / "annotations.json").read_text())
    images = [one for one in source["images"] if (one["source"] == SITE) == site][::every_nth]
    ids = {one["id"] for one in images}
    annotations = [one for one in source["annotations"] if one["image_id"] in ids]
    folder = out / split
    folder.mkdir(parents=True, exist_ok=True)
    keep(folder / "annotations.json", {**source, "images": images, "annotations": annotations})
    link = folder / "images"
    if not link.exists():
        link.symlink_to((data / split / "images").resolve())


def tuned(site: Path, old: Path, share: float, out: Path) -> dict[str, Any]:
    """The tables of one run."""
    found = out / "before-after.json"
    if not found.exists():
        command = [
            sys.executable, "-m", "handguard", "fine-tune", "--data", site, "--out", out, "--steps", STEPS,
            "--batch-size", BATCH, "--old", old, "--old-share", share,
        ]  # fmt: skip
        subprocess.run([str(word) for word in command], check=True)
    return dict(json.loads(found.read_text())["tables"])


def main(data: Path, scratch: Path) -> None:
    site, old = scratch / "site", scratch / "old"
    for split in ("train", "val"):
        part_of(data, split, site, site=True, every_nth=1)
        part_of(data, split, old, site=False, every_nth=EVERY_NTH_OLD if split == "val" else 1)
    found = {
        "command": "python benchmarks/fine_tuning.py DATA SCRATCH",
        "machine": machine.described(),
        "site": SITE,
        "steps": STEPS,
        "batch_size": BATCH,
        "runs": {f"{share:g}": tuned(site, old, share, scratch / f"share-{share:g}") for share in SHARES},
    }
    keep(RESULTS, found)


if __name__ == "__main__":
    asked = orders(__doc__, data="annotated pictures, train and val", scratch="a folder that keeps the runs")
    main(asked.data, asked.scratch)
