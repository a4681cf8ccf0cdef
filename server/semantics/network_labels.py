# SPDX-License-Identifier: GPL-3.0-or-later
"""Names from the network's closed set, registered from its class maps of the views.

Each Gaussian takes the mean of the class shares of the pixels that it shows in, by its blending weights: views vote on what they see
together. So any Gaussians are named, whoever made them. Votes of all views name the network's own Gaussians better than the class of the
one pixel that each came from (docs/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ...core.gaussians import GaussianArrays
from ...core.labels import LabelMap
from ...core.views import Instance, View
from ..job import Job
from ..predictors.contract import ClassMaps, Prediction
from ..rasterize.contract import Backend, RasterSettings
from ..torch_work import Cancellable, fastest_device
from .contract import Labelled

LEAST_WEIGHT = 1e-6
"""A Gaussian that shows in fewer pixels than this in all was not seen."""


class NetworkLabels:
    """The label source "network"."""

    def prepare(self, labels: LabelMap, job: Job) -> None:
        """Nothing to do."""

    def label(
        self,
        prediction: Prediction,
        views: Sequence[View],
        labels: LabelMap,
        instances: Mapping[int, Instance],
        backend: Backend,
        job: Job,
    ) -> Labelled:
        notes: list[str] = []
        maps = prediction.classes
        if maps is None:
            maps, notes = class_maps(views, job)
        shares = register(prediction.gaussians, maps, backend, job)
        named = shares.sum(1) > 0
        gaussians = replace(
            prediction.gaussians,
            label=np.where(named, shares.argmax(1), maps.labels.unlabelled).astype(np.int32),
            instance=np.zeros(len(shares), np.int32),
            confidence=shares.max(1).astype(np.float32),
        )
        return Labelled(gaussians, maps.labels, notes)


def class_maps(views: Sequence[View], job: Job, model: str | None = None) -> tuple[ClassMaps, list[str]]:
    """What a trained network, the default one if None, sees in all views that it can use, some at a time; and which it cannot use."""
    from ..models import weights
    from ..predictors.network import Options, Seen, bounds_of, class_logits, usable

    options = Options() if model is None else Options(model=model)
    with job.stage("load network"):
        trained = weights.load(options.model)
    flat, notes = usable(views, options)
    logits: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(flat), options.views):
        with torch.inference_mode(), Cancellable(job), job.stage("name pixels"):
            some = flat[start : start + options.views]
            seen = Seen.of(some, trained.network.config.pixels, options.use_depth)
            device = fastest_device()
            network, seen = trained.network.to(device), seen.to(device)
            bounds = bounds_of(seen, options)
            maps = network.decode(network.encode(seen.rgb, seen.rig), seen.rgb, seen.rig, seen.depth, *bounds)
            logits.append(class_logits(network, maps, seen, bounds, options).cpu().numpy())
    return ClassMaps(flat, np.concatenate(logits), trained.labels), notes


def register(gaussians: GaussianArrays, maps: ClassMaps, backend: Backend, job: Job) -> npt.NDArray[np.float32]:
    """Class shares [N, C] of Gaussians; a row sums to 1, or to 0 for one that shows in no view."""
    sums = np.zeros((len(gaussians), maps.logits.shape[1]), np.float32)
    with job.stage("register labels"):
        frames = backend.prepare_all(gaussians, [view.camera for view in maps.views], RasterSettings(), job)
        for number, (frame, view) in enumerate(zip(frames, maps.views, strict=True)):
            job.progress(number / len(maps.views), view.name)
            sums += frame.register(_shares(maps.logits[number], *view.rgb.shape[:2]))[0]
    total = sums.sum(1, keepdims=True)
    return np.where(total > LEAST_WEIGHT, sums / np.maximum(total, LEAST_WEIGHT), 0)


def _shares(logits: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    """Logits [C, h, w] -> class shares of a picture's pixels [height, width, C]."""
    with torch.inference_mode():
        large = F.interpolate(torch.from_numpy(logits)[None], size=(height, width), mode="bilinear", align_corners=False)[0]
        shares: npt.NDArray[np.float32] = large.softmax(0).permute(1, 2, 0).contiguous().numpy()
    return shares
