# SPDX-License-Identifier: GPL-3.0-or-later
"""Gaussians from posed pictures by matching them, without any training: a baseline for the network, and a way without its weights.

The same path as the network's (network.py), with matching.py in place of the network and plain splats in place of its head: a first look
over all depths that the cameras allow, a second over those that it found. Depth that is given is used. What is blank or shiny, and what only one
view sees, has depth only by its neighbours' example. It names nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.errors import InvalidInput
from ...core.views import View
from ..job import Job
from ..models.consensus import consensus
from ..models.geometry import Rig, focus, surface_normals, wide_range
from ..models.network import Maps
from ..models.points import EDGE_WEIGHT, LEAST_FACING, MERGE_CELL, OPACITY, Maps2D, Points, Splats, edges, merge, to_splats
from ..rasterize import choice as rasterize
from ..torch_work import Cancellable
from . import network
from .contract import Prediction
from .matching import UNSURE, Matched, match
from .network import Seen, lift_views, select, to_arrays, usable
from .refine import fade_spill, recolour

PIXELS = 160 * 160
"""Of a picture while it is matched, about."""
SURE = 0.5
"""Confidence from which a depth of the first look says where to look again."""
LEAST_SURE = 0.02
"""Share of sure pixels below which the first look says nothing."""
_OPTIONS = ("far", "holes", "near", "rounds", "use_depth", "views")


def read_options(values: Mapping[str, Any]) -> network.Options:
    """The network's options but for its model; an unknown one, or a value that it cannot have, raises InvalidInput."""
    for name in values:
        if name not in _OPTIONS:
            raise InvalidInput(f"The predictor 'plane-sweep' has no option '{name}'.", f"Options: {', '.join(_OPTIONS)}.")
    return network.read_options(values)


class PlaneSweep:
    """The predictor "plane-sweep"."""

    def predict(self, views: Sequence[View], options: Mapping[str, Any], job: Job) -> Prediction:
        chosen = read_options(options)
        views, notes = usable(views, chosen)
        with torch.inference_mode(), Cancellable(job):
            seen = Seen.of(views, PIXELS, chosen.use_depth)
            views, seen, more = select(views, seen, chosen.views)
            notes += more
            _check_baseline(views, seen)
            with job.stage("sweep depth"):
                matched, bounds = look(seen, chosen, job)
            with job.stage("gather points"):
                lifted = lift_views(to_maps(matched, seen), views, chosen)
                told = (matched.confidence > UNSURE).any(2).any(1)[:, None, None] | (lifted.maps.trust > 0.5)
                maps = replace(lifted.maps, solid=lifted.maps.solid & told)  # a view that none agrees with says nothing
                _check_agreement(maps)
                gaussians = to_arrays(plain_splats(maps, lifted.rig))
            known = [replace(v, depth=d.numpy()) for v, d in zip(views, maps.depth * maps.solid, strict=True)]
            figures = {
                "near": round(bounds[0], 4), "far": round(bounds[1], 4), "points": int(maps.solid.sum()),
                "views_with_depth": sum(v.depth is not None for v in views) if chosen.use_depth else 0,
            }  # fmt: skip
        backend = rasterize.choose()
        with job.stage("refine opacity"):
            gaussians = fade_spill(gaussians, known, backend, job)
        with job.stage("refine colour"):
            gaussians = recolour(gaussians, known, chosen.rounds, backend, job)
        return Prediction(gaussians, notes, figures)


def _check_baseline(views: Sequence[View], seen: Seen) -> None:
    """Without two places to look from, depth must be given."""
    if (seen.depth > 0).any(dim=(1, 2)).all() or focus(seen.rig) > 0:
        return
    what = "There is one view" if len(views) == 1 else "All cameras stand in one place"
    raise InvalidInput(
        f"{what}, and without depth the predictor 'plane-sweep' needs two.", "Add a camera elsewhere, or give depth."
    )


def _check_agreement(maps: Maps2D) -> None:
    if not maps.solid.any():
        raise InvalidInput(
            "No view shows anything that another one shows too.", "Check the cameras' poses, or move them closer together."
        )


def look(seen: Seen, options: network.Options, job: Job) -> tuple[Matched, tuple[float, float]]:
    """Depth over the range that was asked for, or over what a first look is sure of; and that range."""
    known = seen.depth[seen.depth > 0]
    if options.near > 0:
        bounds = (options.near, options.far)
    elif (seen.depth > 0).any(dim=(1, 2)).all():
        bounds = network.around(known)
    else:
        bounds = wide_range(seen.rig)
        half = (seen.rig.height // 2, seen.rig.width // 2)
        first = match(F.interpolate(seen.rgb, size=half, mode="area"), seen.rig.resized(*half), *bounds, job)
        job.progress(0.5)
        sure = torch.cat([first.depth[first.confidence >= SURE], known])
        if len(sure) >= LEAST_SURE * first.depth.numel():
            bounds = network.around(sure)
    if len(seen.rig) == 1:
        return Matched(torch.full_like(seen.depth, bounds[1]), torch.full_like(seen.depth, UNSURE)), bounds
    return match(seen.rgb, seen.rig, *bounds, job), bounds


def to_maps(matched: Matched, seen: Seen) -> Maps:
    """What was matched as the network would say it: given depth followed wherever there is any, no classes, no features."""
    trust = (seen.depth > 0).to(matched.depth.dtype)
    depth = torch.where(seen.depth > 0, seen.depth, matched.depth)
    normals, smooth = surface_normals(depth, seen.rig)
    nothing = torch.zeros_like(depth)[:, None]
    return Maps(
        depth=depth,
        predicted_depth=matched.depth,
        trust_logits=torch.ones_like(trust),
        confidence=torch.maximum(matched.confidence, trust),
        plane_logits=nothing,
        coarse_depth=depth,
        trust=trust,
        normals=torch.where(smooth[..., None], normals, -F.normalize(seen.rig.rays(), dim=-1)),
        logits=nothing,
        features=nothing,
    )


def plain_splats(maps: Maps2D, rig: Rig) -> Splats:
    """What models/points.py makes of maps with a head that changes nothing."""
    rays = rig.rays()
    lengths = rays.norm(dim=-1)
    world = rig.T_world_camera[:, :3, :3]
    jumps = edges(maps.depth)
    agreed = consensus(rig.unproject(maps.depth), maps, jumps, rig)
    footprint = maps.depth / rig.focal()[:, None, None]
    facing = (-(maps.normals * rays).sum(-1) / lengths).clamp(min=LEAST_FACING)
    weight = maps.confidence * facing / footprint**2 * torch.where(jumps, EDGE_WEIGHT, 1.0)
    kept = agreed.kept & maps.solid

    def turned(vectors: Tensor) -> Tensor:
        return torch.einsum("vij,vhwj->vhwi", world, vectors)[kept]

    opacity, stretch = torch.full_like(footprint, OPACITY)[kept], rays.new_ones(int(kept.sum()), 3)
    points = Points(
        position=agreed.positions[kept],
        ray=turned(rays / lengths[..., None]),
        normal=turned(maps.normals),
        footprint=footprint[kept],
        stretch=stretch,
        opacity=opacity,
        colour=maps.rgb.permute(0, 2, 3, 1)[kept],
        logits=maps.logits.permute(0, 2, 3, 1)[kept],
        weight=weight[kept],
        own_opacity=opacity,
        own_stretch=stretch,
    )
    return to_splats(merge(points, MERGE_CELL))
