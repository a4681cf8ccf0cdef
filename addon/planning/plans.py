# SPDX-License-Identifier: GPL-3.0-or-later
"""Orbits and walks, as steps. The file changes only when all is done."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import bpy
import numpy as np
import numpy.typing as npt

from ...core.cameras import Camera
from ...core.coverage import Coverage, Samples, pose, sample_surfaces, spread, upright
from ...core.errors import InvalidInput
from ..jobs import Step, threaded
from .cameras import Lens, place_cameras, scene_lens
from .space import ALL_AROUND, CLEARANCE, HEADROOM, WALLS_WITHIN, find_ground, look, raised
from .surfaces import Surfaces, collect_steps
from .views import NEAR, ball_around, direction, half_angle, ring_places, shown

Floats = npt.NDArray[np.floating]

MARGIN = 1.05
"""How much farther away an orbit's cameras stand than where its ball just fits."""
NEARER = (1.0, 0.85, 0.7)
"""Shares of the distance that a camera of an orbit tries."""
IN_SIGHT = 0.5
"""Least share of the objects' surfaces that no other object hides from a camera of their orbit."""
WALK_PITCH = float(np.deg2rad(-8.0))
TURN_BACK = 0.15
"""How much a walk prefers to look the other way than before: a view that is so much less open is taken for it."""


@dataclass(frozen=True)
class OrbitOptions:
    """count cameras in so many rings, at elevations (radians) evenly from lowest to highest.

    margin: of the distance; at 1 the ball around the objects just fits the picture.
    """

    count: int = 16
    rings: int = 2
    lowest: float = 0.25
    highest: float = 0.7
    margin: float = MARGIN


@dataclass(frozen=True)
class WalkOptions:
    """count cameras at eye_height (metres); where: AUTO, INDOORS or OUTDOORS."""

    count: int = 12
    eye_height: float = 1.5
    where: str = "AUTO"


@dataclass(frozen=True)
class Plan:
    """What a plan has made: the cameras' names, what they cover where that is known, and what else is to be said."""

    cameras: list[str]
    coverage: Coverage | None = None
    notes: list[str] = field(default_factory=list)


class Target:
    """The scene and view layer in which a plan was begun, by name: between two steps a person may undo or open another file."""

    def __init__(self, context: bpy.types.Context) -> None:
        self._scene, self._layer = context.scene.name, context.view_layer.name

    def now(self) -> tuple[bpy.types.Scene, bpy.types.ViewLayer]:
        """Both as they are now; a scene that is gone raises InvalidInput."""
        scene = bpy.data.scenes.get(self._scene)
        if scene is None:
            raise InvalidInput(f"The scene '{self._scene}' went away.", "Do not open a file meanwhile; then try again.")
        return scene, scene.view_layers.get(self._layer) or scene.view_layers[0]


def plan_orbit(context: bpy.types.Context, options: OrbitOptions) -> Generator[Step, None, Plan]:
    """Cameras in rings around the selected objects, each at a distance at which their ball fits the picture.

    Where something else stands in the way, a camera moves nearer; where that does not help, it is left out.
    """
    check(options.count >= 1, f"{options.count} cameras make no orbit.", "Use 1 or more.")
    check(options.rings >= 1, f"{options.rings} rings make no orbit.", "Use 1 or more.")
    target, lens = Target(context), scene_lens(context.scene)
    half = half_angle(lens.camera(context.scene))
    surfaces = yield from collect_steps(context)
    if not surfaces.chosen.any():
        raise InvalidInput("Nothing that has a surface is selected.", "Select the objects to orbit.")
    lens, poses, notes = yield from threaded(_orbit(surfaces, lens, half, options), Step("Plan", 0.2, "orbit"))
    return Plan(place_cameras(*target.now(), lens, poses), None, notes)


def _orbit(
    surfaces: Surfaces, lens: Lens, half: float, options: OrbitOptions
) -> Generator[Step, None, tuple[Lens, list[Floats], list[str]]]:
    """The lens, the poses and what is to be said of them."""
    middle, radius = ball_around(surfaces.triangles[surfaces.chosen])
    distance = options.margin * radius / np.sin(half)
    check(distance > radius > 0, f"At distance {options.margin:g} the cameras are inside the objects.", "Use about 1.")
    others = None if surfaces.chosen.all() else surfaces.select(~surfaces.chosen)
    own = sample_surfaces(surfaces.triangles[surfaces.chosen], surfaces.owners[surfaces.chosen], 200, least=1)

    elevations = np.linspace(options.lowest, options.highest, options.rings)
    poses, nearer = [], 0
    for number, outwards in enumerate(ring_places(np.zeros(3), 1.0, elevations, options.count)):
        yield Step("Plan", 0.2 + 0.8 * number / options.count, f"camera {number + 1} of {options.count}")
        for length in distance * np.array(NEARER):
            eye = middle + length * outwards
            if length > radius and (others is None or _is_open(others, eye, own, radius)):
                poses.append(pose(eye, middle - eye))
                nearer += length < distance
                break
    if not poses:
        raise InvalidInput(
            f"All {options.count} places around the selected objects are blocked.",
            "Try other elevations, or cover them instead.",
        )
    nearest = min(float(np.linalg.norm(p[:3, 3] - middle)) for p in poses) - radius
    lens = replace(lens, clip_start=min(lens.clip_start, nearest / 2), clip_end=max(lens.clip_end, 2 * (distance + radius)))
    notes = [f"{nearer} of them are nearer than the full frame, where something is in the way."] if nearer else []
    if len(poses) < options.count:
        notes.append(f"{options.count - len(poses)} of {options.count} were left out, where something is in the way.")
    return lens, poses, notes


def plan_walk(context: bpy.types.Context, options: WalkOptions) -> Generator[Step, None, Plan]:
    """Cameras at eye height all over the free floor, in the order of a way through it, looking this way and that across it.

    Outdoors they look at the things that stand there.

    Where there are fewer free spots than cameras, several share one and look in different directions.
    """
    check(options.count >= 1, f"{options.count} cameras make no walk.", "Use 1 or more.")
    eye = scene_units(context.scene, options.eye_height, "eye height")
    target, lens = Target(context), scene_lens(context.scene)
    camera = lens.camera(context.scene)
    surfaces = yield from collect_steps(context)
    poses = yield from threaded(_walk(surfaces, camera, eye, options), Step("Plan", 0.02, "looking for floors"))
    return Plan(place_cameras(*target.now(), clipped(lens, surfaces, CLEARANCE * eye), poses))


def _walk(surfaces: Surfaces, camera: Camera, eye: float, options: WalkOptions) -> Generator[Step, None, list[Floats]]:
    """The poses, in the order of the way."""
    ground = yield from find_ground(surfaces, eye, options.where)
    if ground is None:
        raise InvalidInput(
            f"There is no floor with {HEADROOM * options.eye_height:.3g} m of free height.",
            "Lower the eye height, or add a floor.",
        )
    spots = way([ground.points[k] for k in spread(ground.points, options.count)])
    before: list[list[float]] = [[] for _ in spots]
    yaws = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    turns = np.stack([upright(direction(yaw, WALK_PITCH)) for yaw in yaws])
    poses, last = [], None
    for number in range(options.count):
        yield Step("Plan", 0.2 + 0.8 * number / options.count, f"camera {number + 1} of {options.count}")
        place, here = raised(spots[number % len(spots)], eye), before[number % len(spots)]
        distances = look(surfaces, place[None], ALL_AROUND)[0][0]
        if ground.indoors:
            worth = shown(camera, turns, np.minimum(distances, WALLS_WITHIN * eye))  # how far one sees
        else:
            worth = shown(camera, turns, _in_box(place, distances, *ground.box))  # how much of the things one sees
        score = worth / max(worth.max(), 1e-9) - shown(camera, turns, (distances < NEAR * eye).astype(np.float64))
        score -= sum(2 * np.cos((yaws - yaw) / 2) ** 32 for yaw in here)  # not again within some 20 degrees
        if last is not None:
            score -= TURN_BACK * np.cos(yaws - last)
        last = float(yaws[score.argmax()])
        here.append(last)
        poses.append(pose(place, direction(last, WALK_PITCH)))
    return poses


def way(points: Sequence[Floats]) -> list[Floats]:
    """Points [3] in the order of a short way through them: from the outermost always on to the nearest."""
    left = list(points)
    middle = np.mean(left, axis=0)
    here = max(left, key=lambda point: float(np.linalg.norm(point - middle)))
    order = []
    while left:
        here = left.pop(int(np.argmin([np.linalg.norm(point - here) for point in left])))
        order.append(here)
    return order


def clipped(lens: Lens, surfaces: Surfaces, nearest: float) -> Lens:
    """A lens that cuts off nothing that is as far as `nearest` or farther, and nothing of the scene's other end."""
    low, high = surfaces.box
    farthest = 2 * float(np.linalg.norm(high - low))
    return replace(lens, clip_start=min(lens.clip_start, nearest / 2), clip_end=max(lens.clip_end, farthest))


def scene_units(scene: bpy.types.Scene, metres: float, what: str) -> float:
    """Metres in scene units; none or less raise InvalidInput."""
    check(np.isfinite(metres) and metres > 0, f"The {what} is {metres:g} m.", "Give one above 0.")
    return metres / scene.unit_settings.scale_length


def check(fine: bool, message: str, hint: str) -> None:
    """Raise InvalidInput unless all is fine."""
    if not fine:
        raise InvalidInput(message, hint)


def _in_box(place: Floats, distances: Floats, low: Floats, high: Floats) -> Floats:
    """[D] 1 where what one meets along ALL_AROUND from a place [3] is in a box, 0 elsewhere."""
    met = place + np.where(np.isfinite(distances), distances, 0.0)[:, None] * ALL_AROUND
    return (((met >= low) & (met <= high)).all(1) & np.isfinite(distances)).astype(np.float64)


def _is_open(others: Surfaces, eye: Floats, own: Samples, radius: float) -> bool:
    """Whether a camera of an orbit is free, and no other object hides much of its own."""
    return bool(others.is_clear(eye[None], 0.1 * radius)[0] and others.open_between(eye, own.points).mean() >= IN_SIGHT)
