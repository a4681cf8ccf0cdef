# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels that the scene itself gives: each view's instance map, and a table that says what the instances are.

An instance map is registered to the Gaussians by their blending weights: Gaussian i collects w = sum of T * alpha over the pixels of
each instance, in all views (Dr. Splat's direct registration, with instance numbers in place of features). Its class is the
heaviest, its instance the heaviest of that class, and its confidence the share of its whole weight that the class has. No nearest
pixel is looked up, so a Gaussian behind an edge is not named after what covers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...core.gaussians import GaussianArrays
from ...core.labels import LabelMap
from ...core.views import Instance, View
from ..job import Job
from ..predictors.contract import Prediction
from ..rasterize.contract import Backend, RasterSettings
from .contract import Labelled
from .votes import Ints, Votes, added_up, heaviest


class SceneLabels:
    """The label source "scene"."""

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
        gaussians = prediction.gaussians
        labels = labels.with_names(i.class_name for i in instances.values())
        with job.stage("register labels"):
            gaussian, number, weight = _register(gaussians, views, backend, job)
            notes = []
            if not len(number):
                notes.append("No view has an instance map that shows anything, so everything is unlabelled.")
            class_of = {i.id: labels.id_of(i.class_name) for i in instances.values()}
            known = np.array([class_of.get(int(n), labels.unlabelled) for n in np.unique(number)], dtype=np.int64)
            label_of_entry = known[np.searchsorted(np.unique(number), number)] if len(number) else number
            label, instance, confidence = _decide(len(gaussians), gaussian, label_of_entry, number, weight, labels.unlabelled)
        return Labelled(replace(gaussians, label=label, instance=instance, confidence=confidence), labels, notes)


def _register(
    gaussians: GaussianArrays, views: Sequence[View], backend: Backend, job: Job
) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """(Gaussian, instance number, weight) summed over the views, sorted by Gaussian, then number."""
    votes: list[Votes] = []
    indexed = [(view, view.index) for view in views if view.index is not None]
    frames = backend.prepare_all(gaussians, [view.camera for view, _ in indexed], RasterSettings(), job)
    for place, (view, index) in enumerate(indexed):
        job.progress(place / len(indexed), view.name)
        found = next(frames).register_ids(index)
        votes.append((found.gaussian, found.id, found.weight))
    return added_up(*votes)


def _decide(
    count: int, gaussian: Ints, label: Ints, number: Ints, weight: npt.NDArray[np.float64], unlabelled: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Label, instance and confidence of each of `count` Gaussians, from entries (Gaussian, label, instance number, weight)."""
    whole = np.bincount(gaussian, weight, minlength=count)
    by_class, entry_class = np.unique(gaussian << 32 | label, return_inverse=True)
    class_weight = np.bincount(entry_class, weight, minlength=len(by_class)).astype(np.float64)
    best_class = heaviest(by_class >> 32, class_weight)
    out_label = np.full(count, unlabelled, np.int32)
    confidence = np.zeros(count, np.float32)
    owner = by_class[best_class] >> 32
    out_label[owner] = by_class[best_class] & 0xFFFFFFFF
    confidence[owner] = class_weight[best_class] / np.maximum(whole[owner], 1e-30)

    of_class = np.flatnonzero(out_label[gaussian] == label)
    best = of_class[heaviest(gaussian[of_class], weight[of_class])]
    instance = np.zeros(count, np.int32)
    instance[gaussian[best]] = number[best]
    return out_label, instance, np.clip(confidence, 0, 1)
