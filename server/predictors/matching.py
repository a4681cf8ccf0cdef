# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth of several views by matching their pictures, without learning: plane sweep and semi-global matching.

Each view's pixels are put at the depths of some planes and looked up in other views (Collins 1996). A plane's cost is how badly the
windows around them correlate, mean of the better half of the other views, so that a view that is hidden there has no say. Costs are added
up along lines of the picture from eight sides with a penalty for changing the plane (Hirschmüller 2008): that carries depth into blank walls.
Planes lie at equal steps of log depth, as in models/sweep.py, whose geometry this shares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..job import Job
from ..models.geometry import Rig, sources
from ..models.sweep import log_planes

PLANES = 96
SOURCES = 4
WINDOW = 7
NOISE = 2e-4
"""Variance of sRGB values (0 to 1) that says nothing: below it a window counts as blank, and correlates with none."""
COLOUR_WEIGHT, COLOUR_LIMIT = 0.6, 0.15
"""What a difference in colour counts beside correlation, and from where on it counts no more."""
STEP_PENALTY, JUMP_PENALTY = 0.04, 1.2
"""Cost of going to the next plane, and to any other, from pixel to pixel; the latter is less across an edge of colour."""
EDGE_SIGMA = 0.08
UNSEEN = 1.0
"""Cost of a plane that no other view sees."""
SAME = 0.03
"""Share of the depth by which two views may differ about one surface."""
UNSURE = 0.1
"""Confidence where no other view agrees."""
PASSES = 2
"""How often costs are added up: after the first time what no other view agrees with has little say in its own depth."""


@dataclass(frozen=True)
class Matched:
    """depth, confidence (UNSURE to 1): [V, h, w]."""

    depth: Tensor
    confidence: Tensor


def match(rgb: Tensor, rig: Rig, near: float, far: float, job: Job) -> Matched:
    """Depth of pictures [V, 3, h, w], sRGB 0..1, between near and far; at least two views."""
    planes = log_planes(near, far, PLANES, rgb)
    chosen = sources(rig, near, far, SOURCES)
    volumes = []
    for view in range(len(rig)):
        job.check()
        volumes.append(sweep(rgb, rig, view, chosen[view], planes.exp()))
    weight = torch.ones_like(rgb[:, 0])
    for _ in range(PASSES):
        depths = []
        for view, costs in enumerate(volumes):
            job.check()
            depths.append(winner(aggregate(costs * weight[view], rgb[view]), planes).exp())
        depth = smoothed(torch.stack(depths), rgb)
        weight = agreement(depth, rig, chosen)
    return Matched(depth, weight)


def sweep(rgb: Tensor, rig: Rig, view: int, others: Tensor, depths: Tensor) -> Tensor:
    """Matching cost [D, h, w] of a view's pixels at depths [D]; UNSEEN where no other view looks."""
    own, grey = rgb[view], rgb.mean(1, keepdim=True)
    mean = _box(grey[view])
    variance = (_box(grey[view].square()) - mean.square()).clamp(min=0) + NOISE
    scores = []
    for other in others:  # one after the other, for memory
        where, inside = _landing(rig, view, int(other), depths)
        source = rgb[other][None].expand(len(depths), -1, -1, -1)
        found = F.grid_sample(source, where, align_corners=False, padding_mode="border")  # [D, 3, h, w]
        colour = (found - own).abs().mean(1).clamp(max=COLOUR_LIMIT) / COLOUR_LIMIT
        found = found.mean(1)
        their_mean = _box(found)
        spread = (_box(found.square()) - their_mean.square()).clamp(min=0) + NOISE
        correlation = (_box(found * grey[view]) - their_mean * mean) * (variance * spread).rsqrt()
        scores.append(torch.where(inside, 0.5 * (1 - correlation) + COLOUR_WEIGHT * colour, torch.inf))
    costs = torch.stack(scores).sort(0).values
    visible = costs.isfinite()
    count = visible.sum(0)
    rank = torch.arange(len(costs))[:, None, None, None]
    used = visible & (2 * rank < count)
    mean_cost = torch.where(used, costs, 0.0).sum(0) / used.sum(0).clamp(min=1)
    return torch.where(count > 0, mean_cost, UNSEEN)


def _landing(rig: Rig, view: int, other: int, depths: Tensor) -> tuple[Tensor, Tensor]:
    """Where a view's pixels at depths [D] fall in another: [D, h, w, 2] for grid_sample, and [D, h, w] bool, whether inside.

    The same as models/sweep.landing, one view and plane after the other, as windows want it.
    """
    T = rig.T_camera_world[other] @ rig.T_world_camera[view]
    K = rig.K[other]
    size = K.new_tensor([rig.width, rig.height, 1.0])[:, None]
    K = torch.cat([2 * K[:2] / size[:2], K[2:]]) - torch.outer(K.new_tensor([1.0, 1.0, 0.0]), K[2])  # to -1..1
    x, y, z = (rig.rays()[view] @ (K @ T[:3, :3]).T).unbind(-1)
    tx, ty, tz = (K @ T[:3, 3]).unbind()
    d = depths[:, None, None]
    z = d * z + tz
    ahead = z > 1e-3 * d
    z = torch.where(ahead, z, 1.0)
    u, v = (d * x + tx) / z, (d * y + ty) / z
    return torch.stack([u, v], -1).clamp(-2, 2), ahead & (u.abs() < 1) & (v.abs() < 1)


def _box(x: Tensor) -> Tensor:
    """Mean over windows of [N, h, w]; fewer pixels count at the border."""
    reach = WINDOW // 2
    x = F.avg_pool2d(x, (1, WINDOW), 1, (0, reach), count_include_pad=False)
    return F.avg_pool2d(x, (WINDOW, 1), 1, (reach, 0), count_include_pad=False)


def aggregate(costs: Tensor, rgb: Tensor) -> Tensor:
    """Costs [D, h, w] added up along lines from eight sides (Hirschmüller 2008), picture [3, h, w]; mean over the sides."""
    total = torch.zeros_like(costs)
    for flipped in (False, True):
        for turned in (False, True):
            c, p = (costs.transpose(1, 2), rgb.transpose(1, 2)) if turned else (costs, rgb)
            c, p = (c.flip(1), p.flip(1)) if flipped else (c, p)
            for lean in (-1, 0, 1) if not turned else (0,):
                along = _down(c, p, lean)
                along = along.flip(1) if flipped else along
                total += along.transpose(1, 2) if turned else along
    return total / 8


def _down(costs: Tensor, rgb: Tensor, lean: int) -> Tensor:
    """Costs [D, h, w] added up from row to row, each pixel after the one above it, `lean` columns aside."""
    h, w = costs.shape[1:]
    out = costs.clone()
    columns = (torch.arange(w) - lean).clamp(0, w - 1)
    for row in range(1, h):
        before = out[:, row - 1, columns]
        change = (rgb[:, row] - rgb[:, row - 1, columns]).abs().mean(0)
        jump = JUMP_PENALTY * torch.exp(-change / EDGE_SIGMA).clamp(min=0.1)
        least = before.amin(0)
        best = torch.minimum(before, least + jump)
        best[1:] = torch.minimum(best[1:], before[:-1] + STEP_PENALTY)
        best[:-1] = torch.minimum(best[:-1], before[1:] + STEP_PENALTY)
        out[:, row] += best - least
    return out


def winner(costs: Tensor, planes: Tensor) -> Tensor:
    """[h, w] log depth of the least cost [D, h, w], between the planes by a parabola through it and its neighbours."""
    best = costs.argmin(0, keepdim=True).clamp(1, len(planes) - 2)
    before, at, after = (costs.gather(0, best + k)[0] for k in (-1, 0, 1))
    bend = before - 2 * at + after
    offset = torch.where(bend > 1e-6, 0.5 * (before - after) / bend.clamp(min=1e-6), 0.0).clamp(-0.5, 0.5)
    return planes[best[0]] + offset * (planes[1] - planes[0])


def smoothed(depth: Tensor, rgb: Tensor, reach: int = 3) -> Tensor:
    """Depth [V, h, w] averaged over neighbours of like colour and depth, as inverse depth, which is affine on a plane."""
    h, w = depth.shape[1:]
    q = 1 / depth
    wide_q = F.pad(q[:, None], (reach,) * 4, mode="replicate")[:, 0]
    wide_rgb = F.pad(rgb, (reach,) * 4, mode="replicate")
    total, weights = torch.zeros_like(q), torch.zeros_like(q)
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            other = wide_q[:, i : i + h, j : j + w]
            unlike = (wide_rgb[:, :, i : i + h, j : j + w] - rgb).square().mean(1) / (2 * EDGE_SIGMA**2)
            weight = torch.exp(-unlike) * ((other / q - 1).abs() < SAME)
            total += weight * other
            weights += weight
    return weights / total


def agreement(depth: Tensor, rig: Rig, others: Tensor) -> Tensor:
    """[V, h, w] confidence: 1 where two other views (or the only one) find the same surface, UNSURE where none does."""
    V, h, w = depth.shape
    points = rig.unproject(depth).reshape(V, -1, 3)
    votes = []
    for view in range(V):
        count = torch.zeros(h * w)
        for other in others[view]:
            T, K = rig.T_camera_world[other], rig.K[other]
            there = points[view] @ T[:3, :3].T + T[:3, 3]
            z = there[:, 2].clamp(min=1e-6)
            u, v = there[:, 0] / z * K[0, 0] + K[0, 2], there[:, 1] / z * K[1, 1] + K[1, 2]
            inside = (there[:, 2] > 1e-6) & (u >= 0) & (u < w) & (v >= 0) & (v < h)
            found = depth[other, v.long().clamp(0, h - 1), u.long().clamp(0, w - 1)]
            count += inside & ((found / z).log().abs() < math.log1p(SAME))
        votes.append((count / min(2, max(1, others.shape[1]))).clamp(max=1).reshape(h, w))
    return UNSURE + (1 - UNSURE) * torch.stack(votes)
