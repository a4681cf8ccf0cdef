# SPDX-License-Identifier: GPL-3.0-or-later
"""Points of several views into one set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ...core.views import View
from ...core.visibility import depth_at
from ..job import Job

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    position: Array
    normal: Array
    ray: Array
    footprint: Array
    score: Array
    colour: Array
    weight: Array
    opacity: Array
    shrink: Array
    view: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.position)

    def select(self, which) -> Points:
        return Points(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    @staticmethod
    def concatenate(parts) -> Points:
        return Points(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Points)})


def contradicted(points: Points, views: Sequence[View], tolerance: float, absorb: float, job: Job, absorb_tol=1.0):
    votes = np.ones(len(points))
    absorbed = np.zeros(len(points), bool)
    for number, view in enumerate(views):
        job.check()
        if view.depth is None:
            continue
        others = np.flatnonzero(points.view != number)
        own, found = depth_at(points.position[others], view.camera, view.depth)
        own = np.nan_to_num(own)
        foot = own / view.camera.fx if view.camera.projection == "perspective" else np.full_like(own, 1 / view.camera.fx)
        tol = tolerance * own + 2 * (foot + points.footprint[others])
        near = found > 0
        agree = near & (np.abs(found - own) <= tol)
        through = near & (found > own + 2 * tol)
        votes[others] += agree
        votes[others] -= through
        mine = points.view == number
        best = np.full(view.depth.size, np.inf)
        best[np.flatnonzero(view.depth.reshape(-1) > 0)] = points.score[mine]
        px, _ = view.camera.project(points.position[others])
        with np.errstate(invalid="ignore"):
            px = np.where(near[:, None], px, 0).astype(np.int64)
        theirs = best[px[:, 1] * view.camera.width + px[:, 0]]
        agree = near & (np.abs(found - own) <= tol * absorb_tol)
        absorbed[others] |= agree & (theirs < absorb * points.score[others])
    return (votes < 0) | absorbed


def merge(p: Points, cell: float) -> Points:
    if cell <= 0:
        return p
    level = np.round(np.log2(p.footprint * cell))
    size = 2.0**level
    ijk = np.floor(p.position / size[:, None]).astype(np.int64)
    key = np.stack([level.astype(np.int64), *ijk.T], 1)
    _, inv = np.unique(key, axis=0, return_inverse=True)
    n = inv.max() + 1
    w = np.bincount(inv, p.weight, n)

    def mean(a):
        if a.ndim == 1:
            return np.bincount(inv, a * p.weight, n) / w
        return np.stack([mean(c) for c in a.T], 1)

    best = np.zeros(n, np.int64)
    best[inv[np.argsort(p.weight)]] = np.argsort(p.weight)
    return Points(
        mean(p.position),
        mean(p.normal),
        p.ray[best],
        p.footprint[best],
        p.score[best],
        mean(p.colour),
        w,
        p.opacity[best],
        p.shrink[best],
        p.view[best],
    )
