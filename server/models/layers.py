# SPDX-License-Identifier: GPL-3.0-or-later
"""The few layers that the network is built of. Pictures are [V, C, H, W] in channels-last memory: on a CPU that is several times faster."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Norm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Conv(nn.Sequential):
    """Convolution, normalisation, GELU."""

    def __init__(self, before: int, after: int, kernel: int = 3) -> None:
        super().__init__(nn.Conv2d(before, after, kernel, padding=kernel // 2), Norm(after), nn.GELU())


class Residual(nn.Module):
    """x + two convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(Conv(channels, channels), nn.Conv2d(channels, channels, 3, padding=1))
        nn.init.zeros_(cast(nn.Conv2d, self.inner[1]).weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out


class Lateral(nn.Sequential):
    """A feature map of the backbone, normalised and brought to some channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(Norm(before), nn.Conv2d(before, after, 1))


class Attention(nn.Module):
    """A transformer block over the tokens of all views together (pre-norm; Vaswani et al. 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """[N, width] -> [N, width]"""
        q, k, v = self.qkv(self.before(tokens)).reshape(len(tokens), 3, self.heads, -1).permute(1, 2, 0, 3)
        mixed = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
        tokens = tokens + self.out(mixed.transpose(0, 1).reshape(len(tokens), -1))
        out: Tensor = tokens + self.mlp(tokens)
        return out


def double(x: Tensor) -> Tensor:
    """Twice the pixels each way, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def convex_upsample(values: Tensor, weights: Tensor, factor: int) -> Tensor:
    """[V, C, h, w] -> [V, C, h * factor, w * factor]: each fine pixel is a convex combination of the 3x3 coarse ones around it.

    weights: [V, 9 * factor^2, h, w], logits. So an edge need not be blurred (Teed and Deng 2020).
    """
    V, C, h, w = values.shape
    share = weights.reshape(V, 9, factor * factor, h * w).permute(0, 3, 1, 2).softmax(2)
    near = F.unfold(F.pad(values, (1, 1, 1, 1), mode="replicate"), 3).reshape(V, C, 9, h * w).permute(0, 3, 1, 2)
    mixed = torch.matmul(near, share).reshape(V, h, w, C, factor, factor)
    return mixed.permute(0, 3, 1, 4, 2, 5).reshape(V, C, h * factor, w * factor)


def fourier(x: Tensor, octaves: int) -> Tensor:
    """[..., K] -> [..., K * (2 * octaves + 1)]: the numbers, and sines and cosines of their doublings."""
    scaled = torch.cat([x * 2.0**k for k in range(octaves)], -1)
    return torch.cat([x, scaled.sin(), scaled.cos()], -1)


def hard(share: Tensor) -> Tensor:
    """1 where a share is above a half, else 0; backwards as if it were the share itself (straight-through, Bengio et al. 2013)."""
    return share + ((share > 0.5).to(share.dtype) - share).detach()
