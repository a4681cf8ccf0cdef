# SPDX-License-Identifier: GPL-3.0-or-later
"""Rays, projections and ranges of posed pinhole views, in torch. OpenCV axes, pixel centres at +0.5, planar depth.

`Rig` is a set of views as the network sees them: one size, intrinsics in pixels of that size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LONE_VIEW_RANGE = (0.3, 10.0)
"""Near and far for one view alone, whose scale nothing tells: metres, which is Blender's unit."""
WIDE_RANGE = (0.08, 6.0)
"""Near and far in units of `focus`: in furnished rooms 98% of all surfaces lie from 0.08 to 3.3."""
_LEAST_ANGLE = math.radians(6)
"""Axes that are nearly parallel say little about how far away they meet."""
_LEAST_APART = 1e-6
"""Cameras nearer to each other than this share of their distance from the origin stand in one place: float32 says no more."""


@dataclass(frozen=True)
class Rig:
    """K: [V, 3, 3] pixels. T_world_camera: [V, 4, 4]. height, width: of all views."""

    K: Tensor
    T_world_camera: Tensor
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.K)

    @property
    def T_camera_world(self) -> Tensor:
        return invert(self.T_world_camera)

    def to(self, device: torch.device) -> Rig:
        """The same views on another device."""
        return Rig(self.K.to(device), self.T_world_camera.to(device), self.height, self.width)

    def pick(self, which: Tensor) -> Rig:
        """Some of the views."""
        return Rig(self.K[which], self.T_world_camera[which], self.height, self.width)

    def resized(self, height: int, width: int) -> Rig:
        """The same views with another number of pixels."""
        factor = self.K.new_tensor([width / self.width, height / self.height, 1.0])
        return Rig(self.K * factor[:, None], self.T_world_camera, height, width)

    def mirrored(self) -> Rig:
        """The cameras of mirrored pictures: of the world in a mirror (world and camera axes both reflected in x)."""
        flip = self.K.new_tensor([-1.0, 1.0, 1.0, 1.0])
        K = self.K.clone()
        K[:, 0, 2] = self.width - K[:, 0, 2]
        return Rig(K, self.T_world_camera * flip[:, None] * flip, self.height, self.width)

    def rays(self) -> Tensor:
        """[V, H, W, 3] directions in camera axes with z = 1, through the pixels' centres."""
        column = torch.arange(self.width, dtype=self.K.dtype, device=self.K.device) + 0.5
        row = torch.arange(self.height, dtype=self.K.dtype, device=self.K.device) + 0.5
        K = self.K[:, :, :, None, None]
        u = ((column[None, None] - K[:, 0, 2]) / K[:, 0, 0]).expand(-1, self.height, -1)
        v = ((row[None, :, None] - K[:, 1, 2]) / K[:, 1, 1]).expand(-1, -1, self.width)
        return torch.stack([u, v, torch.ones_like(u)], -1)

    def unproject(self, depth: Tensor) -> Tensor:
        """Planar depth [V, H, W] -> points in the world [V, H, W, 3]."""
        return to_world(self.rays() * depth[..., None], self.T_world_camera)

    def focal(self) -> Tensor:
        """[V] geometric mean of the two focal lengths, pixels."""
        return (self.K[:, 0, 0] * self.K[:, 1, 1]).sqrt()


def invert(T: Tensor) -> Tensor:
    """Inverses of rigid transforms [..., 4, 4]."""
    R = T[..., :3, :3].transpose(-1, -2)
    out = torch.zeros_like(T)
    out[..., :3, :3] = R
    out[..., :3, 3] = -(R @ T[..., :3, 3:])[..., 0]
    out[..., 3, 3] = 1
    return out


def to_world(points: Tensor, T: Tensor) -> Tensor:
    """Points [V, H, W, 3] by transforms [V, 4, 4]."""
    return torch.einsum("vij,vhwj->vhwi", T[:, :3, :3], points) + T[:, None, None, :3, 3]


def surface_normals(depth: Tensor, rig: Rig) -> tuple[Tensor, Tensor]:
    """Normals [V, H, W, 3] of planar depth, camera axes, unit, towards the camera; and where there is one [V, H, W] bool.

    The twin of predictors/normals.py: a plane is affine in inverse depth q, n ~ -(dq/du, dq/dv, q - u dq/du - v dq/dv), and each slope
    comes from the side on which q bends least, so that none reaches across an edge.
    """
    known = depth > 0
    q = torch.where(known, 1 / depth.clamp(min=1e-9), torch.nan)
    qu = _slope(q, 2) * rig.K[:, 0, 0, None, None]
    qv = _slope(q, 1) * rig.K[:, 1, 1, None, None]
    rays = rig.rays()
    normals = -F.normalize(torch.stack([qu, qv, q - rays[..., 0] * qu - rays[..., 1] * qv], -1), dim=-1)
    known = known & torch.isfinite(normals).all(-1)
    facing = torch.where(known[..., None], normals, -F.normalize(rays, dim=-1))
    away = (facing * rays).sum(-1, keepdim=True) > 0
    return torch.where(away, -facing, facing), known


def _slope(q: Tensor, axis: int) -> Tensor:
    """dq/dpixel along an axis: from both neighbours, the one before or the one after, whichever bends least (ENO); 0 without neighbours."""
    margin = [0, 0, 0, 0]
    margin[0 if axis == 2 else 2] = margin[1 if axis == 2 else 3] = 2
    wide = F.pad(q[:, None], margin, value=torch.nan)[:, 0]
    far_left, left, middle, right, far_right = (wide.narrow(axis, k, q.shape[axis]) for k in range(5))
    before, after = middle - left, right - middle
    best, least = torch.zeros_like(q), torch.full_like(q, torch.inf)
    bends = (after - before, before - (left - far_left), (far_right - right) - after)
    for slope, bend in zip((0.5 * (before + after), before, after), bends, strict=True):
        bend = torch.where(torch.isfinite(bend), bend.abs(), 1e6)
        better = torch.isfinite(slope) & (bend < least)
        best, least = torch.where(better, slope, best), torch.where(better, bend, least)
    return best


def focus(rig: Rig) -> float:
    """How far away is what the cameras look at, in scene units: the geometric mean over pairs of cameras; 0 if they all stand in one place.

    Two cameras at a distance b whose axes enclose an angle t look at something about b / (2 sin(t / 2)) away, as on a circle around it.
    """
    centres, axes = rig.T_world_camera[:, :3, 3].double(), rig.T_world_camera[:, :3, 2].double()
    first, second = torch.triu_indices(len(rig), len(rig), 1).unbind()
    distance = (centres[first] - centres[second]).norm(dim=1)
    angle = torch.acos((axes[first] * axes[second]).sum(1).clamp(-1, 1)).clamp(min=_LEAST_ANGLE)
    least = max(_LEAST_APART * float(centres.norm(dim=1).max()), 1e-3 * float(distance.max())) if len(distance) else 0.0
    apart = distance > least
    radius = (distance / (2 * torch.sin(angle / 2)))[apart]
    return float(radius.log().mean().exp()) if len(radius) else 0.0


def wide_range(rig: Rig) -> tuple[float, float]:
    """Near and far that hold for nearly any views of one scene."""
    unit = focus(rig)
    return (unit * WIDE_RANGE[0], unit * WIDE_RANGE[1]) if unit > 0 else LONE_VIEW_RANGE


def overlap(rig: Rig, near: float, far: float) -> Tensor:
    """[V, V] share of the picture of view i, at depths between near and far, that falls into view j."""
    small = rig.resized(8, 8)
    depths = torch.logspace(math.log10(near), math.log10(far), 7, device=rig.K.device)
    rays = small.rays().reshape(len(rig), 1, -1, 3) * depths[:, None, None]  # [V, 7, 64, 3]
    points = to_world(rays, rig.T_world_camera)
    seen = []
    for K, T in zip(small.K, rig.T_camera_world, strict=True):
        there = points @ T[:3, :3].T + T[:3, 3]
        z = there[..., 2].clamp(min=1e-9)
        u, v = there[..., 0] / z * K[0, 0] + K[0, 2], there[..., 1] / z * K[1, 1] + K[1, 2]
        inside = (there[..., 2] > 0.3 * near) & (u >= 0) & (u < 8) & (v >= 0) & (v < 8)
        seen.append(inside.float().mean((1, 2)))
    return torch.stack(seen, 1)


def sources(rig: Rig, near: float, far: float, most: int) -> Tensor:
    """[V, S] for each view the other views that share most of its picture, S = min(V - 1, most)."""
    shared = overlap(rig, near, far)
    shared.fill_diagonal_(-1.0)
    return shared.topk(min(len(rig) - 1, most), dim=1).indices
