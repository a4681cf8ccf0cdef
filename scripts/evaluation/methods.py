# SPDX-License-Identifier: GPL-3.0-or-later
"""The network and what it is held against: each makes Gaussians from views.

All are named by registering the same network's class maps of the same views, with depth where the method has depth. "2D labels" are of
each view alone, as a network for pictures gives them; "the network's labels" are of all views together, which is the network's own work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.labels import LabelMap
from splatonym.core.scene import SemanticScene
from splatonym.core.views import View
from splatonym.server import predictors
from splatonym.server.job import Job
from splatonym.server.predictors import depth_pass
from splatonym.server.predictors.contract import ClassMaps, Prediction
from splatonym.server.predictors.fusion import Points
from splatonym.server.rasterize import choice as rasterize
from splatonym.server.semantics.network_labels import NetworkLabels, class_maps


@dataclass(frozen=True)
class Given:
    """views: as the method gets them. model: of the network."""

    views: Sequence[View]
    model: str
    job: Job


@dataclass(frozen=True)
class Method:
    """with_depth: whether its views have depth. labels: class maps for Gaussians that come without."""

    name: str
    with_depth: bool
    make: Callable[[Given], Prediction]
    labels: Callable[[Given], ClassMaps] | None = None

    def scene(self, name: str, given: Given) -> tuple[SemanticScene, Prediction]:
        """A labelled scene, and what the predictor said."""
        backend = rasterize.ready(given.job)
        if not self.with_depth:
            given = replace(given, views=[replace(view, depth=None) for view in given.views])
        made = self.make(given)
        if self.labels:
            made = replace(made, classes=self.labels(given))
        labelled = NetworkLabels().label(made, given.views, LabelMap(()), {}, backend, given.job)
        return SemanticScene(name, labelled.gaussians, labelled.labels), made


def network(given: Given) -> Prediction:
    return predictors.choose("network").predict(given.views, {"model": given.model}, given.job)


def single_views(given: Given) -> Prediction:
    """The network on each view alone, and all Gaussians together. Their class maps vote as everybody's do."""
    made = [predictors.choose("network").predict([view], {"model": given.model}, given.job) for view in given.views]
    parts = [one.gaussians for one in made]
    columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(GaussianArrays)}
    everything = GaussianArrays(**{name: None if some[0] is None else np.concatenate(some) for name, some in columns.items()})
    return Prediction(everything, classes=joined([one.classes for one in made if one.classes]))


def depth(given: Given) -> Prediction:
    return predictors.choose("depth-pass").predict(given.views, {}, given.job)


def naive(given: Given) -> Prediction:
    """Every pixel with depth is a Gaussian: nothing is fused, dropped, merged or corrected."""
    options = depth_pass.Options()
    points = Points.concatenate([depth_pass.unproject(view, options) for view in given.views])
    return Prediction(depth_pass.to_gaussians(points, options))


def plane_sweep(given: Given) -> Prediction:
    return predictors.choose("plane-sweep").predict(given.views, {}, given.job)


def labels_together(given: Given) -> ClassMaps:
    return class_maps(given.views, given.job, given.model)[0]


def labels_2d(given: Given) -> ClassMaps:
    return joined([class_maps([view], given.job, given.model)[0] for view in given.views])


def joined(maps: Sequence[ClassMaps]) -> ClassMaps:
    views = [view for one in maps for view in one.views]
    return ClassMaps(views, np.concatenate([one.logits for one in maps]), maps[0].labels)


METHODS = (
    Method("network, RGB", False, network),
    Method("network, depth", True, network),
    Method("single view, RGB", False, single_views),
    Method("plane-sweep + 2D labels, RGB", False, plane_sweep, labels_2d),
    Method("depth-pass + 2D labels, depth", True, depth, labels_2d),
    Method("depth-pass + network's labels", True, depth, labels_together),
    Method("naive + 2D labels, depth", True, naive, labels_2d),
)
