# SPDX-License-Identifier: GPL-3.0-or-later
"""The Gaussians beside surfaces. Blender's k-d trees find them (forest.py); core.voting says what they say. All of it runs in a thread."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidInput
from ...core.gaussians import GaussianArrays
from ...core.scene import SemanticScene
from ...core.voting import (
    NEIGHBOURS,
    Ballots,
    FloatArray,
    Numbers,
    Samples,
    Voters,
    grid_cells,
    typical_spacing,
)
from ..build import Result, found_again, read_steps
from ..jobs import Step, threaded
from .forest import Forest

_ASKED = 10_000
"""Points that are asked before the next step."""
_PROBED = 2000
LEAST_OPACITY = 1 / 255
"""Gaussians below this opacity cannot be seen, and have no vote."""


@dataclass(frozen=True)
class Nearby:
    """Gaussians, to be asked by place. spacing: how far apart they are in most places, scene units.

    forest: those that can be seen. cells: where anything can be near at all, as `grid_cells` of the size of the farthest reach.
    """

    voters: Voters
    spacing: float
    forest: Forest
    cells: Numbers

    @classmethod
    def of(cls, gaussians: GaussianArrays) -> Generator[Step, None, Nearby]:
        """Gaussians of which none can be seen raise InvalidInput."""
        seen = np.flatnonzero(gaussians.opacities >= LEAST_OPACITY)
        if not len(seen):
            raise InvalidInput("All Gaussians are transparent, so nothing is near to anything.", "Choose another result.")
        return (yield from threaded(cls._planted(gaussians, seen), Step("Gaussians", 0.0, f"{len(seen):,}")))

    @classmethod
    def _planted(cls, gaussians: GaussianArrays, seen: Numbers) -> Generator[Step, None, Nearby]:
        forest = Forest(gaussians.means, seen)
        for fraction in forest.grow():
            yield Step("Gaussians", fraction, f"{len(seen):,}")
        yield Step("Gaussians", 1.0, "spacing")
        probes = seen[:: -(-len(seen) // _PROBED)]
        spacing = typical_spacing(gaussians, probes, forest.nearest(gaussians.means[probes], 0.0))
        voters = Voters.of(gaussians, spacing)
        cells = np.unique(grid_cells(gaussians.means[seen], float(voters.reach.max())))
        return cls(voters, spacing, forest, np.unique(cells[:, None] + NEIGHBOURS))

    def ask(self, samples: Samples, step: Step, part: float) -> Generator[Step, None, Ballots]:
        """The votes at points; those with nothing near are left out. The work is this part of all, and begins at the step."""
        yield step
        return (yield from threaded(self._asked(samples, step, part), step))

    def _asked(self, samples: Samples, step: Step, part: float) -> Generator[Step, None, Ballots]:
        # What is far from everything would take a tree ten times as long as what is near.
        rows = np.flatnonzero(self._may_be_near(samples.points))
        # Neighbours one after the other: a tree answers three times as fast.
        rows = rows[np.lexsort(np.floor(samples.points[rows] / (4 * self.spacing)).T)]
        ballots, reach = [], float(self.voters.reach.max())
        for start in range(0, len(rows), _ASKED):
            yield replace(step, fraction=step.fraction + part * start / len(rows))
            asked = samples.select(rows[start : start + _ASKED])
            ballots.append(self.voters.weigh(asked, self.forest.nearest(asked.points, reach)))
        return Ballots.joined(ballots)

    def _may_be_near(self, points: FloatArray) -> npt.NDArray[np.bool_]:
        """[S] whether there is a Gaussian in a point's cell or in one of those around."""
        cells = grid_cells(points, float(self.voters.reach.max()))
        return self.cells[np.searchsorted(self.cells, cells).clip(max=len(self.cells) - 1)] == cells


def read_labelled(result: Result) -> Generator[Step, None, SemanticScene]:
    """A result's scene; one without Gaussians or without labels raises InvalidInput."""
    name = result.name
    scene = yield from read_steps(found_again(result).collection)
    if not len(scene.gaussians):
        raise InvalidInput(f"The result '{name}' has no Gaussians.", "Predict again, or choose another result.")
    if scene.gaussians.label is None:
        raise InvalidInput(f"The Gaussians of '{name}' have no classes.", "Label them first.")
    return scene
