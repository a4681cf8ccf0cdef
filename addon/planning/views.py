# SPDX-License-Identifier: GPL-3.0-or-later
"""Where cameras could stand and which way they could look: what the three plans choose from."""

from __future__ import annotations

import time
from collections.abc import Generator

import numpy as np
import numpy.typing as npt

from ...core.cameras import Camera
from ...core.coverage import Samples, crop, faces, in_frame, sample_surfaces, spread, upright
from ..jobs import Step
from .space import ALL_AROUND, CLEARANCE, Ground, headroom, raised
from .surfaces import Surfaces

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

EVERY = 0.1
"""Seconds between two steps where many small ones are made: a window waits a little after each."""
NEAR = 0.4
"""Nearer than this, in eye heights, things fill the picture and are not seen well."""
INDOOR_HEIGHTS = (1.0, 0.6, 1.35)
OUTDOOR_HEIGHTS = (1.0, 2.5, 5.0)
"""Of cameras over the ground, in eye heights."""


def direction(yaw: npt.ArrayLike, pitch: npt.ArrayLike) -> Floats:
    """Radians, yaw from +X to +Y and pitch upwards -> unit vectors [..., 3]."""
    yaw, pitch = np.broadcast_arrays(yaw, pitch)
    return np.stack([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)], axis=-1)


def ball_around(points: Floats) -> tuple[Floats, float]:
    """Middle [3] and radius of a ball around points [..., 3]."""
    points = points.reshape(-1, 3)
    middle = (points.min(0) + points.max(0)) / 2
    return middle, float(np.linalg.norm(points - middle, axis=1).max())


def half_angle(camera: Camera) -> float:
    """Radians between the line of sight and the nearest edge of the picture."""
    sides = (camera.cx / camera.fx, (camera.width - camera.cx) / camera.fx)
    ends = (camera.cy / camera.fy, (camera.height - camera.cy) / camera.fy)
    return float(np.arctan(min(*sides, *ends)))


def grid_of_turns(camera: Camera) -> Floats:
    """[O, 3, 3] rotations all around and a little up and down, so that neighbouring pictures share half of what they show."""
    wide, tall = (2 * np.arctan(side / 2 / f) for side, f in ((camera.width, camera.fx), (camera.height, camera.fy)))
    yaws = np.linspace(0, 2 * np.pi, int(np.clip(np.ceil(4 * np.pi / wide), 8, 24)), endpoint=False)
    pitches = tall * np.array([-0.4, -0.08, 0.3])
    return np.stack([upright(direction(yaw, pitch)) for pitch in pitches for yaw in yaws])


def ring_places(middle: Floats, radius: float, elevations: npt.ArrayLike, count: int) -> Floats:
    """[count, 3] points on a sphere, in rings at elevations (radians), each ring turned against the one before."""
    rings = np.atleast_1d(np.asarray(elevations, dtype=np.float64))
    sizes = [count // len(rings) + (k < count % len(rings)) for k in range(len(rings))]
    parts = [
        direction(2 * np.pi * (np.arange(size) + 0.5 * (k % 2)) / max(size, 1), elevation)
        for k, (size, elevation) in enumerate(zip(sizes, rings, strict=True))
    ]
    return middle + radius * np.concatenate(parts)


def ground_places(surfaces: Surfaces, ground: Ground, eye: float, count: int) -> Floats:
    """[P, 3] free points over the ground: up to `count` spots, each at three heights where nothing is in the way."""
    floor = ground.points[spread(ground.points, count)]
    ceiling = headroom(surfaces, raised(floor, eye)) + eye
    heights = INDOOR_HEIGHTS if ground.indoors else OUTDOOR_HEIGHTS
    parts = []
    for height in np.array(heights) * eye:
        below = floor[ceiling > height + CLEARANCE * eye]
        places = raised(below, height)
        free = surfaces.is_clear(places, CLEARANCE * eye) & surfaces.open_between(raised(below, eye), places)
        parts.append(places[free])
    return np.concatenate(parts)


def sight(surfaces: Surfaces, places: Floats, samples: Samples, far: float) -> Generator[Step, None, Mask]:
    """[P, N] bool: which samples can be seen from places [P, 3], whichever way a camera looks, up to a distance."""
    seen = np.zeros((len(places), len(samples)), dtype=bool)
    told = 0.0
    for place, eye in enumerate(places):
        if time.monotonic() - told > EVERY:
            yield Step("Plan", 0.1 + 0.7 * place / len(places), f"looking around ({place + 1} of {len(places)} places)")
            told = time.monotonic()
        could = faces(samples, eye) & (np.linalg.norm(samples.points - eye, axis=1) <= far)
        seen[place, could] = surfaces.open_between(eye, samples.points[could])
    return seen


def samples_in(surfaces: Surfaces, low: Floats, high: Floats, count: int, only: Mask | None = None) -> Samples:
    """About `count` samples of the surfaces, or of the triangles `only` [T], inside a box from low [3] to high [3]."""
    which = np.ones(len(surfaces.owners), dtype=bool) if only is None else only
    triangles, owners = crop(surfaces.triangles[which], surfaces.owners[which], low, high)
    if not len(triangles):
        return Samples(np.zeros((0, 3)), np.zeros((0, 3)), owners, np.zeros(0))
    samples = sample_surfaces(triangles, owners, 2 * count, least=32)
    return samples.select(((samples.points >= low) & (samples.points <= high)).all(1)).thinned(count)


def shown(camera: Camera, turns: Floats, values: Floats) -> Floats:
    """[O] mean over each picture, for rotations [O, 3, 3], of values [D] that belong to the directions ALL_AROUND."""
    inside = in_frame(camera, ALL_AROUND @ turns)  # [O, D]
    return (inside @ values) / np.maximum(inside.sum(1), 1)
