"""A network as an OpenVINO file, in float32 or, by NNCF, in int8; the input is that of `onnx_graph`.

In int8, weights and activations are bytes, and the ranges of the activations are
learnt from a calibration set: what the set does not show, the ranges may not hold.
Two kinds of layers stay in floating point, for bytes cost most there and save little:
those on the largest map, next to the pixels, and those whose answers are the network's own.
(`docs/back-ends.md` has the measurements.) Weights take all eight bits, which overflows
on a CPU without VNNI or AMX; `openvino_engine` refuses to run them there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from handguard.detection.backends.openvino_engine import graph_of
from handguard.detection.ssd import Ssd
from handguard.errors import ModelError, mismatch

CONVOLUTIONS = ("Convolution", "GroupConvolution")


def write_openvino(
    network: Ssd, input_px: tuple[int, int], path: Path, pictures: Sequence[NDArray[np.uint8]] = ()
) -> None:
    """Write `path` (`.xml`) and its numbers (`.bin`); in int8 where there are letterboxed `pictures` (height, width, 3)
    to calibrate with. Raises `ModelError` if int8 is wanted without NNCF."""
    model = graph_of(network, input_px)
    ov.save_model(quantized(model, pictures) if pictures else model, path, compress_to_fp16=False)


def quantized(model: ov.Model, pictures: Sequence[NDArray[np.uint8]]) -> ov.Model:
    """`model` in int8. Raises `ModelError` without NNCF."""
    try:
        import nncf
    except ImportError as error:
        expected = "the package nncf (pip install 'handguard[int8]')"
        raise ModelError(mismatch("export to int8", expected, error)) from error
    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        model,
        nncf.Dataset([picture[None] for picture in pictures]),
        preset=nncf.QuantizationPreset.MIXED,  # activations may be one-sided or not, as the data are
        subset_size=len(pictures),
        fast_bias_correction=False,  # layer by layer, each after those before it: half the error is left
        ignored_scope=nncf.IgnoredScope(names=sorted(delicate(model))),
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.DISABLE),
    )


def delicate(model: ov.Model) -> set[str]:
    """Names of the convolutions whose map is as large as the first one's, and of those nearest to the outputs."""
    all_of = [node for node in model.get_ordered_ops() if node.get_type_name() in CONVOLUTIONS]
    largest = [node for node in all_of if _map_of(node) == _map_of(all_of[0])]
    predicting = [node for result in model.get_results() for node in _convolutions_before(result)]
    return {node.get_friendly_name() for node in largest + predicting}


def _map_of(convolution: ov.Node) -> str:
    """Rows and columns of what it makes."""
    return str(convolution.get_output_partial_shape(0)[2:])


def _convolutions_before(node: ov.Node) -> list[ov.Node]:
    """The nearest ones on every way from an output back to the input."""
    found: list[ov.Node] = []
    waiting, known = [value.get_node() for value in node.input_values()], set[str]()
    while waiting:
        one = waiting.pop()
        if one.get_friendly_name() in known:
            continue
        known.add(one.get_friendly_name())
        if one.get_type_name() in CONVOLUTIONS:
            found.append(one)
        else:
            waiting += [value.get_node() for value in one.input_values()]
    return found
