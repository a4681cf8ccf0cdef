# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Gaussian shows how much in which pixel, one by one: what gsplat's pictures and gradients do not tell.

gsplat.rasterize_to_indices_in_range walks a picture as its rasterization does, from the same splats and tiles, and names the (Gaussian,
pixel) pairs that it blends; their weights follow from the splats. It could walk in pieces from near to far, but would forget which
pixels had ended. So the pieces here are strips of whole rows of tiles, each walked to its end: a strip is a picture of its own whose
splats lie so much higher. A pixel has at most 2350 pairs (T falls to 1e-4 by alphas of 1/255), some tens in practice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....core.cameras import Camera
from ...job import Job
from ..contract import ALPHA_MOST

TILE = 16
"""Side of gsplat's tiles in pixels."""
STRIP_PIXELS = 1 << 15
"""Pixels of a strip, or one row of tiles: at most 77 million pairs of 24 bytes, a million in practice."""
_ALL = 1 << 30


@dataclass(frozen=True)
class Heaviest:
    """ids: [H, W, K] int32, -1 where there are fewer. weights: [H, W, K] float32, 0 there."""

    ids: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Strip:
    """Some rows of the picture, and their pairs: sorted by pixel, in a pixel the nearest first.

    pixel: [M] int64, place in the strip. gaussian: [M] int64. weight: [M] float64, T * alpha.
    """

    rows: slice
    width: int
    pixel: Tensor
    gaussian: Tensor
    weight: Tensor

    @property
    def size(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.width

    def heaviest(self, k: int) -> Heaviest:
        """The k Gaussians that show most in each pixel."""
        ids = torch.full((self.size[0] * self.width, k), -1, dtype=torch.int32, device=self.weight.device)
        weights = torch.zeros(ids.shape, device=ids.device)
        order = torch.sort(self.weight, descending=True, stable=True).indices
        order = order[torch.sort(self.pixel[order], stable=True).indices]
        pixel, rank = self.pixel[order], _places_in_runs(self.pixel[order], len(ids))
        first = rank < k
        pixel, rank, order = pixel[first], rank[first], order[first]
        ids[pixel, rank] = self.gaussian[order].int()
        weights[pixel, rank] = self.weight[order].float()
        return Heaviest(ids.reshape(*self.size, k), weights.reshape(*self.size, k))

    def dominant(self, group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """Groups of the Gaussians [N], each below `groups` -> each pixel's heaviest, the first of equal ones, and its weight."""
        keys, place = torch.unique(self.pixel * groups + group[self.gaussian], return_inverse=True)
        sums = self.weight.new_zeros(len(keys)).index_add_(0, place, self.weight)
        order = torch.sort(sums, descending=True, stable=True).indices
        order = order[torch.sort(keys[order] // groups, stable=True).indices]
        best = torch.zeros(self.size[0] * self.width, dtype=torch.int64, device=keys.device)
        weight = torch.zeros(len(best), device=keys.device)
        first = order[_places_in_runs(keys[order] // groups, len(best)) == 0]
        pixel = keys[first] // groups
        best[pixel], weight[pixel] = keys[first] % groups, sums[first].float()
        return best.reshape(self.size), weight.reshape(self.size)


@torch.no_grad()
def strips(library: Any, seen: dict[str, Any], camera: Camera, job: Job) -> Iterator[Strip]:
    """The strips of a picture from top to bottom; `seen` is what gsplat.rasterization found on the way, not packed, for one camera."""
    means, conics, opacities = (seen[name].detach() for name in ("means2d", "conics", "opacities"))
    offsets, order = seen["isect_offsets"], seen["flatten_ids"]
    starts = [*offsets[0, :, 0].tolist(), len(order)]  # of each row of tiles, in `order`
    rows = max(1, STRIP_PIXELS // (camera.width * TILE))
    for first in range(0, len(starts) - 1, rows):
        job.check()
        last = min(first + rows, len(starts) - 1)
        top, bottom = first * TILE, min(last * TILE, camera.height)
        if starts[first] == starts[last]:
            none = order.new_zeros(0, dtype=torch.int64)
            yield Strip(slice(top, bottom), camera.width, none, none, none.double())
            continue
        higher = means - means.new_tensor([0, top])
        gaussian, pixel, _ = library.rasterize_to_indices_in_range(
            range_start=0,
            range_end=_ALL,
            transmittances=means.new_ones((1, bottom - top, camera.width)),
            means2d=higher,
            conics=conics,
            opacities=opacities,
            image_width=camera.width,
            image_height=bottom - top,
            tile_size=TILE,
            isect_offsets=offsets[:, first:last] - starts[first],
            flatten_ids=order[starts[first] : starts[last]],
        )
        dx = higher[0, gaussian, 0] - (pixel % camera.width + 0.5)
        dy = higher[0, gaussian, 1] - (torch.div(pixel, camera.width, rounding_mode="floor") + 0.5)
        a, b, c = conics[0, gaussian].unbind(-1)
        power = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = (opacities[0, gaussian] * (-power).exp()).clamp_max(ALPHA_MOST)
        yield Strip(slice(top, bottom), camera.width, pixel, gaussian, _weights(pixel, alpha, (bottom - top) * camera.width))


def _weights(pixel: Tensor, alpha: Tensor, pixels: int) -> Tensor:
    """Alphas of pairs sorted by pixel, nearest first -> T * alpha in float64, where T is the product of (1 - alpha) before."""
    step = torch.log1p(-alpha.double())
    before = step.cumsum(0) - step
    return alpha * (before - before[_first_of_runs(pixel, pixels)[pixel]]).exp()


def _places_in_runs(pixel: Tensor, pixels: int) -> Tensor:
    """Sorted [4, 4, 7] -> [0, 1, 0]."""
    return torch.arange(len(pixel), device=pixel.device) - _first_of_runs(pixel, pixels)[pixel]


def _first_of_runs(pixel: Tensor, pixels: int) -> Tensor:
    """Where each pixel's pairs begin, [pixels]."""
    counts = torch.bincount(pixel, minlength=pixels)
    return counts.cumsum(0) - counts
