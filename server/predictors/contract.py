# SPDX-License-Identifier: GPL-3.0-or-later
"""What a predictor does: posed views in, Gaussians out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...core.gaussians import GaussianArrays
from ...core.labels import LabelMap
from ...core.views import View
from ..job import Job


@dataclass(frozen=True)
class ClassMaps:
    """What views show, pixel by pixel: logits [V, C, h, w] float32 over the first C names of `labels`, of V views, at any resolution."""

    views: Sequence[View]
    logits: npt.NDArray[np.float32]
    labels: LabelMap


@dataclass(frozen=True)
class Prediction:
    """gaussians: in the views' world, without labels.
    notes: sentences for the person (views that were left out, and why).
    figures: numbers for the report, by name.
    classes: what the predictor sees in its views, if it names things.
    """

    gaussians: GaussianArrays
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    classes: ClassMaps | None = None


class Predictor(Protocol):
    """Makes Gaussians from views."""

    def predict(self, views: Sequence[View], options: Mapping[str, Any], job: Job) -> Prediction:
        """Views are validated and at least one; they may lack depth and differ in size. An option that is unknown is refused by name.

        Long work runs inside `job.stage(...)` and calls `job.check()` at least every 0.2 s.
        """
