# SPDX-License-Identifier: GPL-3.0-or-later
"""`rasterize` for torch: pictures whose gradients reach the Gaussians; see contract.Backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ....core.cameras import Camera
from ...job import Job
from ..contract import CHANNELS_MOST, Floats, RasterSettings
from . import blending, gradients, projection
from .crew import Crew, Memory
from .frame import shares
from .splatting import Cloud, Splats, plain


@dataclass(frozen=True)
class Drawn:
    """Some channels of one camera's picture, and what they were made of; see blending.blend.

    features [N, C], background [C], out [H, W, C], depth, alpha, remaining [H, W]; float32, as kernels want them.
    """

    splats: Splats
    features: Floats
    background: Floats
    out: Floats
    depth: Floats
    alpha: Floats
    remaining: Floats


class Pictures(torch.autograd.Function):
    """(means, quats, scales, opacities, features [V, N, C] or [N, C], background [V, C], ...)
    -> features [V, H, W, C], depth [V, H, W], alpha [V, H, W]."""

    @staticmethod
    def forward(
        ctx: Any,
        means: torch.Tensor,
        quats: torch.Tensor,
        scales: torch.Tensor,
        opacities: torch.Tensor,
        features: torch.Tensor,
        background: torch.Tensor,
        cameras: Sequence[Camera],
        settings: RasterSettings,
        crew: Crew,
        memory: Memory,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        ctx.save_for_backward(means, quats, scales, opacities, features, background)
        cloud = Cloud(*(plain(tensor.numpy()) for tensor in (means, quats, scales, opacities)))
        values, behind = features.numpy(), plain(background.numpy())
        views = []
        for v, camera in enumerate(cameras):
            splats = Splats(cloud, camera, settings, crew, memory, Job(), unit_quats=False)
            views.append(
                [_draw(splats, _of_view(values, v)[:, c], behind[v, c], camera, crew) for c in _pieces(values.shape[-1])]
            )
        ctx.kept = (cloud, values, behind, views, crew, memory)
        out = np.stack([np.concatenate([drawn.out for drawn in view], -1) for view in views])
        depth, alpha = np.stack([view[0].depth for view in views]), np.stack([view[0].alpha for view in views])
        return torch.from_numpy(out), torch.from_numpy(depth), torch.from_numpy(alpha)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_out: torch.Tensor, of_depth: torch.Tensor, of_alpha: torch.Tensor) -> tuple[Any, ...]:
        _ = (
            ctx.saved_tensors
        )  # torch's check that nobody has written to them in the meantime: the arrays below are the same memory
        cloud, values, behind, views, crew, memory = ctx.kept
        of_cloud = [np.zeros_like(array) for array in cloud.arrays()]
        of_values, of_behind = np.zeros(values.shape, np.float32), np.zeros_like(behind)
        given, given_depth, given_alpha = (plain(tensor.numpy()) for tensor in (of_out, of_depth, of_alpha))
        for v, view in enumerate(views):
            of_behind[v] = np.tensordot(view[0].remaining, given[v], 2)
            for number, (c, drawn) in enumerate(zip(_pieces(values.shape[-1]), view, strict=True)):
                # The derivative is linear: that of depth and alpha goes with the first channels.
                share = np.float32(number == 0)
                of_picture = (plain(given[v, ..., c]), given_depth[v] * share, given_alpha[v] * share)
                of_features = np.zeros(drawn.features.shape, np.float32)
                _backward(cloud, drawn, of_picture, of_cloud, of_features, crew, memory)
                _of_view(of_values, v)[:, c] += of_features
        means, quats, scales, opacities = (torch.from_numpy(array) for array in of_cloud)
        return means, quats, scales, opacities, torch.from_numpy(of_values), torch.from_numpy(of_behind), None, None, None, None


def _draw(splats: Splats, features: Floats, background: Floats, camera: Camera, crew: Crew) -> Drawn:
    size = (camera.height, camera.width)
    out = np.empty((*size, features.shape[1]), np.float32)
    depth, alpha, remaining = (np.empty(size, np.float32) for _ in range(3))
    drawn = Drawn(splats, plain(features), background.copy(), out, depth, alpha, remaining)
    crew.run_tiles(blending.blend, splats.listed, drawn.features, drawn.background, out, depth, alpha, remaining, job=Job())
    return drawn


def _backward(
    cloud: Cloud,
    drawn: Drawn,
    of_picture: tuple[Floats, Floats, Floats],
    of_cloud: Sequence[Floats],
    of_features: Floats,
    crew: Crew,
    memory: Memory,
) -> None:
    """From the gradients of out, depth and alpha; adds to those of the Gaussians and of these features."""
    splats, channels, job = drawn.splats, drawn.features.shape[1], Job()
    of_sums, whole = memory.take((*drawn.alpha.shape, channels + 2)), memory.take(drawn.alpha.shape)
    pictures = (drawn.out, drawn.depth, drawn.alpha, drawn.remaining)
    crew.run(gradients.picture_gradient, *of_picture, *pictures, drawn.background, of_sums, whole, job=job)
    _, threads = shares(splats.visible, projection.SHAPE + 1 + channels, 1, crew.threads)
    sums = splats.sums(projection.SHAPE + channels + 1, threads, crew, memory, job)
    crew.run_tiles(gradients.blend_backward, splats.listed, drawn.features, of_sums, whole, sums, job=job, threads=threads)
    visible_ones = (splats.chosen, splats.spans, splats.listed[1])
    crew.run(projection.project_backward, *cloud.arrays(), splats.numbers, *visible_ones, sums, *of_cloud, of_features, job=job)


def _pieces(channels: int) -> list[slice]:
    return [slice(c, min(c + CHANNELS_MOST, channels)) for c in range(0, channels, CHANNELS_MOST)]


def _of_view(values: Floats, v: int) -> Floats:
    return values[v] if values.ndim == 3 else values
