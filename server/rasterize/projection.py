# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians to splats: EWA projection (Zwicker et al. 2001) as 3DGS and gsplat do it.

A Gaussian's covariance goes through the camera's rotation and the Jacobian J of the projection at its centre:
cov2d = J R cov R^T J^T + eps2d. In perspective J is taken at most 30% of the half field of view outside the picture, where the
approximation would blow up. Everything is float64: a needle's inverse covariance is the difference of large numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...core.cameras import Camera
from ...core.gaussians import GaussianArrays
from .contract import ALPHA_LEAST, RasterSettings


@dataclass(frozen=True)
class Splats:
    """M visible Gaussians in the picture, nearest first; float64 unless said.

    gaussian: [M] int64, which Gaussian it is.
    x, y: [M] centre, pixels.
    depth: [M] planar depth, scene units.
    conic: [M, 3] inverse covariance (xx, xy, yy), 1/px^2.
    log_opacity: [M], opacity after the antialiasing's correction.
    reach: [M], the quadratic form's value where alpha falls below 1/255.
    left, right, top, bottom: [M] the box of that ellipse, pixels.
    """

    gaussian: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    depth: torch.Tensor
    conic: torch.Tensor
    log_opacity: torch.Tensor
    reach: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    top: torch.Tensor
    bottom: torch.Tensor

    def __len__(self) -> int:
        return len(self.gaussian)


def project(gaussians: GaussianArrays, camera: Camera, settings: RasterSettings, device: torch.device) -> Splats:
    """Project, drop what cannot show, sort by depth; equal depths keep the Gaussians' order."""

    def tensor(array: object) -> torch.Tensor:
        return torch.as_tensor(array, device=device).to(torch.float64)

    world_to_camera = tensor(camera.T_camera_world)
    local = tensor(gaussians.means) @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    visible = (local[:, 2] >= settings.near) & (local[:, 2] <= settings.far)
    visible &= tensor(gaussians.opacities) >= ALPHA_LEAST
    gaussian = visible.nonzero()[:, 0]
    local = local[gaussian]

    axes = world_to_camera[:3, :3] @ rotations(tensor(gaussians.quats)[gaussian])
    axes = jacobian(local, camera) @ (axes * tensor(gaussians.scales)[gaussian][:, None, :])
    covariance = axes @ axes.mT
    xx, xy, yy = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    sharp = xx * yy - xy * xy
    xx, yy = xx + settings.eps2d, yy + settings.eps2d
    area = xx * yy - xy * xy
    opacity = tensor(gaussians.opacities)[gaussian]
    if settings.antialiased:
        opacity = opacity * (sharp.clamp_min(0) / area.clamp_min(1e-300)).sqrt()
    reach = 2 * (opacity / ALPHA_LEAST).clamp_min(1e-300).log()

    depth = local[:, 2]
    scale = 1 / depth if camera.projection == "perspective" else torch.ones_like(depth)
    x, y = camera.fx * local[:, 0] * scale + camera.cx, camera.fy * local[:, 1] * scale + camera.cy
    width, height = (reach.clamp_min(0) * xx).sqrt(), (reach.clamp_min(0) * yy).sqrt()
    left, right, top, bottom = x - width, x + width, y - height, y + height
    visible = (area > 0) & (reach >= 0) & torch.isfinite(x + y + width + height)
    visible &= (right > 0) & (left < camera.width) & (bottom > 0) & (top < camera.height)
    order = visible.nonzero()[:, 0]
    order = order[torch.sort(depth[order], stable=True).indices]
    conic = torch.stack([yy, -xy, xx], -1) / area[:, None]
    parts = (gaussian, x, y, depth, conic, opacity.log(), reach, left, right, top, bottom)
    return Splats(*(part[order] for part in parts))


def rotations(quats: torch.Tensor) -> torch.Tensor:
    """Unit quaternions wxyz [N, 4] -> rotation matrices [N, 3, 3]."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(-1, 3, 3)


def jacobian(local: torch.Tensor, camera: Camera) -> torch.Tensor:
    """Points in camera axes [N, 3] -> [N, 2, 3], the derivative of the pixel position."""
    out = torch.zeros((len(local), 2, 3), dtype=local.dtype, device=local.device)
    if camera.projection == "orthographic":
        out[:, 0, 0], out[:, 1, 1] = camera.fx, camera.fy
        return out
    for axis, (focal, centre, side) in enumerate(((camera.fx, camera.cx, camera.width), (camera.fy, camera.cy, camera.height))):
        margin = 0.3 * 0.5 * side / focal
        slope = (local[:, axis] / local[:, 2]).clamp(-centre / focal - margin, (side - centre) / focal + margin)
        out[:, axis, axis] = focal / local[:, 2]
        out[:, axis, 2] = -focal * slope / local[:, 2]
    return out
