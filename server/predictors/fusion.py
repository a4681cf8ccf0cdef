# SPDX-License-Identifier: GPL-3.0-or-later
"""Points of several views to one set: those that other views contradict or see better are dropped, neighbours are merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.views import View
from ...core.visibility import depth_at
from ..job import Job

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

AT_A_TIME = 1 << 17
"""Points handled between two looks for a cancel: some hundredths of a second."""


@dataclass(frozen=True)
class Points:
    """N surface points; float32, because all pixels of all views are held at once.

    position: [N, 3] world. normal: [N, 3] world, towards the camera, unit (after merging: not unit).
    ray: [N, 3] unit, from the camera to the point. footprint: [N] what a pixel measures there, scene units.
    blur: [N] how badly the view resolves the surface there; less is better.
    colour: [N, 3] sRGB 0..1. weight: [N] what the point counts in a mean. opacity: [N] 0..1.
    """

    position: Array
    normal: Array
    ray: Array
    footprint: Array
    blur: Array
    colour: Array
    weight: Array
    opacity: Array

    def __len__(self) -> int:
        return len(self.position)

    def select(self, which: Mask) -> Points:
        columns: dict[str, Any] = {f.name: getattr(self, f.name)[which] for f in fields(self)}
        return Points(**columns)

    @staticmethod
    def concatenate(parts: Iterable[Points]) -> Points:
        parts = list(parts)
        columns: dict[str, Any] = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Points)}
        return Points(**columns)


@dataclass(frozen=True)
class Verdict:
    """contradicted: [N] bool, more views look through the point than see it. outdone: [N] bool, another view sees it better."""

    contradicted: Mask
    outdone: Mask


@dataclass(frozen=True)
class Witness:
    """A view with depth, and how badly it resolves the surface in each pixel: blur [H, W] float32, inf where it has none."""

    view: View
    blur: Array

    @staticmethod
    def of(view: View, points: Points) -> Witness:
        """A view and its own points, in the order of its pixels that have depth."""
        assert view.depth is not None
        blur = np.full(view.depth.shape, np.inf, np.float32)
        blur[view.depth > 0] = points.blur
        return Witness(view, blur)


def compare(points: Points, others: Sequence[Witness], tolerance: float, job: Job) -> Verdict:
    """Hold a view's points against the depth of every other view.

    A view agrees where its depth is the point's within `tolerance` (a share of the depth) and two footprints of either; it
    looks through the point where its depth lies farther than twice that. A point is outdone where a view agrees within a quarter
    of the tolerance and resolves the surface better by a twentieth: one surface keeps its sharpest view, and N grows with the
    surface, not with the views.
    """
    votes = np.ones(len(points), np.int32)
    outdone = np.zeros(len(points), dtype=bool)
    for witness in others:
        view, depth = witness.view, witness.view.depth
        assert depth is not None
        for start in range(0, len(points), AT_A_TIME):
            job.check()
            some = np.arange(start, min(start + AT_A_TIME, len(points)))
            own, found = depth_at(points.position[some], view.camera, depth)
            hit = found > 0
            some, own, found = some[hit], own[hit], found[hit]
            footprint = own / view.camera.fx if view.camera.projection == "perspective" else 1 / view.camera.fx
            slack = tolerance * own + 2 * (footprint + points.footprint[some])
            votes[some] += (np.abs(found - own) <= slack).astype(np.int32) - (found > own + 2 * slack)
            pixel, _ = view.camera.project(points.position[some])
            column, row = pixel.astype(np.int64).T
            better = witness.blur[row, column] < 0.95 * points.blur[some]
            outdone[some] |= better & (np.abs(found - own) <= slack / 4)
    return Verdict(votes < 0, outdone)


def merge(points: Points, cell: float, job: Job) -> Points:
    """One point for each occupied cell of a grid whose side is about `cell` footprints: a power of two near it, by each point's own
    footprint, so that near and far surfaces have cells of their size. Position, normal and colour are weighted means; what
    belongs to one view (ray, footprint, opacity) comes from the heaviest point.
    """
    if not len(points):
        return points
    level = np.round(np.log2(points.footprint.astype(np.float64) * cell)).astype(np.int64)
    cells = np.floor(points.position / 2.0 ** level[:, None]).astype(np.int64)
    job.check()
    _, group = np.unique(_mixed(level, *cells.T), return_inverse=True)
    job.check()
    count = int(group.max()) + 1
    weight: Array = np.bincount(group, points.weight, count).astype(np.float64)

    def mean(values: Array) -> Array:
        columns = [np.bincount(group, column * points.weight, count) / weight for column in values.T]
        return np.stack(columns, 1).astype(np.float32)

    rising = np.argsort(points.weight, kind="stable")
    heaviest = np.zeros(count, np.int64)
    heaviest[group[rising]] = rising  # the last that is written stays
    job.check()
    return Points(
        position=mean(points.position),
        normal=mean(points.normal),
        ray=points.ray[heaviest],
        footprint=points.footprint[heaviest],
        blur=points.blur[heaviest],
        colour=mean(points.colour),
        weight=weight,
        opacity=points.opacity[heaviest],
    )


def _mixed(*columns: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Columns of integers to one 64-bit key a row (steps of splitmix64, Steele et al. 2014): a million rows collide by chance once
    in thirty million times, and sorting single numbers is ten times as fast as sorting rows."""
    key = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        key = (key ^ column.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key ^= key >> np.uint64(31)
    return key
