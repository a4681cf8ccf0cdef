# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network is told: of its maps, of its points, and of pictures drawn from its Gaussians."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.geometry import surface_normals
from ..models.network import Maps
from ..models.sweep import log_planes
from .rooms import Scene


def of_maps(maps: Maps, truth: Scene, given: Tensor, near: float, far: float, class_weights: Tensor) -> dict[str, Tensor]:
    """Depth over the planes (cross-entropy with the true depth's two nearest), depth itself, trust in given depth, normals, classes.

    Depth is judged as predicted, before given depth is followed. All are scalars.
    """
    known = truth.depth > 0
    log_true = truth.depth.clamp(min=1e-9).log()
    planes = log_planes(near, far, maps.plane_logits.shape[1], log_true)
    coarse_known, coarse_true = known[:, 2::4, 2::4], log_true[:, 2::4, 2::4]
    place = ((coarse_true - planes[0]) / (planes[1] - planes[0])).clamp(0, len(planes) - 1.001)
    below = place.long()
    share = (place - below).to(log_true.dtype)
    log_share = maps.plane_logits.log_softmax(1)
    at = [log_share.gather(1, (below + k)[:, None])[:, 0] for k in (0, 1)]
    planes_loss = -((1 - share) * at[0] + share * at[1])
    log_predicted = maps.predicted_depth.log()
    error = (log_predicted - log_true).abs()
    coarse_error = (maps.coarse_depth.log() - coarse_true).abs()
    normals, flat = surface_normals(truth.depth, truth.rig)
    return {
        "planes": planes_loss[coarse_known].mean(),
        "depth": error[known].mean() + 0.5 * coarse_error[coarse_known].mean(),
        "edges": _slope_error(log_predicted, log_true, known),
        "trust": _trust(maps.trust_logits, given, error.detach(), log_true, known),
        "normals": (1 - (maps.normals * normals).sum(-1))[flat].mean(),
        "classes": F.cross_entropy(maps.logits, truth.classes, class_weights, ignore_index=-1),
    }


def _trust(logits: Tensor, given: Tensor, error: Tensor, log_true: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of trust: given depth is to be followed where it is nearer the truth than what was predicted, or within 1%."""
    both = known & (given > 0)
    if not both.any():
        return logits.new_zeros(())
    off = (given.clamp(min=1e-9).log() - log_true).abs()
    right = (off < error.clamp(min=0.01)).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits[both], right[both])


def _slope_error(log_depth: Tensor, log_true: Tensor, known: Tensor) -> Tensor:
    """Mean |difference of slopes| between neighbours, along rows and columns."""
    total = log_depth.new_zeros(())
    for axis in (1, 2):
        both = known.narrow(axis, 1, known.shape[axis] - 1) & known.narrow(axis, 0, known.shape[axis] - 1)
        off = (log_depth.diff(dim=axis) - log_true.diff(dim=axis)).abs().clamp(max=0.3)
        total = total + off[both].mean()
    return total


def of_group(positions: Tensor, truth: Scene) -> Tensor:
    """All points as one group, z-buffered into every view and held against its depth (GSsplat's supervision of offsets, with a hit mask).

    positions: [V, H, W, 3]. Smooth L1 of the relative depth error of the points that show, scaled so that 5% is 1.
    """
    flat = positions.reshape(-1, 3)
    H, W = truth.rig.height, truth.rig.width
    losses = []
    for view in range(len(truth)):
        T, K = truth.rig.T_camera_world[view], truth.rig.K[view]
        there = flat @ T[:3, :3].T + T[:3, 3]
        z = there[:, 2]
        with torch.no_grad():
            safe = z.clamp(min=1e-6)
            column = torch.floor(there[:, 0] / safe * K[0, 0] + K[0, 2])
            row = torch.floor(there[:, 1] / safe * K[1, 1] + K[1, 2])
            inside = (z > 1e-6) & (column >= 0) & (column < W) & (row >= 0) & (row < H)
            pixel = (row * W + column)[inside].long()
            nearest = torch.full((H * W,), math.inf, dtype=z.dtype, device=z.device)
            nearest.scatter_reduce_(0, pixel, z[inside], "amin")
        true = truth.depth[view].reshape(-1)[pixel]
        shows = (z[inside] <= nearest[pixel] * (1 + 1e-5)) & (true > 0)
        error = (z[inside][shows] / true[shows] - 1) * 20
        losses.append(F.smooth_l1_loss(error, torch.zeros_like(error)))
    return torch.stack(losses).mean()


def of_pictures(
    rgb: Tensor, classes: Tensor, depth: Tensor, alpha: Tensor, truth: Scene, class_weights: Tensor
) -> dict[str, Tensor]:
    """Of pictures drawn from the Gaussians: rgb [V, 3, H, W], class shares [V, C, H, W] (summing to alpha), depth and alpha [V, H, W].

    Pixels that no Gaussian covers are not judged by class and depth: no input may have seen them.
    """
    covered = alpha > 0.5
    known = covered & (truth.depth > 0)
    true = truth.classes.clamp(min=0)
    judged = covered & (truth.classes >= 0)
    nll = -(classes.gather(1, true[:, None])[:, 0] + 1e-4).log()
    weight = class_weights[true] * judged
    error = (depth[known].clamp(min=1e-6) / truth.depth[known]).log().abs().clamp(max=0.5)
    return {
        "mse": F.mse_loss(rgb, truth.rgb),
        "ssim": 1 - ssim(rgb, truth.rgb),
        "drawn classes": (nll * weight).sum() / weight.sum().clamp(min=1.0),
        "drawn depth": error.mean() if len(error) else rgb.new_zeros(()),
        "smooth": smoothness(classes, truth.rgb),
    }


def smoothness(classes: Tensor, rgb: Tensor) -> Tensor:
    """Regional smoothness (SemGS): classes may change where colours do. Shares [V, C, H, W], pictures [V, 3, H, W]."""
    total = rgb.new_zeros(())
    for axis in (2, 3):
        same = torch.exp(-10 * rgb.diff(dim=axis).abs().mean(1))
        total = total + (classes.diff(dim=axis).abs().sum(1) * same).mean()
    return total


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Mean structural similarity of pictures [V, 3, H, W], 0..1, with a 7-pixel box window (Wang et al. 2004, K1 = 0.01, K2 = 0.03)."""

    def blur(image: Tensor) -> Tensor:
        return F.avg_pool2d(image, 7, stride=1)

    c1, c2 = 0.01**2, 0.03**2
    mx, my = blur(x), blur(y)
    vx, vy, vxy = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    return (((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))).mean()
