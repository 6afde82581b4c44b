"""Torch on a CUDA card: the whole path from the frame's bytes to the hands in one CUDA graph.

    copy the crop into pinned memory        the only work of the CPU
    replay: upload · letterbox · network · decode · suppress · download     one launch
    read a table of a few kilobytes

A graph is captured for every size of crop and every set of thresholds before the
first frame. It knows what it reads by address alone, so whoever launches it keeps all of
that alive: frame and table, letterbox, weights, priors. Given a CPU as device, the same
functions run without a graph, and so they are tested.

Whatever torch raises while a frame is on the card is a `DeviceError`: the card, its
driver or its memory is gone, and nothing later on it can be believed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handguard.detection.backends.folding import fold
from handguard.detection.backends.tensor_path import COLUMNS, Letterbox, found_in, table_of
from handguard.detection.backends.torch_engine import dtype_of
from handguard.detection.postprocess import Found, Thresholds
from handguard.detection.preprocess import GRAY, Placement
from handguard.detection.scores import ScoreKind
from handguard.detection.ssd import Ssd
from handguard.errors import DeviceError, ModelError, mismatch

WARM_UP_ROUNDS = 3  # before capture: cuDNN times its algorithms and chooses; while it captures it must not
CHECKS_LIVENESS = False  # torch's own check before each launch, from 2.13 on; for tests: a capture takes 15 s then

Task = tuple[Placement, Thresholds]


@dataclass(frozen=True, slots=True, eq=False)
class OnDevice:
    """What all paths of one engine share: its network and priors, and the arithmetic they are computed in.

    A part of its own, so that paths keep it alive without keeping the engine, which keeps them.
    """

    network: Ssd
    priors: torch.Tensor  # (P, 4)
    kind: ScoreKind
    dtype: torch.dtype
    device: torch.device

    def table(self, frame: torch.Tensor, letterbox: Letterbox, limits: Thresholds) -> torch.Tensor:
        """From a frame on the host to the table on the device: what a graph holds."""
        logits, offsets = self.raw(letterbox(frame.to(self.device, non_blocking=True)))
        return table_of(logits, offsets, self.priors, self.kind, limits)

    def raw(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Class logits `(P, C)` and box offsets `(P, 4)`, float32, of a picture `(1, 3, height, width)`."""
        batch = picture.to(self.dtype).contiguous(memory_format=torch.channels_last)
        raw = self.network(batch)
        return raw.class_logits[0].float(), raw.box_offsets[0].float()

    def letterbox(self, placement: Placement) -> Letterbox:
        """Of such crops, on the device. Half precision where the card multiplies it faster and the network sees no
        more; float32 is float32 throughout."""
        halves = self.device.type == "cuda" and self.dtype is not torch.float32
        return Letterbox(placement, torch.float16 if halves else torch.float32).to(self.device)

    def arithmetic(self) -> contextlib.AbstractContextManager[None]:
        """cuDNN's way of working: the fastest of its algorithms, and in float32 none that rounds to TF32's ten bits."""
        return torch.backends.cudnn.flags(  # `enabled` is off unless said, and so is what is not named
            enabled=True, benchmark=True, allow_tf32=self.dtype is not torch.float32
        )


class DeviceEngine:
    """One network on one device. An `Engine` whose `look` does the whole path. One thread."""

    def __init__(self, network: Ssd, input_px: tuple[int, int], device: str, precision: str = "fp16") -> None:
        """Takes the network over, and folds its normalization. Raises `ModelError` where there is no such device, or
        it does not compute in `precision`."""
        self.device = _present(device)
        dtype = dtype_of(precision)
        if self.device.type == "cuda" and dtype is torch.bfloat16 and not torch.cuda.is_bf16_supported():
            raise ModelError(mismatch("detector.precision", "one this card computes", precision))
        self.priors: NDArray[np.float32] = network.priors.float().cpu().numpy().copy()
        fold(network.eval())
        self._network = network.to(self.device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        priors = torch.from_numpy(self.priors).to(self.device)
        self.on_device = OnDevice(self._network, priors, network.score_kind, dtype, self.device)
        self._canvas = self.host_memory((input_px[1], input_px[0], 3), torch.uint8).fill_(GRAY)
        self.canvas: NDArray[np.uint8] = self._canvas.numpy()
        self.description = f"torch {self.device} {precision}" + (" graph" if self._has_graphs else "")
        self._paths: dict[Task, Path] = {}

    @property
    def _has_graphs(self) -> bool:
        return self.device.type == "cuda"

    @torch.inference_mode()
    def infer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The bare network on `canvas`, launched operation by operation; `look` is the fast way."""
        with lost_when_failing(self.description), self.on_device.arithmetic():
            picture = self._canvas.to(self.device).permute(2, 0, 1)[None]
            logits, offsets = self.on_device.raw(picture)
            return logits.cpu().numpy(), offsets.cpu().numpy()

    def look(self, crop: NDArray[np.uint8], placement: Placement, limits: Thresholds) -> Found:
        """The hands of one crop. Raises `DeviceError` if the device fails, `ValueError` if the network is
        not finite."""
        path = self._paths.get((placement, limits)) or self.prepare(placement, limits)
        with lost_when_failing(self.description):
            table = path(crop)
        return found_in(table, limits)

    def prepare(self, placement: Placement, limits: Thresholds) -> Path:
        """Capture the path for such crops, so that the first of them does not wait for it. Raises `DeviceError`."""
        with lost_when_failing(self.description):
            path = Path(self, placement, limits)
        self._paths[placement, limits] = path
        return path

    def host_memory(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Memory that the device reads and writes by itself, without a copy in between."""
        return torch.zeros(shape, dtype=dtype, pin_memory=self._has_graphs)


class Path:
    """One captured way from crops of one size to a table. Made by `DeviceEngine.prepare`."""

    def __init__(self, engine: DeviceEngine, placement: Placement, limits: Thresholds) -> None:
        width, height = placement.size_px
        shared = engine.on_device
        frame = engine.host_memory((height, width, 3), torch.uint8)
        letterbox = shared.letterbox(placement)
        with torch.inference_mode(), shared.arithmetic():
            rows = len(shared.table(frame, letterbox, limits))
            table = engine.host_memory((rows, COLUMNS), torch.float32)
            self._frame, self._table = frame.numpy(), table.numpy()
            self._replay = captured(
                lambda: table.copy_(shared.table(frame, letterbox, limits), non_blocking=True), engine.device
            )

    @torch.inference_mode()
    def __call__(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The table for one crop; valid until the next call."""
        np.copyto(self._frame, crop)
        self._table[-1] = np.nan  # "not finite": a download that did not happen cannot pass for the last one
        self._replay()
        return self._table


class Replay:
    """A captured graph, launched and waited for.

    It keeps the step that was captured, and with it every tensor the graph reads and writes: memory that
    nobody keeps is given to others, and the graph would compute with whatever they put there.
    """

    def __init__(self, graph: torch.cuda.CUDAGraph, step: Callable[[], object], device: torch.device) -> None:
        self._graph, self._step, self._device = graph, step, device

    def launch(self) -> None:
        """Without waiting."""
        self._graph.replay()

    def __call__(self) -> None:
        self.launch()
        torch.cuda.current_stream(self._device).synchronize()


def captured(step: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """`step` as one CUDA graph, launched and waited for; on any other device `step` itself.

    Warmed up and captured under the caller's cuDNN flags and on one stream: what the warm-up chose is what is
    captured, and what it left behind for that stream, such as cuBLAS's workspace, belongs to no graph. What other
    threads do with the card meanwhile does not break the capture.
    """
    if device.type != "cuda":
        return step
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP_ROUNDS):
            step()
    aside.synchronize()
    graph = torch.cuda.CUDAGraph()
    checks: dict[str, Any] = {"check_input_liveness": True} if CHECKS_LIVENESS else {}
    with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local", **checks):
        step()
    return Replay(graph, step, device)


@contextlib.contextmanager
def lost_when_failing(what: str) -> Iterator[None]:
    """Turns whatever torch raises in the block into `DeviceError`. CUDA's errors stick: no later call succeeds."""
    try:
        yield
    except RuntimeError as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DeviceError(mismatch(what, "an answer", told)) from error


def _present(device: str) -> torch.device:
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(mismatch("detector.backend: torch-cuda", "a CUDA device", "none on this machine"))
    return torch.device(device)
