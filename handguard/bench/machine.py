"""What a measurement was made on: a number without its machine says nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "openvino", "opencv-python", "numpy")
ALSO_AS = {"opencv-python": "opencv-python-headless"}  # the same without its window
NOT_INSTALLED = "not installed"
ASKED_OF_THE_CARD = ("name", "driver_version", "memory.total")
PATIENCE_S = 10.0


def described() -> dict[str, object]:
    """Processor, cores, kernel, Python, the libraries that do the work, and graphics cards where a driver knows any."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    flags = next((line for line in lines if line.startswith("flags")), "")
    found = {
        "processor": model,
        "cores": os.cpu_count(),
        "avx512_bf16": "avx512_bf16" in flags,
        "avx512_vnni": "avx512_vnni" in flags,
        "busy": [round(load, 1) for load in os.getloadavg()],  # programs that wanted a core, over 1, 5 and 15 minutes
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: installed(name) for name in PACKAGES},
    }
    return found | ({"cards": told, **_cuda()} if (told := cards()) else {})


def installed(package: str) -> str:
    """Its version, or that of what stands in for it, with its name."""
    try:
        return version(package)
    except PackageNotFoundError:
        other = ALSO_AS.get(package)
    found = NOT_INSTALLED if other is None else installed(other)
    return found if found == NOT_INSTALLED else f"{found} ({other})"


def _cuda() -> dict[str, str]:
    """Versions of the libraries that torch brings for a card, where this process has imported it anyway."""
    torch = sys.modules.get("torch")
    if torch is None or torch.version.cuda is None:
        return {}
    return {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}


def cards() -> list[dict[str, str]]:
    """NVIDIA cards and their driver, as the driver's own tool tells them; torch, which takes a second and much memory,
    is not asked. Empty without the tool or a card."""
    order = ["nvidia-smi", f"--query-gpu={','.join(ASKED_OF_THE_CARD)}", "--format=csv,noheader"]
    try:
        said = subprocess.run(order, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in said.splitlines() if line.strip()]
    return [dict(zip(ASKED_OF_THE_CARD, row, strict=False)) for row in rows]
