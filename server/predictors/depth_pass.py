# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians from posed pictures with depth, without any training.

Every pixel with depth becomes a surface point with a normal. Points that other views contradict, or see better, are dropped, and the
rest merged on a grid of about a pixel's footprint. Each point becomes a flat Gaussian that covers its pixel's image on the
surface; then opacity and colour are corrected through the rasterizer (refine.py). The numbers below were chosen on training
rooms and judged on validation rooms: docs/RESULTS.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidInput
from ...core.gaussians import GaussianArrays, sh_from_rgb
from ...core.views import View
from ..job import Job
from ..rasterize import choice as rasterize
from .contract import Prediction
from .fusion import Points, Witness, compare, merge
from .normals import surface
from .refine import fade_spill, recolour

Array = npt.NDArray[np.float64]

EDGE_BLUR = 2.0
"""A pixel where the surface breaks off mixes two surfaces: it counts as resolved so many times worse,"""
EDGE_WEIGHT = 0.1
"""and this much in a mean."""
LEAST_FACING = 0.1


@dataclass(frozen=True)
class Options:
    """size: a Gaussian's standard deviation in pixel footprints. thin: its thickness as a share of that.
    stretch: how many times longer than wide a Gaussian on a slanted surface may be.
    opacity, opacity_edge: inside a surface, and where it ends in front of another.
    cell: side of the merging grid in footprints. tolerance: share of the depth by which views may differ about a surface.
    rounds: of colour correction.
    """

    size: float = 0.42
    thin: float = 0.05
    stretch: float = 4.0
    opacity: float = 0.92
    opacity_edge: float = 0.8
    cell: float = 0.7
    tolerance: float = 0.005
    rounds: int = 2


_RANGES = {
    "size": (0.05, 5), "thin": (1e-3, 1), "stretch": (1, 100), "opacity": (0.01, 1), "opacity_edge": (0.01, 1), "cell": (0.05, 50),
    "tolerance": (0, 1), "rounds": (0, 20),
}  # fmt: skip


def read_options(values: Mapping[str, Any]) -> Options:
    """Options by name; an unknown one, or a number out of range, raises InvalidInput."""
    known = {f.name for f in fields(Options)}
    for name, value in values.items():
        if name not in known:
            raise InvalidInput(f"The predictor 'depth-pass' has no option '{name}'.", f"Options: {', '.join(sorted(known))}.")
        low, high = _RANGES[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise InvalidInput(f"The option '{name}' is {value!r}.", f"Use a number from {low:g} to {high:g}.")
    whole = {"rounds": int(values["rounds"])} if "rounds" in values else {}
    return Options(**{**values, **whole})


class DepthPass:
    """The predictor "depth-pass"."""

    def predict(self, views: Sequence[View], options: Mapping[str, Any], job: Job) -> Prediction:
        chosen = read_options(options)
        notes = check_depth(views)
        backend = rasterize.choose()
        seeing = [view for view in views if view.depth is not None]
        with job.stage("unproject"):
            parts, witnesses = [], []
            for number, view in enumerate(seeing):
                job.progress(number / len(seeing), view.name)
                parts.append(unproject(view, chosen))
                witnesses.append(Witness.of(view, parts[-1]))
        figures = {"points": sum(map(len, parts)), "points_contradicted": 0, "points_outdone": 0}
        with job.stage("fuse"):
            for number, view in enumerate(seeing):
                job.progress(number / len(seeing), view.name)
                verdict = compare(parts[number], witnesses[:number] + witnesses[number + 1 :], chosen.tolerance, job)
                parts[number] = parts[number].select(~(verdict.contradicted | verdict.outdone))
                figures["points_contradicted"] += int(verdict.contradicted.sum())
                figures["points_outdone"] += int((verdict.outdone & ~verdict.contradicted).sum())
            merged = merge(Points.concatenate(parts), chosen.cell, job)
            del parts, witnesses
            gaussians = to_gaussians(merged, chosen)
        with job.stage("refine opacity"):
            gaussians = fade_spill(gaussians, views, backend, job)
        with job.stage("refine colour"):
            gaussians = recolour(gaussians, views, chosen.rounds, backend, job)
        return Prediction(gaussians, notes, figures)


def check_depth(views: Sequence[View]) -> list[str]:
    """Notes on views that give no points; InvalidInput if none gives any."""
    without = [view.name for view in views if view.depth is None]
    if len(without) == len(views):
        raise InvalidInput(
            f"No view has depth ({', '.join(without)}), and the predictor 'depth-pass' needs it.",
            "Render a depth pass, give depth pictures, or choose another predictor.",
        )
    empty = [view.name for view in views if view.depth is not None and not (view.depth > 0).any()]
    if len(without) + len(empty) == len(views):
        raise InvalidInput(
            f"There is nothing to see in {', '.join(empty)}.",
            "Point the cameras at something, and see that none stands inside a wall.",
        )
    notes = [f"Nothing is seen by {', '.join(empty)}."] if empty else []
    return notes + ([f"Without depth, left out: {', '.join(without)}."] if without else [])


def unproject(view: View, options: Options) -> Points:
    """The surface points of a view that has depth, pixel by pixel."""
    assert view.depth is not None
    seen = view.depth > 0
    shown = surface(view.camera, view.depth)
    facing = np.maximum(shown.facing[seen], LEAST_FACING)
    footprint, edge = shown.footprint[seen], shown.edge[seen]
    to_world = view.camera.T_world_camera[:3, :3].T
    columns = {
        "position": shown.points[seen] @ to_world + view.camera.position,
        "normal": shown.normals[seen] @ to_world,
        "ray": shown.rays[seen] @ to_world,
        "footprint": footprint,
        "blur": footprint * np.where(edge, EDGE_BLUR, 1.0) / np.sqrt(facing),
        "colour": view.rgb[seen] / 255.0,
        "weight": np.where(edge, EDGE_WEIGHT, 1.0) * np.maximum(shown.facing[seen], 1e-3) / footprint**2,
        "opacity": np.where(shown.rim[seen], options.opacity_edge, options.opacity),
    }
    return Points(**{name: values.astype(np.float32) for name, values in columns.items()})


def to_gaussians(points: Points, options: Options) -> GaussianArrays:
    """Flat Gaussians on the tangent planes. A pixel's image on its plane is longer by 1 / cos along the ray's projection."""
    normal = points.normal / np.maximum(np.linalg.norm(points.normal, axis=1, keepdims=True), 1e-12)
    cosine = np.clip(-(normal * points.ray).sum(1), 0.0, 1.0)
    along = points.ray + cosine[:, None] * normal
    length = np.linalg.norm(along, axis=1, keepdims=True)
    any_axis = np.where(np.abs(normal[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    across = np.cross(normal, any_axis)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    along = np.where(length > 1e-3, along / np.maximum(length, 1e-9), across)
    width = options.size * points.footprint
    scales = np.stack([width * np.minimum(1 / np.maximum(cosine, 1e-3), options.stretch), width, width * options.thin], 1)
    axes = np.stack([along, np.cross(normal, along), normal], -1)
    return GaussianArrays(
        means=points.position.astype(np.float32),
        quats=quaternions(axes).astype(np.float32),
        scales=scales.astype(np.float32),
        opacities=points.opacity.astype(np.float32),
        sh=sh_from_rgb(points.colour),
    )


def quaternions(R: Array) -> Array:
    """Rotation matrices [N, 3, 3] -> unit quaternions wxyz [N, 4]: the largest of the four squares sets the others (Shepperd 1978)."""
    xx, yy, zz = R[:, 0, 0], R[:, 1, 1], R[:, 2, 2]
    squares = np.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], 1)
    a, b, c = R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]
    d, e, f = R[:, 1, 0] + R[:, 0, 1], R[:, 0, 2] + R[:, 2, 0], R[:, 2, 1] + R[:, 1, 2]
    w, x, y, z = squares.T
    rows = [np.stack(row, 1) for row in ([w, a, b, c], [a, x, d, e], [b, d, y, f], [c, e, f, z])]
    largest = np.stack(rows, 1)[np.arange(len(R)), squares.argmax(1)]
    out: Array = largest / np.linalg.norm(largest, axis=1, keepdims=True)
    return out
