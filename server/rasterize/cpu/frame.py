# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions to a frame; see contract.Frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ....core.cameras import Camera
from ....core.gaussians import GaussianArrays
from ...job import Job
from .. import checks
from ..contract import CHANNELS_MOST, Floats, IdWeights, Ints, RasterSettings, RenderOutput, TopK
from . import blending, registration, shading
from .crew import Crew, Memory
from .splatting import Cloud, Splats, plain

SUMS_MOST = 1 << 30
"""Bytes of the threads' own sums together; where they would be more, fewer channels, then fewer threads work at once."""


def shares(count: int, fixed: int, channels: int, threads: int) -> tuple[int, int]:
    """(channels at once, threads) so that sums [threads, visible, fixed + channels] float32 stay within SUMS_MOST; at least one of each."""
    room = SUMS_MOST // (4 * max(count, 1))
    at_once = max(1, min(channels, CHANNELS_MOST, room - fixed))
    return at_once, max(1, min(threads, room // (fixed + at_once)))


class CpuFrame:
    """Gaussians prepared for one camera."""

    def __init__(
        self,
        gaussians: GaussianArrays,
        cloud: Cloud,
        camera: Camera,
        settings: RasterSettings,
        crew: Crew,
        memory: Memory,
        job: Job,
    ) -> None:
        self._gaussians, self.cloud, self._camera, self._job = gaussians, cloud, camera, job
        self._crew, self._memory = crew, memory
        self._size = (camera.height, camera.width)
        self._splats = Splats(cloud, camera, settings, crew, memory, job, unit_quats=True)

    def render(
        self, features: Floats | None = None, background: Floats | None = None, *, normals: bool = False
    ) -> RenderOutput:
        if features is None:
            features = self._colours()
        else:
            features = plain(features)
            checks.check_features(features, len(self.cloud))
        channels = features.shape[1]
        if background is None:
            background = np.zeros(channels, np.float32)
        else:
            background = plain(np.asarray(background))
            checks.check_background(background, channels)
        if channels <= CHANNELS_MOST:
            out, depth, alpha = self._blend(features, background)
        else:
            out = self._memory.take((*self._size, channels))
            for c in range(0, channels, CHANNELS_MOST):
                some = slice(c, c + CHANNELS_MOST)
                out[..., some], depth, alpha = self._blend(features[:, some], background[some].copy())
        return RenderOutput(out, depth, alpha, self._normals() if normals else None)

    def topk(self, k: int) -> TopK:
        checks.check_topk(k)
        ids, weights = self._memory.take((*self._size, k), np.int32), self._memory.take((*self._size, k))
        self._crew.run_tiles(blending.heaviest, self._splats.listed, ids, weights, job=self._job)
        return TopK(ids, weights)

    def register(self, image: Floats) -> tuple[Floats, Floats]:
        image = plain(image)
        checks.check_image(image, self._camera)
        count, visible, channels = len(self.cloud), self._splats.visible, image.shape[2]
        at_once, threads = shares(visible, 1, channels, self._crew.threads)
        out, weights = np.zeros((count, channels), np.float32), np.zeros(count, np.float32)
        for c in range(0, channels, at_once):
            some = plain(image[..., c : c + at_once])
            sums = self._splats.sums(some.shape[2] + 1, threads, self._crew, self._memory, self._job)
            self._crew.run_tiles(registration.register, self._splats.listed, some, sums, job=self._job, threads=threads)
            visible_ones = (self._splats.chosen, self._splats.spans, self._splats.listed[1])
            self._crew.run(registration.gather_sums, *visible_ones, sums, c, out, weights, job=self._job)
        return out, weights

    def register_ids(self, ids: Ints) -> IdWeights:
        checks.check_pixel_ids(ids, self._camera)
        image, threads = plain(ids, np.int32), self._crew.threads
        _, _, starts, listed, _, _ = self._splats.listed
        room = 4096 + 2 * int(starts[-1]) // threads
        while True:
            entries, weights = self._memory.take((threads, room, 2), np.int32), self._memory.take((threads, room))
            filled = np.zeros((threads, 1), np.int64)
            self._crew.run_tiles(registration.register_ids, self._splats.listed, image, entries, weights, filled, job=self._job)
            if filled.max() <= room:
                break
            room = 2 * int(filled.max())  # Gaussians that show many ids each
        pieces = self._crew.run(registration.merge_entries, len(self.cloud), entries, weights, filled, job=self._job)
        gaussian, number, weight = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        return IdWeights(gaussian, number, weight)

    def dominant_id(self, ids: Ints) -> tuple[Ints, Floats]:
        checks.check_gaussian_ids(ids, len(self.cloud))
        known, places = distinct(ids)
        winner, share = self._memory.take(self._size, np.int32), self._memory.take(self._size)
        self._crew.run_tiles(registration.dominant, self._splats.listed, places, len(known), winner, share, job=self._job)
        return np.append(known, np.int32(0))[winner].astype(np.int32), share  # -1, nothing, is the 0 at the end

    def _blend(self, features: Floats, background: Floats) -> tuple[Floats, Floats, Floats]:
        out = self._memory.take((*self._size, features.shape[1]))
        depth, alpha, remaining = (self._memory.take(self._size) for _ in range(3))
        self._crew.run_tiles(
            blending.blend, self._splats.listed, plain(features), background, out, depth, alpha, remaining, job=self._job
        )
        return out, depth, alpha

    def _colours(self) -> Floats:
        """[N, 3], the visible Gaussians' colours toward this camera; anything in the others' rows."""
        out = self._memory.take((len(self.cloud), 3))
        arguments = (plain(self._gaussians.sh), self.cloud.means, self._camera.position.copy())
        self._crew.run(shading.shade, *arguments, self._splats.chosen, self._splats.spans, out, job=self._job)
        return out

    def _normals(self) -> Floats:
        """[H, W, 3], see RenderOutput."""
        directions = self._memory.take((len(self.cloud), 3))
        pose, flat = self._camera.T_world_camera, self._camera.projection == "orthographic"
        c = self.cloud
        arguments = (c.means, c.quats, c.scales, pose[:3, 3].copy(), pose[:3, 2].copy(), flat)
        self._crew.run(shading.normals, *arguments, self._splats.chosen, self._splats.spans, directions, job=self._job)
        summed, _, _ = self._blend(directions, np.zeros(3, np.float32))
        return summed / np.maximum(np.linalg.norm(summed, axis=-1, keepdims=True), np.float32(1e-12))


def distinct(ids: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    """(the different ids, sorted, int32; each id's place among them, int32)."""
    if not len(ids):
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    if ids.max() < 4 * len(ids) + (1 << 16):  # a table is many times faster than sorting
        there = np.zeros(int(ids.max()) + 1, np.bool_)
        there[ids] = True
        places = np.cumsum(there, dtype=np.int32) - 1
        return np.flatnonzero(there).astype(np.int32), places[ids].astype(np.int32)
    known, place = np.unique(ids, return_inverse=True)
    return known.astype(np.int32), place.reshape(-1).astype(np.int32)
