# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians from posed pictures with depth, without any training."""

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
from .contract import Prediction
from .fusion import Points, contradicted, merge
from .normals import surface

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    size: float = 0.42
    thin: float = 0.05
    stretch: float = 4.0
    opacity: float = 0.92
    opacity_edge: float = 0.8
    cell: float = 0.7
    weight_edge: float = 0.1
    facing_power: float = 1.0
    foot_power: float = 2.0
    tolerance: float = 0.005
    absorb: float = 0.95
    spills: int = 1
    spill_k: float = 0.0
    spill_o: float = 0.75
    spill_s: float = 0.0
    init: float = 1.0
    rounds: int = 2
    score_edge: float = 2.0
    score_facing: float = 0.5
    absorb_tol: float = 0.25
    gain: float = 0.7
    size_edge: float = 1.0


def _settings(options: Mapping[str, Any]) -> Settings:
    known = {f.name for f in fields(Settings)}
    for name, value in options.items():
        if name not in known:
            raise InvalidInput(f"The predictor 'depth-pass' has no option '{name}'.", f"Options: {', '.join(sorted(known))}.")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidInput(f"The option '{name}' is {value!r}, which is not a number.")
    return Settings(**options)


class DepthPass:
    """The predictor "depth-pass"."""

    def predict(self, views: Sequence[View], options: Mapping[str, Any], job: Job) -> Prediction:
        settings = _settings(options)
        pieces = []
        with job.stage("unproject"):
            for number, view in enumerate(views):
                job.progress(number / len(views), view.name)
                if view.depth is not None and (view.depth > 0).any():
                    pieces.append(unproject(view, number, settings))
        points = Points.concatenate(pieces)
        with job.stage("fuse"):
            keep = ~contradicted(points, views, settings.tolerance, settings.absorb, job, settings.absorb_tol)
            merged = merge(points.select(keep), settings.cell)
        gaussians = to_gaussians(merged, settings)
        from dataclasses import replace

        from ..rasterize.contract import choose
        from .colour import spill

        for _ in range(int(settings.spills)):
            with job.stage("spill"):
                sp = spill(gaussians, views, 0.02, choose(), job)
                gaussians = replace(
                    gaussians,
                    opacities=gaussians.opacities * np.clip((1 - sp) / (1 - settings.spill_k), 0.01, 1) ** settings.spill_o,
                    scales=gaussians.scales * (np.clip(1 - sp, 0.05, 1)[:, None] ** settings.spill_s),
                )
        if settings.rounds:
            from dataclasses import replace

            from ..rasterize.contract import choose
            from .colour import back_project

            with job.stage("colour"):
                c = back_project(gaussians, gaussians.rgb * settings.init + .5 * (1 - settings.init), views, settings.rounds, settings.gain, choose(), job)
                gaussians = replace(gaussians, sh=sh_from_rgb(c))
        return Prediction(gaussians, [], {"points": len(points), "points_contradicted": int((~keep).sum())})


def unproject(view: View, number: int, settings: Settings) -> Points:
    assert view.depth is not None
    depth = view.depth
    s = surface(view.camera, depth)
    valid = depth > 0
    facing = np.maximum(s.facing, 1e-3)
    edge = s.edge
    w = np.where(edge, settings.weight_edge, 1.0) * facing**settings.facing_power / s.footprint**settings.foot_power
    R = view.camera.T_world_camera[:3, :3]
    world = s.points[valid] @ R.T + view.camera.position
    return Points(
        position=world,
        normal=s.normals[valid] @ R.T,
        ray=s.rays[valid] @ R.T,
        footprint=s.footprint[valid],
        score=_score(s, edge, settings)[valid],
        colour=view.rgb[valid] / 255.0,
        weight=w[valid],
        shrink=np.where(s.rim, settings.size_edge, 1.0)[valid],
        opacity=np.where(s.rim, settings.opacity_edge, settings.opacity)[valid],
        view=np.full(valid.sum(), number, np.int32),
    )


def _score(s, edge, settings):
    return s.footprint * np.where(edge, settings.score_edge, 1.0) / np.maximum(s.facing, 0.1) ** settings.score_facing


def to_gaussians(p: Points, settings: Settings) -> GaussianArrays:
    """A pixel's image on the tangent plane is stretched by 1/cos along the ray's projection; the Gaussian is too."""
    n = p.normal / np.linalg.norm(p.normal, axis=1, keepdims=True)
    cos = np.clip(-(n * p.ray).sum(1), 0.0, 1.0)
    along = p.ray + cos[:, None] * n
    length = np.linalg.norm(along, axis=1)
    helper = np.where(np.abs(n[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    other = np.cross(n, helper)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    along = np.where(length[:, None] > 1e-3, along / np.maximum(length, 1e-9)[:, None], other)
    side = np.cross(n, along)
    base = settings.size * p.footprint * p.shrink
    stretch = np.minimum(1 / np.maximum(cos, 1e-3), settings.stretch)
    scales = np.stack([base * stretch, base, base * settings.thin], 1)
    R = np.stack([along, side, n], -1)
    return GaussianArrays(
        p.position.astype(np.float32),
        quaternions(R).astype(np.float32),
        scales.astype(np.float32),
        p.opacity.astype(np.float32),
        sh_from_rgb(p.colour),
    )


def quaternions(R: Array) -> Array:
    """Rotation matrices [N, 3, 3] -> unit quaternions wxyz [N, 4]: the largest of the four squares sets the others (Shepperd 1978)."""
    xx, yy, zz = R[:, 0, 0], R[:, 1, 1], R[:, 2, 2]
    four = np.stack([1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz], 1)
    a, b, c = R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]
    d, e, f = R[:, 1, 0] + R[:, 0, 1], R[:, 0, 2] + R[:, 2, 0], R[:, 2, 1] + R[:, 1, 2]
    rows = np.stack(
        [
            np.stack([four[:, 0], a, b, c], 1),
            np.stack([a, four[:, 1], d, e], 1),
            np.stack([b, d, four[:, 2], f], 1),
            np.stack([c, e, f, four[:, 3]], 1),
        ],
        1,
    )
    q = rows[np.arange(len(R)), four.argmax(1)]
    return q / np.linalg.norm(q, axis=1, keepdims=True)
