# SPDX-License-Identifier: GPL-3.0-or-later
"""What a frame does once: project the Gaussians, sort them, put them into tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....core.cameras import Camera
from ....core.errors import InvalidInput
from ...job import Job
from ..contract import RasterSettings
from . import binning, projection
from .crew import Crew, Memory
from .projection import TILE

ENTRIES_MOST = 1 << 30
"""Places of all tiles' lists together, 4 bytes each."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Cloud:
    """Gaussians as the kernels want them: contiguous, aligned, writable float32. means [N, 3], quats [N, 4], scales [N, 3], opacities [N]."""

    means: Floats
    quats: Floats
    scales: Floats
    opacities: Floats

    def __len__(self) -> int:
        return len(self.means)

    def arrays(self) -> tuple[Floats, Floats, Floats, Floats]:
        return self.means, self.quats, self.scales, self.opacities


def plain(array: npt.NDArray[Any], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """The array itself where it is as kernels are compiled for it, else a copy that is: another layout would be compiled anew."""
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, which is checked for
        return np.require(array, dtype, ["C", "A", "W", "E"])


class Splats:
    """A cloud as one camera sees it, in tiles.

    chosen [N] int32: the visible Gaussians, in `spans` [threads, 2].
    listed: (records, singles, starts, ids, order, columns), what the tile kernels take; see projection.py and binning.py.
    """

    def __init__(
        self, cloud: Cloud, camera: Camera, settings: RasterSettings, crew: Crew, memory: Memory, job: Job, *, unit_quats: bool
    ) -> None:
        self.numbers = projection.camera_numbers(camera, settings, unit_quats)
        count, parts = len(cloud), crew.threads
        records = memory.take((count, 8), np.float64)
        singles = records.view(np.float32)
        rects = memory.take((count, 4), np.int16)
        keys = memory.take((count,), np.uint32)
        self.chosen = memory.take((count,), np.int32)
        found = np.zeros((parts, 4), np.int64)
        crew.run(projection.project, *cloud.arrays(), self.numbers, records, singles, rects, keys, self.chosen, found, job=job)
        if found[:, 3].any():
            raise Unusable(int(found[:, 3].sum()))
        first = np.array([count * part // parts for part in range(parts)])
        self.spans = np.stack([first, first + found[:, 0]], 1)
        self.visible = int(found[:, 0].sum())

        order = self._sorted(keys, found, crew, memory, job)
        columns, rows = -(-camera.width // TILE), -(-camera.height // TILE)
        counts, starts = np.empty((parts, columns * rows), np.int64), np.empty(columns * rows + 1, np.int64)
        crew.run(binning.count_tiles, order, self.visible, records, singles, rects, columns, ENTRIES_MOST, counts, job=job)
        binning.begin_lists(counts, starts)
        if starts[-1] > ENTRIES_MOST:
            raise InvalidInput(
                f"The {self.visible:,} visible Gaussians overlap too much: {starts[-1] / len(starts):,.0f} in each tile of 16x16 pixels.",
                "Make the picture smaller, or leave out the largest Gaussians.",
            )
        ids = memory.take((max(int(starts[-1]), 1),), np.int32)
        crew.run(binning.fill_tiles, order, self.visible, records, singles, rects, columns, counts, ids, job=job)
        self._order, self._numbered = order, False
        heaviest_first = np.argsort(starts[:-1] - starts[1:], kind="stable")
        self.listed = (records, singles, starts, ids, heaviest_first, columns)

    def sums(self, columns: int, threads: int, crew: Crew, memory: Memory, job: Job) -> Floats:
        """[threads, visible, columns] float32 zeros, a visible Gaussian's row being its PLACE."""
        if not self._numbered:
            crew.run(binning.number, self._order, self.visible, self.listed[1], job=job)
            self._numbered = True
        out: Floats = memory.take((threads, self.visible, columns))
        out.fill(0)
        return out

    def _sorted(
        self, keys: npt.NDArray[np.uint32], found: npt.NDArray[np.int64], crew: Crew, memory: Memory, job: Job
    ) -> npt.NDArray[np.int32]:
        """The visible Gaussians by depth."""
        count, parts = self.visible, crew.threads
        seen = found[:, 0] > 0
        least, most = (int(found[seen, 1].min()), int(found[seen, 2].max())) if seen.any() else (0, 0)
        passes = max(1, -(-(most - least).bit_length() // binning.DIGIT_BITS))
        pairs = [
            (memory.take((max(count, 1),), np.uint32), memory.take((max(count, 1),), np.int32)) for _ in range(min(passes, 2))
        ]
        counts, starts = np.empty((parts, binning.DIGITS), np.int64), np.empty(binning.DIGITS + 1, np.int64)
        source, chosen, spans = keys, self.chosen, self.spans
        for step in range(passes):
            shift = np.uint32(step * binning.DIGIT_BITS)
            to_keys, to_chosen = pairs[step % 2]
            crew.run(binning.count_digits, source, spans, np.uint32(least), shift, counts, job=job)
            binning.begin_lists(counts, starts)
            crew.run(
                binning.scatter_digits, source, chosen, spans, np.uint32(least), shift, counts, to_keys, to_chosen, job=job
            )
            source, chosen = to_keys, to_chosen
            spans = np.array([[count * part // parts, count * (part + 1) // parts] for part in range(parts)])
        return chosen


class Unusable(InvalidInput):
    """Some Gaussians have values that nothing can be made of."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} Gaussians have values that are not finite, rotations of length 0, scales of 0 or less, or opacities outside of 0..1.",
            "Leave them out.",
        )
