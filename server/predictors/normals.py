# SPDX-License-Identifier: GPL-3.0-or-later
"""The surface that a depth map shows: points, normals, and where it ends.

A plane is affine in the picture: its inverse depth for a perspective camera (n.X = d gives 1/z = n.ray / d), its depth for an
orthographic one. So derivatives are taken of that quantity q, and a normal is exact on planes of any slope:
n ~ (dq/du, dq/dv, q - u dq/du - v dq/dv) with the ray (u, v, 1), or (dz/dx, dz/dy, -1). Each derivative comes from the side (left,
right or both) on which q bends least, as in the ENO schemes of Harten et al. 1987, so that none reaches across an edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...core.cameras import Camera

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """What a depth map says of each pixel, in camera axes; meaningless where depth is 0.

    points: [H, W, 3] scene units.
    normals: [H, W, 3] unit, towards the camera.
    rays: [H, W, 3] unit, from the camera outwards.
    footprint: [H, W] what a pixel measures at that depth, scene units.
    edge: [H, W] bool, whether the surface breaks off beside the pixel.
    """

    points: Array
    normals: Array
    rays: Array
    footprint: Array
    edge: npt.NDArray[np.bool_]
    rim: npt.NDArray[np.bool_]

    @property
    def facing(self) -> Array:
        """[H, W] cosine of the angle between the normal and the direction to the camera, 0..1."""
        cosine: Array = -(self.normals * self.rays).sum(-1)
        return np.clip(cosine, 0, 1)


EDGE_FOOTPRINTS = 3.0
EDGE_DEPTH = 0.01
"""A neighbour is another surface if it is off the pixel's plane by more than so many footprints plus this share of the depth."""


def surface(camera: Camera, depth: npt.NDArray[np.floating]) -> Surface:
    """The surface of a depth map [H, W], 0 where there is none."""
    z = np.where(depth > 0, depth, np.nan).astype(np.float64)
    column, row = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    u, v = (column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy
    ones = np.ones_like(z)
    if camera.projection == "perspective":
        points = np.stack([u * z, v * z, z], -1)
        rays = np.stack([u, v, ones], -1)
        q = 1 / z
        qu, qv = _derivative(q, 1) * camera.fx, _derivative(q, 0) * camera.fy
        normals = np.stack([qu, qv, q - u * qu - v * qv], -1)
        footprint = z / np.sqrt(camera.fx * camera.fy)
    else:
        points = np.stack([u, v, z], -1)
        rays = np.stack([0 * ones, 0 * ones, ones], -1)
        normals = np.stack([_derivative(z, 1) * camera.fx, _derivative(z, 0) * camera.fy, -ones], -1)
        footprint = ones / np.sqrt(camera.fx * camera.fy)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.where(np.isfinite(normals).all(-1, keepdims=True), normals, -rays)
    normals = np.where((normals * rays).sum(-1, keepdims=True) > 0, -normals, normals)
    edge, rim = _edges(points, normals, EDGE_FOOTPRINTS * footprint + EDGE_DEPTH * z)
    return Surface(points, normals, rays, footprint, edge, rim)


def _derivative(q: Array, axis: int) -> Array:
    """dq/dpixel along an axis from the stencil that bends least; 0 where there is no neighbour."""
    before, after = q - _neighbour(q, axis, -1), _neighbour(q, axis, 1) - q
    bend = after - before
    slopes = np.stack([0.5 * (before + after), before, after])
    bends = np.abs(np.stack([bend, _neighbour(bend, axis, -1), _neighbour(bend, axis, 1)]))
    short = np.stack([before, before, after])  # at worst two pixels in a row: the flatter side
    bends = np.where(np.isfinite(bends), bends, 1e6 + np.abs(short))
    bends = np.where(np.isfinite(slopes) & np.isfinite(bends), bends, np.inf)
    best = bends.argmin(0)[None]
    chosen: Array = np.take_along_axis(slopes, best, 0)[0]
    return np.where(np.isfinite(chosen), chosen, 0.0)


def _neighbour(values: Array, axis: int, step: int) -> Array:
    """values[i + step] along an axis, nan beyond the border."""
    out = np.full_like(values, np.nan)
    to, at = [slice(None)] * values.ndim, [slice(None)] * values.ndim
    to[axis], at[axis] = (slice(-step, None), slice(None, step)) if step < 0 else (slice(None, -step), slice(step, None))
    out[tuple(to)] = values[tuple(at)]
    return out


def _edges(points: Array, normals: Array, tolerance: Array) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Pixels of which a neighbour (of four) is off their plane or has no depth; and of those, where it lies behind the plane."""
    edge, rim = np.zeros(points.shape[:2], dtype=bool), np.zeros(points.shape[:2], dtype=bool)
    for axis in (0, 1):
        for step in (-1, 1):
            height = ((_neighbour(points, axis, step) - points) * normals).sum(-1)
            with np.errstate(invalid="ignore"):
                behind, before = ~(height >= -tolerance), height > tolerance
            border = [slice(None), slice(None)]
            border[axis] = slice(0, 1) if step < 0 else slice(-1, None)
            behind[tuple(border)] = before[tuple(border)] = False  # beyond the picture nothing is known
            edge |= behind | before
            rim |= behind
    return edge, rim
