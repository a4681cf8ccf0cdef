# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours of Gaussians as one camera sees them.

Real spherical harmonics up to degree 3, with 3DGS's order and signs: colour = max(0, 0.5 + sum of Y_k(direction) * sh_k), where the direction
points from the camera's centre to the Gaussian's, for orthographic cameras too, as in gsplat.
"""

from __future__ import annotations

import math

import torch

_PI = math.pi


def basis(directions: torch.Tensor, count: int) -> torch.Tensor:
    """Unit directions [..., 3] -> the first `count` (1, 4, 9 or 16) harmonics [..., count]."""
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    root = math.sqrt
    bands = [torch.full_like(x, 0.5 * root(1 / _PI))]
    if count > 1:
        c = 0.5 * root(3 / _PI)
        bands += [-c * y, c * z, -c * x]
    if count > 4:
        c, d = 0.5 * root(15 / _PI), 0.25 * root(5 / _PI)
        bands += [c * x * y, -c * y * z, d * (2 * zz - xx - yy), -c * x * z, 0.5 * c * (xx - yy)]
    if count > 9:
        c, d, e = 0.25 * root(35 / (2 * _PI)), 0.5 * root(105 / _PI), 0.25 * root(21 / (2 * _PI))
        bands += [
            -c * y * (3 * xx - yy),
            d * x * y * z,
            -e * y * (4 * zz - xx - yy),
            0.25 * root(7 / _PI) * z * (2 * zz - 3 * xx - 3 * yy),
            -e * x * (4 * zz - xx - yy),
            0.5 * d * z * (xx - yy),
            -c * x * (xx - 3 * yy),
        ]
    return torch.stack(bands, -1)


def colours(sh: torch.Tensor, means: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Harmonics [N, K, 3], centres [N, 3] and the camera's centre [3] -> colours [N, 3], not below 0; for centres [V, 3] -> [V, N, 3]."""
    directions = torch.nn.functional.normalize(means - centre[..., None, :], dim=-1)
    weights = basis(directions, sh.shape[1]).to(sh.dtype)
    return (0.5 + (weights[..., None] * sh).sum(-2)).clamp_min(0)
