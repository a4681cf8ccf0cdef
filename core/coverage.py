# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a scene's surfaces cameras see, and which cameras to take.

Surfaces are judged at samples: points on triangles, evenly spread over the area, but with some on every small thing too. A
sample has two sides and no front, because in many files nobody cared where normals point. It counts as seen where it lies in
the picture, not at too flat an angle, not where a pixel covers more than the coarsest detail asked for, and with nothing before
it. The last of these needs rays, which are the caller's (addon/planning); all else is here.

Twice seen means seen from two places: two cameras at one place learn nothing about how far away a surface is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .cameras import Camera
from .errors import InvalidInput

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.integer]

FLATTEST = 0.2
"""Least |cosine| between a surface's normal and the line of sight: 78 degrees."""
_PLASTIC = (0.7548776662466927, 0.5698402909980532)
"""Steps of a sequence that fills a square evenly (Roberts, "The Unreasonable Effectiveness of Quasirandom Sequences", 2018)."""
WANTED = 2
"""From how many places a surface should be seen: depth needs two."""


@dataclass(frozen=True)
class Samples:
    """Points on surfaces.

    points [N, 3] and unit normals [N, 3] float64 in the world; owners [N] int: whose surface it is; areas [N] float64: how much
    of it each sample stands for, in squared scene units.
    """

    points: Floats
    normals: Floats
    owners: Numbers
    areas: Floats

    def __len__(self) -> int:
        return len(self.points)

    def select(self, which: Mask | Numbers) -> Samples:
        return Samples(self.points[which], self.normals[which], self.owners[which], self.areas[which])

    def thinned(self, count: int, *, least: int = 16) -> Samples:
        """About `count` of them for the same areas, with `least` of every owner where it has so many."""
        if len(self) <= count:
            return self
        kept = np.unique(pick_evenly(self.areas, self.owners, count, least=least))
        chosen = self.select(kept)
        before, after = (np.bincount(s.owners, s.areas, int(self.owners.max()) + 1) for s in (self, chosen))
        return Samples(
            chosen.points, chosen.normals, chosen.owners, chosen.areas * (before / np.maximum(after, 1e-300))[chosen.owners]
        )


@dataclass(frozen=True)
class Coverage:
    """From how many places each sample is seen: times [N] int; names of the owners by number."""

    samples: Samples
    times: Numbers
    names: Sequence[str]

    def share(self, times: int = WANTED) -> float:
        """Share of the samples that are seen from at least so many places, 0..1; 1 where there is nothing to see."""
        return float((self.times >= times).mean()) if len(self.times) else 1.0

    def by_owner(self, times: int = WANTED, fewest: int = 4) -> list[tuple[str, float]]:
        """(name, share seen at least so often), the least covered first, without owners of fewer samples than `fewest`."""
        counts = np.bincount(self.samples.owners, minlength=len(self.names))
        seen = np.bincount(self.samples.owners[self.times >= times], minlength=len(self.names))
        rows = [(self.names[k], float(seen[k] / counts[k])) for k in np.flatnonzero(counts >= fewest).tolist()]
        return sorted(rows, key=lambda row: (row[1], row[0]))


def sample_surfaces(triangles: Floats, owners: Numbers, count: int, *, least: int = 16) -> Samples:
    """About `count` samples on triangles [T, 3, 3] that belong to owners [T], always the same.

    By area, but every owner gets `least` of them (fewer where there are too many owners for that).
    """
    edges = triangles[:, 1:] - triangles[:, :1]
    normals = np.cross(edges[:, 0], edges[:, 1])
    doubled = np.linalg.norm(normals, axis=1)
    if not (len(triangles) and doubled.sum() > 0):
        raise InvalidInput(
            "There is no surface to look at.", "Add objects with faces, or show those that are hidden in renders."
        )
    picked = pick_evenly(doubled, owners, count, least=least)
    # The samples of one triangle follow each other, so they spread over it.
    u, v = (np.outer(_PLASTIC, np.arange(len(picked))) % 1)[..., None]
    folded = u + v > 1  # the square's other half falls back onto the triangle
    u, v = np.where(folded, 1 - u, u), np.where(folded, 1 - v, v)
    points = triangles[picked, 0] + u * edges[picked, 0] + v * edges[picked, 1]
    share = np.bincount(owners, doubled / 2) / np.maximum(np.bincount(owners[picked], minlength=int(owners.max()) + 1), 1)
    return Samples(points, normals[picked] / doubled[picked, None], owners[picked], share[owners[picked]])


def crop(triangles: Floats, owners: Numbers, low: Floats, high: Floats) -> tuple[Floats, Numbers]:
    """The triangles [T, 3, 3] and owners [T] that are in a box from low [3] to high [3], large ones cut up."""
    small = max(float((high - low).max()) / 16, 1e-30)
    done = []
    while len(triangles):
        first, second, third = triangles.transpose(1, 0, 2)
        least, most = np.minimum(np.minimum(first, second), third), np.maximum(np.maximum(first, second), third)
        near = ((least <= high) & (most >= low)).all(1)
        cut = near & ((least < low) | (most > high)).any(1) & ((most - least).max(1) > small)
        done.append((triangles[near & ~cut], owners[near & ~cut]))
        corners, owners = triangles[cut], np.tile(owners[cut], 4)
        middles = (corners + np.roll(corners, -1, axis=1)) / 2  # of the edges 01, 12, 20
        quarters = [np.stack([corners[:, k], middles[:, k], middles[:, k - 1]], axis=1) for k in range(3)]
        triangles = np.concatenate([*quarters, middles])
    if not done:
        return triangles, owners
    return np.concatenate([part for part, _ in done]), np.concatenate([part for _, part in done])


def pick_evenly(weights: Floats, owners: Numbers, count: int, *, least: int) -> Numbers:
    """[count] places in `weights` [T] in their order, heavy ones several times; every owner gets about `least` or more."""
    of_owner = np.bincount(owners, weights=weights)
    there = np.count_nonzero(of_owner)
    quota = np.maximum(count * of_owner / of_owner.sum(), min(least, count / (2 * there)) * (of_owner > 0))
    scaled = weights * (quota / np.maximum(of_owner, 1e-300))[owners]
    until: Floats = np.cumsum(scaled)
    places: Numbers = np.searchsorted(until, (np.arange(count) + 0.5) / count * until[-1], side="right")
    return np.minimum(places, len(weights) - 1)


def in_frame(camera: Camera, local: Floats) -> Mask:
    """[..., 3] points in the camera's own axes -> [...] bool: those before it and inside its picture."""
    x, y, z = local[..., 0], local[..., 1], local[..., 2]
    scale = z if camera.projection == "perspective" else np.ones_like(z)
    u, v = camera.fx * x + camera.cx * scale, camera.fy * y + camera.cy * scale
    return (z > 0) & (u >= 0) & (u < camera.width * scale) & (v >= 0) & (v < camera.height * scale)


def faces(samples: Samples, eye: Floats) -> Mask:
    """[N] bool: the samples that are not looked at too flatly from a point [3] or from points [N, 3]."""
    towards = eye - samples.points
    steep: Mask = np.abs((towards * samples.normals).sum(1)) >= FLATTEST * np.linalg.norm(towards, axis=1)
    return steep


def reach(camera: Camera, coarsest: float) -> float:
    """How far a camera sees until a pixel covers `coarsest` scene units; an orthographic one's pixels do not grow."""
    if camera.projection == "perspective":
        return coarsest * min(camera.fx, camera.fy)
    return np.inf if coarsest * min(camera.fx, camera.fy) >= 1 else 0.0


def eyes_of(camera: Camera, points: Floats, near: float = 0.0) -> Floats:
    """[N, 3] where the lines of sight to points [N, 3] before the camera begin: on its near plane, `near` units in front."""
    forward = camera.T_world_camera[:3, 2]
    depth = (points - camera.position) @ forward
    if camera.projection == "orthographic":
        return points - (depth - near)[:, None] * forward
    share = near / np.maximum(depth, 1e-12)
    return camera.position + (points - camera.position) * np.minimum(share, 1.0)[:, None]


def could_see(camera: Camera, samples: Samples, coarsest: float, near: float = 0.0, far: float = np.inf) -> Mask:
    """[N] bool: what the camera sees if nothing stands before it. near, far: its clip distances in scene units."""
    local = (samples.points - camera.position) @ camera.T_world_camera[:3, :3]
    inside = in_frame(camera, local) & (local[:, 2] >= near) & (local[:, 2] <= far)
    return inside & (local[:, 2] <= reach(camera, coarsest)) & faces(samples, eyes_of(camera, samples.points))


def times_seen(seen: Mask, places: Numbers) -> Numbers:
    """What cameras at numbered places [C] see [C, N] -> from how many places each sample is seen [N]."""
    times = np.zeros(seen.shape[1], dtype=np.int64)
    for place in np.unique(places):
        times += seen[places == place].any(axis=0)
    return times


def choose_views(
    seen: Mask, places: Numbers, most: int, *, wanted: int = WANTED, enough: float = 1.0, of: Mask | None = None
) -> list[int]:
    """The views to take, best first: one after the other whichever adds most.

    It ends when a share `enough` of the samples is seen from `wanted` places, when nothing can be added, or at `most` views. A
    sample that nobody saw yet is worth more than one that lacks a second look. seen [C, N]: what each candidate sees; places
    [C]: where it stands; of [N]: the samples that count, all by default.
    """
    counting = np.ones(seen.shape[1], dtype=bool) if of is None else of
    left = seen[:, counting].astype(np.float32)
    missing = np.full(left.shape[1], wanted, dtype=np.float32)
    chosen: list[int] = []
    while len(chosen) < most and len(missing) and (missing == 0).mean() < enough:
        gains = left @ missing
        best = int(gains.argmax()) if len(gains) else 0
        if not len(gains) or gains[best] <= 0:
            break
        chosen.append(best)
        new = left[best].copy()
        missing = np.maximum(missing - new, 0)
        left[places == places[best]] *= 1 - new  # another look from here adds nothing
    return chosen


def spread(points: Floats, count: int) -> list[int]:
    """Up to `count` of the points [N, 3], far apart: from the middle on, each next one is the farthest from all before."""
    if not len(points):
        return []
    chosen = [int(np.linalg.norm(points - points.mean(0), axis=1).argmin())]
    distance = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < min(count, len(points)) and distance.max() > 0:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def upright(forward: npt.ArrayLike) -> Floats:
    """[3, 3] camera-to-world rotation (OpenCV axes) that looks along `forward` [3], upright; straight down, Y is up."""
    z = np.asarray(forward, dtype=np.float64)
    z = z / np.linalg.norm(z)
    right = np.cross(z, [0.0, 0.0, 1.0])
    if np.linalg.norm(right) < 1e-6:
        right = np.array([1.0, 0.0, 0.0])
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(z, right), z], axis=1)


def pose(eye: npt.ArrayLike, forward: npt.ArrayLike) -> Floats:
    """[4, 4] camera-to-world (OpenCV axes) at `eye` [3], looking along `forward` [3]."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = upright(forward), eye
    return out
