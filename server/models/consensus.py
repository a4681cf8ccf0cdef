# SPDX-License-Identifier: GPL-3.0-or-later
"""Views agree on surfaces: positions are averaged, redundant points dropped, and points that others look through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .geometry import Rig

if TYPE_CHECKING:
    from .points import Maps2D

LOOSE, TIGHT = 0.03, 0.005
"""Share of the depth by which views may differ about one surface: where it was predicted, and where it was given."""

EDGE_BLUR = 2.0
"""A pixel beside a jump in depth counts as resolved so many times worse."""


@dataclass(frozen=True)
class Agreed:
    """positions: [V, H, W, 3]. kept: [V, H, W] bool. votes: [V, H, W] views that see the point, its own included, less those that look
    through it.
    """

    positions: Tensor
    kept: Tensor
    votes: Tensor


def consensus(positions: Tensor, maps: Maps2D, edges: Tensor, rig: Rig) -> Agreed:
    """Hold every point against the depth of every other view.

    A view agrees where its depth is the point's within a tolerance; then both mean the same surface, whose place is the mean of theirs,
    weighted by confidence and resolution. A view looks through a point where its own surface lies behind by more than twice the tolerance.
    Points that more views look through than see go. Of those left, a point is outdone if another view resolves its surface better: judged
    only now, so that nothing is outdone by what itself goes.
    edges: [V, H, W] bool, pixels beside a jump in depth.
    """
    V, H, W = maps.depth.shape
    focal = rig.focal()
    blur = (maps.depth / focal[:, None, None] / maps.confidence.clamp(min=0.05)).detach()
    blur = torch.where(edges, EDGE_BLUR * blur, blur)
    weight = maps.confidence.detach() / (maps.depth.detach() ** 2)
    exact = maps.trust.detach() > 0.5
    weight = torch.where(exact, 1e3 * weight, weight)
    tolerance = torch.where(exact, TIGHT, LOOSE)
    T = rig.T_camera_world
    means, votes = [], torch.ones_like(maps.depth)
    meetings: list[
        tuple[int, int, Tensor, Tensor]
    ] = []  # view, other view, pixels of the other, whether they are on the same surface
    for a in range(V):
        total, mean = weight[a, ..., None], positions[a] * weight[a, ..., None]
        for b in range(V):
            if b == a:
                continue
            with torch.no_grad():
                inside, row, column, z = _hit(positions[a], T[b], rig.K[b], H, W)
                found = maps.depth[b, row, column]
                slack = torch.maximum(tolerance[a], tolerance[b, row, column]) + 2 / focal[b]
                gap = torch.where(inside & maps.solid[b, row, column], found / z - 1, torch.nan)
                agrees = gap.abs() <= slack
                # a guess does not look through what was measured
                through = (gap > 2 * slack) & (exact[b, row, column] | ~exact[a])
                votes[a] += agrees.to(votes.dtype) - through.to(votes.dtype)
                same = gap.abs() <= torch.where(exact[a] & exact[b, row, column], slack / 4, slack)
                meetings.append((a, b, (row * W + column).to(torch.int32), same))
                # given depth is not averaged, and draws what was predicted to itself
                share = torch.where(agrees & ~exact[a], weight[b, row, column], 0.0)[..., None]
            total = total + share
            mean = mean + share * positions[b, row, column]
        means.append(mean / total)
    kept = votes >= 0
    outdone = torch.zeros_like(kept)
    for a, b, pixel, same in meetings:
        # Of equal points the earlier view's stays. Between 95% and 100% both do: pixels do not pair one to one, and a border where the one
        # ends as the other begins would be a seam of holes.
        rival = blur[b].reshape(-1)[pixel]
        better = rival < 0.95 * blur[a] if b > a else rival <= blur[a]
        outdone[a] |= same & better & kept[b].reshape(-1)[pixel]
    return Agreed(torch.stack(means), kept & ~outdone, votes)


def _hit(points: Tensor, T: Tensor, K: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where points [H, W, 3] fall in a view: whether inside, row and column of the pixel, planar depth."""
    there = points @ T[:3, :3].T + T[:3, 3]
    z = there[..., 2]
    ahead = z > 1e-6
    safe = torch.where(ahead, z, torch.ones_like(z))
    column = torch.floor(there[..., 0] / safe * K[0, 0] + K[0, 2])
    row = torch.floor(there[..., 1] / safe * K[1, 1] + K[1, 2])
    inside = ahead & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    zero = torch.zeros_like(row)
    return inside, torch.where(inside, row, zero).long(), torch.where(inside, column, zero).long(), safe
