# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions of many views become things: the same thing has the same number in all views (a memory bank, as Gaga keeps one).

A region shows some of the scene's Gaussians, each with a weight. A region of another view that shows the same Gaussians is of the same
thing. View by view each region joins the thing that owns most of what it shows, or becomes a new one; a second round over all views corrects
what was decided when little had been seen. Then things that the views show as one become one (MaskClustering's view consensus): a surface
that two views cut up differently is otherwise left in pieces. In the end every Gaussian holds the weights with which things claimed it.

Only the thing of each region is ever decided, and there are some thousand regions. Whose a Gaussian is follows from the few regions that show
it, and is looked up where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from .votes import Floats, Grouped, Ints, Votes, added_up, grouped, summed

LEAST_OVERLAP = 0.4
"""Share of a region's known Gaussians that a thing must own for the region to join it;"""
LEAST_LIKENESS = 0.75
"""below this cosine between what is said of both, it must own twice as much, and of all that the region shows. Things below it stay apart."""
LEAST_KNOWN = 0.1
"""A region of which less than this share was seen before is new."""
ROUNDS = 2
LEAST_AGREEMENT = 0.3
"""Two things are one if a place of the first and a place of the second, where a view shows both, lie in one region that often."""

PLACES_MOST = 2000
"""Of a region that shows more Gaussians so many are looked at, evenly spread: shares are then known to about one in a hundred."""

_NOBODY = -1


@dataclass(frozen=True)
class ViewRegions:
    """What one view shows. gaussian, region, weight: [M] entries, region counting from 0 to R - 1. pixels: [R] of each region. vectors: [R, D]
    unit, what is said of each, or None. fixed: [R] the number of the thing where it is known already (> 0), or None.
    """

    gaussian: npt.NDArray[np.integer]
    region: npt.NDArray[np.integer]
    weight: npt.NDArray[np.floating]
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


def join(views: Sequence[ViewRegions], gaussians: int, check: Callable[[], None] = lambda: None) -> Things:
    """Things of all views; regions with fixed numbers are joined by those alone. check: called after each view, and may raise to stop."""
    if views and all(view.fixed is not None for view in views):
        numbers, flat = np.unique(np.concatenate([view.fixed for view in views if view.fixed is not None]), return_inverse=True)
        of = np.split(flat.astype(np.int64), np.cumsum([len(view.pixels) for view in views])[:-1])
        votes: list[Votes] = [(view.gaussian, mine[view.region], view.weight) for view, mine in zip(views, of, strict=True)]
        return Things(of, len(numbers), *added_up(*votes), numbers.astype(np.int64))
    bank = _Bank(views, gaussians)
    for _ in range(ROUNDS):
        for place in range(len(views)):
            check()
            bank.take(place)
    bank.merge(check)
    return bank.things()


class _Bank:
    """The thing of each region, so far. Regions are counted on from view to view."""

    def __init__(self, views: Sequence[ViewRegions], gaussians: int) -> None:
        self.views = views
        self.first = np.cumsum([0, *(len(view.pixels) for view in views)])
        self.thing = np.full(self.first[-1], _NOBODY, np.int64)
        self.count = 0
        self.shown = grouped(
            [(v.gaussian, (v.region + first).astype(np.uint32), v.weight) for v, first in zip(views, self.first, strict=False)],
            gaussians,
        )
        self.samples = [_sample(view) for view in views]
        dim = max((view.vectors.shape[1] for view in views if view.vectors is not None), default=0)
        self.said = np.zeros((0, dim))  # of each thing: its regions' vectors added up, large ones counting more

    def take(self, place: int) -> None:
        """Decide a view anew: the thing of each of its regions, by what all other views' regions are now."""
        view, mine = self.views[place], self._mine(place)
        before = self.thing[mine].copy()
        self._say(view, before, -1.0)
        shared, total = self._owned(place), self._total(place)
        seen, best = shared.sum(1), shared.argmax(1)
        most = shared[np.arange(len(best)), best]
        joins = (most >= LEAST_OVERLAP * seen) & (seen >= LEAST_KNOWN * total) & (seen > 0)
        if view.vectors is not None and self.count:
            said = self.said[best]
            unlike = (said * view.vectors).sum(1) < LEAST_LIKENESS * np.linalg.norm(said, axis=1)
            joins &= ~unlike | (most >= 2 * LEAST_OVERLAP * total)
        thing = np.where(joins, best, _NOBODY)
        for region in np.flatnonzero(~joins):
            if before[region] != _NOBODY and not np.isin(before[region], thing):
                thing[region] = before[region]  # it stays what it was
            else:
                thing[region] = self.count
                self.count += 1
        if self.count > len(self.said):  # room for as many again, as there will be more
            self.said = np.concatenate([self.said, np.zeros((2 * self.count - len(self.said), self.said.shape[1]))])
        self.thing[mine] = thing
        self._say(view, thing, 1.0)

    def merge(self, check: Callable[[], None]) -> None:
        """Make things one that the views show as one; things without regions are gone then."""
        used, self.thing = np.unique(self.thing, return_inverse=True)
        self.said, self.count = self.said[used], len(used)
        together, both = np.zeros((2, self.count, self.count))
        for place, view in enumerate(self.views):
            check()
            thing, whole = self.thing[self._mine(place)], np.bincount(view.region, view.weight, minlength=len(view.pixels))
            shows = self._owned(place) * (whole / np.maximum(self._total(place), 1e-12))[:, None]
            shows[np.arange(len(thing)), thing] += whole
            for row in shows:
                here = np.flatnonzero(row)
                together[np.ix_(here, here)] += np.outer(row[here], row[here])
            both += np.outer(shows.sum(0), shows.sum(0))
        of = merged(together, both, self.said)
        self.thing, self.count = of[self.thing], int(of.max(initial=-1)) + 1

    def things(self) -> Things:
        """The regions' things, and what they claim. Uses the bank up."""
        number = self.thing.astype(np.uint32)[self.shown.number]
        claims = summed(Grouped(self.shown.start, number, self.shown.weight))
        of = np.split(self.thing, self.first[1:-1]) if self.views else []
        return Things(of, self.count, *claims, np.arange(1, self.count + 1))

    def _mine(self, place: int) -> slice:
        return slice(self.first[place], self.first[place + 1])

    def _owned(self, place: int) -> Floats:
        """[R, things] how much of what each region of a view shows (of the sample) is each thing's, by what the other views' regions are."""
        others = self.thing.copy()
        others[self._mine(place)] = _NOBODY
        out = np.zeros((len(self.views[place].pixels), max(self.count, 1)))
        _add_owned(*self.samples[place], self.shown.start, self.shown.number, self.shown.weight, others, out)
        return out

    def _total(self, place: int) -> Floats:
        """[R] what each region of a view shows, of the sample."""
        _, region, weight = self.samples[place]
        return np.bincount(region, weight, minlength=len(self.views[place].pixels)).astype(np.float64)

    def _say(self, view: ViewRegions, thing: Ints, sign: float) -> None:
        if view.vectors is not None and (thing != _NOBODY).all():
            np.add.at(self.said, thing, sign * np.sqrt(view.pixels)[:, None] * view.vectors)


def _sample(view: ViewRegions) -> tuple[Ints, Ints, Floats]:
    """A view's entries, those of large regions thinned out evenly; of one kind each, so that one kernel is compiled."""
    step = -(-np.bincount(view.region, minlength=len(view.pixels)) // PLACES_MOST)
    region = np.ascontiguousarray(view.region, np.int64)
    chosen = _every(region, step)
    return view.gaussian[chosen].astype(np.int64), region[chosen], view.weight[chosen].astype(np.float64)


def merged(together: Floats, both: Floats, said: Floats) -> Ints:
    """[T] what each thing becomes, from 0 on in their order: of all pairs that agree enough those first become one that agree most.

    together, both: [T, T] pairs of places of two things in one region, and in one view. said: [T, D] of each thing, of any length. All are
    used up.
    """
    of = np.arange(len(said))
    while len(said):
        things = np.arange(len(said))
        length = np.linalg.norm(said, axis=1)
        unlike = said @ said.T < LEAST_LIKENESS * np.outer(length, length)
        agree = np.where(unlike, 0, together / np.maximum(both, 1e-12))
        np.fill_diagonal(agree, 0)
        partner = agree.argmax(1)
        # Pairs that are each other's best become one at the same time: of two rates the mean, which the pair has then, is not above the better.
        mutual = (partner[partner] == things) & (agree[things, partner] >= LEAST_AGREEMENT)
        first = np.flatnonzero(mutual & (partner > things))
        if not len(first):
            break
        second = partner[first]
        for table in (together, both):
            table[first] += table[second]
            table[:, first] += table[:, second]
        said[first] += said[second]
        left = np.delete(things, second)
        things[second] = first
        of = np.searchsorted(left, things)[of]
        together, both, said = together[np.ix_(left, left)], both[np.ix_(left, left)], said[left]
    return of


@numba.njit(cache=True, nogil=True)
def _every(group, step):  # type: ignore[no-untyped-def]
    """[M] bool: of the entries of group g each step[g]th, from its first on."""
    out = np.zeros(len(group), np.bool_)
    wait = np.zeros(len(step), np.int64)
    for k in range(len(group)):
        if wait[group[k]] == 0:
            out[k] = True
            wait[group[k]] = step[group[k]]
        wait[group[k]] -= 1
    return out


@numba.njit(cache=True, nogil=True)
def _add_owned(gaussian, region, weight, start, number, shown, thing, out):  # type: ignore[no-untyped-def]
    """Add each entry's weight to the thing that owns its Gaussian: the one whose regions show it most, the first of equal ones.

    start, number, shown: the regions that show each Gaussian, and with which weight (see Grouped). thing: of each region, -1 for those that have
    no say.
    """
    room = 16
    who, much = np.empty(room, np.int64), np.empty(room)
    for k in range(len(gaussian)):
        g = gaussian[k]
        if start[g + 1] - start[g] > room:
            room = start[g + 1] - start[g]
            who, much = np.empty(room, np.int64), np.empty(room)
        found = 0
        for p in range(start[g], start[g + 1]):
            mine = thing[number[p]]
            if mine < 0:
                continue
            at = 0
            while at < found and who[at] != mine:
                at += 1
            if at == found:
                who[at], much[at] = mine, 0.0
                found += 1
            much[at] += shown[p]
        owner, most = -1, 0.0
        for at in range(found):
            if much[at] > most or (much[at] == most and who[at] < owner):
                owner, most = who[at], much[at]
        if owner >= 0:
            out[region[k], owner] += weight[k]
