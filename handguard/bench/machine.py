"""What a measurement was made on: a number without its machine says nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path


def described() -> dict[str, object]:
    """Processor, cores, kernel, Python and the libraries that do the work."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    flags = next((line for line in lines if line.startswith("flags")), "")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "avx512_bf16": "avx512_bf16" in flags,
        "avx512_vnni": "avx512_vnni" in flags,
        "busy": [round(load, 1) for load in os.getloadavg()],  # programs that wanted a core, over 1, 5 and 15 minutes
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "openvino", "opencv-python", "numpy")},
    }
