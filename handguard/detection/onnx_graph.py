"""A network as an ONNX file. What goes in is chosen once, for every runtime that may read it.

Input `picture`, uint8 (1, height, width, 3): the letterboxed picture, blue-green-red, as
OpenCV has it (see `preprocess`). Cast, change of layout, mean and deviation are in the
graph, so nothing outside can forget them. Outputs `class_logits` (1, P, C) and
`box_offsets` (1, P, 4), as `ssd.Raw` says; decoding and suppression stay outside,
and need the priors.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from handguard.atomic import appearing_whole
from handguard.detection.backends.onnx_engine import INPUT
from handguard.detection.ssd import Ssd
from handguard.errors import ModelError, mismatch

OUTPUTS = ("class_logits", "box_offsets")
OPSET = 17  # old enough for OpenCV, TensorRT 8.6 and OpenVINO


class _FromBytes(nn.Module):
    """The network behind what every runtime is given."""

    def __init__(self, network: Ssd) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.network(picture.permute(0, 3, 1, 2).float())
        return raw.class_logits, raw.box_offsets


def write_onnx(network: Ssd, input_px: tuple[int, int], path: Path) -> None:
    """Write the graph for an input of `input_px` (width, height), whole or not at all. Raises `ModelError`."""
    picture = torch.zeros(1, input_px[1], input_px[0], 3, dtype=torch.uint8)
    theirs = _FromBytes(copy.deepcopy(network)).eval()  # the exporter folds normalisation into what it is given
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with appearing_whole(path) as fresh, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how the exporter uses torch is its makers' concern
            torch.onnx.export(
                theirs,
                (picture,),
                str(fresh),
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                opset_version=OPSET,
                dynamo=False,
            )
    except torch.onnx.OnnxExporterError as error:
        expected = "a network that can be written as ONNX (pip install 'handguard[onnx]')"
        raise ModelError(mismatch(str(path), expected, str(error).splitlines()[0])) from error
