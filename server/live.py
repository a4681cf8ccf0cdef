# SPDX-License-Identifier: GPL-3.0-or-later
"""One picture of a scene for a viewport that moves: only what is shown, as fast as it can be had.

What a scene needs for that is made once and kept while the scene stays the same: `Looks` keeps it by the scene's id. A quick picture
blends the colours of classes or instances; an exact one shows in each pixel the one that shows most there, as `rendering.render_scene`,
the readable twin of this, does. Everything else is the same in both.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..core.errors import NotAvailable
from ..core.gaussians import SH_C0, GaussianArrays
from ..core.heat import heat_colours
from ..core.labels import label_colour
from ..core.protocol import EVERY_MOST, Array, LookFields, pack_texels
from ..core.scene import SemanticScene
from .job import Job
from .rasterize import choice
from .rasterize.contract import Backend, Floats, Frame, RasterSettings, RenderOutput
from .rasterize.maps import COVERED, class_map

KEPT = 4
"""Scenes of which the prepared columns are kept."""
NO_INSTANCE = (128, 128, 128)
"""What belongs to no thing, as the points' material shows it."""
_SURE = np.array(((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)))
"""Confidence at 0, 1/4 ... 1: matplotlib's viridis, as on the points."""
PIT = 2
"""Pixels; see _depth."""
_SPREAD = (1.0, 99.0)
"""Percentiles of a picture's depths that are its nearest and farthest colour."""


class Looks:
    """What the scenes that are looked at need; for one thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Prepared] = OrderedDict()
        self._backend: Backend | None = None

    def look(self, scene: SemanticScene, asked: LookFields, scores: Floats | None, job: Job) -> Array:
        """The texels [H, W, 2] of core.protocol.pack_texels. scores [N]: of the last question; they are kept until others come."""
        if self._backend is None:
            self._backend = choice.ready(job)
        known = self._known.get(asked.scene)
        if known is None or known.scene is not scene:
            known = self._known[asked.scene] = _Prepared(scene)
        self._known.move_to_end(asked.scene)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        if scores is not None:
            known.take_scores(scores)
        return known.picture(asked, self._backend, job)

    def forget(self, number: str) -> None:
        """The scene of this id is gone."""
        self._known.pop(number, None)


class _Prepared:
    """A scene's columns as they are blended, made when they are first shown."""

    def __init__(self, scene: SemanticScene) -> None:
        scene.gaussians.validate()  # once: prepare looks at the harmonics of each frame's Gaussians only
        self.scene = scene
        self._columns: dict[tuple[str, int], Floats] = {}
        self._thinned: dict[tuple[bool, int], GaussianArrays] = {}

    def take_scores(self, scores: Floats) -> None:
        for every in range(1, EVERY_MOST + 1):
            self._columns.pop(("ANSWER", every), None)
        self._columns["ANSWER", 1] = np.ascontiguousarray(scores[:, None])

    def picture(self, asked: LookFields, backend: Backend, job: Job) -> Array:
        show, every = asked.show, asked.every
        own = show == "COLOUR" and self.scene.gaussians.sh.shape[1] > 1
        settings = RasterSettings(near=asked.near, far=asked.far)
        frame = backend.prepare(self._drawn(own, every), asked.camera, settings, job)
        if asked.exact and show in ("CLASS", "INSTANCE"):
            out = frame.render(self._column("DEPTH", every))
            return pack_texels(self._exact(show, every, frame, out), _depth(out))
        out = frame.render(None if own else self._column(show, every))
        shown = np.clip(out.features / np.maximum(out.alpha, COVERED)[..., None], 0, 1)
        depth = _depth(out)
        match show:
            case "DEPTH":
                colours = heat_colours(1 - _stretched(depth))
            case "ANSWER":
                colours = heat_colours(shown[..., 0])
            case "CONFIDENCE":
                colours = _sure_colours(shown[..., 0])
            case _:
                return pack_texels(np.rint(shown * np.float32(255)), depth)
        return pack_texels(colours, depth)

    def _drawn(self, own: bool, every: int) -> GaussianArrays:
        """The Gaussians as they are drawn: every so manieth, so much larger that they cover the same surface.

        own: with all their harmonics, which only their own colour needs.
        """
        if (own, every) not in self._thinned:
            g = self.scene.gaussians
            flat = g.sh if own else g.sh[:, :1]
            parts = (g.means, g.quats, g.scales * np.float32(math.sqrt(every)) if every > 1 else g.scales, g.opacities, flat)
            self._thinned[own, every] = GaussianArrays(*(np.ascontiguousarray(part[::every]) for part in parts))
        return self._thinned[own, every]

    def _column(self, show: str, every: int) -> Floats:
        """[N, C], what is blended."""
        if (show, every) not in self._columns:
            if every > 1:
                self._columns[show, every] = np.ascontiguousarray(self._column(show, 1)[::every])
            elif show == "ANSWER":
                raise NotAvailable("Nothing has been asked of this scene.", "Send the scores of the last question.")
            else:
                self._columns[show, 1] = np.ascontiguousarray(self._made(show), np.float32)
        return self._columns[show, every]

    def _made(self, show: str) -> npt.NDArray[np.floating]:
        g = self.scene.gaussians
        match show:
            case "COLOUR":
                colours: Floats = np.maximum(g.sh[:, 0] * np.float32(SH_C0) + np.float32(0.5), 0)
                return colours
            case "CONFIDENCE":
                return np.zeros((len(g), 1)) if g.confidence is None else g.confidence[:, None]
            case "DEPTH":
                return np.zeros((len(g), 1))
        numbers, colour = self._numbers(show)
        known, place = np.unique(numbers, return_inverse=True)
        table = np.array([colour(int(number)) for number in known], np.float32).reshape(-1, 3) / 255
        return table[place.reshape(-1)]

    def _numbers(self, show: str) -> tuple[npt.NDArray[np.int32], Callable[[int], tuple[int, int, int]]]:
        """[N] numbers of classes or instances, and the colour of each."""
        g, names = self.scene.gaussians, self.scene.labels.names
        if show == "CLASS":
            label = g.label if g.label is not None else np.full(len(g), self.scene.labels.unlabelled, np.int32)
            return label, lambda number: label_colour(names[number])
        instance = g.instance if g.instance is not None else np.zeros(len(g), np.int32)
        return instance, lambda number: label_colour(f"instance {number}") if number else NO_INSTANCE

    def _exact(self, show: str, every: int, frame: Frame, out: RenderOutput) -> npt.NDArray[np.uint8]:
        """[H, W, 3] the colour of what shows most in each pixel."""
        numbers, colour = self._numbers(show)
        most, _ = class_map(frame, numbers[::every], alpha=out.alpha)
        known, place = np.unique(most, return_inverse=True)
        table = np.array([colour(int(number)) if number >= 0 else (0, 0, 0) for number in known], np.uint8).reshape(-1, 3)
        return table[place.reshape(most.shape)]


def _depth(out: RenderOutput) -> Floats:
    """Planar depth, 0 where there is nothing.

    A surface of splats lets a little of what is behind it through, here and there, and its mean depth falls into pits of a few pixels;
    tested against a mesh's depth they would be holes. So no pixel is deeper than the deepest of those around it.
    """
    depth: Floats = np.where(out.alpha >= COVERED, out.depth, np.float32(np.inf))
    if min(depth.shape) > 2 * PIT:
        inner = depth[PIT:-PIT, PIT:-PIT]
        across = np.maximum(depth[PIT:-PIT, : -2 * PIT], depth[PIT:-PIT, 2 * PIT :])
        down = np.maximum(depth[: -2 * PIT, PIT:-PIT], depth[2 * PIT :, PIT:-PIT])
        filled = depth.copy()
        np.minimum(inner, np.maximum(across, down), out=filled[PIT:-PIT, PIT:-PIT])
        filled[np.isinf(depth)] = np.inf
        depth = filled
    depth[depth == 0] = 1e-20  # an orthographic view may have something there
    depth[np.isinf(depth)] = 0
    return depth


def _stretched(depth: Floats) -> Floats:
    """Depths as 0 (the nearest of the picture) to 1."""
    there = depth[depth != 0]
    if not len(there):
        return depth
    near, far = np.percentile(there[:: max(1, len(there) // 20_000)], _SPREAD)
    stretched: Floats = np.clip((depth - np.float32(near)) / np.float32(max(far - near, 1e-6)), 0, 1)
    return stretched


def _sure_colours(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    places = np.linspace(0, 1, len(_SURE))
    channels = [np.interp(values, places, _SURE[:, k]) for k in range(3)]
    colours: npt.NDArray[np.uint8] = np.rint(np.stack(channels, -1)).astype(np.uint8)
    return colours
