# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions of many views become things: the same thing has the same number in all views (a memory bank, as Gaga keeps one).

A region shows some of the scene's Gaussians, each with a weight. A region of another view that shows the same Gaussians is of the same
thing. View by view each region joins the thing that owns most of what it shows, or becomes a new one; a second round over all views corrects
what was decided when little had been seen. In the end every Gaussian holds the weights with which things claimed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .votes import Floats, Ints, added_up, heaviest

LEAST_OVERLAP = 0.4
"""Share of a region's known Gaussians that a thing must own for the region to join it;"""
LEAST_LIKENESS = 0.75
"""below this cosine between what is said of both, it must own twice as much, and of all that the region shows."""
LEAST_KNOWN = 0.1
"""A region of which less than this share was seen before is new."""
ROUNDS = 2


@dataclass(frozen=True)
class ViewRegions:
    """What one view shows. gaussian, region, weight: [M] entries, region counting from 0 to R - 1. pixels: [R] of each region. vectors: [R, D]
    unit, what is said of each, or None. fixed: [R] the number of the thing where it is known already (> 0), or None.
    """

    gaussian: Ints
    region: Ints
    weight: Floats
    pixels: Ints
    vectors: npt.NDArray[np.float32] | None = None
    fixed: Ints | None = None


@dataclass(frozen=True)
class Things:
    """of: for each view the thing [R] of each region, from 0. count: of things. gaussian, thing, weight: entries, each pair once.
    numbers: [count] what the things are called: as fixed, or from 1 on.
    """

    of: list[Ints]
    count: int
    gaussian: Ints
    thing: Ints
    weight: Floats
    numbers: Ints


def join(views: Sequence[ViewRegions], gaussians: int) -> Things:
    """Things of all views; regions with fixed numbers are joined by those alone."""
    if views and all(view.fixed is not None for view in views):
        numbers, flat = np.unique(
            np.concatenate([view.fixed for view in views if view.fixed is not None] or [np.zeros(0, np.int64)]),
            return_inverse=True,
        )
        of = np.split(flat, np.cumsum([len(view.pixels) for view in views])[:-1])
        return _things(views, [part.astype(np.int64) for part in of], len(numbers), numbers.astype(np.int64))
    bank = _Bank(gaussians)
    of = [bank.take(view, None) for view in views]
    for _ in range(ROUNDS - 1):
        for place, view in enumerate(views):
            of[place] = bank.take(view, of[place])
    used, flat = np.unique(np.concatenate(of) if of else np.zeros(0, np.int64), return_inverse=True)
    parts = np.split(flat.astype(np.int64), np.cumsum([len(part) for part in of])[:-1]) if of else []
    return _things(views, parts, len(used), np.arange(1, len(used) + 1))


class _Bank:
    """Claims of things on Gaussians, so far."""

    def __init__(self, gaussians: int) -> None:
        self.votes = added_up()  # of things
        self.owner = np.full(gaussians, -1, np.int64)
        self.vectors: dict[int, Floats] = {}
        self.count = 0

    def take(self, view: ViewRegions, before: Ints | None) -> Ints:
        """The thing of each region of a view; `before` is what an earlier round decided, whose claims are withdrawn first."""
        if before is not None:
            self._claim(view, before, -1.0)
        regions = len(view.pixels)
        owner = self.owner[view.gaussian]
        known = owner >= 0
        total = np.bincount(view.region, view.weight, minlength=regions)
        seen = np.bincount(view.region[known], view.weight[known], minlength=regions)
        shared = np.zeros((regions, max(self.count, 1)))
        np.add.at(shared, (view.region[known], owner[known]), view.weight[known])
        best = shared.argmax(1)
        overlap = shared[np.arange(regions), best] / np.maximum(seen, 1e-12)
        joins = (overlap >= LEAST_OVERLAP) & (seen >= LEAST_KNOWN * np.maximum(total, 1e-12)) & (self.count > 0)
        if view.vectors is not None:
            for region in np.flatnonzero(joins):
                said = self.vectors.get(int(best[region]))
                if said is not None and float(said @ view.vectors[region]) < LEAST_LIKENESS * np.linalg.norm(said):
                    joins[region] = shared[region, best[region]] >= 2 * LEAST_OVERLAP * total[region]
        thing = np.where(joins, best, -1)
        for region in np.flatnonzero(~joins):
            if before is not None and not np.isin(before[region], thing):
                thing[region] = before[region]  # it stays what it was
            else:
                thing[region] = self.count
                self.count += 1
        self._claim(view, thing, 1.0)
        return thing

    def _claim(self, view: ViewRegions, thing: Ints, sign: float) -> None:
        gaussian, who, weight = added_up(self.votes, (view.gaussian, thing[view.region], sign * view.weight))
        left = weight > 1e-9  # what is withdrawn leaves rounding behind
        self.votes = gaussian[left], who[left], weight[left]
        gaussian, who, weight = self.votes
        best = heaviest(gaussian, weight)
        self.owner[:] = -1
        self.owner[gaussian[best]] = who[best]
        if view.vectors is not None:
            for region, number in enumerate(thing):
                said = self.vectors.setdefault(int(number), np.zeros(view.vectors.shape[1]))
                said += sign * np.sqrt(view.pixels[region]) * view.vectors[region]


def _things(views: Sequence[ViewRegions], of: list[Ints], count: int, numbers: Ints) -> Things:
    """Claims of all views added up."""
    votes = added_up(*((view.gaussian, mine[view.region], view.weight) for view, mine in zip(views, of, strict=True)))
    return Things(of, count, *votes, numbers)
