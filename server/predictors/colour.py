# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours by registration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

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
