# SPDX-License-Identifier: GPL-3.0-or-later
"""The predictor "depth-pass": Gaussians from posed pictures with depth, by geometry alone.

Every pixel with depth becomes a point with a normal; the views' points are fused (fusion.py); each point becomes a flat Gaussian that covers
its pixel's image on the surface; opacities and colours are then measured against the pictures (calibration.py). Nothing is
trained. The numbers below were chosen on training rooms of the project's data (docs/RESULTS.md), never on validation rooms.

Convention: points and Gaussians in the views' world; lengths in scene units or in footprints (what a pixel measures at its depth).
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
from ..rasterize.contract import choose
from .calibration import calibrate_colour, calibrate_opacity
from .contract import Prediction
from .fusion import Floats, Points, Witness, judge, merge
from .normals import surface


@dataclass(frozen=True)
class Settings:
    """Options of the predictor, by name; all are numbers.

    size: standard deviation of a Gaussian, footprints. rim_size: the same where the surface ends, as a share of size.
    thickness: standard deviation along the normal, as a share of size.
    stretch: on a slanting surface a pixel is longer, by at most this factor.
    opacity, rim_opacity: before calibration, on surfaces and where they end.
    cell: voxel, footprints.
    rounds: of colour calibration.
    """

    size: float = 0.42
    rim_size: float = 0.8
    thickness: float = 0.05
    stretch: float = 4.0
    opacity: float = 0.92
    rim_opacity: float = 0.8
    cell: float = 0.7
    rounds: int = 2

    @staticmethod
    def of(options: Mapping[str, Any]) -> Settings:
        """Settings with some options given; unknown names and other things than numbers from 0 to 100 are refused."""
        known = {f.name for f in fields(Settings)}
        for name, value in options.items():
            if name not in known:
                raise InvalidInput(f"The predictor 'depth-pass' has no option '{name}'.", f"Options: {', '.join(sorted(known))}.")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
                raise InvalidInput(f"The option '{name}' is {value!r}.", "It is a number from 0 to 100.")
        given = {name: int(value) if name == "rounds" else float(value) for name, value in options.items()}
        settings = Settings(**given)  # type: ignore[arg-type]
        for name in ("size", "rim_size", "thickness", "stretch"):
            if getattr(settings, name) < 1e-3:
                raise InvalidInput(f"The option '{name}' is {getattr(settings, name):g}.", "It must be at least 0.001.")
        for name in ("opacity", "rim_opacity"):
            if getattr(settings, name) > 1:
                raise InvalidInput(f"The option '{name}' is {getattr(settings, name):g}.", "An opacity is at most 1.")
        return settings


class DepthPass:
    """See the module."""

    def predict(self, views: Sequence[View], options: Mapping[str, Any], job: Job) -> Prediction:
        settings = Settings.of(options)
        useful, notes = _with_depth(views)
        backend = choose()
        with job.stage("unproject"):
            witnesses = []
            for number, view in enumerate(useful):
                job.progress(number / len(useful), view.name)
                witnesses.append(Witness(view, _error_map(view)))
        with job.stage("fuse"):
            kept, contradicted, total = [], 0, 0
            for number, view in enumerate(useful):
                job.progress(number / len(useful), view.name)
                points = unproject(view)
                verdict = judge(points, witnesses[:number] + witnesses[number + 1 :], job)
                kept.append(points.select(~(verdict.contradicted | verdict.shown_better)))
                contradicted += int(verdict.contradicted.sum())
                total += len(points)
            merged = merge(Points.concatenate(kept), settings.cell)
            gaussians = to_gaussians(merged, settings)
        with job.stage("calibrate opacity"):
            gaussians = calibrate_opacity(gaussians, useful, backend, job)
        with job.stage("calibrate colour"):
            gaussians = calibrate_colour(gaussians, useful, settings.rounds, backend, job)
        figures = {"points": total, "points_contradicted": contradicted, "points_fused": len(merged)}
        return Prediction(gaussians, notes, figures)


def _with_depth(views: Sequence[View]) -> tuple[list[View], list[str]]:
    """The views that show something, and what to say of the others; an error if there is none."""
    without = [view.name for view in views if view.depth is None]
    empty = [view.name for view in views if view.depth is not None and not (view.depth > 0).any()]
    useful = [view for view in views if view.depth is not None and (view.depth > 0).any()]
    if not useful and empty:
        raise InvalidInput(
            f"Nothing is visible in {_listed(empty)}: the depth is empty everywhere.",
            "The cameras may stand inside a wall, look away from the scene, or hide it behind their clipping distance.",
        )
    if not useful:
        raise InvalidInput(
            f"No view has depth ({_listed(without)}), and the predictor 'depth-pass' needs it.",
            "Render a depth pass, or give depth_file_path in transforms.json.",
        )
    notes = []
    if empty:
        notes.append(f"Left out, because nothing is visible there: {_listed(empty)}.")
    if without:
        notes.append(f"Left out, because they have no depth: {_listed(without)}.")
    return useful, notes


def _listed(names: Sequence[str], most: int = 8) -> str:
    quoted = [f"'{name}'" for name in names[:most]]
    return ", ".join(quoted) + (f" and {len(names) - most} more" if len(names) > most else "")


def _error_map(view: View) -> Floats:
    """[H, W] how badly each pixel shows its surface, scene units: the footprint, twice at edges, more where it slants."""
    assert view.depth is not None
    s = surface(view.camera, view.depth)
    error = s.footprint * np.where(s.edge, 2.0, 1.0) / np.sqrt(np.maximum(s.facing, 0.1))
    return np.where(view.depth > 0, error, np.inf).astype(np.float32)


def unproject(view: View) -> Points:
    """The points of a view's pixels that have depth, row by row."""
    assert view.depth is not None
    s, shown = surface(view.camera, view.depth), view.depth > 0
    rotation = view.camera.T_world_camera[:3, :3]

    def world(vectors: npt.NDArray[np.float64]) -> Floats:
        return (vectors[shown] @ rotation.T).astype(np.float32)

    return Points(
        position=(s.points[shown] @ rotation.T + view.camera.position).astype(np.float32),
        normal=world(s.normals),
        ray=world(s.rays),
        footprint=s.footprint[shown].astype(np.float32),
        colour=view.rgb[shown] / np.float32(255),
        error=_error_map(view)[shown],
        rim=s.rim[shown].astype(np.float32),
    )


def to_gaussians(points: Points, settings: Settings) -> GaussianArrays:
    """One flat Gaussian for each point.

    On a surface that slants by the angle t a pixel's image is 1 / cos(t) long, in the direction in which the ray runs along the surface;
    the Gaussian's axes are that direction, the one beside it, and the normal.
    """
    normal = points.normal.astype(np.float64)
    cosine = np.clip(-(normal * points.ray).sum(1, keepdims=True), 0, 1)
    along = points.ray + cosine * normal
    length = np.linalg.norm(along, axis=1, keepdims=True)
    along = np.where(length > 1e-3, along / np.maximum(length, 1e-3), _across(normal))
    along -= (along * normal).sum(1, keepdims=True) * normal
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    axes = np.stack([along, np.cross(normal, along), normal], -1)

    rim = points.rim > 0
    size = points.footprint * settings.size * np.where(rim, settings.rim_size, 1)
    long = size * np.minimum(1 / np.maximum(cosine[:, 0], 1e-3), settings.stretch)
    return GaussianArrays(
        means=points.position,
        quats=quaternions(axes).astype(np.float32),
        scales=np.stack([long, size, size * settings.thickness], 1).astype(np.float32),
        opacities=np.where(rim, settings.rim_opacity, settings.opacity).astype(np.float32),
        sh=sh_from_rgb(points.colour),
    )


def _across(normal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[N, 3] a unit vector across each normal, any one."""
    helper = np.where(np.abs(normal[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    across = np.cross(normal, helper)
    out: npt.NDArray[np.float64] = across / np.linalg.norm(across, axis=1, keepdims=True)
    return out


def quaternions(rotations: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rotation matrices [N, 3, 3] -> unit quaternions wxyz [N, 4].

    A matrix holds the ten products of the quaternion's parts; the row of the largest square is the quaternion times that part
    (Shepperd 1978), which never divides by a small number.
    """
    r = rotations
    xx, yy, zz = r[:, 0, 0], r[:, 1, 1], r[:, 2, 2]
    wx, wy, wz = r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]
    xy, xz, yz = r[:, 1, 0] + r[:, 0, 1], r[:, 0, 2] + r[:, 2, 0], r[:, 2, 1] + r[:, 1, 2]
    squares = [1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz]
    products = [[squares[0], wx, wy, wz], [wx, squares[1], xy, xz], [wy, xy, squares[2], yz], [wz, xz, yz, squares[3]]]
    rows = np.stack([np.stack(row, 1) for row in products], 1)
    chosen = rows[np.arange(len(r)), np.stack(squares, 1).argmax(1)]
    out: npt.NDArray[np.float64] = chosen / np.linalg.norm(chosen, axis=1, keepdims=True)
    return out
