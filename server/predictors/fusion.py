# SPDX-License-Identifier: GPL-3.0-or-later
"""Points of several views become one set, in three steps.

A point that another view looks through is dropped: that view must see something farther all around the pixel (3x3) where the point should
be, so that a stem which the pixels' centres miss is no proof, and such views must outnumber those that agree. A point that another view shows
better (finer, less slanting, farther from an edge) is left to that view: two layers of the same surface would only be thicker and
more blurred. What is left and shares a voxel is averaged; the voxels measure about a pixel's footprint, so they double with distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ...core.views import View
from ...core.visibility import depth_at
from ..job import Job

Floats = npt.NDArray[np.float32]

AGREE_DEPTH, AGREE_FOOTPRINTS = 0.002, 0.5
"""Two views show the same surface if their depths differ by less than this share of the depth plus so many of both footprints."""
THROUGH = 8.0
"""A view looks through a point if it sees so many times that tolerance farther."""
BETTER = 0.95
"""A point is left to a view whose error is less than this share of its own; between equals, voxels decide."""
RIM_VOTE = 1.0


@dataclass(frozen=True)
class Points:
    """N surface points, each seen in one pixel.

    position: [N, 3] world, scene units. normal: [N, 3] unit, towards the camera. ray: [N, 3] unit, from the camera.
    footprint: [N] what a pixel measures there, scene units. colour: [N, 3] sRGB, 0..1.
    error: [N] > 0, how badly the pixel shows it, in scene units: the footprint, more if it slants or lies at an edge.
    rim: [N] float, 1 where the surface ends beside the pixel, else 0.
    """

    position: Floats
    normal: Floats
    ray: Floats
    footprint: Floats
    colour: Floats
    error: Floats
    rim: Floats

    def __len__(self) -> int:
        return len(self.position)

    def select(self, which: npt.NDArray[np.generic]) -> Points:
        return Points(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    @staticmethod
    def concatenate(parts: Sequence[Points]) -> Points:
        return Points(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Points)})


@dataclass(frozen=True)
class Witness:
    """A view with depth, and how badly each of its pixels shows its surface: error [H, W], inf where there is none."""

    view: View
    error: Floats

    def nearest_around(self) -> Floats:
        """[H, W] the least depth of the 3x3 pixels; 0 where one of them has none."""
        assert self.view.depth is not None
        padded = np.pad(self.view.depth, 1, mode="edge")
        rows = np.minimum(np.minimum(padded[:-2], padded[1:-1]), padded[2:])
        return np.minimum(np.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


@dataclass(frozen=True)
class Verdict:
    """contradicted, shown_better: [N] bool, the points that other views look through, and those that others show better."""

    contradicted: npt.NDArray[np.bool_]
    shown_better: npt.NDArray[np.bool_]


def judge(points: Points, others: Sequence[Witness], job: Job) -> Verdict:
    """What the other views say about one view's points."""
    votes = np.where(points.rim > 0, RIM_VOTE, 1.0)
    better = np.zeros(len(points), dtype=bool)
    for witness in others:
        job.check()
        camera, depth = witness.view.camera, witness.view.depth
        assert depth is not None
        own, found = depth_at(points.position, camera, depth)
        footprint = (own if camera.projection == "perspective" else 1) / np.sqrt(camera.fx * camera.fy)
        tolerance = AGREE_DEPTH * own + AGREE_FOOTPRINTS * (footprint + points.footprint)
        with np.errstate(invalid="ignore"):
            agree = (found > 0) & (np.abs(found - own) <= tolerance)
            through = depth_at(points.position, camera, witness.nearest_around())[1] > own + THROUGH * tolerance
        votes += agree
        votes -= through
        _, error = depth_at(points.position, camera, witness.error)
        better |= agree & (error < BETTER * points.error)
    return Verdict(votes < 0, better)


def merge(points: Points, cell: float) -> Points:
    """Average the points in each voxel of about `cell` footprints; 0 merges nothing. Good views weigh more (1 / error^2)."""
    if cell <= 0 or not len(points):
        return points
    level = np.rint(np.log2(points.footprint * cell))
    voxel = np.floor(points.position / np.exp2(level)[:, None])
    order = np.lexsort((points.error, *voxel.T, level))  # the best of a voxel first
    keys = np.column_stack([level, voxel])[order]
    first = np.concatenate([[True], (keys[1:] != keys[:-1]).any(1)])
    group = np.cumsum(first) - 1
    weight = 1 / points.error[order].astype(np.float64) ** 2
    whole = np.bincount(group, weight)

    def mean(values: Floats) -> Floats:
        sums = [np.bincount(group, column[order] * weight) for column in values.T]
        return (np.stack(sums, 1) / whole[:, None]).astype(np.float32)

    best = points.select(order[first])
    normal = mean(points.normal)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    return Points(
        mean(points.position), normal, best.ray, best.footprint, mean(points.colour), best.error, best.rim
    )
