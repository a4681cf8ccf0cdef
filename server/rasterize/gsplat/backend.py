# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract on gsplat.rasterization. A picture is linear in the features, so its gradient with respect to them is the registration.

A frame keeps the Gaussians' tensors on the GPU; gsplat projects and sorts again with each question, which costs it about a millisecond.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....core.cameras import Camera
from ....core.errors import NotAvailable
from ....core.gaussians import GaussianArrays
from ...job import Job
from ..checks import (
    check_background,
    check_features,
    check_gaussian_ids,
    check_image,
    check_pixel_ids,
    check_tensors,
    check_topk,
)
from ..contract import CHANNELS_MOST, Floats, IdWeights, Ints, RasterSettings, Rendered, RenderOutput, TopK
from ..harmonics import colours
from ..projection import rotations
from . import pairs
from .probe import path_with_ninja, probe, versions

_NEAR_LEAST = 1e-10
"""Behind a perspective camera nothing is seen; gsplat would divide by any depth that near_plane lets through."""
IDS_BLENDED_MOST = 4 * CHANNELS_MOST
"""Ids that are blended as channels, in turns; of more ids the weights are summed pair by pair."""


class Gsplat:
    """The backend.

    device: where torch puts the tensors.
    library: what has gsplat's two functions, `rasterization` and `rasterize_to_indices_in_range`; by default gsplat, once `ready` has
    seen it work.
    """

    name = "gsplat"

    def __init__(self, device: str = "cuda", library: Any = None) -> None:
        self._device = torch.device(device)
        self._library = library

    @property
    def device(self) -> str:
        if self._device.type != "cuda":
            return str(self._device)
        return f"{self._device} ({torch.cuda.get_device_name(self._device)})"

    @property
    def version(self) -> str:
        return versions()

    def ready(self, job: Job) -> None:
        """Try gsplat in a process of its own, if nobody did before: that may compile for minutes."""
        if self._library is not None:
            return
        obstacle = probe(job)
        if obstacle is not None:
            raise NotAvailable(f"The rasterizer 'gsplat' cannot be used: {obstacle.reason}.", obstacle.repair)
        os.environ["PATH"] = path_with_ninja()  # gsplat loads what it compiled through ninja, too
        self._library = importlib.import_module("gsplat")

    def prepare(self, gaussians: GaussianArrays, camera: Camera, settings: RasterSettings, job: Job) -> GsplatFrame:
        return next(self.prepare_all(gaussians, [camera], settings, job))

    def prepare_all(
        self, gaussians: GaussianArrays, cameras: Sequence[Camera], settings: RasterSettings, job: Job
    ) -> Iterator[GsplatFrame]:
        gaussians.validate()
        self.ready(job)
        on_device = Gaussians.of(gaussians, self._device)
        return (GsplatFrame(self._library, on_device, camera, settings, job) for camera in cameras)

    def rasterize(
        self,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        features: Tensor,
        cameras: Sequence[Camera],
        background: Tensor | None = None,
        settings: RasterSettings = RasterSettings(),  # noqa: B008 - it is frozen
    ) -> Rendered:
        check_tensors(means, quats, scales, opacities, features, cameras, background)
        self.ready(Job())
        moved = (tensor.to(self._device) for tensor in (means, quats, scales, opacities))
        gaussians, features = Gaussians(*moved), features.to(self._device)
        kinds = {camera.projection for camera in cameras}
        turns = (
            [slice(None)] if len(kinds) == 1 else [slice(k, k + 1) for k in range(len(cameras))]
        )  # gsplat takes one kind a call
        drawn = [
            _draw(self._library, gaussians, features[turn] if features.ndim == 3 else features, cameras[turn], settings)
            for turn in turns
        ]
        blended, depth, alpha = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        if background is not None:
            behind = background.to(self._device)
            blended = blended + (1 - alpha)[..., None] * (behind[:, None, None] if behind.ndim == 2 else behind)
        return Rendered(*(part.to(means.device) for part in (blended, depth, alpha)))


@dataclass(frozen=True)
class Gaussians:
    """GaussianArrays as float32 tensors on the device; without sh there are features for everything that is drawn."""

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    sh: Tensor | None = None

    @staticmethod
    def of(g: GaussianArrays, device: torch.device) -> Gaussians:
        return Gaussians(*(_tensor(array, device) for array in (g.means, g.quats, g.scales, g.opacities, g.sh)))

    def __len__(self) -> int:
        return len(self.means)

    def colours(self, camera: Camera) -> Tensor:
        """[N, 3], as the camera sees them."""
        assert self.sh is not None
        return colours(self.sh, self.means, _tensor(camera.position, self.means.device))

    def normals(self, camera: Camera) -> Tensor:
        """[N, 3] unit vectors in the world's axes: the shortest axes, turned toward the camera."""
        shortest = self.scales.argmin(1)
        axes = rotations(self.quats)[torch.arange(len(self), device=shortest.device), :, shortest]
        pose = _tensor(camera.T_world_camera, axes.device)
        view = self.means - pose[:3, 3] if camera.projection == "perspective" else pose[:3, 2].expand_as(axes)
        return torch.where((axes * view).sum(1, keepdim=True) > 0, -axes, axes)


class GsplatFrame:
    """Gaussians prepared for one camera; see contract.Frame."""

    def __init__(self, library: Any, gaussians: Gaussians, camera: Camera, settings: RasterSettings, job: Job) -> None:
        self._library, self._gaussians, self._camera, self._settings, self._job = library, gaussians, camera, settings, job
        self._device = gaussians.means.device
        job.check()

    @torch.no_grad()
    def render(
        self, features: Floats | None = None, background: Floats | None = None, *, normals: bool = False
    ) -> RenderOutput:
        if features is None:
            values = self._gaussians.colours(self._camera)
        else:
            check_features(features, len(self._gaussians))
            values = _tensor(features, self._device)
        channels = values.shape[1]
        if normals:
            values = torch.cat([values, self._gaussians.normals(self._camera)], 1)
        self._job.check()
        pictures, depths, alphas = _draw(self._library, self._gaussians, values, [self._camera], self._settings)
        picture, depth, alpha = pictures[0], depths[0], alphas[0]
        blended = picture[..., :channels]
        if background is not None:
            check_background(background, channels)
            blended = blended + (1 - alpha)[..., None] * _tensor(background, self._device)
        towards = _array(torch.nn.functional.normalize(picture[..., channels:], dim=-1)) if normals else None
        return RenderOutput(_array(blended), _array(depth), _array(alpha), towards)

    def topk(self, k: int) -> TopK:
        check_topk(k)
        size = (self._camera.height, self._camera.width)
        ids = torch.full((*size, k), -1, dtype=torch.int32, device=self._device)
        weights = torch.zeros((*size, k), device=self._device)
        for strip in self._strips():
            heaviest = strip.heaviest(k)
            ids[strip.rows], weights[strip.rows] = heaviest.ids, heaviest.weights
        return TopK(_array(ids), _array(weights))

    def register(self, image: Floats) -> tuple[Floats, Floats]:
        check_image(image, self._camera)
        values = _tensor(image, self._device)
        values = torch.cat([values, torch.ones_like(values[..., :1])], -1)
        sums = torch.cat([self._registered(chunk) for chunk in torch.split(values, CHANNELS_MOST, -1)], -1)
        return _array(sums[:, :-1]), _array(sums[:, -1])

    def register_ids(self, ids: Ints) -> IdWeights:
        check_pixel_ids(ids, self._camera)
        places = torch.as_tensor(np.ascontiguousarray(ids, np.int32), device=self._device)
        gaussian, number, weight = [np.empty(0, np.int32)], [np.empty(0, np.int32)], [np.empty(0, np.float32)]
        for known in _chunks(np.unique(ids[ids > 0]), self._device):
            sums = self._registered((places[..., None] == known).float())
            row, column = (sums > 0).nonzero(as_tuple=True)
            gaussian.append(_array(row.int()))
            number.append(_array(known[column].int()))
            weight.append(_array(sums[row, column]))
        gaussians, numbers, weights = np.concatenate(gaussian), np.concatenate(number), np.concatenate(weight)
        order = np.lexsort((numbers, gaussians))
        return IdWeights(gaussians[order], numbers[order], weights[order])

    @torch.no_grad()
    def dominant_id(self, ids: Ints) -> tuple[Ints, Floats]:
        check_gaussian_ids(ids, len(self._gaussians))
        known, place = np.unique(ids, return_inverse=True)
        numbers = torch.as_tensor(known.astype(np.int32), device=self._device)
        places = torch.as_tensor(place.reshape(-1), device=self._device)
        size = (self._camera.height, self._camera.width)
        best, weight = torch.zeros(size, dtype=torch.int64, device=self._device), torch.zeros(size, device=self._device)
        if len(known) > IDS_BLENDED_MOST:
            for strip in self._strips():
                best[strip.rows], weight[strip.rows] = strip.dominant(places, len(known))
        else:
            for chunk in _chunks(np.arange(len(known)), self._device):
                self._job.check()
                belongs = (places[:, None] == chunk).float()
                shares = _draw(self._library, self._gaussians, belongs, [self._camera], self._settings)[0][0]
                share, first = shares.max(-1)  # the first of equal ones
                better = share > weight
                best, weight = torch.where(better, chunk[first], best), torch.where(better, share, weight)
        if not len(known):
            return _array(best.int()), _array(weight)
        return _array(torch.where(weight > 0, numbers[best], 0).int()), _array(weight)

    def _registered(self, image: Tensor) -> Tensor:
        """Image [H, W, C] -> its sums over each Gaussian's pixels [N, C]."""
        self._job.check()
        zeros = torch.zeros((len(self._gaussians), image.shape[-1]), device=self._device, requires_grad=True)
        if not len(zeros):
            return zeros.detach()
        blended = _draw(self._library, self._gaussians, zeros, [self._camera], self._settings)[0][0]
        (sums,) = torch.autograd.grad(blended, zeros, image)
        return sums

    def _strips(self) -> Iterator[pairs.Strip]:
        """The picture from top to bottom, as the weights of single Gaussians in single pixels."""
        if len(self._gaussians):
            seen = _call(self._library, self._gaussians, self._gaussians.means, [self._camera], self._settings, packed=False)[2]
            yield from pairs.strips(self._library, seen, self._camera, self._job)


def _draw(
    library: Any, gaussians: Gaussians, features: Tensor, cameras: Sequence[Camera], settings: RasterSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Features [N, C] or [V, N, C] -> their blends [V, H, W, C], expected depth and alpha [V, H, W], differentiable."""
    size = (len(cameras), cameras[0].height, cameras[0].width)
    if not len(gaussians):
        return features.new_zeros((*size, features.shape[-1])), features.new_zeros(size), features.new_zeros(size)
    picture, alpha, _ = _call(library, gaussians, features, cameras, settings)
    return picture[..., :-1], picture[..., -1], alpha[..., 0]


def _call(
    library: Any,
    gaussians: Gaussians,
    features: Tensor,
    cameras: Sequence[Camera],
    settings: RasterSettings,
    *,
    packed: bool = True,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """The one call of gsplat.rasterization: features and, behind them, expected depth; alpha; what it found on the way.

    packed: gsplat keeps the visible Gaussians only; `pairs` needs them all.
    """
    device, perspective = gaussians.means.device, cameras[0].projection == "perspective"
    answer: tuple[Tensor, Tensor, dict[str, Any]] = library.rasterization(
        means=gaussians.means,
        quats=gaussians.quats,
        scales=gaussians.scales,
        opacities=gaussians.opacities,
        colors=features,
        viewmats=torch.stack([_tensor(camera.T_camera_world, device) for camera in cameras]),
        Ks=torch.stack([_tensor(camera.K, device) for camera in cameras]),
        width=cameras[0].width,
        height=cameras[0].height,
        near_plane=max(settings.near, _NEAR_LEAST) if perspective else settings.near,
        far_plane=settings.far,
        eps2d=settings.eps2d,
        packed=packed,
        tile_size=pairs.TILE,
        render_mode="RGB+ED",
        rasterize_mode="antialiased" if settings.antialiased else "classic",
        channel_chunk=CHANNELS_MOST,
        camera_model="pinhole" if perspective else "ortho",
    )
    return answer


def _chunks(values: Any, device: torch.device) -> tuple[Tensor, ...]:
    """Values [M] -> pieces of at most CHANNELS_MOST; none of none."""
    return torch.split(torch.as_tensor(values.astype(np.int64), device=device), CHANNELS_MOST) if len(values) else ()


def _tensor(array: Any, device: torch.device) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array, np.float32), device=device)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().numpy()
