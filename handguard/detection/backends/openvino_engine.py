"""OpenVINO as back end: the default on CPUs.

The network is converted once and kept in a cache folder, named by the hash of
its weights and its input size, together with its priors; the next start reads
it without importing torch. What is kept and cannot be read or compiled is made
anew from the weights; where nothing can be kept, the network runs as it was
converted. Cast from uint8 and the change of layout are compiled into the network,
and the input tensor is the canvas itself. OpenVINO is imported where it is used:
what only asks whether it is here runs without it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handguard.atomic import appearing_whole
from handguard.detection.backends import cache
from handguard.detection.preprocess import GRAY
from handguard.errors import ModelError, mismatch

if TYPE_CHECKING:
    import openvino as ov

    from handguard.detection.ssd import Ssd

PRECISIONS = {"float32": "f32", "bf16": "bf16", "fp16": "f16"}
CAPABILITY = {"float32": "FP32", "bf16": "BF16", "fp16": "FP16"}
CACHE = cache.ROOT / "openvino"
PRIORS = ".priors.npy"
PARTS = (".xml", ".bin", PRIORS)  # of a network that is kept; the graph comes last and goes first
CPU_INFO = Path("/proc/cpuinfo")

Made = tuple["ov.Model", NDArray[np.float32]]  # and priors (P, 4)
Ready = tuple["ov.CompiledModel", NDArray[np.float32]]


class OpenVinoEngine:
    """One compiled network with one request. See `Engine`."""

    def __init__(
        self,
        key: str,
        network: Callable[[], Ssd],
        input_px: tuple[int, int],
        precision: str | None = None,
        threads: int | None = None,
        graph: Path | None = None,
    ) -> None:
        """`key` names network and weights; `network` is called only when the cache does not know it.

        `precision` None takes bf16 where the CPU has it. With `graph`, an exported
        model, only the priors are the network's. Raises `ModelError` when the CPU
        cannot do what is asked, or the graph is none for this input.
        """
        import openvino as ov

        precision = allowed(precision)
        kept = CACHE / f"{key[:16]}-{input_px[0]}x{input_px[1]}-{ov.get_version().split('-')[0]}.xml"
        make = functools.partial(_made, network, input_px, graph)
        compiled, self.priors = _ready(kept, make, _properties(precision, threads))
        self._request = compiled.create_infer_request()
        batch = np.full((1, input_px[1], input_px[0], 3), GRAY, np.uint8)
        self._request.set_input_tensor(ov.Tensor(batch, shared_memory=True))
        self.canvas: NDArray[np.uint8] = batch[0]
        self.description = f"openvino CPU {'int8' if _is_int8(graph) else precision}"
        self._outputs = [self._request.get_output_tensor(i).data[0] for i in range(2)]

    def infer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self._request.infer(share_outputs=True)  # without: a copy of them, which nobody reads
        return self._outputs[0], self._outputs[1]


@functools.cache
def runtime() -> ov.Core:
    """The one OpenVINO runtime of this process.

    Its CPU plugin gives the thread that loads it an alternate signal stack, and gives
    back the one before when it goes. Two that go in another order than they came leave
    one that is no longer mapped, and the next signal with a handler in Python (SIGTERM
    among them) ends the process with SIGSEGV. So there is one, and it never goes.
    """
    import openvino as ov

    return ov.Core()


def _ready(path: Path, make: Callable[[], Made], properties: dict[str, Any]) -> Ready:
    """The network and its priors as they are kept at `path`, or made now and kept there. Raises `ModelError`."""
    kept = _from_cache(path, properties)
    if kept is not None:
        return kept
    model, priors = make()
    _keep(model, priors, path)
    return _from_cache(path, properties) or (_compiled(model, properties), priors)


def _made(network: Callable[[], Ssd], input_px: tuple[int, int], graph: Path | None) -> Made:
    """A network, or an exported `graph`, as OpenVINO has it, and its priors. Raises `ModelError`."""
    made = network()
    return (graph_of(made, input_px) if graph is None else _reshaped(graph, input_px)), made.priors.numpy()


def graph_of(network: Ssd, input_px: tuple[int, int]) -> ov.Model:
    """The network as OpenVINO has it, taking uint8 pictures (1, height, width, 3)."""
    import openvino as ov
    import torch
    from openvino.preprocess import PrePostProcessor

    shape = [1, 3, input_px[1], input_px[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how the converter uses torch is its makers' concern
        model = ov.convert_model(network, example_input=torch.zeros(shape), input=[ov.PartialShape(shape)])
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    return steps.build()


def _reshaped(graph: Path, input_px: tuple[int, int]) -> ov.Model:
    """An exported graph for an input of this size. Raises `ModelError`."""
    import openvino as ov

    shape = [1, input_px[1], input_px[0], 3]
    try:
        model = runtime().read_model(graph)
        model.reshape(shape)
    except RuntimeError as error:
        expected = f"a graph that takes uint8 {shape}"
        raise ModelError(mismatch(str(graph), expected, cache.last_line(error))) from error
    if [one.get_element_type() for one in model.inputs] != [ov.Type.u8]:
        found = [one.get_element_type().get_type_name() for one in model.inputs]
        raise ModelError(mismatch(str(graph), f"one input, uint8 {shape}", found))
    return model


def _from_cache(path: Path, properties: dict[str, Any]) -> Ready | None:
    """What is kept, compiled; None where nothing is, or (which is told) nothing that can be used."""
    if not os.path.exists(path):  # `Path.exists` raises where a folder on the way is closed
        return None
    try:
        priors = cache.read_priors(path.with_suffix(PRIORS))
        compiled = runtime().compile_model(path, "CPU", properties)
    except (RuntimeError, *cache.UNREADABLE) as error:
        cache.tell_damaged(path, error)
        return None
    cache.used(path)
    return compiled, priors


def _keep(model: ov.Model, priors: NDArray[np.float32], path: Path) -> None:
    """Write priors, weights and graph, the graph last: where it exists, all exists. A disk that refuses is told."""
    import openvino as ov

    with cache.keeping(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            mine = Path(folder) / path.name
            ov.save_model(model, mine, compress_to_fp16=False)
            cache.write_priors(path.with_suffix(PRIORS), priors)
            for suffix in (".bin", ".xml"):
                with appearing_whole(path.with_suffix(suffix)) as fresh:
                    mine.with_suffix(suffix).replace(fresh)
        cache.make_room(path.parent, PARTS)


def _compiled(model: ov.Model, properties: dict[str, Any]) -> ov.CompiledModel:
    """Raises `ModelError`: a CPU without the instructions it needs."""
    try:
        return runtime().compile_model(model, "CPU", properties)
    except RuntimeError as error:
        expected = "a network that OpenVINO can compile for this CPU"
        raise ModelError(mismatch("detector.backend: openvino", expected, cache.last_line(error))) from error


def _is_int8(graph: Path | None) -> bool:
    """Whether an exported graph was quantized. Raises `ModelError` for one whose sums overflow on this CPU."""
    is_int8 = graph is not None and any(
        one.get_type_name() == "FakeQuantize" for one in runtime().read_model(graph).get_ops()
    )
    if is_int8 and not int8_is_fast():
        expected = "a CPU that adds products of bytes without overflow (VNNI or AMX)"
        raise ModelError(mismatch(f"{graph}, a model in int8", expected, "neither"))
    return is_int8


def int8_is_fast() -> bool:
    """Whether this CPU multiplies bytes in one instruction (VNNI or AMX); without, int8 gains little and overflows."""
    words = set(CPU_INFO.read_text().split()) if CPU_INFO.exists() else set()
    return bool(words & {"avx512_vnni", "avx_vnni", "amx_int8"})


def precisions_here() -> tuple[str, ...]:
    """What OpenVINO computes on this CPU, of `PRECISIONS`; nothing where it is not installed."""
    if importlib.util.find_spec("openvino") is None:
        return ()
    able = _able()
    return tuple(precision for precision in PRECISIONS if CAPABILITY[precision] in able)


def _able() -> list[str]:
    return list(runtime().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def allowed(precision: str | None) -> str:
    """The precision that is meant: for None the fastest of `PRECISIONS` here. Raises `ModelError` for one that this CPU
    does not compute."""
    able = _able()
    if precision is None:
        return "bf16" if CAPABILITY["bf16"] in able else "float32"
    if CAPABILITY.get(precision) not in able:
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
        properties["ENABLE_CPU_PINNING"] = False  # every process would pin to the first core: four shared it
    return properties
