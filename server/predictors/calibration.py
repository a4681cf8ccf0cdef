# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians against the pictures that they came from: opacities and colours by registration, without gradients or training.

A splat is wider than the pixel it stands for, so silhouettes grow, and a rendered texture is softer than the picture. Both can be read off the
blending weights w = T * alpha that registration sums over each Gaussian's pixels:

Opacity. The share s of a Gaussian's weight on pixels whose true surface is farther is spilt over a silhouette. With z its depth and D the
depth map under it, a mixture of the shares 1-s at z and s at one farther depth has E[D-z]^2 / E[(D-z)^2] = s: two registered channels, D
and D^2, tell it. Opacity is multiplied by (1-s)^SPILL.

Colour. What is missing in the pictures (picture - rendering) is registered and added, a few times: iterative back-projection (Irani and
Peleg 1991) with the blending weights as its kernel. It sharpens, averages the views, and separates the colours mixed at edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...core.gaussians import GaussianArrays, sh_from_rgb
from ...core.views import View
from ..job import Job
from ..rasterize.contract import Backend, Floats, Frame, RasterSettings

SPILL = 0.7
GAIN = 0.7
"""Share of the missing colour that is added in a round."""
DEPTH_NOISE = 0.02
"""Depth differences well below this share of the depth are no spill."""
OPACITY_LEAST = 0.03
"""Gaussians that end up fainter are removed."""
FRAMES_KEPT = 16
"""Frames held ready between rounds; a frame holds at most about 50 MB and is prepared again otherwise."""


def calibrate_opacity(gaussians: GaussianArrays, views: Sequence[View], backend: Backend, job: Job) -> GaussianArrays:
    """Lower the opacity of Gaussians that spill over silhouettes; remove those that hardly belong to any surface."""
    spilt, weight = np.zeros(len(gaussians)), np.full(len(gaussians), 1e-9)
    for number, view in enumerate(views):
        job.progress(number / len(views), view.name)
        assert view.depth is not None
        frame = backend.prepare(gaussians, view.camera, RasterSettings(), job)
        known = (view.depth > 0).astype(np.float32)
        sums = frame.register(np.stack([known, view.depth, view.depth**2], -1))[0].astype(np.float64)
        looking = view.camera.T_camera_world[2]
        z = gaussians.means @ looking[:3] + looking[3]
        here = np.maximum(sums[:, 0], 1e-9)
        mean, square = sums[:, 1] / here, sums[:, 2] / here
        farther = np.maximum(mean - z, 0)
        spread = np.maximum(square - 2 * z * mean + z * z, 0)
        spilt += sums[:, 0] * np.clip(farther**2 / (spread + (DEPTH_NOISE * z) ** 2 + 1e-12), 0, 1)
        weight += sums[:, 0]
    opacity = gaussians.opacities * (1 - np.clip(spilt / weight, 0, 1)) ** SPILL
    kept = opacity >= OPACITY_LEAST
    return replace(gaussians, opacities=opacity.astype(np.float32)).select(kept)


def calibrate_colour(
    gaussians: GaussianArrays, views: Sequence[View], rounds: int, backend: Backend, job: Job
) -> GaussianArrays:
    """Back-project what the pictures have and the rendering lacks; only where a view has depth, the Gaussians can know."""
    colours = gaussians.rgb
    frames: dict[int, Frame] = {}
    for turn in range(rounds):
        sums, weights = np.zeros_like(colours), np.zeros(len(gaussians), np.float32)
        for number, view in enumerate(views):
            job.progress((turn + number / len(views)) / rounds, view.name)
            frame = frames.get(number) or backend.prepare(gaussians, view.camera, RasterSettings(), job)
            if number < FRAMES_KEPT:
                frames[number] = frame
            missing, weight = frame.register(_missing(view, frame, colours))
            sums += missing
            weights += weight
        colours = np.clip(colours + np.float32(GAIN) * sums / np.maximum(weights, 1e-3)[:, None], 0, 1)
    return replace(gaussians, sh=sh_from_rgb(colours))


def _missing(view: View, frame: Frame, colours: Floats) -> Floats:
    """[H, W, 3] picture minus rendering, 0 where there is no depth or nothing is drawn."""
    out = frame.render(colours)
    assert view.depth is not None
    shown = (view.depth > 0) & (out.alpha > 0.1)
    rendered = out.features / np.maximum(out.alpha, 0.1)[..., None]
    return np.where(shown[..., None], view.rgb / np.float32(255) - rendered, np.float32(0))
