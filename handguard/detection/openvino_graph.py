"""A network as an OpenVINO file, in float32 or, by NNCF, in int8; the input is that of `onnx_graph`.

In int8, weights and activations are bytes, and the ranges of the activations are
learnt from a calibration set: what the set does not show, the ranges may not hold.
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
    )
