# SPDX-License-Identifier: GPL-3.0-or-later
"""Names from the network's closed set: those that the predictor gave with its Gaussians, or else registered from its class maps of the views.

The second way names any Gaussians: each takes the mean of the class shares of the pixels that it shows in, by its blending weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from ...core.labels import LabelMap
from ...core.views import Instance, View
from ..job import Job
from ..predictors.contract import ClassShares, Prediction
from ..rasterize.contract import Backend, RasterSettings
from .contract import Labelled

LEAST_WEIGHT = 1e-6
"""A Gaussian that shows in fewer pixels than this in all was not seen."""


class NetworkLabels:
    """The label source "network"."""

    def label(
        self,
        prediction: Prediction,
        views: Sequence[View],
        labels: LabelMap,
        instances: Mapping[int, Instance],
        backend: Backend,
        job: Job,
    ) -> Labelled:
        classes = prediction.classes or register_classes(prediction, views, backend, job)
        shares = classes.shares
        chosen = shares.argmax(1) if len(shares) else np.zeros(0, np.int64)
        named = shares.sum(1) > 0
        gaussians = replace(
            prediction.gaussians,
            label=np.where(named, chosen, classes.labels.unlabelled).astype(np.int32),
            instance=np.zeros(len(shares), np.int32),
            confidence=shares.max(1, initial=0.0).astype(np.float32),
        )
        return Labelled(gaussians, classes.labels)


def register_classes(
    prediction: Prediction, views: Sequence[View], backend: Backend, job: Job, model: str | None = None
) -> ClassShares:
    """Class shares [N, C] of Gaussians that came without, from the class maps of the views by a trained network, the default one if None."""
    from ..models import weights
    from ..predictors.network import Cancellable, Options, Seen, fastest_device, look, select, usable

    options = Options() if model is None else Options(model=model)
    with job.stage("load network"):
        trained = weights.load(options.model)
    flat, _ = usable(views, options)
    sums = np.zeros((len(prediction.gaussians), trained.network.config.class_count), np.float32)
    for start in range(0, len(flat), options.views):
        some = flat[start : start + options.views]
        with torch.inference_mode(), Cancellable(job), job.stage("name pixels"):
            seen = Seen.of(some, trained.network.config.pixels, options.use_depth)
            some, seen, _ = select(some, seen, options.views)
            device = fastest_device()
            network, seen = trained.network.to(device), seen.to(device)
            maps, _ = look(network, network.encode(seen.rgb, seen.rig), seen, options, job)
            logits = maps.logits
            del maps
        with job.stage("register labels"):
            frames = backend.prepare_all(prediction.gaussians, [view.camera for view in some], RasterSettings(), job)
            for number, (frame, view) in enumerate(zip(frames, some, strict=True)):
                job.progress(number / len(some), view.name)
                sums += frame.register(_shares(logits[number], *view.rgb.shape[:2]))[0]
    total = sums.sum(1, keepdims=True)
    return ClassShares(np.where(total > LEAST_WEIGHT, sums / np.maximum(total, LEAST_WEIGHT), 0), trained.labels)


def _shares(logits: torch.Tensor, height: int, width: int) -> npt.NDArray[np.float32]:
    """Logits [C, h, w] -> class shares of a picture's pixels [height, width, C]."""
    with torch.inference_mode():
        large = F.interpolate(logits[None], size=(height, width), mode="bilinear", align_corners=False)[0]
        shares: npt.NDArray[np.float32] = large.softmax(0).permute(1, 2, 0).contiguous().cpu().numpy()
    return shares
