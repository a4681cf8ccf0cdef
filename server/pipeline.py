# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job as a story: posed views become Gaussians, the Gaussians get their labels, and both become a scene with a report."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..core.errors import InvalidInput
from ..core.labels import LabelMap
from ..core.scene import SemanticScene
from ..core.views import Instance, View
from . import predictors, semantics
from .job import Job
from .rasterize import choice as rasterize


@dataclass(frozen=True)
class PredictRequest:
    """Everything that a prediction needs; the server asks for nothing more.

    name: what the scene will be called.
    views: posed pictures; which of depth and index they need is the predictor's and the label source's affair.
    labels, instances: what the numbers in the views' instance maps are.
    predictor, label_source: who makes the Gaussians, and who names them.
    options, label_options: the predictor's and the label source's own settings.
    """

    name: str
    views: Sequence[View]
    labels: LabelMap
    instances: Mapping[int, Instance]
    predictor: str = "depth-pass"
    label_source: str = "scene"
    options: Mapping[str, Any] = field(default_factory=dict)
    label_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PredictResult:
    """A scene, and a report (JSON) of what made it: parts used, devices, counts, seconds for each stage, notes."""

    scene: SemanticScene
    report: dict[str, Any]


def predict(request: PredictRequest, job: Job) -> PredictResult:
    """Views to labelled scene. The predictor and the label source name their own stages."""
    if not request.views:
        raise InvalidInput("There is no view to predict from.", "Choose at least one camera.")
    for view in request.views:
        view.validate()
    predictor = predictors.choose(request.predictor)
    label_source = semantics.choose(request.label_source, request.label_options)
    label_source.prepare(request.labels, job)
    backend = rasterize.ready(job)

    prediction = predictor.predict(request.views, request.options, job)
    labelled = label_source.label(prediction, request.views, request.labels, request.instances, backend, job)

    instances = request.instances if labelled.instances is None else labelled.instances
    scene = SemanticScene(request.name, labelled.gaussians, labelled.labels, instances, labelled.codebook)
    report = {
        "predictor": request.predictor,
        "label_source": request.label_source,
        **({"label_model": scene.codebook.model, "words": len(scene.codebook)} if scene.codebook is not None else {}),
        **rasterize.describe(backend),
        **torch_facts(),
        "views": len(request.views),
        "gaussians": len(scene.gaussians),
        "counts": scene.counts(),
        "notes": [*prediction.notes, *labelled.notes],
        **prediction.figures,
        "timings": dict(job.timings),
        "peak_memory_mb": peak_memory_mb(),
    }
    return PredictResult(scene, report)


def torch_facts() -> dict[str, str]:
    """torch's version and device, which are not the rasterizer's: without a CUDA compiler a GPU still runs networks."""
    return {"torch": torch.__version__, "torch_device": "cuda" if torch.cuda.is_available() else "cpu"}


def peak_memory_mb() -> float | None:
    """The most memory that this process ever held, in MiB; None on Windows, which does not say it this way."""
    if sys.platform == "win32":
        return None
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would begin with what the process held that started this one
        peak = next((line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")), None)
        if peak is not None:
            return round(int(peak) / 1024, 1)
    import resource

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def capabilities() -> dict[str, Any]:
    """What this server can do, for `hello` and `doctor`."""
    from .models import weights

    backend = rasterize.choose()
    return {
        **torch_facts(),
        "device": backend.device,
        "rasterizer": rasterize.describe(backend),
        "backends": [name for name in rasterize.BACKENDS if rasterize.obstacle(name) is None],
        "predictors": predictors.names(),
        "models": weights.names(),
        "label_sources": semantics.names(),
    }
