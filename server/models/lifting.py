# SPDX-License-Identifier: GPL-3.0-or-later
"""The network's maps at the pictures' own resolution: sharp where the pictures are, exact where depth was given."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Rig, surface_normals
from .network import Maps
from .points import Maps2D

_COLOUR_SIGMA = 0.06
"""Difference of sRGB values over which a fine pixel no longer takes after a coarse one."""
_SAME_SURFACE = 0.05
"""Coarse depths that differ by less than this share are of one surface, and may be mixed."""


def lift(maps: Maps, rgb: Tensor, rig: Rig, given: Tensor) -> Maps2D:
    """Maps of any resolution to that of the pictures. rgb: [V, 3, H, W]. rig: of these. given: [V, H, W] planar depth, 0 for none."""
    size = rgb.shape[2:]
    if maps.depth.shape[1:] == size:
        depth, trust, logits, features = maps.depth, maps.trust, maps.logits, maps.features
        confidence, normals = maps.confidence, maps.normals
    else:
        logits, features = _enlarge(maps.logits, size), _enlarge(maps.features, size)
        confidence = _enlarge(maps.confidence[:, None], size)[:, 0]
        normals = F.normalize(_enlarge(maps.normals.permute(0, 3, 1, 2), size), dim=1).permute(0, 2, 3, 1)
        trust = ((_enlarge(maps.trust_logits[:, None], size)[:, 0] > 0) & (given > 0)).to(given.dtype)
        log_depth = guided_enlarge(maps.predicted_depth.log(), rgb)
        depth = torch.lerp(log_depth, given.clamp(min=1e-9).log(), trust).exp()
        confidence = torch.lerp(confidence, torch.ones_like(trust), trust)
    measured, smooth = surface_normals(given, rig)
    exact = (smooth & (trust > 0.5))[..., None]
    return Maps2D(
        depth=depth,
        confidence=confidence,
        trust=trust,
        normals=torch.where(exact, measured, normals),
        logits=logits,
        features=features,
        rgb=rgb,
        solid=torch.ones_like(depth, dtype=torch.bool),
    )


def _enlarge(values: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    if not values.shape[1]:  # without channels, which interpolate refuses
        return values.new_empty(len(values), 0, *size)
    return F.interpolate(values, size=tuple(size), mode="bilinear", align_corners=False, antialias=False)


def guided_enlarge(log_depth: Tensor, rgb: Tensor) -> Tensor:
    """Log depth [V, h, w] to the size of pictures [V, 3, H, W], without mixing two surfaces.

    Each fine pixel looks at the four coarse ones around it, weighs them by place and by likeness of colour (joint bilateral upsampling, Kopf
    et al. 2007), and takes the mean of those that lie on the surface of the heaviest.
    """
    H, W = rgb.shape[2:]
    h, w = log_depth.shape[1:]
    small = F.interpolate(rgb, size=(h, w), mode="bilinear", align_corners=False, antialias=True)
    row = ((torch.arange(H, device=rgb.device, dtype=rgb.dtype) + 0.5) * h / H - 0.5).clamp(0, h - 1)
    column = ((torch.arange(W, device=rgb.device, dtype=rgb.dtype) + 0.5) * w / W - 0.5).clamp(0, w - 1)
    top, left = row.long().clamp(max=max(h - 2, 0)), column.long().clamp(max=max(w - 2, 0))
    down, right = row - top, column - left
    weights, depths = [], []
    for i in (0, 1):
        for j in (0, 1):
            r, c = (top + i).clamp(max=h - 1), (left + j).clamp(max=w - 1)
            place = ((down if i else 1 - down)[:, None] * (right if j else 1 - right)[None]).clamp(min=1e-3)
            off = (rgb - small[:, :, r][:, :, :, c]).square().sum(1)
            weights.append(place * torch.exp(-off / (2 * _COLOUR_SIGMA**2)).clamp(min=1e-6))
            depths.append(log_depth[:, r][:, :, c])
    weight, depth = torch.stack(weights), torch.stack(depths)
    heaviest = depth.gather(0, weight.argmax(0, keepdim=True))
    weight = weight * ((depth - heaviest).abs() < math.log1p(_SAME_SURFACE))
    return (weight * depth).sum(0) / weight.sum(0)
