# SPDX-License-Identifier: GPL-3.0-or-later
"""Covering a scene, and what cameras cover that are there already, as steps. The file changes only when all is done.

First the scene is looked at from places all over its free space: what can be seen from two of them is what there is to be seen.
Then every way to look from every place is a candidate. A ray is cast once for each place and sample, whichever way a camera
looks.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import bpy
import numpy as np
import numpy.typing as npt

from ...core.cameras import Camera
from ...core.coverage import (
    WANTED,
    Coverage,
    Samples,
    choose_views,
    could_see,
    eyes_of,
    in_frame,
    pose,
    reach,
    times_seen,
    upright,
)
from ...core.errors import InvalidInput
from ..capture.cameras import Shot, read_camera
from ..jobs import Step, threaded
from .cameras import picture_size, place_cameras, scene_lens
from .plans import Plan, Target, check, clipped, scene_units
from .preview import show_coverage
from .space import ALL_AROUND, CLEARANCE, Ground, find_ground, headroom, look
from .surfaces import Surfaces, collect_steps
from .views import NEAR, ball_around, grid_of_turns, ground_places, half_angle, ring_places, samples_in, shown, sight

Floats = npt.NDArray[np.floating]
Numbers = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]

SAMPLES = 5000
DETAILS = 100
"""By default, pixels are small enough for so many along the diagonal of what is to be seen."""
CROWDED = 0.1
"""Largest share of a picture that things right before the camera may fill."""
SPOTS = (16, 60)
"""Least and most spots on the ground from which a plan chooses."""
SPOT_AREA = 0.4
"""Floor for each of them, in squared eye heights."""
BESIDE = 2.0
"""How much of the ground beside things outdoors is to be seen, in eye heights."""
RINGS = ((1.05, 32), (0.65, 16))
"""Around what stands outdoors: distances, where at 1 the ball around it fits the picture, and numbers of places."""
ELEVATIONS = np.deg2rad([10.0, 35.0, 65.0])
_FIRST = Step("Plan", 0.02, "looking for floors")
SAME_PLACE = 0.03
"""Cameras nearer to each other than this, in eye heights, see from one place."""


@dataclass(frozen=True)
class CoverOptions:
    """At most `most` cameras, fewer if they see a share `enough` of the surfaces from two places.

    detail: metres that a pixel may cover at most, at `resolution` pixels on the longer side; 0 goes by the size of what is to
    be seen. eye_height: in metres. where: AUTO, INDOORS or OUTDOORS. only_selected: cover the selected objects alone. show:
    show the coverage.
    """

    most: int = 16
    enough: float = 1.0
    detail: float = 0.0
    resolution: int = 256
    eye_height: float = 1.5
    where: str = "AUTO"
    only_selected: bool = False
    show: bool = True


def plan_cover(context: bpy.types.Context, options: CoverOptions) -> Generator[Step, None, Plan]:
    """The cameras that together see as much of the scene as they can, or all of it from two places if so many are enough."""
    check(options.most >= 1, f"{options.most} cameras cover nothing.", "Use 1 or more.")
    check(0 < options.enough <= 1, f"A share of {options.enough:g} cannot be covered.", "Use a share above 0, up to 1.")
    target, lens = Target(context), scene_lens(context.scene)
    camera = lens.camera(context.scene, options.resolution)
    scale = _scale(context, options)
    surfaces = yield from collect_steps(context)
    poses, nearest, coverage = yield from threaded(_covering(surfaces, camera, options, scale), _FIRST)
    scene, layer = target.now()
    names = place_cameras(scene, layer, clipped(lens, surfaces, nearest), poses)
    if options.show:
        show_coverage(scene, coverage)
    return Plan(names, coverage)


def _covering(
    surfaces: Surfaces, camera: Camera, options: CoverOptions, scale: float
) -> Generator[Step, None, tuple[list[Floats], float, Coverage]]:
    """The poses, how near to a surface their clipping may begin, and what they cover."""
    survey = yield from _survey(surfaces, options, [camera], scale)
    yield Step("Plan", 0.8, "judging views")
    seen, places, poses = _candidates(camera, survey)
    yield Step("Plan", 0.9, "choosing views")
    chosen = choose_views(seen, places, options.most, enough=options.enough, of=survey.reachable)
    if not chosen:
        raise InvalidInput("No camera has a free view of the scene.", "Lower the eye height, or use a shorter lens.")
    coverage = survey.coverage(seen[chosen], places[chosen])
    nearest = min(survey.distances(survey.places[places[k]])[seen[k]].min() for k in chosen)
    return [poses[k] for k in chosen], min(float(nearest), CLEARANCE * survey.eye), coverage


def cover_with(context: bpy.types.Context, shots: Sequence[Shot], options: CoverOptions) -> Generator[Step, None, Plan]:
    """Show what cameras cover that are there already, as they stand at this frame; `most` and `enough` do not matter."""
    check(len(shots) > 0, "There are no cameras.", "Choose some.")
    target, graph = Target(context), context.evaluated_depsgraph_get()
    lenses = [shot.camera.evaluated_get(graph) for shot in shots]
    cameras = [read_camera(lens, *picture_size(context.scene, options.resolution), context.scene) for lens in lenses]
    clips = [(lens.data.clip_start, lens.data.clip_end) for lens in lenses]
    names = [shot.name for shot in shots]
    scale = _scale(context, options)
    surfaces = yield from collect_steps(context)
    coverage = yield from threaded(_covered(surfaces, cameras, clips, names, options, scale), _FIRST)
    show_coverage(target.now()[0], coverage)
    return Plan(names, coverage)


def _covered(
    surfaces: Surfaces,
    cameras: list[Camera],
    clips: list[tuple[float, float]],
    names: list[str],
    options: CoverOptions,
    scale: float,
) -> Generator[Step, None, Coverage]:
    """What cameras cover, each with its clipping distances."""
    survey = yield from _survey(surfaces, options, cameras, scale)
    seen = np.zeros((len(cameras), len(survey.samples)), dtype=bool)
    for number, (camera, (near, far)) in enumerate(zip(cameras, clips, strict=True)):
        yield Step("Plan", 0.8 + 0.2 * number / len(cameras), names[number])
        could = could_see(camera, survey.samples, survey.detail, near, far)
        points = survey.samples.points[could]
        seen[number, could] = survey.surfaces.open_between(eyes_of(camera, points, near), points)
    positions = np.array([camera.position for camera in cameras])
    cells = np.round(positions / (SAME_PLACE * survey.eye))
    places = np.unique(cells, axis=0, return_inverse=True)[1].reshape(-1)
    return survey.coverage(seen, places, positions)


@dataclass(frozen=True)
class _Survey:
    """What can be seen of a scene, and from where.

    places [P, 3]; around [P, D]: how far one sees from each along ALL_AROUND; seen_from [P, N] bool: which samples could be
    seen from there. eye, detail: in scene units.
    """

    surfaces: Surfaces
    samples: Samples
    places: Floats
    around: Floats
    seen_from: Mask
    eye: float
    detail: float

    @property
    def reachable(self) -> Mask:
        """[N] bool: the samples that can be seen from two places."""
        return self.seen_from.sum(0) >= WANTED

    def distances(self, place: Floats) -> Floats:
        """[N] distances of the samples from a place [3]."""
        return np.linalg.norm(self.samples.points - place, axis=1)

    def coverage(self, seen: Mask, places: Numbers, eyes: Floats | None = None) -> Coverage:
        """What cameras at numbered places [C] see [C, N], of all that can be seen; normals point to a side that can be seen.

        eyes [C, 3]: where the cameras are, if that is not among the survey's places.
        """
        counting = self.reachable | seen.any(0)
        eye = self.places[self.seen_from.argmax(0)]
        if eyes is not None:
            eye = np.where(self.seen_from.any(0)[:, None], eye, eyes[seen.argmax(0)])
        behind = ((eye - self.samples.points) * self.samples.normals).sum(1) < 0
        samples = replace(self.samples, normals=self.samples.normals * np.where(behind, -1.0, 1.0)[:, None])
        return Coverage(samples.select(counting), times_seen(seen, places)[counting], self.surfaces.names)


def _scale(context: bpy.types.Context, options: CoverOptions) -> float:
    """Metres in a scene unit; options that no scene can meet raise InvalidInput."""
    scene_units(context.scene, options.eye_height, "eye height")
    check(options.detail >= 0, f"The detail is {options.detail:g} m.", "Give one above 0, or 0 for one that fits the scene.")
    return float(context.scene.unit_settings.scale_length)


def _survey(
    surfaces: Surfaces, options: CoverOptions, cameras: Sequence[Camera], scale: float
) -> Generator[Step, None, _Survey]:
    """Look around a scene from everywhere; nothing to be seen raises InvalidInput. scale: metres in a scene unit."""
    eye = options.eye_height / scale
    only = surfaces.chosen if options.only_selected else None
    if only is not None and not only.any():
        raise InvalidInput("Nothing that has a surface is selected.", "Select the objects to cover, or cover all.")
    ground = yield from find_ground(surfaces, eye, options.where)
    low, high = surfaces.box if ground is None else ground.box
    subject = np.array([low, high]) if only is None else surfaces.triangles[only]
    places = _places(surfaces, ground, eye, subject, min(map(half_angle, cameras)), only is not None)
    if not len(places):
        raise InvalidInput("There is no free place for a camera.", "Lower the eye height.")

    detail = options.detail / scale if options.detail else 2 * ball_around(subject)[1] / DETAILS
    far = max(reach(camera, detail) for camera in cameras)
    around = look(surfaces, places, ALL_AROUND)[0]
    met = (places[:, None] + np.where(np.isfinite(around) & (around <= far), around, 0.0)[..., None] * ALL_AROUND).reshape(
        -1, 3
    )
    slack = 0.01 * np.ptp(met, axis=0)
    box = met.min(0) - slack, met.max(0) + slack
    if ground is not None and not ground.indoors:  # the ground goes on for ever, but the things do not
        box = np.maximum(box[0], low - BESIDE * eye), np.minimum(box[1], high + BESIDE * eye)
    samples = samples_in(surfaces, *box, SAMPLES, only)
    seen_from = yield from sight(surfaces, places, samples, far)
    survey = _Survey(surfaces, samples, places, around, seen_from, eye, detail)
    if not survey.reachable.any():
        raise InvalidInput(
            f"No surface can be seen so well that a pixel covers {detail * scale:.3g} m or less.",
            "Give a coarser detail, or raise the resolution.",
        )
    return survey


def _places(surfaces: Surfaces, ground: Ground | None, eye: float, subject: Floats, half: float, rings: bool) -> Floats:
    """[P, 3] where cameras could stand: over the ground, and around the subject if `rings` or if it is outdoors."""
    parts = [np.zeros((0, 3))]
    if ground is not None:
        spots = int(np.clip(ground.area / (SPOT_AREA * eye**2), *SPOTS))
        parts.append(ground_places(surfaces, ground, eye, spots))
    if rings or ground is None or not ground.indoors:
        middle, radius = ball_around(subject)
        for distance, count in RINGS:
            around = ring_places(middle, distance * radius / np.sin(half), ELEVATIONS, count)
            around = around[surfaces.is_clear(around, min(CLEARANCE * eye, 0.1 * radius))]
            if ground is not None and not ground.indoors:
                around = around[np.isinf(headroom(surfaces, around))]  # not below the ground
            parts.append(around)
    return np.concatenate(parts)


def _candidates(camera: Camera, survey: _Survey) -> tuple[Mask, Numbers, list[Floats]]:
    """Every way to look from every place: what it sees [C, N], the place's number [C], the pose.

    Left out are pictures crowded with things that are far nearer than what is to be seen.
    """
    grid, points = grid_of_turns(camera), survey.samples.points
    seen, numbers, poses = [np.zeros((0, len(points)), dtype=bool)], [], []
    for number, (place, there) in enumerate(zip(survey.places, survey.seen_from, strict=True)):
        ways = points[there] - place
        if not len(ways):
            continue
        middle = ways.mean(0) + np.array([1e-9, 0, 0])  # the last of the turns is to the middle of all that can be seen
        turns = np.concatenate([grid, [upright(middle)]])
        near = min(NEAR * survey.eye, 0.5 * float(np.median(np.linalg.norm(ways, axis=1))))
        turns = turns[shown(camera, turns, (survey.around[number] < near).astype(np.float64)) <= CROWDED]
        rows = np.zeros((len(turns), len(points)), dtype=bool)
        rows[:, there] = in_frame(camera, ways @ turns)
        seen.append(rows)
        numbers += [number] * len(turns)
        poses += [pose(place, turn[:, 2]) for turn in turns]
    return np.concatenate(seen), np.array(numbers, dtype=np.int64), poses
