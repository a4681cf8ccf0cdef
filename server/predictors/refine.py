# SPDX-License-Identifier: GPL-3.0-or-later
"""Two corrections of Gaussians by the views they came from, through the rasterizer's registration; no gradient, no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...core.gaussians import GaussianArrays, sh_from_rgb
from ...core.views import View
from ..job import Job
from ..rasterize.contract import Backend, Frame, RasterSettings

FRAMES_KEPT = 1 << 20
"""Pixels of all views up to which their prepared frames are kept between rounds; beyond, memory counts more than time."""


def fade_spill(g: GaussianArrays, views: Sequence[View], backend: Backend, job: Job) -> GaussianArrays:
    """Lower the opacity of Gaussians that hang over the edge of their surface.

    Let d be how much farther than the Gaussian the pixels lie that it shows in, averaged with its blending weights. At least the
    share E[d]^2 / E[d^2] of its weight lies on farther pixels (Cauchy-Schwarz); d within 2% of the depth is forgiven. Opacity
    is multiplied by (1 - share) ^ 0.75.
    """
    spilt, weight = np.zeros(len(g)), np.full(len(g), 1e-9)
    deep = [(view, view.depth) for view in views if view.depth is not None]
    frames = backend.prepare_all(g, [view.camera for view, _ in deep], RasterSettings(), job)
    for number, (view, depth) in enumerate(deep):
        job.progress(number / len(deep), view.name)
        moments = np.stack([depth > 0, depth, depth * depth], -1).astype(np.float32)
        sums, _ = next(frames).register(moments)
        shown, first, second = sums.astype(np.float64).T
        shown = np.maximum(shown, 1e-9)
        to_camera = view.camera.T_camera_world
        own = g.means.astype(np.float64) @ to_camera[2, :3] + to_camera[2, 3]
        farther = np.maximum(first / shown - own, 0)
        square = np.maximum(second / shown - 2 * own * first / shown + own * own, 0)
        spilt += shown * np.clip(farther * farther / (square + (0.02 * own) ** 2), 0, 1)
        weight += shown
    kept = np.clip(1 - spilt / weight, 0.01, 1) ** 0.75
    return replace(g, opacities=(g.opacities * kept).astype(np.float32))


def recolour(g: GaussianArrays, views: Sequence[View], rounds: int, backend: Backend, job: Job) -> GaussianArrays:
    """Move each Gaussian's colour by 0.7 of the mean error of the pixels it shows in, some rounds (SIRT, Gilbert 1972).

    A Gaussian's colour was one pixel's; blended with its neighbours it blurs the picture, and this takes the blur back.
    """
    colours = g.rgb
    kept: dict[int, Frame] = {}
    keep = sum(view.camera.width * view.camera.height for view in views) <= FRAMES_KEPT
    for k in range(rounds):
        sums, weights = np.zeros((len(g), 3), np.float32), np.zeros(len(g), np.float32)
        for number, view in enumerate(views):
            job.progress((k + number / len(views)) / rounds, view.name)
            frame = kept.get(number) or backend.prepare(g, view.camera, RasterSettings(), job)
            if keep:
                kept[number] = frame
            drawn = frame.render(colours, background=colours.mean(0))
            error = view.rgb / np.float32(255) - drawn.features
            if view.depth is not None:
                error *= (view.depth > 0)[..., None]
            summed, shown = frame.register(error.astype(np.float32, copy=False))
            sums += summed
            weights += shown
        colours = np.clip(colours + 0.7 * sums / np.maximum(weights, 1e-3)[:, None], 0, 1).astype(np.float32)
    return replace(g, sh=sh_from_rgb(colours))
