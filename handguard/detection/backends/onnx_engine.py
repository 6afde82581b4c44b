"""ONNX Runtime as back end: on the CPU, or with the CUDA and TensorRT providers where its GPU build is installed.

The graph is an exported model's own (`NAME.onnx`), or made once from the weights and
kept in the cache. ONNX Runtime goes on without a word when a provider fails to load,
so the one that really runs is asked for, printed, and refused if it is not the one
that was ordered. Once it runs it is never changed: ONNX Runtime's own way of going on with
another after a failure is switched off, and what fails is a `DeviceError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handguard.detection.preprocess import GRAY
from handguard.errors import DeviceError, ModelError, mismatch

INPUT = "picture"
PROVIDERS = {  # by what follows `onnxruntime-` in the name of the back end; best first
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
PRECISIONS = {"tensorrt": ("float32", "fp16"), "cuda": ("float32",), "cpu": ("float32",)}


class GraphError(ModelError):
    """The graph is none, is damaged, or takes another input; or ONNX Runtime could not say what is wrong."""


class OnnxEngine:
    """One session. See `Engine`."""

    def __init__(
        self,
        graph: Path,
        priors: NDArray[np.float32],
        input_px: tuple[int, int],
        provider: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
    ) -> None:
        """`provider` is a key of `PROVIDERS`; None: the best that loads. Raises `ModelError`; `GraphError` where
        another graph might run."""
        self.provider, self._session = _session(_runtime(), graph, provider, precision, threads)
        self._session.disable_fallback()
        _require_input(graph, self._session.get_inputs(), input_px)
        self._batch = np.full((1, input_px[1], input_px[0], 3), GRAY, np.uint8)
        self.canvas: NDArray[np.uint8] = self._batch[0]
        self.priors = priors
        self.description = f"onnxruntime {self.provider} {precision or 'float32'}"

    def infer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As `Engine` says; raises `DeviceError` if the provider fails."""
        try:
            logits, offsets = self._session.run(None, {INPUT: self._batch})
        except Exception as error:  # the one base that ONNX Runtime's errors share
            told = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DeviceError(mismatch(self.description, "an answer", told)) from error
        return logits[0], offsets[0]


def providers_for(provider: str | None, precision: str | None) -> list[str]:
    """Keys of `PROVIDERS` that may be tried for such a wish, best first. Raises `ModelError` where there is none:
    a missing package, a provider that this ONNX Runtime lacks, a precision that none of them computes."""
    there = set(_runtime().get_available_providers())
    installed = [name for name, theirs in PROVIDERS.items() if theirs in there]
    if provider is not None and provider not in installed:
        where = f"detector.backend: onnxruntime-{provider}"
        raise ModelError(mismatch(where, f"a provider of this ONNX Runtime ({', '.join(installed)})", provider))
    asked = [provider] if provider else installed
    able = [name for name in asked if precision is None or precision in PRECISIONS[name]]
    if not able:
        expected = f"one that onnxruntime-{asked[-1]} computes ({', '.join(PRECISIONS[asked[-1]])})"
        raise ModelError(mismatch("detector.precision", expected, precision))
    return able


def _runtime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        expected = "the package onnxruntime (pip install 'handguard[onnx]')"
        raise ModelError(mismatch("detector.backend: onnxruntime", expected, error)) from error
    return onnxruntime


def _session(
    runtime: ModuleType, graph: Path, provider: str | None, precision: str | None, threads: int | None
) -> tuple[str, Any]:
    """The provider that runs, and its session: the one ordered, or the first that really loads."""
    for name in providers_for(provider, precision):
        session = _opened(runtime, graph, name, precision, threads)
        if session.get_providers()[0] == PROVIDERS[name]:
            return name, session
    found = "one that does not load here (is its CUDA or TensorRT library installed?)"
    named = "onnxruntime" if provider is None else f"onnxruntime-{provider}"
    raise ModelError(mismatch(f"detector.backend: {named}", "a provider that runs", found))


def _opened(
    runtime: ModuleType, graph: Path, provider: str, precision: str | None, threads: int | None
) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors; a provider that does not load is told by us
    if threads is not None:
        options.intra_op_num_threads = threads
    choice: list[Any] = [PROVIDERS[provider]]
    if provider == "tensorrt":  # what it cannot run goes to CUDA, not to the CPU
        choice = [(PROVIDERS["tensorrt"], {"trt_fp16_enable": precision == "fp16"}), PROVIDERS["cuda"]]
    try:
        return runtime.InferenceSession(str(graph), options, providers=choice)
    except Exception as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise GraphError(mismatch(str(graph), "a graph that ONNX Runtime can run", told)) from error


def _require_input(graph: Path, inputs: Sequence[Any], input_px: tuple[int, int]) -> None:
    expected = [1, input_px[1], input_px[0], 3]
    found = [(one.name, one.type, list(one.shape)) for one in inputs]
    if found != [(INPUT, "tensor(uint8)", expected)]:
        raise GraphError(mismatch(str(graph), f"one input {INPUT}, uint8 {expected}", found))
