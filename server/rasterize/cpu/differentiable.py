# SPDX-License-Identifier: GPL-3.0-or-later
"""`rasterize` for torch: pictures whose gradients reach the Gaussians; see contract.Backend."""

from __future__ import annotations

from collections.abc import Sequence
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
        cloud = Cloud(*(plain(tensor.numpy()) for tensor in (means, quats, scales, opacities)))
        values, behind, job = features.numpy(), plain(background.numpy()), Job()
        size = (len(cameras), cameras[0].height, cameras[0].width)
        out, depth, alpha = (
            np.empty((*size, values.shape[-1]), np.float32),
            np.empty(size, np.float32),
            np.empty(size, np.float32),
        )
        seen = []
        for v, camera in enumerate(cameras):
            splats = Splats(cloud, camera, settings, crew, memory, job)
            seen.append(splats)
            for some in _pieces(values.shape[-1]):
                part = out[v] if out.shape[-1] <= CHANNELS_MOST else np.empty((*size[1:], some.stop - some.start), np.float32)
                blended = (splats.listed, plain(_of_view(values, v)[:, some]), behind[v, some].copy(), part, depth[v], alpha[v])
                crew.run_tiles(blending.blend, *blended, job=job)
                if part is not out[v]:
                    out[v, ..., some] = part
        ctx.kept = (cloud, values, behind, out, depth, alpha, seen, crew, memory)
        return torch.from_numpy(out), torch.from_numpy(depth), torch.from_numpy(alpha)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_out: torch.Tensor, of_depth: torch.Tensor, of_alpha: torch.Tensor) -> tuple[Any, ...]:
        cloud, values, behind, out, depth, alpha, seen, crew, memory = ctx.kept
        of_cloud = [np.zeros_like(array) for array in cloud.arrays()]
        of_values, of_behind = np.zeros(values.shape, np.float32), np.zeros_like(behind)
        given, given_depth, given_alpha = (plain(tensor.numpy()) for tensor in (of_out, of_depth, of_alpha))
        for v, splats in enumerate(seen):
            of_behind[v] = np.tensordot(1 - alpha[v], given[v], 2)
            at_once, threads = shares(splats.visible, gradients.SHAPE + 1, values.shape[-1], crew.threads)
            first = True
            for some in _pieces(values.shape[-1], at_once):
                # The derivative is linear: depth and alpha go with the first piece.
                share = np.float32(first)
                pieces = [plain(array[v, ..., some]) for array in (given, out)]
                lines = (given_depth[v] * share, given_alpha[v] * share)
                of_features = plain(_of_view(of_values, v)[:, some])
                _backward(
                    cloud, splats, plain(_of_view(values, v)[:, some]), behind[v, some].copy(), pieces[0], *lines, pieces[1], depth[v], alpha[v],
                    of_cloud, of_features, crew, memory, threads,
                )  # fmt: skip
                _of_view(of_values, v)[:, some] = of_features
                first = False
        means, quats, scales, opacities = (torch.from_numpy(array) for array in of_cloud)
        return means, quats, scales, opacities, torch.from_numpy(of_values), torch.from_numpy(of_behind), None, None, None, None


def _backward(
    cloud: Cloud,
    splats: Splats,
    features: Floats,
    background: Floats,
    of_out: Floats,
    of_depth: Floats,
    of_alpha: Floats,
    out: Floats,
    depth: Floats,
    alpha: Floats,
    of_cloud: Sequence[Floats],
    of_features: Floats,
    crew: Crew,
    memory: Memory,
    threads: int,
) -> None:
    """One camera, some channels: adds to the Gaussians' gradients."""
    job, channels = Job(), features.shape[1]
    of_sums, whole = memory.take((*alpha.shape, channels + 2)), memory.take(alpha.shape)
    crew.run(gradients.picture_gradient, of_out, of_depth, of_alpha, out, depth, alpha, background, of_sums, whole, job=job)
    sums = memory.take((threads, splats.visible, gradients.SHAPE + channels + 1))
    sums.fill(0)
    crew.run_tiles(gradients.blend_backward, splats.listed, features, of_sums, whole, sums, job=job, threads=threads)
    crew.run(
        projection.project_backward,
        *cloud.arrays(),
        splats.numbers,
        splats.chosen,
        splats.spans,
        splats.listed[1],
        sums,
        *of_cloud,
        of_features,
        job=job,
    )


def _pieces(channels: int, at_once: int = CHANNELS_MOST) -> list[slice]:
    return [slice(c, min(c + at_once, channels)) for c in range(0, channels, at_once)]


def _of_view(values: Floats, v: int) -> Floats:
    return values[v] if values.ndim == 3 else values
