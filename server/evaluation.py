# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a scene's pictures agree with true ones.

Every frame is judged twice: on all its pixels, and on those whose surface an input view saw, which is where a reconstruction
can know something. Means are taken over held-out frames and over inputs separately: pictures and depth average over frames,
classes are counted over all pixels of a group first. A frame is an input if its camera stands exactly where an input's stood.
Classes are matched by name; pixels whose true class is unknown or "unlabelled" are not judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ..core import metrics
from ..core.cameras import Camera
from ..core.labels import NOTHING, UNLABELLED, LabelMap
from ..core.scene import SemanticScene
from ..core.views import Instance, View
from ..core.visibility import seen_mask
from .captures import Capture
from .job import Job
from .rasterize.maps import COVERED
from .rendering import RenderedView, render_scene

Mask = npt.NDArray[np.bool_]
Classes = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """Figures of a frame or a group; nan where there is nothing to judge.

    share: of the pixels judged. covered: share of those where the scene shows anything. psnr in dB. ssim.
    depth_abs_rel: mean |depth - true| / true. depth_within: share of depths within a factor of 1.25. mean_iou, accuracy: of classes.
    """

    share: float
    covered: float
    psnr: float
    ssim: float
    depth_abs_rel: float
    depth_within: float
    mean_iou: float
    accuracy: float

    def as_json(self) -> dict[str, float | None]:
        return {name: value if math.isfinite(value) else None for name, value in vars(self).items()}


@dataclass(frozen=True)
class FrameScores:
    """A frame's figures on all pixels and on those seen by an input (None without true depth), with their confusions."""

    name: str
    is_input: bool
    all: Scores
    seen: Scores | None
    all_counts: Counts
    seen_counts: Counts


@dataclass(frozen=True)
class Group:
    """Means over some frames, and the IoU of each class by name (on all pixels)."""

    title: str
    frames: int
    all: Scores
    seen: Scores | None
    class_iou: Mapping[str, float]


@dataclass(frozen=True)
class Evaluation:
    frames: tuple[FrameScores, ...]
    groups: tuple[Group, ...]


def evaluate(scene: SemanticScene, truth: Capture, inputs: Sequence[View], job: Job) -> Evaluation:
    """Render the scene into the true frames' cameras and compare; `inputs` are the views that the scene was made from."""
    labels = truth.labels or LabelMap(())
    translate = translation(scene.labels, labels)
    classes_of = class_table(labels, truth.instances)
    scored = []
    with job.stage("evaluate"):
        pictures = render_scene(scene, [frame.camera for frame in truth.frames], job)
        for picture, frame in zip(pictures, truth.frames, strict=True):
            true = truth.view(frame)
            scored.append(_score(picture, true, inputs, translate, classes_of, len(labels)))
    return Evaluation(tuple(scored), tuple(_groups(scored, labels)))


def is_input(camera: Camera, inputs: Sequence[View]) -> bool:
    """Whether an input was taken from the very same place and direction."""
    return any(np.allclose(camera.T_world_camera, view.camera.T_world_camera, rtol=0, atol=1e-5) for view in inputs)


def translation(predicted: LabelMap, true: LabelMap) -> Classes:
    """[256] predicted label id -> true label id of the same name, -1 for names that the truth does not know and for nothing."""
    table = np.full(NOTHING + 1, -1, np.int32)
    for place, name in enumerate(predicted.names):
        if name in true.names and name != UNLABELLED:
            table[place] = true.names.index(name)
    return table


def class_table(labels: LabelMap, instances: Mapping[int, Instance]) -> Classes:
    """[largest instance + 2] instance number -> label id, -1 for what is not to be judged; larger numbers go last."""
    table = np.full(max(instances, default=0) + 2, -1, np.int32)
    for number, instance in instances.items():
        if instance.class_name != UNLABELLED:
            table[number] = labels.id_of(instance.class_name)
    return table


def _score(
    picture: RenderedView, true: View, inputs: Sequence[View], translate: Classes, classes_of: Classes, classes: int
) -> FrameScores:
    predicted_class = translate[picture.classes]
    index = np.zeros(true.rgb.shape[:2], np.int32) if true.index is None else true.index
    true_class = classes_of[np.minimum(index, len(classes_of) - 1)]

    def scores(mask: Mask) -> tuple[Scores, Counts]:
        counts = metrics.confusion(predicted_class, true_class, classes, mask)
        figures = Scores(
            share=float(mask.mean()),
            covered=float((picture.alpha[mask] >= COVERED).mean()) if mask.any() else math.nan,
            psnr=metrics.psnr(picture.rgb, true.rgb, mask),
            ssim=metrics.ssim(picture.rgb, true.rgb, mask),
            depth_abs_rel=math.nan if true.depth is None else metrics.depth_abs_rel(picture.depth, true.depth, mask),
            depth_within=math.nan if true.depth is None else metrics.depth_within(picture.depth, true.depth, mask),
            mean_iou=metrics.mean_iou(counts),
            accuracy=metrics.accuracy(counts),
        )
        return figures, counts

    on_all, all_counts = scores(np.ones(index.shape, bool))
    on_seen, seen_counts = None, np.zeros_like(all_counts)
    if true.depth is not None and any(view.depth is not None for view in inputs):
        on_seen, seen_counts = scores(seen_mask(true, inputs))
    return FrameScores(true.name, is_input(true.camera, inputs), on_all, on_seen, all_counts, seen_counts)


def _groups(frames: Sequence[FrameScores], labels: LabelMap) -> Iterator[Group]:
    for title, wanted in (("held-out", False), ("input", True)):
        chosen = [frame for frame in frames if frame.is_input == wanted]
        if not chosen:
            continue
        all_counts = np.sum([frame.all_counts for frame in chosen], axis=0)
        seen_counts = np.sum([frame.seen_counts for frame in chosen], axis=0)
        seen = [frame.seen for frame in chosen if frame.seen is not None]
        iou = metrics.class_iou(all_counts)
        yield Group(
            title,
            len(chosen),
            _mean([frame.all for frame in chosen], all_counts),
            _mean(seen, seen_counts) if seen else None,
            {name: float(value) for name, value in zip(labels.names, iou, strict=True) if np.isfinite(value)},
        )


def _mean(scores: Sequence[Scores], counts: Counts) -> Scores:
    def mean(name: str) -> float:
        values = [value for value in (getattr(s, name) for s in scores) if not math.isnan(value)]
        return sum(values) / len(values) if values else math.nan

    figures = {f.name: mean(f.name) for f in fields(Scores)}
    return Scores(**{**figures, "mean_iou": metrics.mean_iou(counts), "accuracy": metrics.accuracy(counts)})


def as_json(evaluation: Evaluation) -> dict[str, object]:
    """The figures as a JSON object; null where there is none (also for the PSNR of equal pictures)."""

    def both(item: FrameScores | Group) -> dict[str, object]:
        return {"all": item.all.as_json(), "seen": None if item.seen is None else item.seen.as_json()}

    return {
        "frames": [{"name": frame.name, "input": frame.is_input, **both(frame)} for frame in evaluation.frames],
        "means": {g.title: {"frames": g.frames, **both(g), "class_iou": dict(g.class_iou)} for g in evaluation.groups},
    }


_COLUMNS = (
    ("psnr", "PSNR", 7, ".2f"),
    ("ssim", "SSIM", 7, ".3f"),
    ("depth_abs_rel", "depth", 8, ".4f"),
    ("mean_iou", "mIoU", 7, ".3f"),
    ("accuracy", "acc.", 7, ".3f"),
)


def table(evaluation: Evaluation) -> str:
    """The figures for a terminal: a line for each frame, then the means."""
    rows = [(f"{frame.name}{' *' if frame.is_input else ''}", frame.all, frame.seen) for frame in evaluation.frames]
    means = [(f"mean of {g.frames} {g.title}", g.all, g.seen) for g in evaluation.groups]
    width = max(len(name) for name, _, _ in [*rows, *means])
    block = sum(size for _, _, size, _ in _COLUMNS)
    line = "-" * (width + 2 * block + 8)
    heads = "".join(f"{head:>{size}}" for _, head, size, _ in _COLUMNS)

    def cells(scores: Scores | None) -> str:
        if scores is None:
            return "".join(f"{'-':>{size}}" for _, _, size, _ in _COLUMNS)
        values = [(getattr(scores, name), size, form) for name, _, size, form in _COLUMNS]
        return "".join(f"{'-' if math.isnan(value) else format(value, form):>{size}}" for value, size, form in values)

    def row(name: str, on_all: Scores, on_seen: Scores | None) -> str:
        share = "-" if on_seen is None else f"{on_seen.share:.0%}"
        return f"{name:<{width}}{cells(on_all)} |{share:>6}{cells(on_seen)}"

    return "\n".join(
        [
            f"{'':<{width}}{'all pixels':>{block}} |{'pixels seen by an input':>{block + 6}}",
            f"{'frame (* input)':<{width}}{heads} |{'share':>6}{heads}",
            line,
            *(row(*entry) for entry in rows),
            line,
            *(row(*entry) for entry in means),
        ]
    )
