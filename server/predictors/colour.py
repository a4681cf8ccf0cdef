# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours by registration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.gaussians import GaussianArrays
from ...core.views import View
from ..job import Job
from ..rasterize.contract import Backend, RasterSettings


def back_project(g: GaussianArrays, colours, views: Sequence[View], rounds: int, gain: float, backend: Backend, job: Job):
    frames = [backend.prepare(g, v.camera, RasterSettings(), job) for v in views]
    colours = colours.astype(np.float32)
    for k in range(rounds):
        sums = np.zeros((len(g), 3), np.float32)
        weights = np.zeros(len(g), np.float32)
        for number, (view, frame) in enumerate(zip(views, frames)):
            job.progress((k + number / len(views)) / rounds, view.name)
            out = frame.render(colours)
            valid = (view.depth > 0)[..., None] if view.depth is not None else 1
            residual = (view.rgb / np.float32(255) - out.features - (1 - out.alpha)[..., None] * colours.mean(0)) * valid
            s, w = frame.register(residual.astype(np.float32))
            sums += s
            weights += w
        colours = np.clip(colours + gain * sums / np.maximum(weights, 1e-3)[:, None], 0, 1).astype(np.float32)
    return colours


def spill(g: GaussianArrays, views: Sequence[View], tolerance: float, backend: Backend, job: Job, lo=None):
    """Share of each Gaussian's weight that lies on pixels whose surface is farther."""
    count = len(g)
    sums, weights = np.zeros(count), np.full(count, 1e-9)
    for number, view in enumerate(views):
        if view.depth is None:
            continue
        job.progress(number / len(views), view.name)
        frame = backend.prepare(g, view.camera, RasterSettings(), job)
        d = view.depth
        image = np.stack([d > 0, d, d * d], -1).astype(np.float32)
        s, _ = frame.register(image)
        s = s.astype(np.float64)
        w = np.maximum(s[:, 0], 1e-9)
        T = view.camera.T_camera_world
        z = g.means.astype(np.float64) @ T[2, :3] + T[2, 3]
        m = np.maximum(s[:, 1] / w - z, 0)
        e2 = np.maximum(s[:, 2] / w - 2 * z * s[:, 1] / w + z * z, 0)
        share = m * m / (e2 + (tolerance * z) ** 2)
        sums += w * np.clip(share, 0, 1)
        weights += w
    return (sums / weights).astype(np.float32)
