# SPDX-License-Identifier: GPL-3.0-or-later
"""The Gaussians beside surfaces. Blender's k-d tree finds them; core.voting says what they say."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from mathutils.kdtree import KDTree

from ...core.errors import InvalidInput
from ...core.gaussians import GaussianArrays
from ...core.scene import SemanticScene
from ...core.voting import (
    NEAREST,
    NEIGHBOURS,
    Ballots,
    FloatArray,
    Numbers,
    Samples,
    Voters,
    grid_cells,
    typical_spacing,
)
from ..build import Result, read_steps
from ..jobs import Step

_PLANTED = 100_000
"""Gaussians in one step; the tree takes about a microsecond for each."""
_ASKED = 10_000
"""Points in one step; about 15 microseconds for each."""
_PROBED = 2000
LEAST_OPACITY = 1 / 255
"""Gaussians below this opacity cannot be seen, and have no vote."""


@dataclass(frozen=True)
class Nearby:
    """Gaussians, to be asked by place. spacing: how far apart they are in most places, scene units.

    tree: those that can be seen. cells: where anything can be near at all, as `grid_cells` of the size of the farthest reach.
    """

    voters: Voters
    spacing: float
    tree: KDTree
    planted: int
    cells: Numbers

    @classmethod
    def of(cls, gaussians: GaussianArrays) -> Generator[Step, None, Nearby]:
        """Gaussians of which none can be seen raise InvalidInput."""
        seen = np.flatnonzero(gaussians.opacities >= LEAST_OPACITY)
        if not len(seen):
            raise InvalidInput("All Gaussians are transparent, so nothing is near to anything.", "Choose another result.")
        tree = KDTree(len(seen))
        for start in range(0, len(seen), _PLANTED):
            yield Step("Gaussians", start / len(seen), f"{len(seen):,}")
            rows = seen[start : start + _PLANTED]
            for place, number in zip(gaussians.means[rows].tolist(), rows.tolist(), strict=True):
                tree.insert(place, number)
        tree.balance()
        yield Step("Gaussians", 1.0, "spacing")
        probes = seen[:: -(-len(seen) // _PROBED)]
        spacing = typical_spacing(gaussians, probes, _nearest(tree, gaussians.means[probes], len(seen)))
        voters = Voters.of(gaussians, spacing)
        cells = np.unique(grid_cells(gaussians.means[seen], float(voters.reach.max())))
        return cls(voters, spacing, tree, len(seen), np.unique(cells[:, None] + NEIGHBOURS))

    def ask(self, samples: Samples, step: Step, part: float) -> Generator[Step, None, Ballots]:
        """The votes at points; those with nothing near are left out. The work is this part of all, and begins at the step."""
        yield step
        # What is far from everything would take the tree ten times as long as what is near.
        rows = np.flatnonzero(self._may_be_near(samples.points))
        # Neighbours one after the other: the tree answers three times as fast.
        rows = rows[np.lexsort(np.floor(samples.points[rows] / (4 * self.spacing)).T)]
        ballots = []
        for start in range(0, len(rows), _ASKED):
            yield replace(step, fraction=step.fraction + part * start / len(rows))
            asked = samples.select(rows[start : start + _ASKED])
            ballots.append(self.voters.weigh(asked, _nearest(self.tree, asked.points, self.planted)))
        return Ballots.joined(ballots)

    def _may_be_near(self, points: FloatArray) -> npt.NDArray[np.bool_]:
        """[S] whether there is a Gaussian in a point's cell or in one of those around."""
        cells = grid_cells(points, float(self.voters.reach.max()))
        return self.cells[np.searchsorted(self.cells, cells).clip(max=len(self.cells) - 1)] == cells


def read_labelled(result: Result) -> Generator[Step, None, SemanticScene]:
    """A result's scene; one without Gaussians or without labels raises InvalidInput."""
    name = result.name
    scene = yield from read_steps(result.collection)
    if not len(scene.gaussians):
        raise InvalidInput(f"The result '{name}' has no Gaussians.", "Predict again, or choose another result.")
    if scene.gaussians.label is None:
        raise InvalidInput(f"The Gaussians of '{name}' have no classes.", "Label them first.")
    return scene


def _nearest(tree: KDTree, points: FloatArray, planted: int) -> Numbers:
    """[S, k] the numbers of the k nearest to each point, the nearest first."""
    k = min(NEAREST, planted)
    found = (number for point in points.tolist() for _, number, _ in tree.find_n(point, k))
    return np.fromiter(found, np.int32, len(points) * k).reshape(-1, k)
