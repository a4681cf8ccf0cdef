# SPDX-License-Identifier: GPL-3.0-or-later
"""From scores to what is meant: which Gaussians, and which things. Both sides choose: the server at once, the panel as its slider moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InvalidInput
from .labels import LabelMap
from .scene import SemanticScene
from .views import Instance

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

LEVELS = ("part", "object", "group")
"""part: Gaussian by Gaussian. object: whole things, those that fit in the mean. group: those, and all others of the same class."""
LEAST = 0.5
"""A relevancy of one half: the question fits no better than something else. Below it nothing is meant, unless a person says so."""
BEST = 0.25
"""What is meant lies at least so far above LEAST, as a share of what the best has above it: beside a clear hit a faint one is none."""
BINS = 64


@dataclass(frozen=True)
class Choice:
    """chosen: [N] bool. things: those meant, as (instance number, mean score), the best first."""

    chosen: Mask
    things: list[tuple[int, float]]


@dataclass(frozen=True)
class Named:
    """What Gaussians are, as far as a choice needs it. instance: [N] int32, 0 for none. label: [N] int32, or None."""

    instance: npt.NDArray[np.int32]
    label: npt.NDArray[np.int32] | None
    labels: LabelMap
    instances: Mapping[int, Instance]

    @classmethod
    def of(cls, scene: SemanticScene) -> Named:
        g = scene.gaussians
        instance = np.zeros(len(g), np.int32) if g.instance is None else g.instance
        return cls(instance, g.label, scene.labels, scene.instances)


def choose(named: Named, scores: Floats, level: str, limit: float) -> Choice:
    """What is meant, by scores [N] of Gaussians and the least score."""
    if level not in LEVELS:
        raise InvalidInput(f"There is no level '{level}'.", f"Levels: {', '.join(LEVELS)}.")
    if not 0 <= limit <= 1:
        raise InvalidInput(f"The threshold cannot be {limit:g}.", "It lies from 0 to 1.")
    instance = named.instance
    mean = thing_scores(scores, instance)
    fits = mean >= limit
    fits[0] = False
    chosen: Mask = scores >= limit
    if level != "part":
        chosen = np.where(instance > 0, np.take(fits, instance), chosen)
    order = np.flatnonzero(fits)
    order = order[np.argsort(-mean[order], kind="stable")]
    things = [(int(n), float(mean[n])) for n in order]
    if level == "group" and named.label is not None:
        meant = np.zeros(len(named.labels), bool)
        meant[[named.labels.id_of(named.instances[n].class_name) for n, _ in things if n in named.instances]] = True
        meant[named.labels.unlabelled] = False
        chosen = chosen | np.take(meant, named.label)
    return Choice(chosen, things)


def thing_scores(scores: Floats, instance: npt.NDArray[np.int32]) -> Floats:
    """[highest number + 1] mean score of each thing's Gaussians: the score names the thing, the thing gives the edge (COS3D)."""
    count = int(instance.max(initial=0)) + 1
    mean = np.bincount(instance, scores, minlength=count) / np.maximum(np.bincount(instance, minlength=count), 1)
    return mean.astype(np.float32)


def threshold(scores: Floats, weights: npt.NDArray[Any] | None = None, least: float = LEAST) -> float:
    """Where the histogram of scores falls into two groups (Otsu 1979), not below `least` and not far below a clear best."""
    counts, edges = np.histogram(scores, bins=BINS, range=(0.0, 1.0), weights=weights)
    middles = 0.5 * (edges[1:] + edges[:-1])
    below, mass = np.cumsum(counts), np.cumsum(counts * middles)
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    between = np.nan_to_num(between)
    beside = least + BEST * max(0.0, float(scores.max(initial=0)) - least)
    return max(beside, float(edges[1:][between.argmax()])) if between.any() else beside


def things_as_json(instances: Mapping[int, Instance], choice: Choice) -> list[dict[str, Any]]:
    """The things that are meant, with their names."""
    unnamed = Instance(0, "", "")
    found = [(number, score, instances.get(number, unnamed)) for number, score in choice.things]
    return [
        {"id": number, "name": one.name or f"thing {number}", "class": one.class_name, "score": round(score, 4)}
        for number, score, one in found
    ]
