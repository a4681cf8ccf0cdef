# SPDX-License-Identifier: GPL-3.0-or-later
"""Splatting as the textbook has it: every pixel against every Gaussian, in torch float64, with autograd's gradients.

It shares no code with any backend. Where a float32 backend may rightly decide otherwise, because an alpha lies at the limit of being
skipped, a transmittance at the limit of stopping or two depths are as good as equal, the pixel is called doubtful.
"""

from dataclasses import dataclass

import torch
from splatonym.server.rasterize.contract import RasterSettings

DEFAULTS = RasterSettings()
NEAR_ALPHA, NEAR_TRANSMITTANCE, NEAR_DEPTH = 1e-5, 1e-4, 1e-6
"""How near to a limit is doubtful, relative to the limit."""


@dataclass
class Picture:
    """weights: [H, W, N] T * alpha. depths: [N]. doubtful: [H, W] bool."""

    weights: torch.Tensor
    depths: torch.Tensor
    doubtful: torch.Tensor

    def render(self, features, background=None):
        """Features [N, C] -> blended [H, W, C], depth [H, W], alpha [H, W]."""
        alpha = self.weights.sum(-1)
        blended = self.weights @ features
        if background is not None:
            blended = blended + (1 - alpha)[..., None] * background
        return blended, self.weights @ self.depths / torch.where(alpha > 0, alpha, 1), alpha


def tensors(g):
    """means, quats, scales and opacities of GaussianArrays, float64."""
    return [torch.tensor(array, dtype=torch.float64) for array in (g.means, g.quats, g.scales, g.opacities)]


def rotation(quats):
    """R = I + 2 w [v] + 2 [v]^2 of unit quaternions (w, v)."""
    quats = quats / quats.norm(dim=1, keepdim=True)
    w, (x, y, z) = quats[:, 0], quats[:, 1:].unbind(1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    return torch.eye(3, dtype=quats.dtype) + 2 * w[:, None, None] * skew + 2 * skew @ skew


def splat(means, quats, scales, opacities, camera, settings=DEFAULTS, *, gradients=False):
    """All Gaussians in a picture; with `gradients`, alphas at the upper limit are doubtful too: their derivative jumps."""
    pose = torch.tensor(camera.T_camera_world)
    R, t = pose[:3, :3], pose[:3, 3]
    local = means @ R.T + t
    inside = (local[:, 2] >= settings.near) & (local[:, 2] <= settings.far)
    x, y, z = torch.where(inside[:, None], local, torch.ones_like(local)).unbind(1)
    zero = torch.zeros_like(z)
    if camera.projection == "orthographic":
        u, v = camera.fx * x + camera.cx, camera.fy * y + camera.cy
        J = [zero + camera.fx, zero, zero, zero, zero + camera.fy, zero]
    else:
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        across, down = 0.15 * camera.width, 0.15 * camera.height
        ju = torch.clamp(camera.fx * x / z, -across - camera.cx, camera.width - camera.cx + across)
        jv = torch.clamp(camera.fy * y / z, -down - camera.cy, camera.height - camera.cy + down)
        J = [camera.fx / z, zero, -ju / z, zero, camera.fy / z, -jv / z]
    axes = torch.stack(J, 1).reshape(-1, 2, 3) @ R @ rotation(quats) * scales[:, None, :]
    sharp = axes @ axes.mT
    blurred = sharp + settings.eps2d * torch.eye(2, dtype=means.dtype)
    if settings.antialiased:
        opacities = opacities * (_det(sharp) / _det(blurred)).clamp_min(1e-20).sqrt()

    row, column = torch.meshgrid(torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij")
    dx, dy = column[..., None] - u, row[..., None] - v
    inverse = torch.linalg.inv(blurred)
    power = 0.5 * (inverse[:, 0, 0] * dx * dx + inverse[:, 1, 1] * dy * dy) + inverse[:, 0, 1] * dx * dy
    whole = torch.where(inside, opacities, 0) * torch.exp(-power)
    alpha = torch.where(whole >= 1 / 255, whole.clamp_max(0.999), 0)

    order = torch.sort(z.detach().to(torch.float32), stable=True).indices
    after = torch.cumprod(1 - alpha[..., order], -1)
    before = torch.cat([torch.ones_like(after[..., :1]), after[..., :-1]], -1)
    weights = torch.where(after > 1e-4, before * alpha[..., order], 0)

    with torch.no_grad():
        reached = before > 1e-4 * (1 - NEAR_TRANSMITTANCE)
        unsure = (whole[..., order] * 255 - 1).abs() < NEAR_ALPHA
        if gradients:
            unsure |= (whole[..., order] / 0.999 - 1).abs() < NEAR_ALPHA
        unsure |= (after * 1e4 - 1).abs() < NEAR_TRANSMITTANCE
        doubtful = (unsure & reached).any(-1)
        gap = (z[:, None] - z).abs() / z
        for i, j in ((gap > 0) & (gap < NEAR_DEPTH)).nonzero().tolist():
            doubtful |= (alpha[..., i] > 0) & (alpha[..., j] > 0)
    return Picture(weights[..., torch.argsort(order)], local[:, 2], doubtful)


def _det(matrix):
    return matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]


def colours(g, camera):
    """The Gaussians' colours [N, 3] toward the camera; constants and polynomials as 3DGS prints them."""
    sh = torch.tensor(g.sh, dtype=torch.float64)
    x, y, z = torch.nn.functional.normalize(torch.tensor(g.means, dtype=torch.float64) - torch.tensor(camera.position)).T
    xx, yy, zz = x * x, y * y, z * z
    terms = [0.28209479177387814 * torch.ones_like(x)]
    terms += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    terms += [1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (2 * zz - xx - yy)]
    terms += [-1.0925484305920792 * x * z, 0.5462742152960396 * (xx - yy)]
    terms += [-0.5900435899266435 * y * (3 * xx - yy), 2.890611442640554 * x * y * z]
    terms += [-0.4570457994644658 * y * (4 * zz - xx - yy), 0.3731763325901154 * z * (2 * zz - 3 * xx - 3 * yy)]
    terms += [-0.4570457994644658 * x * (4 * zz - xx - yy), 1.445305721320277 * z * (xx - yy)]
    terms += [-0.5900435899266435 * x * (xx - 3 * yy)]
    return (0.5 + sum(term[:, None] * sh[:, k] for k, term in enumerate(terms[: sh.shape[1]]))).clamp_min(0)


def normals(g, camera):
    """The Gaussians' shortest axes [N, 3], turned toward the camera."""
    means, quats, scales, _ = tensors(g)
    out = torch.stack([axes[:, int(k)] for axes, k in zip(rotation(quats), scales.argmin(1), strict=True)])
    pose = torch.tensor(camera.T_world_camera)
    view = means - pose[:3, 3] if camera.projection == "perspective" else pose[:3, 2].expand_as(means)
    return torch.where((out * view).sum(1, keepdim=True) > 0, -out, out)
