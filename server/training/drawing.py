# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of splats, differentiable, through whatever rasterizer there is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.cameras import Camera
from ..models.geometry import Rig
from ..models.points import Splats
from ..rasterize.contract import Backend

ALPHA_STRAIGHT = 0.5


@dataclass(frozen=True)
class Drawn:
    """rgb: [V, 3, H, W] straight colour where at least half covered. classes: [V, C, H, W] shares, summing to alpha. depth, alpha: [V, H, W]."""

    rgb: Tensor
    classes: Tensor
    depth: Tensor
    alpha: Tensor


def cameras(rig: Rig) -> list[Camera]:
    """The rig as the rasterizer takes it."""
    return [
        Camera(rig.width, rig.height, K.double().cpu().numpy(), T.double().cpu().numpy())
        for K, T in zip(rig.K, rig.T_world_camera, strict=True)
    ]


def draw(splats: Splats, rig: Rig, backend: Backend, own_semantics: bool) -> Drawn:
    """Colours and class shares of the splats in each view."""
    shares = splats.logits.softmax(1)
    views = cameras(rig)
    features = splats.colours if own_semantics else torch.cat([splats.colours, shares], 1)
    picture = backend.rasterize(splats.means, splats.quats, splats.scales, splats.opacities, features, views)
    alpha = picture.alpha
    if own_semantics:
        own = backend.rasterize(splats.means, splats.quats, splats.own_scales, splats.own_opacities, shares, views)
        classes, covered = own.features, own.alpha
    else:
        classes, covered = picture.features[..., 3:], alpha
    straight = picture.features[..., :3] / torch.where(alpha >= ALPHA_STRAIGHT, alpha, torch.ones_like(alpha))[..., None]
    classes = classes / covered.clamp(min=1e-3)[..., None]
    return Drawn(straight.permute(0, 3, 1, 2), classes.permute(0, 3, 1, 2), picture.depth, alpha)
