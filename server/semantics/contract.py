# SPDX-License-Identifier: GPL-3.0-or-later
"""What a label source does: Gaussians in, the same Gaussians with label, instance and confidence out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ...core.codebook import Codebook
from ...core.gaussians import GaussianArrays
from ...core.labels import LabelMap
from ...core.views import Instance, View
from ..job import Job
from ..predictors.contract import Prediction
from ..rasterize.contract import Backend


@dataclass(frozen=True)
class Labelled:
    """gaussians: with label, instance and confidence. labels: what the ids mean. notes: sentences for the person.
    instances: what the instance numbers are, where the source says so and not the views. codebook: what the Gaussians' words are, if it has any.
    """

    gaussians: GaussianArrays
    labels: LabelMap
    notes: list[str] = field(default_factory=list)
    instances: Mapping[int, Instance] | None = None
    codebook: Codebook | None = None


class LabelSource(Protocol):
    """Names Gaussians."""

    def prepare(self, labels: LabelMap, job: Job) -> None:
        """Refuse what cannot work before any work is done, and load what `label` needs."""

    def label(
        self,
        prediction: Prediction,
        views: Sequence[View],
        labels: LabelMap,
        instances: Mapping[int, Instance],
        backend: Backend,
        job: Job,
    ) -> Labelled:
        """labels and instances: what the numbers in the views' instance maps are; a source that has names of its own returns those."""
