"""OpenVINO as back end: the default on CPUs.

The network is converted once and kept in a cache folder, named by the hash of
its weights and its input size, together with its priors; the next start reads
it without importing torch. Cast from uint8 and the change of layout are compiled
into the network, and the input tensor is the canvas itself.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor

from handguard.detection.preprocess import GRAY
from handguard.errors import ModelError, mismatch

if TYPE_CHECKING:
    from handguard.detection.ssd import Ssd

PRECISIONS = {"float32": "f32", "bf16": "bf16", "fp16": "f16"}
CAPABILITY = {"float32": "FP32", "bf16": "BF16", "fp16": "FP16"}
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "handguard" / "openvino"


class OpenVinoEngine:
    """One compiled network with one request. See `Engine`."""

    def __init__(
        self,
        key: str,
        network: Callable[[], Ssd],
        input_px: tuple[int, int],
        precision: str | None = None,
        threads: int | None = None,
    ) -> None:
        """`key` names network and weights; `network` is called only when the cache does not know it.

        `precision` None takes bf16 where the CPU has it. Raises `ModelError`
        when the CPU cannot do what is asked.
        """
        core = ov.Core()
        precision = _allowed(core, precision)
        path = converted(key, network, input_px)
        compiled = core.compile_model(path, "CPU", _properties(precision, threads))
        self._request = compiled.create_infer_request()
        batch = np.full((1, input_px[1], input_px[0], 3), GRAY, np.uint8)
        self._request.set_input_tensor(ov.Tensor(batch, shared_memory=True))
        self.canvas: NDArray[np.uint8] = batch[0]
        self.priors: NDArray[np.float32] = np.load(path.with_suffix(".priors.npy"))
        self.description = f"openvino CPU {precision}"
        self._outputs = [self._request.get_output_tensor(i).data[0] for i in range(2)]

    def infer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self._request.infer()
        return self._outputs[0], self._outputs[1]


def converted(key: str, network: Callable[[], Ssd], input_px: tuple[int, int]) -> Path:
    """The cached OpenVINO file of a network, made now if need be."""
    path = CACHE / f"{key[:16]}-{input_px[0]}x{input_px[1]}-{ov.get_version().split('-')[0]}.xml"
    if not path.exists():
        _convert(network(), input_px, path)
    return path


def _convert(network: Ssd, input_px: tuple[int, int], path: Path) -> None:
    """Write priors, weights and graph, the graph last: where it exists, all exists."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    shape = [1, 3, input_px[1], input_px[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how the converter uses torch is its makers' concern
        model = ov.convert_model(network, example_input=torch.zeros(shape), input=[ov.PartialShape(shape)])
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    mine = path.with_name(f"{os.getpid()}-{path.name}")
    ov.save_model(steps.build(), mine, compress_to_fp16=False)
    np.save(mine.with_suffix(".priors.npy"), network.priors.numpy())
    for suffix in (".priors.npy", ".bin", ".xml"):
        mine.with_suffix(suffix).replace(path.with_suffix(suffix))


def precisions_here() -> tuple[str, ...]:
    """What this CPU computes, of `PRECISIONS`."""
    able = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(precision for precision in PRECISIONS if CAPABILITY[precision] in able)


def _allowed(core: ov.Core, precision: str | None) -> str:
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision is None:
        return "bf16" if CAPABILITY["bf16"] in able else "float32"
    if CAPABILITY[precision] not in able:
        raise ModelError(
            mismatch("detector.precision", f"one this CPU computes ({', '.join(able)})", precision)
        )
    return precision


def _properties(precision: str, threads: int | None) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
    }
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    return properties
