# SPDX-License-Identifier: GPL-3.0-or-later
"""The plane sweep: how well each view agrees with the others at each of D depths (Collins 1996; learned features as in MVSNet, 2018).

The planes lie at equal steps of log depth, so that one step is the same relative error near and far. Matching features are compared by
their dot product, which is linear in each: so the products of all pairs of pixels are taken first (one matrix product) and sampled
bilinearly where a plane's point falls, instead of sampling whole feature vectors (the same numbers, a tenth of the memory traffic).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Rig, to_world


def log_planes(near: float, far: float, count: int, like: Tensor) -> Tensor:
    """[D] natural logarithms of the planes' depths."""
    return torch.linspace(math.log(near), math.log(far), count, dtype=like.dtype, device=like.device)


def landing(rig: Rig, view: int, other: Tensor, depths: Tensor) -> tuple[Tensor, Tensor]:
    """Where view's pixels at depths [D], or [H*W, D], fall in the other views [S].

    Returns [S, H*W, D, 2] in grid_sample's coordinates (-1 and 1 at the picture's borders), and [S, H*W, D] bool, whether inside.
    """
    rays = rig.rays()[view].reshape(1, -1, 1, 3)
    points = to_world(rays * depths[..., None], rig.T_world_camera[view : view + 1])
    T, K = rig.T_camera_world[other], rig.K[other]
    there = torch.einsum("sij,pdj->spdi", T[:, :3, :3], points[0]) + T[:, None, None, :3, 3]
    z = there[..., 2]
    ahead = z > 1e-3 * depths
    z = torch.where(ahead, z, torch.ones_like(z))
    u = (there[..., 0] / z * K[:, 0, 0, None, None] + K[:, 0, 2, None, None]) * (2 / rig.width) - 1
    v = (there[..., 1] / z * K[:, 1, 1, None, None] + K[:, 1, 2, None, None]) * (2 / rig.height) - 1
    inside = ahead & (u.abs() < 1) & (v.abs() < 1)
    return torch.stack([u, v], -1).clamp(-2, 2), inside


def agreement(features: Tensor, rig: Rig, sources: Tensor, depths: Tensor, groups: int) -> Tensor:
    """Cost volume [V, D, H, W, 2G + 1] of features [V, C, H, W].

    For each plane: the mean and the greatest correlation, group by group, over the source views that see the point, and the share of
    sources that do. Without sources all is 0.
    """
    V, C, H, W = features.shape
    D = len(depths)
    if sources.shape[1] == 0:
        return features.new_zeros(V, D, H, W, 2 * groups + 1)
    rows = features.reshape(V, groups, C // groups, H * W)
    scaled = rows / math.sqrt(C // groups)
    volumes = []
    for view in range(V):
        other = sources[view]
        where, inside = landing(rig, view, other, depths)
        pairs = torch.matmul(scaled[view].transpose(1, 2)[None], rows[other])  # [S, G, HW, HW]
        at = where[:, None].expand(-1, groups, -1, -1, -1).reshape(-1, 1, D, 2)
        found = F.grid_sample(pairs.reshape(-1, 1, H, W), at, align_corners=False)
        found = found.reshape(len(other), groups, H * W, D).permute(0, 2, 3, 1)  # [S, HW, D, G]
        volumes.append(_summary(found, inside))
    return torch.stack(volumes).reshape(V, H, W, D, -1).permute(0, 3, 1, 2, 4)


def agreement_nearby(features: Tensor, rig: Rig, sources: Tensor, depths: Tensor, groups: int) -> Tensor:
    """The same with depths of its own for each pixel [V, P, H, W]: few planes around a surface that is roughly known. [V, P, H, W, 2G + 1]"""
    V, C, H, W = features.shape
    P = depths.shape[1]
    if sources.shape[1] == 0:
        return features.new_zeros(V, P, H, W, 2 * groups + 1)
    volumes = []
    for view in range(V):
        other = sources[view]
        where, inside = landing(rig, view, other, depths[view].reshape(P, H * W).T)  # [S, HW, P, 2]
        warped = F.grid_sample(features[other], where.transpose(1, 2), align_corners=False)  # [S, C, P, HW]
        own = features[view].reshape(groups, C // groups, 1, H * W) / math.sqrt(C // groups)
        found = (warped.reshape(len(other), groups, C // groups, P, H * W) * own).sum(2).permute(0, 2, 3, 1)  # [S, P, HW, G]
        volumes.append(_summary(found, inside.transpose(1, 2)))
    return torch.stack(volumes).reshape(V, P, H, W, -1)


def _summary(found: Tensor, inside: Tensor) -> Tensor:
    """Correlations [S, ..., G] with S source views, and whether each sees the point [S, ...] -> [..., 2G + 1]."""
    mask = inside[..., None].to(found.dtype)
    count = mask.sum(0)
    mean = (found * mask).sum(0) / count.clamp(min=1)
    best = torch.where(inside[..., None], found, -1e4).amax(0) * (count > 0)
    return torch.cat([mean, best, count / len(found)], -1)


def agreement_reference(features: Tensor, rig: Rig, sources: Tensor, depths: Tensor, groups: int) -> Tensor:
    """The same, plainly: sample the features of each source view at each plane, and multiply. The twin that tests compare with."""
    V, C, H, W = features.shape
    out = features.new_zeros(V, len(depths), H, W, 2 * groups + 1)
    for view in range(V):
        for number, depth in enumerate(depths):
            products, masks = [], []
            for source in sources[view]:
                where, inside = landing(rig, view, source[None], depth[None])
                warped = F.grid_sample(features[source][None], where.reshape(1, H, W, 2), align_corners=False)[0]
                product = (warped * features[view]).reshape(groups, C // groups, H, W).sum(1) / math.sqrt(C // groups)
                products.append(product)
                masks.append(inside.reshape(H, W))
            if products:
                product, mask = torch.stack(products), torch.stack(masks)[:, None].expand(-1, groups, -1, -1)
                count = mask.sum(0)
                out[view, number, ..., :groups] = ((product * mask).sum(0) / count.clamp(min=1)).permute(1, 2, 0)
                best = product.masked_fill(~mask, -math.inf).amax(0).masked_fill(count == 0, 0.0)
                out[view, number, ..., groups : 2 * groups] = best.permute(1, 2, 0)
                out[view, number, ..., -1] = count[0] / len(products)
    return out
