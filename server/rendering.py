# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a labelled scene: colour, depth, coverage, classes and instances.

The class of a pixel is the one whose Gaussians show most there, all together: argmax over classes of the sum of T * alpha. The same for
instances. Where the Gaussians cover less than half of a pixel, it shows nothing. Where they cover more, the colour is theirs alone, sum of
T * alpha * colour over alpha: a surface of splats lets a little light through everywhere, which is no hole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.cameras import Camera
from ..core.labels import NOTHING
from ..core.scene import SemanticScene
from .job import Job
from .rasterize.choice import choose
from .rasterize.contract import Backend, RasterSettings
from .rasterize.maps import COVERED, class_map


@dataclass(frozen=True)
class RenderedView:
    """rgb: [H, W, 3] uint8 sRGB; where there is nothing, over the background.
    depth: [H, W] float32 planar depth, scene units; 0 where there is nothing.
    alpha: [H, W] float32, 0 to 1.
    classes: [H, W] uint8 label id; 255 where there is nothing.
    instances: [H, W] int32 instance number; 0 where there is nothing.
    """

    rgb: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    alpha: npt.NDArray[np.float32]
    classes: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.int32]


def render_scene(
    scene: SemanticScene,
    cameras: Sequence[Camera],
    job: Job,
    *,
    backend: Backend | None = None,
    settings: RasterSettings | None = None,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Iterator[RenderedView]:
    """The scene through each camera, one after the other; background is an sRGB colour, 0 to 1."""
    backend = backend or choose()
    g = scene.gaussians
    behind = np.asarray(background, np.float32)
    label = g.label if g.label is not None else np.full(len(g), scene.labels.unlabelled, np.int32)
    frames = backend.prepare_all(g, cameras, settings or RasterSettings(), job)
    for number in range(len(cameras)):
        job.progress(number / len(cameras), f"view {number + 1} of {len(cameras)}")
        frame = next(frames)
        out = frame.render()
        classes, _ = class_map(frame, label, alpha=out.alpha, nothing=NOTHING)
        covered = out.alpha >= COVERED
        alpha = out.alpha[..., None]
        straight = np.where(covered[..., None], out.features / np.maximum(alpha, COVERED), out.features + (1 - alpha) * behind)
        instances = np.zeros_like(classes)
        if g.instance is not None:
            instances, _ = class_map(frame, g.instance, alpha=out.alpha, nothing=0)
        yield RenderedView(
            rgb=np.rint(np.clip(straight, 0, 1) * 255).astype(np.uint8),
            depth=np.where(covered, out.depth, np.float32(0)),
            alpha=np.clip(out.alpha, 0, 1),
            classes=classes.astype(np.uint8),
            instances=instances,
        )


def heat_maps(
    scene: SemanticScene,
    scores: npt.NDArray[np.float32],
    cameras: Sequence[Camera],
    job: Job,
    *,
    backend: Backend | None = None,
) -> Iterator[npt.NDArray[np.float32]]:
    """Scores [N] of the Gaussians through each camera: [H, W] float32, the mean over what shows in a pixel; 0 where there is nothing."""
    frames = (backend or choose()).prepare_all(scene.gaussians, cameras, RasterSettings(), job)
    for number, frame in enumerate(frames):
        job.progress(number / len(cameras), f"view {number + 1} of {len(cameras)}")
        out = frame.render(np.ascontiguousarray(scores, np.float32)[:, None])
        covered = out.alpha >= COVERED
        yield np.where(covered, out.features[..., 0] / np.maximum(out.alpha, COVERED), np.float32(0))
