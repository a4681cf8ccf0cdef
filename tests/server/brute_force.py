# SPDX-License-Identifier: GPL-3.0-or-later
"""Splatting as the textbook has it: every pixel against every Gaussian, float64, one loop. The oracle's own oracle."""

import numpy as np
from splatonym.core.gaussians import SH_C0


def rotation(q):
    w, x, y, z = q / np.linalg.norm(q)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def splat(g, camera, near=0.01, far=1e10, eps2d=0.3):
    """Weights [H, W, N] (T * alpha) and depths [N] of all Gaussians in a picture."""
    R, t = camera.T_camera_world[:3, :3], camera.T_camera_world[:3, 3]
    v, u = np.mgrid[: camera.height, : camera.width] + 0.5
    flat = camera.projection == "orthographic"
    alphas = np.zeros((camera.height, camera.width, len(g)))
    depths = np.zeros(len(g))
    for i in range(len(g)):
        x, y, z = R @ g.means[i].astype(np.float64) + t
        depths[i] = z
        if not near <= z <= far:
            continue
        if flat:
            J = np.array([[camera.fx, 0, 0], [0, camera.fy, 0]])
            cu, cv = camera.fx * x + camera.cx, camera.fy * y + camera.cy
        else:
            J = np.array([[camera.fx / z, 0, -camera.fx * x / z**2], [0, camera.fy / z, -camera.fy * y / z**2]])
            cu, cv = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        M = rotation(g.quats[i].astype(np.float64)) @ np.diag(g.scales[i].astype(np.float64))
        cov = J @ R @ M @ M.T @ R.T @ J.T + eps2d * np.eye(2)
        d = np.stack([u - cu, v - cv], -1)
        power = 0.5 * np.einsum("hwi,ij,hwj->hw", d, np.linalg.inv(cov), d)
        alpha = np.minimum(0.999, float(g.opacities[i]) * np.exp(-power))
        alphas[..., i] = np.where(alpha >= 1 / 255, alpha, 0)
    weights, T = np.zeros_like(alphas), np.ones((camera.height, camera.width))
    alive = np.ones_like(T, dtype=bool)
    for i in np.argsort(depths, kind="stable"):
        after = T * (1 - alphas[..., i])
        alive &= after > 1e-4
        weights[..., i] = np.where(alive, T * alphas[..., i], 0)
        T = np.where(alive, after, T)
    return weights, depths


def colours(g):
    return np.maximum(g.sh[:, 0] * SH_C0 + 0.5, 0)
