# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions of a picture without any training: neighbours that look alike and lie on one surface belong together.

Felzenszwalb and Huttenlocher's graph method (2004) on a picture's pixels. An edge between neighbours weighs what their colours differ by and,
where there is depth, by how much the surface bends there: inward more than outward, since things meet in concave creases while their own
edges are convex (Stein et al. 2014), and most where it breaks off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ...core.views import View
from ..predictors.normals import surface

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class SegmentOptions:
    """scale: the larger, the larger regions are. least: share of the picture that a region has at least.
    colour, crease, step: how much these count.
    """

    scale: float = 0.5
    least: float = 0.0015
    colour: float = 1.5
    crease: float = 2.5
    step: float = 3.0


INWARD, OUTWARD = 1.0, 0.25
"""What a bend counts where the surface is concave and where it is convex."""
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def segments(view: View, options: SegmentOptions | None = None) -> Labels:
    """Region numbers [H, W] from 1 on; 0 where there is depth elsewhere but none here."""
    options = options or SegmentOptions()
    height, width = view.rgb.shape[:2]
    lab = smoothed(oklab(view.rgb))
    seen = surface(view.camera, view.depth) if view.depth is not None and (view.depth > 0).any() else None
    known = np.ones((height, width), bool) if view.depth is None or seen is None else view.depth > 0
    number = np.arange(height * width, dtype=np.int32).reshape(height, width)
    firsts, seconds, weights = [], [], []
    for down, right in _NEIGHBOURS:
        a, b = pair(number, down, right)
        weight = options.colour * np.linalg.norm(np.subtract(*pair(lab, down, right)), axis=-1) / 0.1
        if seen is not None:
            first_normal, second_normal = pair(seen.normals, down, right)
            first, second = pair(seen.points, down, right)
            footprint = np.minimum(*pair(seen.footprint, down, right))
            with np.errstate(invalid="ignore"):
                apart = second - first
                bend = 1 - np.clip((first_normal * second_normal).sum(-1), -1, 1)
                inward = ((first_normal - second_normal) * apart).sum(-1) < 0
                off = np.minimum(np.abs((first_normal * apart).sum(-1)), np.abs((second_normal * apart).sum(-1))) / footprint
            weight += options.crease * np.nan_to_num(bend) * np.where(inward, INWARD, OUTWARD)
            weight += options.step * np.clip(np.nan_to_num(off, nan=9.0) / 4 - 0.5, 0, 1)
        both = np.logical_and(*pair(known, down, right))
        firsts.append(a[both])
        seconds.append(b[both])
        weights.append(weight[both].astype(np.float32))
    first, second, weight = np.concatenate(firsts), np.concatenate(seconds), np.concatenate(weights)
    order = np.argsort(weight, kind="stable")
    least = max(1, round(options.least * height * width))
    roots = join_edges(first[order], second[order], weight[order], height * width, np.float32(options.scale), least)
    found = np.unique(np.where(known.reshape(-1), roots, -1), return_inverse=True)[1].reshape(height, width)
    return (found + (1 if known.all() else 0)).astype(np.int32)


def pair(values: npt.NDArray[Any], down: int, right: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Values of pixels and of their neighbours (down, right), right being -1, 0 or 1."""
    height, width = values.shape[:2]
    left, stop = max(0, -right), width - max(0, right)
    return values[: height - down, left:stop], values[down:, left + right : stop + right]


def oklab(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """sRGB [.., 3] -> OKLab, in which equal distances look about equally different (Ottosson 2020)."""
    x = rgb.astype(np.float32) / 255
    linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    to_lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ],
        np.float32,
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ],
        np.float32,
    )
    out: npt.NDArray[np.float32] = np.cbrt(linear @ to_lms.T) @ to_lab.T
    return out


def smoothed(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A three by three binomial blur."""
    for axis in (0, 1):
        wide = np.pad(values, [(1, 1) if k == axis else (0, 0) for k in range(values.ndim)], mode="edge")
        part = [np.take(wide, range(k, k + values.shape[axis]), axis) for k in range(3)]
        values = 0.25 * part[0] + 0.5 * part[1] + 0.25 * part[2]
    return values


@numba.njit(cache=True, nogil=True)
def _root(parent: npt.NDArray[np.int32], place: int) -> int:
    while parent[place] != place:
        parent[place] = parent[parent[place]]
        place = parent[place]
    return place


@numba.njit(cache=True, nogil=True)
def join_edges(first, second, weight, count, scale, least):  # type: ignore[no-untyped-def]
    """The region of each pixel, by one of its pixels; edges come lightest first."""
    parent = np.arange(count).astype(np.int32)
    size = np.ones(count, np.int32)
    limit = np.full(count, scale, np.float32)  # heaviest edge inside + scale / size
    for k in range(len(first)):
        a, b = _root(parent, first[k]), _root(parent, second[k])
        if a != b and weight[k] <= limit[a] and weight[k] <= limit[b]:
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            limit[a] = weight[k] + scale / size[a] ** 0.5
    for k in range(len(first)):  # what is left too small goes to its nearest neighbour
        a, b = _root(parent, first[k]), _root(parent, second[k])
        if a != b and (size[a] < least or size[b] < least):
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
    for k in range(count):
        parent[k] = _root(parent, k)
    return parent
