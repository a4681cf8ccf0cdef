# SPDX-License-Identifier: GPL-3.0-or-later
"""Many points, to be asked for the nearest to a place, in trees that are small enough for a thread beside Blender's window.

Blender's k-d tree holds Python's lock while it is balanced: 240 ms for a million points, in which the window stands still, whatever
thread does it. So the points are cut into slabs along their longest side, each with a tree of its own. A place asks the slab that it lies
in, and those that are no farther than the reach that matters to it: of the points within this reach the nearest are found, all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from mathutils.kdtree import KDTree

from ...core.voting import NEAREST, FloatArray, Numbers

TREE = 100_000
"""Points of one tree; balancing it takes 20 ms."""
_PLANTED = 20_000


class Forest:
    """points: [N, 3]; rows: [M] the places of those in it."""

    def __init__(self, points: FloatArray, rows: Numbers) -> None:
        self._points, spread = points, points[rows]
        self._axis = int(np.ptp(spread, axis=0).argmax())
        order = np.argsort(spread[:, self._axis], kind="stable")
        cut = np.array_split(rows[order], -(-len(rows) // TREE))
        self._low = np.array([points[slab[0], self._axis] for slab in cut])
        self._high = np.array([points[slab[-1], self._axis] for slab in cut])
        # Back in their own order: points that come sorted take the tree a hundred times as long to balance.
        self._slabs = [np.sort(slab) for slab in cut]
        self._trees: list[KDTree] = []
        self._nearest = min(NEAREST, *map(len, self._slabs))

    def grow(self) -> Iterator[float]:
        """Plant the trees; yields how much is done, 0..1."""
        for number, slab in enumerate(self._slabs):
            tree = KDTree(len(slab))
            for start in range(0, len(slab), _PLANTED):
                yield (number + start / len(slab)) / len(self._slabs)
                some = slab[start : start + _PLANTED]
                for place, row in zip(self._points[some].tolist(), some.tolist(), strict=True):
                    tree.insert(place, row)
            tree.balance()
            self._trees.append(tree)

    def nearest(self, places: FloatArray, reach: float) -> Numbers:
        """[S, k] int32 the rows of the k = NEAREST points nearest to places [S, 3], the nearest first; fewer where there are not so many.

        Points beyond `reach` may be others than the nearest, but never nearer than it.
        """
        k, along = self._nearest, places[:, self._axis]
        found = np.full((len(places), k), -1, np.int32)
        distance = np.full((len(places), k), np.inf)
        home = np.searchsorted(self._low, along, side="right").clip(min=1) - 1
        for number, tree in enumerate(self._trees):
            beside = (along >= self._low[number] - reach) & (along <= self._high[number] + reach)
            asked = np.flatnonzero((home == number) | beside)
            if len(asked):
                rows, far = _ask(tree, places[asked], k)
                self._merge(found, distance, asked, rows, far)
        return found

    def _merge(
        self, found: Numbers, distance: npt.NDArray[np.float64], asked: Numbers, rows: Numbers, far: npt.NDArray[np.float64]
    ) -> None:
        """Keep the nearest of what was found before and now."""
        k = found.shape[1]
        rows, far = np.concatenate([found[asked], rows], axis=1), np.concatenate([distance[asked], far], axis=1)
        order = np.argsort(far, axis=1, kind="stable")[:, :k]
        found[asked], distance[asked] = np.take_along_axis(rows, order, 1), np.take_along_axis(far, order, 1)


def _ask(tree: KDTree, places: FloatArray, k: int) -> tuple[Numbers, npt.NDArray[np.float64]]:
    """Rows and distances, [S, k] each, of the k nearest in one tree."""
    answers = [(row, far) for place in places.tolist() for _, row, far in tree.find_n(place, k)]
    rows, far = zip(*answers, strict=True)
    return np.array(rows, np.int32).reshape(-1, k), np.array(far, np.float64).reshape(-1, k)
