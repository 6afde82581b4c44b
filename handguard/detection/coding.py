"""The numbers of SSD's box coding, shared by its torch form (`boxes`) and its numpy form (`postprocess`)."""

from __future__ import annotations

import math

CENTER_VARIANCE = 0.1  # Liu et al. (2016), the authors' Caffe release
SIZE_VARIANCE = 0.2
MAX_LOG_RATIO = math.log(1000 / 16)  # as torchvision has it: a wild size offset cannot overflow exp()
