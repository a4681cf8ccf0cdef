# SPDX-License-Identifier: GPL-3.0-or-later
"""Variations of a scene that leave its truth true: which views, mirrored, how bright, how sharp, how large, and which depth is given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.geometry import Rig, wide_range
from .rooms import Scene


@dataclass(frozen=True)
class Example:
    """inputs: what the network sees, given: [V, H, W] the depth it is given (0 none), targets: views to be drawn, near and far for the sweep."""

    inputs: Scene
    given: Tensor
    targets: Scene
    near: float
    far: float


VIEW_COUNTS = {1: 0.08, 2: 0.26, 3: 0.2, 4: 0.35, 6: 0.07, 8: 0.04}


def example(scene: Scene, rng: np.random.Generator, depth_drop: float, targets: int = 2) -> Example:
    """A random task from a scene: some views in, others to be drawn, everything varied.

    depth_drop: how often no depth at all is given.
    """
    scene = mirror(scene) if rng.random() < 0.5 else scene
    count = int(rng.choice(list(VIEW_COUNTS), p=list(VIEW_COUNTS.values())))
    order = torch.from_numpy(rng.permutation(len(scene)))
    count = min(count, len(scene) - 1)
    if count > 1:  # nothing tells the scale of one view but habit: metres
        scene = rescale(scene, math.exp(rng.uniform(-1.0, 1.0)))
    inputs = scene.pick(order[:count])
    others = scene.pick(order[count : count + targets])
    near, far = sweep_range(inputs, rng)
    inputs, others = develop(inputs, others, rng)  # alike, or the Gaussians' colours would be held against another film
    varied = Scene(photograph(inputs.rgb, rng), inputs.depth, inputs.classes, inputs.rig)
    given = torch.zeros_like(inputs.depth) if rng.random() < depth_drop else give_depth(inputs.depth, rng)
    return Example(varied, given, others, near, far)


def mirror(scene: Scene) -> Scene:
    """The scene in a mirror."""
    return Scene(scene.rgb.flip(-1), scene.depth.flip(-1), scene.classes.flip(-1), scene.rig.mirrored())


def shrink(scene: Scene, side: int) -> Scene:
    """The scene with pictures of `side` pixels a side: cheaper, for the first part of a training."""
    size = (side, side)
    rgb = F.interpolate(scene.rgb, size=size, mode="bilinear", align_corners=False, antialias=True)
    depth = F.interpolate(scene.depth[:, None], size=size, mode="nearest-exact")[:, 0]
    classes = F.interpolate(scene.classes[:, None].float(), size=size, mode="nearest-exact")[:, 0].long()
    return Scene(rgb, depth, classes, scene.rig.resized(side, side))


def rescale(scene: Scene, factor: float) -> Scene:
    """The scene in other units."""
    T = scene.rig.T_world_camera.clone()
    T[:, :3, 3] *= factor
    rig = Rig(scene.rig.K, T, scene.rig.height, scene.rig.width)
    return Scene(scene.rgb, scene.depth * factor, scene.classes, rig)


def develop(inputs: Scene, others: Scene, rng: np.random.Generator) -> tuple[Scene, Scene]:
    """All pictures as on another film: colour cast, contrast and gamma, the same for all."""
    uniform = rng.uniform
    cast = torch.tensor(uniform(-0.12, 0.12, 3), dtype=inputs.rgb.dtype).exp()[:, None, None] * math.exp(uniform(-0.2, 0.2))
    gamma, contrast = math.exp(uniform(-0.25, 0.25)), uniform(0.6, 1.3)

    def of(scene: Scene) -> Scene:
        out = scene.rgb.clamp(min=1e-4) ** gamma * cast
        grey = out.mean(1, keepdim=True)
        return Scene((grey + (out - grey) * contrast).clamp(0, 1), scene.depth, scene.classes, scene.rig)

    return of(inputs), of(others)


def photograph(rgb: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures [V, 3, H, W] as a camera might take them one by one: exposure, blur and noise of each."""
    uniform = rng.uniform
    out = rgb
    if rng.random() < 0.5:
        out = out * torch.tensor(uniform(-0.08, 0.08, (len(rgb), 1, 1, 1)), dtype=rgb.dtype).exp()
    if rng.random() < 0.2:
        soft = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        out = torch.lerp(out, soft, float(uniform(0.3, 1.0)))
    if rng.random() < 0.4:
        noise = torch.from_numpy(rng.standard_normal(out.shape, dtype=np.float32))
        out = out + noise * uniform(0.003, 0.03)
    return out.clamp(0, 1)


def give_depth(depth: Tensor, rng: np.random.Generator) -> Tensor:
    """True depth as a source may give it: exact from a renderer, or rough and with holes; perhaps not for every view."""
    given = depth.clone()
    if rng.random() < 0.5:
        return given
    V, H, W = depth.shape
    for view in range(V):
        if rng.random() < 0.15:
            given[view] = 0
            continue
        for _ in range(int(rng.integers(0, 6))):
            h, w = rng.integers(8, H // 2), rng.integers(8, W // 2)
            top, left = rng.integers(0, H - h), rng.integers(0, W - w)
            given[view, top : top + h, left : left + w] = 0
    if rng.random() < 0.5:
        given = given * (1 + 0.01 * torch.from_numpy(rng.standard_normal(given.shape, dtype=np.float32)))
    if rng.random() < 0.3:  # some pixels are wrong altogether
        wrong = torch.from_numpy(rng.random(given.shape) < 0.02)
        given = torch.where(wrong, given * float(rng.uniform(0.5, 2)), given)
    return given


def sweep_range(scene: Scene, rng: np.random.Generator) -> tuple[float, float]:
    """A near and far: as the cameras give them, or now and then around the truth, as somebody who knows the place may."""
    if rng.random() < 0.75:
        near, far = wide_range(scene.rig)
        return near * math.exp(rng.uniform(-0.3, 0.3)), far * math.exp(rng.uniform(-0.3, 0.3))
    seen = scene.depth[scene.depth > 0]
    low, high = (float(v) for v in torch.quantile(seen[:: max(1, len(seen) // 20000)], torch.tensor([0.005, 0.995])))
    return low * math.exp(-rng.uniform(0.05, 0.8)), high * math.exp(rng.uniform(0.05, 0.8))
