# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a network in training does on rooms it does not train on: always the same views of every room, at the size it trains on."""

from __future__ import annotations

import numpy as np
import torch

from ...core import metrics
from ..models.geometry import wide_range
from ..models.lifting import lift
from ..models.network import Network
from ..rasterize.contract import Backend
from .augment import shrink
from .drawing import draw
from .rooms import Rooms, scene_of

INPUTS, TARGETS = (0, 2, 5, 7), (1, 3, 4, 6)


def validate(network: Network, rooms: Rooms, backend: Backend, side: int, give_depth: bool) -> dict[str, float]:
    """Means over the rooms: depth abs-rel and share within 25% in the input views; of drawn target views, where covered, PSNR (dB), mIoU
    over all pixels of all rooms, and accuracy; Gaussians per input pixel. Classes are those that the Gaussians are drawn with in training, not
    registered ones as the product has them.
    """
    count = network.config.class_count
    depth_error, close, psnr, share = [], [], [], []
    confusion = np.zeros((count, count + 1), np.int64)
    device = next(network.parameters()).device
    with torch.no_grad():
        for room in rooms.rooms.values():
            scene = scene_of(room)
            scene.classes[(scene.depth == 0) | (scene.classes == 0)] = -1
            scene = shrink(scene, side).to(device)
            inputs, targets = scene.pick(torch.tensor(INPUTS)), scene.pick(torch.tensor(TARGETS))
            given = inputs.depth if give_depth else torch.zeros_like(inputs.depth)
            encoded = network.encode(inputs.rgb, inputs.rig)
            maps = network.decode(encoded, inputs.rgb, inputs.rig, given, *wide_range(inputs.rig))
            known = inputs.depth > 0
            ratio = (maps.depth / inputs.depth)[known]
            depth_error.append(float((ratio - 1).abs().mean()))
            close.append(float((torch.maximum(ratio, 1 / ratio) < 1.25).float().mean()))
            splats, _ = network.points.splats(lift(maps, inputs.rgb, inputs.rig, given), inputs.rig)
            drawn = draw(splats, targets.rig, backend, network.config.own_semantics)
            covered = drawn.alpha > 0.5
            error = (drawn.rgb - targets.rgb).square().mean(1)[covered].mean()
            psnr.append(float(-10 * torch.log10(error)))
            judged = (covered & (targets.classes >= 0)).cpu().numpy()
            true, found = targets.classes.cpu().numpy(), drawn.classes.argmax(1).cpu().numpy()
            confusion += metrics.confusion(found, true, count, judged)
            share.append(len(splats) / inputs.depth.numel())
    return {
        "abs_rel": float(np.mean(depth_error)),
        "within_25": float(np.mean(close)),
        "psnr": float(np.mean(psnr)),
        "miou": metrics.mean_iou(confusion),
        "accuracy": metrics.accuracy(confusion),
        "gaussians_per_pixel": float(np.mean(share)),
    }
