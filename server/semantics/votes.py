# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse votes: entries (Gaussian, number, weight), and what is asked of them.

There are tens of millions of entries where many views show a million Gaussians. Each is moved once, to the others of its Gaussian, and what is
asked is asked of one Gaussian's few entries; nothing is sorted as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


Votes = tuple[npt.NDArray[np.integer], npt.NDArray[np.integer], npt.NDArray[np.floating]]
"""Gaussian, number (0 or more, below 2^32) and weight of each entry."""


@dataclass(frozen=True)
class Grouped:
    """Entries Gaussian by Gaussian: those of g are number[start[g] : start[g + 1]] and weight[..], in the order in which they were given.

    start: [N + 1]. number, weight: [M].
    """

    start: Ints
    number: npt.NDArray[np.uint32]
    weight: Floats


def grouped(votes: Sequence[Votes], gaussians: int) -> Grouped:
    """All votes together, for Gaussians below `gaussians`."""
    start = np.zeros(gaussians + 1, np.int64)
    for gaussian, _, _ in votes:
        start[1:] += np.bincount(gaussian, minlength=gaussians)
    np.cumsum(start, out=start)
    number, weight = np.empty(start[-1], np.uint32), np.empty(start[-1], np.float64)
    place = start[:-1].copy()
    for given in votes:
        # of one kind each, so that one kernel is compiled
        whose, what = np.ascontiguousarray(given[0], np.int64), np.ascontiguousarray(given[1], np.uint32)
        _place(place, whose, what, np.ascontiguousarray(given[2], np.float64), number, weight)
    return Grouped(start, number, weight)


def summed(votes: Grouped) -> tuple[Ints, Ints, Floats]:
    """(Gaussian, number, weight) with each pair once, sorted by Gaussian, then number. Uses the votes' memory up."""
    count = np.empty(len(votes.start) - 1, np.int64)
    _sum(votes.start, votes.number, votes.weight, count)
    total = int(count.sum())
    return np.repeat(np.arange(len(count)), count), votes.number[:total].astype(np.int64), votes.weight[:total].copy()


def added_up(*votes: Votes) -> tuple[Ints, Ints, Floats]:
    """All votes together, with each pair once, sorted by Gaussian, then number."""
    highest = max((int(gaussian.max()) for gaussian, _, _ in votes if len(gaussian)), default=-1)
    return summed(grouped(votes, highest + 1))


def heaviest(group: npt.NDArray[np.integer], weight: npt.NDArray[np.floating]) -> Ints:
    """The place of each group's heaviest entry; the first among equals."""
    if not len(group):
        return np.zeros(0, np.int64)
    if (group[1:] < group[:-1]).any():
        order = np.argsort(group, kind="stable")
        return order[heaviest(group[order], weight[order])]
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    most = np.maximum.reduceat(weight, starts)
    there = np.flatnonzero(weight == np.repeat(most, np.diff(starts, append=len(group))))
    return there[np.searchsorted(there, starts)]


@numba.njit(cache=True, nogil=True)
def _place(place, gaussian, number, weight, out_number, out_weight):  # type: ignore[no-untyped-def]
    """Move entries to the next free places of their Gaussians."""
    for k in range(len(gaussian)):
        free = place[gaussian[k]]
        place[gaussian[k]] = free + 1
        out_number[free] = number[k]
        out_weight[free] = weight[k]


@numba.njit(cache=True, nogil=True)
def _sum(start, number, weight, count):  # type: ignore[no-untyped-def]
    """Add each Gaussian's entries up by number, and close the gaps; count: [N] of what each has then.

    A Gaussian's numbers are few, however many its entries are: they are kept sorted by insertion.
    """
    end = 0
    for g in range(len(count)):
        first = end
        for k in range(start[g], start[g + 1]):
            who, much = number[k], weight[k]
            at = end
            while at > first and number[at - 1] > who:
                at -= 1
            if at > first and number[at - 1] == who:
                weight[at - 1] += much
                continue
            for later in range(end, at, -1):
                number[later], weight[later] = number[later - 1], weight[later - 1]
            number[at], weight[at] = who, much
            end += 1
        count[g] = end - first
