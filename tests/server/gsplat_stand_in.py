# SPDX-License-Identifier: GPL-3.0-or-later
"""gsplat's two functions on the CPU: the first by our differentiable reference, the second by its definition, pixel by pixel.

So the backend's own work (its calls, chunks, gradients and sums) is tried for real; gsplat's kernels are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from splatonym.core.cameras import Camera
from splatonym.server.rasterize.contract import RasterSettings
from splatonym.server.rasterize.projection import project
from splatonym.server.rasterize.reference import Reference
from torch import Tensor


class StandIn:
    """Has the names that the backend takes from the module gsplat; remembers how many channels each call had."""

    def __init__(self) -> None:
        self.channels: list[int] = []

    def rasterization(
        self,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        colors: Tensor,
        viewmats: Tensor,
        Ks: Tensor,
        width: int,
        height: int,
        near_plane: float,
        far_plane: float,
        eps2d: float,
        packed: bool,
        tile_size: int,
        render_mode: str,
        rasterize_mode: str,
        channel_chunk: int,
        camera_model: str,
    ) -> tuple[Tensor, Tensor, dict[str, Any]]:
        assert render_mode == "RGB+ED" and channel_chunk <= 32
        self.channels.append(colors.shape[-1])
        kind = {"pinhole": "perspective", "ortho": "orthographic"}[camera_model]
        cameras = [
            Camera(width, height, K.double().numpy(), torch.linalg.inv(view.double()).numpy(), kind)
            for K, view in zip(Ks, viewmats, strict=True)
        ]
        settings = RasterSettings(near_plane, far_plane, eps2d, rasterize_mode == "antialiased")
        out = Reference("cpu").rasterize(means, quats, scales, opacities, colors, cameras, settings=settings)
        found = {} if packed else self._found(means, quats, scales, opacities, cameras[0], settings, tile_size)
        return torch.cat([out.features, out.depth[..., None]], -1), out.alpha[..., None], found

    @staticmethod
    def _found(
        means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, camera: Camera, settings: RasterSettings, tile: int
    ) -> dict[str, Any]:
        """Every splat is in every tile's list, the nearest first; what cannot be seen is in none and has no number."""
        splats = project(*(t.detach().double() for t in (means, quats, scales, opacities)), camera, settings)
        nowhere = torch.full((1, len(means), 6), torch.nan)
        columns = [splats.x, splats.y, *splats.conic.unbind(-1), splats.log_opacity.exp()]
        nowhere[0, splats.gaussian] = torch.stack(columns, -1).float()
        rows, across = -(-camera.height // tile), -(-camera.width // tile)
        return {
            "means2d": nowhere[..., :2],
            "conics": nowhere[..., 2:5],
            "opacities": nowhere[..., 5],
            "isect_offsets": (torch.arange(rows * across) * len(splats)).reshape(1, rows, across).int(),
            "flatten_ids": splats.gaussian.repeat(rows * across).int(),
        }

    @staticmethod
    def rasterize_to_indices_in_range(
        range_start: int,
        range_end: int,
        transmittances: Tensor,
        means2d: Tensor,
        conics: Tensor,
        opacities: Tensor,
        image_width: int,
        image_height: int,
        tile_size: int,
        isect_offsets: Tensor,
        flatten_ids: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        assert range_start == 0 and transmittances.shape == (1, image_height, image_width) and bool((transmittances == 1).all())
        ends = [*isect_offsets.flatten().tolist()[1:], len(flatten_ids)]
        across = isect_offsets.shape[2]
        gaussians, pixels = [], []
        for pixel in range(image_width * image_height):
            y, x = divmod(pixel, image_width)
            tile = y // tile_size * across + x // tile_size
            some = flatten_ids[isect_offsets.flatten()[tile] : ends[tile]].numpy()
            dx, dy = means2d[0, some, 0].numpy() - x - 0.5, means2d[0, some, 1].numpy() - y - 0.5
            a, b, c = conics[0, some].numpy().T
            alpha = np.minimum(0.999, opacities[0, some].numpy() * np.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy))
            some, alpha = some[alpha >= 1 / 255], alpha[alpha >= 1 / 255]
            blended = np.logical_and.accumulate(np.cumprod(1 - alpha) > 1e-4)
            gaussians.append(some[blended])
            pixels.append(np.full(int(blended.sum()), pixel))
        gaussian, pixel = (torch.as_tensor(np.concatenate(part)).long() for part in (gaussians, pixels))
        return gaussian, pixel, torch.zeros_like(pixel)
