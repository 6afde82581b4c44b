"""ResNet-50 cut after its fourth stage, with SSD's added layers: the layout of NVIDIA's SSD300.

    stage     stride  layers                                            at 300
    conv1        2    7×7, 64, stride 2                                   150
    conv2        4    pool 3×3, stride 2; 3 bottlenecks of 256             75   → only as the finer map
    conv3        8    4 bottlenecks of 512, the first with stride 2        38
    conv4        8    6 bottlenecks of 1024, stride 1 (ImageNet's has 2)   38   → map
    extra 1           1×1, 256; 3×3, 512, stride 2                         19   → map
    extra 2           1×1, 256; 3×3, 512, stride 2                         10   → map
    extra 3           1×1, 128; 3×3, 256, stride 2                          5   → map
    extra 4           1×1, 128; 3×3, 256                                    3   → map
    extra 5           1×1, 128; 3×3, 256                                    1   → map

Leaving out conv4's stride gives the finest map 1,024 channels of meaning at
stride 8, where VGG16 has its conv4_3 (He et al., "Deep Residual Learning", 2015,
for the bottleneck).
"""

from __future__ import annotations

from torch import Tensor, nn

from handguard.detection.backbones.layers import conv_bn

EXPANSION = 4  # outputs of a bottleneck per inner channel


class Resnet50(nn.Module):
    """Picture → the six maps of the table, finest first; `finer` puts conv2 before them."""

    def __init__(self, *, finer: bool = False) -> None:
        super().__init__()
        self.finer = finer
        self.conv1 = conv_bn(3, 64, 7, 2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = _stage(64, 64, 3, stride=1)
        self.conv3 = _stage(256, 128, 4, stride=2)
        self.conv4 = _stage(512, 256, 6, stride=1)
        self.extras = nn.ModuleList(
            [
                _extra(1024, 256, 512, stride=2),
                _extra(512, 256, 512, stride=2),
                _extra(512, 128, 256, stride=2),
                _extra(256, 128, 256, padding=0),
                _extra(256, 128, 256, padding=0),
            ]
        )
        self.channels = (*((256,) if finer else ()), 1024, 512, 512, 256, 256, 256)

    def forward(self, x: Tensor) -> list[Tensor]:
        conv2 = self.conv2(self.pool(self.conv1(x)))
        maps = [self.conv4(self.conv3(conv2))]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return [conv2, *maps] if self.finer else maps


class Bottleneck(nn.Module):
    """1×1 down, 3×3, 1×1 up, added to the input; the stride sits in the 3×3."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = inner * EXPANSION
        self.reduce = conv_bn(inputs, inner, 1)
        self.spatial = conv_bn(inner, inner, 3, stride)
        self.expand = conv_bn(inner, outputs, 1, act=nn.Identity())
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else conv_bn(inputs, outputs, 1, stride, act=nn.Identity())
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.shortcut(x) + self.expand(self.spatial(self.reduce(x))))


def _stage(inputs: int, inner: int, count: int, stride: int) -> nn.Sequential:
    first = Bottleneck(inputs, inner, stride)
    return nn.Sequential(first, *[Bottleneck(inner * EXPANSION, inner, 1) for _ in range(count - 1)])


def _extra(inputs: int, squeeze: int, outputs: int, stride: int = 1, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(conv_bn(inputs, squeeze, 1), conv_bn(squeeze, outputs, 3, stride, padding=padding))
