# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians say what surfaces are: points are spread on a surface, the Gaussians nearest to each vote, and faces count the votes.

How far a vote reaches follows from the Gaussians themselves, place by place: from how far apart they are. Pure numpy; whoever
calls finds the nearest (in Blender with the k-d tree of mathutils).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .gaussians import FloatArray, GaussianArrays

Numbers = npt.NDArray[np.integer]
Doubles = npt.NDArray[np.float64]

NEAREST = 8
"""How many Gaussians vote at a point."""
REACH = 3.0
"""A Gaussian votes as far as so many times its distance from its neighbours."""
UNEVEN = 4.0
"""This distance is at most so many typical ones: floaters in an empty room must not name the room."""
SAMPLES = 64
"""Most points on a face that is large against the Gaussians' spacing ..."""
BUDGET = 200_000
"""... and most such points, above one for each face, on a surface."""

_LEAST_CONFIDENCE, _LEAST_AGREEMENT = np.float32(0.01), np.float32(0.05)


@dataclass(frozen=True)
class Surface:
    """Triangles of faces.

    corners: [T, 3, 3] float32, the corners of each triangle, world, scene units.
    face: [T] int, the face that each belongs to, not descending.
    faces: how many faces there are; some may have no triangle.
    """

    corners: FloatArray
    face: Numbers
    faces: int

    @classmethod
    def sorted(cls, corners: FloatArray, face: Numbers, faces: int) -> Surface:
        """From triangles in any order; those of no face (number below zero) are left out."""
        order = np.argsort(face, kind="stable")
        order = order[np.searchsorted(face[order], 0) :]
        return cls(corners[order], face[order], faces)

    def as_one(self) -> Surface:
        """The same triangles as one face."""
        return Surface(self.corners, np.zeros(len(self.face), np.int64), 1)


@dataclass(frozen=True)
class Samples:
    """S points on a surface: where [S, 3] and which way it faces there [S, 3] (float32, unit length or zero), of which face [S],
    and how much of it each stands for [S] (area, above zero)."""

    points: FloatArray
    normals: FloatArray
    face: Numbers
    area: Doubles

    def select(self, rows: Numbers) -> Samples:
        """Some of them."""
        return Samples(self.points[rows], self.normals[rows], self.face[rows], self.area[rows])


def spread(surface: Surface, counts: Numbers) -> Samples:
    """Points on each face, evenly by area: counts [faces] >= 0. The same surface has the same points every time."""
    a, b, c = (surface.corners[:, k] for k in range(3))
    across = np.cross(b - a, c - a)
    double = np.linalg.norm(across.astype(np.float64), axis=1)
    ends = np.cumsum(double)
    numbers = np.arange(surface.faces)
    first, stop = (np.searchsorted(surface.face, numbers, side) for side in ("left", "right"))
    counts = np.where(stop > first, counts, 0)
    before = np.concatenate([[0.0], ends])
    size = before[stop] - before[first]

    face = np.repeat(numbers, counts)
    place = np.arange(len(face)) - np.repeat(np.cumsum(counts) - counts, counts)
    wanted = before[first][face] + (place + 0.5) / counts[face] * size[face]
    triangle = np.clip(np.searchsorted(ends, wanted), first[face], stop[face] - 1)
    # Two irrational steps fill the unit square evenly from its middle, which the root maps onto the triangle's.
    u, v = ((0.5 + place * step) % 1 for step in (0.7548776662466927, 0.5698402909980532))
    root = np.sqrt(u)
    weights = np.stack([1 - root, root * (1 - v), root * v], axis=1).astype(np.float32)
    points = np.einsum("sk,skd->sd", weights, surface.corners[triangle])
    normals = across / np.maximum(double, 1e-30).astype(np.float32)[:, None]
    return Samples(points, normals[triangle], face, np.maximum(size[face] / (2 * counts[face]), 1e-30))


def sample_counts(surface: Surface, spacing: float) -> Numbers:
    """[faces] how many points each face needs: one, or more where it is large against the Gaussians' spacing."""
    a, b, c = (surface.corners[:, k] for k in range(3))
    areas = np.bincount(surface.face, np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2, surface.faces)
    more = np.clip(areas / max((2 * spacing) ** 2, 1e-30), 1, SAMPLES) - 1
    return 1 + np.floor(more * min(1.0, BUDGET / max(float(more.sum()), 1.0))).astype(np.int64)


def typical_spacing(g: GaussianArrays, probes: Numbers, near: Numbers) -> float:
    """How far apart Gaussians are in most places: the median over some of them, given those near [P, k] each; never below their size."""
    places = g.means[near]
    around = places - places.mean(axis=1, keepdims=True)
    # k points at spacing s cover k s^2 = pi R^2 of a surface, and lie R / sqrt(2) from their middle, in the mean of squares.
    apart = np.sqrt((around**2).sum(axis=2).mean(axis=1) * (2 * np.pi / near.shape[1]))
    return float(np.median(np.maximum(apart, _sizes(g)[probes])))


def spacings(means: FloatArray, typical: float) -> FloatArray:
    """[N] how far each Gaussian is from its neighbours, from how many there are around it; 0 for one that is alone.

    A grid with cells of two typical spacings tells it from a twentieth of that spacing up to four times as much. Unlike the
    distances from a point in the open it does not mistake the width of a gap for the spacing of what lies around.
    """
    size = 2 * typical
    cells, which, numbers = np.unique(grid_cells(means, size), return_inverse=True, return_counts=True)
    around = np.zeros(len(cells), np.int64)
    for step in NEIGHBOURS:
        place = np.searchsorted(cells, cells + step).clip(max=len(cells) - 1)
        around += np.where(cells[place] == cells + step, numbers[place], 0)
    # A surface through a block of three cells has nine cells' area in it.
    apart = np.where(around > 1, 3 * size / np.sqrt(around), 0)
    return apart[which].astype(np.float32)


def grid_cells(points: FloatArray, size: float) -> Numbers:
    """[S] one number for each point's cell in a grid; those of the cells around differ from it by NEIGHBOURS."""
    cells: Numbers = np.floor(np.clip(points / np.float64(size), -1e15, 1e15)).astype(np.int64) @ _MIX
    return cells


_MIX = np.array([-7046029254386353131, -4417276706812531889, 1609587929392839161])
"""Large odd numbers: cells that share a number lie millions of cells apart."""
NEIGHBOURS = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3) @ _MIX
"""[27] what takes a cell's number to those around it, and to its own."""


@dataclass(frozen=True)
class Voters:
    """N Gaussians as voters.

    means: [N, 3] float32, world. trust: [N] float32, confidence times opacity.
    width: [N] float32, over which distance a vote falls off: the Gaussian's size, as far as it fits its spacing.
    reach: [N] float32, beyond which it does not vote at all.
    normal: [N, 3] float32, the axis of the smallest standard deviation; flat: [N] float32, 1 for a disc, 0 for what has none.
    """

    means: FloatArray
    trust: FloatArray
    width: FloatArray
    reach: FloatArray
    normal: FloatArray
    flat: FloatArray

    @classmethod
    def of(cls, g: GaussianArrays, typical: float) -> Voters:
        """typical: the Gaussians' `typical_spacing`."""
        size = _sizes(g)
        spacing = np.minimum(np.maximum(spacings(g.means, typical), size), np.float32(UNEVEN * typical))
        low, middle, _ = np.sort(g.scales, axis=1).T
        axis = np.eye(3, dtype=np.float32)[g.scales.argmin(axis=1)]
        real, imaginary = g.quats[:, :1], g.quats[:, 1:]
        turned = 2 * np.cross(imaginary, axis)
        normal = axis + real * turned + np.cross(imaginary, turned)
        trust = g.opacities if g.confidence is None else g.opacities * np.maximum(g.confidence, _LEAST_CONFIDENCE)
        width = np.clip(size, spacing / 2, spacing * 2)
        return cls(g.means, trust, width, np.float32(REACH) * spacing, normal, 1 - low / middle)

    def weigh(self, samples: Samples, near: Numbers) -> Ballots:
        """The votes of the Gaussians near [S, k] each sample.

        A vote falls off with distance against the Gaussian's width, counts by trust, and less where a disc lies across the
        surface: it is a piece of something else. At each point that has votes they add up to the area that it stands for.
        """
        distance = np.linalg.norm(self.means[near] - samples.points[:, None], axis=2)
        along = np.einsum("skd,sd->sk", self.normal[near], samples.normals)
        agreement = np.maximum(1 - self.flat[near] * (1 - along**2), _LEAST_AGREEMENT)
        weight = self.trust[near] * agreement * np.exp(-0.5 * (distance / self.width[near]) ** 2)
        weight[distance > self.reach[near]] = 0
        total = weight.sum(axis=1, keepdims=True)
        share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
        return Ballots(samples.face, near, (share * samples.area[:, None]).astype(np.float32))


def _sizes(g: GaussianArrays) -> FloatArray:
    """[N] the mean of the two larger standard deviations."""
    sizes: FloatArray = (g.scales.sum(axis=1) - g.scales.min(axis=1)) / 2
    return sizes


@dataclass(frozen=True)
class Ballots:
    """The votes at S points: of which face [S], which Gaussians [S, k], with which weight [S, k] float32 (areas; zero: none)."""

    face: Numbers
    near: Numbers
    weight: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[Ballots]) -> Ballots:
        """All of them."""
        nothing = cls(np.zeros(0, np.int64), np.zeros((0, 1), np.int32), np.zeros((0, 1), np.float32))
        parts = [part for part in parts if len(part.face)] or [nothing]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("face", "near", "weight")))

    def votes(self, values: Numbers, only: npt.NDArray[np.bool_] | None = None) -> Votes:
        """What the Gaussians' values [N] >= 0 say of the faces; only: [S, k] whose votes count."""
        weight = self.weight if only is None else self.weight * only
        return Votes.counted(np.repeat(self.face, self.near.shape[1]), values[self.near].ravel(), weight.ravel())


@dataclass(frozen=True)
class Votes:
    """P pairs of a face and a value, by face and then value: who [P], what [P], and how much weight it has there [P] > 0."""

    who: Numbers
    what: Numbers
    weight: Doubles

    @classmethod
    def counted(cls, who: Numbers, what: Numbers, weight: npt.NDArray[np.floating]) -> Votes:
        """Pairs in any order and any number; equal ones are added up, those without weight left out."""
        some = weight > 0
        who, what, much = who[some].astype(np.int64), what[some].astype(np.int64), weight[some].astype(np.float64)
        if not len(who):
            return cls(who, what, much)
        key = who * (int(what.max()) + 1) + what
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        return cls(who[order][starts], what[order][starts], np.add.reduceat(much[order], starts))

    def winners(self, count: int) -> tuple[Numbers, Doubles]:
        """For each of count faces the value with most weight (the lower of two equal ones), -1 without votes, and its share."""
        value, share = np.full(count, -1), np.zeros(count)
        order = np.lexsort((-self.what, self.weight, self.who))  # the last one written stays
        value[self.who[order]] = self.what[order]
        share[self.who[order]] = self.weight[order]
        total = np.bincount(self.who, self.weight, count)
        return value, np.divide(share, total, out=share, where=total > 0)

    def moved(self, to: Numbers) -> Votes:
        """The same votes for others: those for face f count for to[f]."""
        return Votes.counted(to[self.who], self.what, self.weight)


def pieces(vertex: Numbers, starts: Numbers, vertices: int) -> Numbers:
    """Which connected piece of a mesh each face [F] is in: the lowest vertex of the piece.

    vertex: [L] the vertices of all corners, face after face. starts: [F] the first corner of each, ascending.
    """
    counts = np.diff(starts, append=len(vertex))
    root = np.arange(vertices)
    while len(starts):
        of_corner = root[vertex]
        lowest = np.repeat(np.minimum.reduceat(of_corner, starts), counts)
        if np.array_equal(lowest, of_corner):
            break
        np.minimum.at(root, of_corner, lowest)
        while not np.array_equal(jumped := root[root], root):
            root = jumped
    return root[vertex[starts]] if len(starts) else np.zeros(0, np.int64)
