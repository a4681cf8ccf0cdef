# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians to splats: EWA projection (Zwicker et al. 2001) as 3DGS and gsplat do it.

A Gaussian's covariance goes through the camera's rotation and the Jacobian J of the projection at its centre:
cov2d = J R cov R^T J^T + eps2d. In perspective J is taken at most 30% of the half field of view outside the picture, where the
approximation would blow up. It is float64, and gradients run through it: what decides who is visible is kept apart from what is
returned, so that no gradient ever meets a division by 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...core.cameras import Camera
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


def project(
    means: torch.Tensor,
    quats: torch.Tensor,
    scales: torch.Tensor,
    opacities: torch.Tensor,
    camera: Camera,
    settings: RasterSettings,
) -> Splats:
    """Project, drop what cannot show, sort by depth in float32; equal depths keep the Gaussians' order.

    means [N, 3], quats [N, 4] wxyz of any length but 0, scales [N, 3], opacities [N]; float64.
    """
    world_to_camera = torch.as_tensor(camera.T_camera_world, device=means.device)
    local = means @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    visible = (local[:, 2] >= settings.near) & (local[:, 2] <= settings.far) & (opacities >= ALPHA_LEAST)
    if camera.projection == "perspective":
        visible &= local[:, 2] > 0  # whatever `near` says, what is behind the camera is not seen
    gaussian = visible.nonzero()[:, 0]
    local, opacity = local[gaussian], opacities[gaussian]

    axes = world_to_camera[:3, :3] @ rotations(quats[gaussian])
    axes = jacobian(local, camera) @ (axes * scales[gaussian][:, None, :])
    across, down = axes.unbind(1)
    xx, xy, yy = (across * across).sum(1), (across * down).sum(1), (down * down).sum(1)
    sharp = torch.linalg.cross(across, down).square().sum(1)  # xx * yy - xy^2, but without a needle's loss of digits
    area = sharp + settings.eps2d * (xx + yy) + settings.eps2d**2
    xx, yy = xx + settings.eps2d, yy + settings.eps2d
    if settings.antialiased:
        opacity = opacity * (sharp / area.clamp_min(1e-300)).clamp_min(1e-30).sqrt()

    depth = local[:, 2]
    scale = 1 / depth if camera.projection == "perspective" else torch.ones_like(depth)
    x, y = camera.fx * local[:, 0] * scale + camera.cx, camera.fy * local[:, 1] * scale + camera.cy
    with torch.no_grad():
        reach = 2 * (opacity / ALPHA_LEAST).log()
        width, height = (reach.clamp_min(0) * xx).sqrt(), (reach.clamp_min(0) * yy).sqrt()
        left, right, top, bottom = x - width, x + width, y - height, y + height
        visible = (area > 0) & (reach >= 0) & torch.isfinite(x + y + width + height)
        visible &= (right > 0) & (left < camera.width) & (bottom > 0) & (top < camera.height)
        order = visible.nonzero()[:, 0]
        order = order[torch.sort(depth[order].to(torch.float32), stable=True).indices]
    return Splats(
        gaussian=gaussian[order],
        x=x[order],
        y=y[order],
        depth=depth[order],
        conic=torch.stack([yy[order], -xy[order], xx[order]], -1) / area[order, None],
        log_opacity=opacity[order].log(),
        reach=reach[order],
        left=left[order],
        right=right[order],
        top=top[order],
        bottom=bottom[order],
    )


def rotations(quats: torch.Tensor) -> torch.Tensor:
    """Quaternions wxyz [N, 4], of any length but 0 -> rotation matrices [N, 3, 3]."""
    w, x, y, z = (quats / quats.norm(dim=-1, keepdim=True)).unbind(-1)
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
