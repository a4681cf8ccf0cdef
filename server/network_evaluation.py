# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of a room that was predicted by some method: pictures, depth, classes in 2D and 3D, size, time and memory.

Pictures and classes are judged in held-out views, depth also in the inputs' own, each as in evaluation.py: on all pixels, and on those
whose surface an input saw. Classes in 3D: a Gaussian's true class is that of the surface that its centre lies on, by the true
depth of all frames. What a method is not given (depth) still says which pixels were seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from ..core import metrics
from ..core.gaussians import GaussianArrays
from ..core.labels import LabelMap
from ..core.scene import SemanticScene
from ..core.views import View
from .captures import Capture
from .evaluation import Counts, Evaluation, Group, Scores, class_table, evaluate, translation
from .job import Job

ON_SURFACE = 0.03
"""Share of the depth by which a Gaussian's centre may miss the surface that it is held to lie on."""


@dataclass(frozen=True)
class LabelAccuracy:
    """Shares of opacity with the right class. all: Gaussians that lie on no surface count as wrong. on_surface: they are left out.
    share: how much lies on a surface.
    """

    all: float
    on_surface: float
    share: float


@dataclass(frozen=True)
class RoomFigures:
    """held_out, inputs: means over such frames (None without any), each on all pixels and on seen ones. counts: confusions of held-out frames,
    all pixels and seen ones. labels: of the Gaussians. seconds and megabytes (the most held) of the prediction with its labels.
    """

    room: str
    held_out: Group | None
    inputs: Group | None
    all_counts: Counts
    seen_counts: Counts
    labels: LabelAccuracy
    gaussians: int
    seconds: float
    megabytes: float | None


def room_figures(
    scene: SemanticScene, truth: Capture, inputs: Sequence[View], seconds: float, megabytes: float | None, job: Job
) -> RoomFigures:
    """Judge a scene; `inputs` are its views as the truth has them, with depth even where the method had none."""
    judged = evaluate(scene, truth, inputs, job)
    held_out = [frame for frame in judged.frames if not frame.is_input]
    classes = len(truth.labels or LabelMap(()))
    nothing = np.zeros((classes, classes + 1), np.int64)
    return RoomFigures(
        room=scene.name,
        held_out=_group(judged, "held-out"),
        inputs=_group(judged, "input"),
        all_counts=sum((frame.all_counts for frame in held_out), nothing),
        seen_counts=sum((frame.seen_counts for frame in held_out), nothing),
        labels=label_accuracy(scene, truth, truth.views(job)),
        gaussians=len(scene.gaussians),
        seconds=seconds,
        megabytes=megabytes,
    )


def _group(judged: Evaluation, title: str) -> Group | None:
    return next((group for group in judged.groups if group.title == title), None)


def label_accuracy(scene: SemanticScene, truth: Capture, frames: Sequence[View]) -> LabelAccuracy:
    """How much of the Gaussians has the class of the surface that it lies on; nan without classes or Gaussians."""
    labels, g = truth.labels or LabelMap(()), scene.gaussians
    true, touched = true_classes(g, frames, class_table(labels, truth.instances), len(labels))
    judged = (true >= 0) | ~touched  # what lies on a surface that nobody named is not judged
    told = np.full(len(g), -1, np.int32) if g.label is None else translation(scene.labels, labels)[g.label]
    weight = g.opacities.astype(np.float64)
    right, on, every = (float(weight[m].sum()) for m in ((told == true) & (true >= 0), true >= 0, judged))
    if not len(labels.names) > 1 or not every:
        return LabelAccuracy(math.nan, math.nan, math.nan)
    return LabelAccuracy(right / every, right / on if on else math.nan, on / every)


def true_classes(
    g: GaussianArrays, frames: Sequence[View], classes_of: npt.NDArray[np.int32], classes: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """[N] class id by most of the frames that see the Gaussian's centre on a surface (the first of equals), -1 where none does or none
    knows the class; and [N] whether any sees it there. classes_of: class id of each instance number, -1 for unknown.
    """
    votes = np.zeros((len(g), classes), np.int32)
    touched = np.zeros(len(g), bool)
    for frame in frames:
        if frame.depth is None or frame.index is None:
            continue
        pixels, own = frame.camera.project(g.means.astype(np.float64))
        with np.errstate(invalid="ignore"):
            inside = (own > 0) & (pixels >= 0).all(1) & (pixels < (frame.camera.width, frame.camera.height)).all(1)
        column, row = np.where(inside[:, None], pixels, 0).astype(np.int64).T
        found = np.where(inside, frame.depth[row, column], 0.0)
        there = np.flatnonzero((found > 0) & (np.abs(own - found) <= ON_SURFACE * found))
        touched[there] = True
        number = np.minimum(frame.index[row[there], column[there]], len(classes_of) - 1)
        known = classes_of[number] >= 0
        votes[there[known], classes_of[number[known]]] += 1
    return np.where(votes.any(1), votes.argmax(1), -1), touched


@dataclass(frozen=True)
class Summary:
    """Means over rooms; mIoU also pooled, which counts the classes over the held-out frames of all rooms first. nan where nothing is judged."""

    rooms: int
    depth_input: float
    within_input: float
    depth: float
    within: float
    covered_all: float
    covered: float
    psnr_all: float
    psnr: float
    ssim_all: float
    ssim: float
    miou_all: float
    miou: float
    pooled_miou_all: float
    pooled_miou: float
    accuracy_all: float
    accuracy: float
    label_accuracy_all: float
    label_accuracy_on_surface: float
    on_surface: float
    gaussians: float
    seconds: float
    megabytes: float

    def as_json(self) -> dict[str, float | None]:
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def summary(rooms: Sequence[RoomFigures]) -> Summary:
    """One row of a table. Without "_all" figures are on seen pixels; depth is of held-out views, depth_input of all pixels of the inputs."""
    held_all, held = [_scores(r.held_out, seen=False) for r in rooms], [_scores(r.held_out, seen=True) for r in rooms]
    inputs = [_scores(r.inputs, seen=False) for r in rooms]

    def mean(scores: Sequence[Scores | None], name: str) -> float:
        return _mean([getattr(s, name) for s in scores if s is not None])

    return Summary(
        rooms=len(rooms),
        depth_input=mean(inputs, "depth_abs_rel"),
        within_input=mean(inputs, "depth_within"),
        depth=mean(held, "depth_abs_rel"),
        within=mean(held, "depth_within"),
        covered_all=mean(held_all, "covered"),
        covered=mean(held, "covered"),
        psnr_all=mean(held_all, "psnr"),
        psnr=mean(held, "psnr"),
        ssim_all=mean(held_all, "ssim"),
        ssim=mean(held, "ssim"),
        miou_all=mean(held_all, "mean_iou"),
        miou=mean(held, "mean_iou"),
        pooled_miou_all=metrics.mean_iou(_pooled([r.all_counts for r in rooms])),
        pooled_miou=metrics.mean_iou(_pooled([r.seen_counts for r in rooms])),
        accuracy_all=mean(held_all, "accuracy"),
        accuracy=mean(held, "accuracy"),
        label_accuracy_all=_mean([r.labels.all for r in rooms]),
        label_accuracy_on_surface=_mean([r.labels.on_surface for r in rooms]),
        on_surface=_mean([r.labels.share for r in rooms]),
        gaussians=_mean([r.gaussians for r in rooms]),
        seconds=_mean([r.seconds for r in rooms]),
        megabytes=_mean([math.nan if r.megabytes is None else r.megabytes for r in rooms]),
    )


def _scores(group: Group | None, *, seen: bool) -> Scores | None:
    return None if group is None else group.seen if seen else group.all


def _pooled(counts: Sequence[Counts]) -> Counts:
    """Sums of confusions; they must be of one label set."""
    total = np.zeros_like(counts[0])
    for some in counts:
        total += some
    return total


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
