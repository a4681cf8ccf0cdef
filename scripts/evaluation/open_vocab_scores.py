# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted over rooms for evaluation/open_vocab.py, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from splatonym.core import metrics

Floats = npt.NDArray[np.float32]


@dataclass
class Sums:
    """Of one method over the rooms."""

    pixels: list[npt.NDArray[np.int64]] = field(default_factory=list)
    gaussians: list[npt.NDArray[np.int64]] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    thing_hits: list[bool] = field(default_factory=list)
    sure: list[tuple[Floats, npt.NDArray[np.bool_]]] = field(default_factory=list)
    chosen: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, np.int64))
    """Gaussians that were rightly chosen, chosen, and meant."""
    seconds: list[float] = field(default_factory=list)


def figures(one: Sums) -> dict[str, float]:
    """Means over rooms."""

    def rooms(counts: list[npt.NDArray[np.int64]], how: Callable[[npt.NDArray[np.int64]], float]) -> float:
        return float(np.mean([how(c) for c in counts])) if counts else float("nan")

    def class_accuracy(counts: npt.NDArray[np.int64]) -> float:
        there = counts.sum(1) > 0
        return float(np.mean(np.diag(counts[:, : len(counts)])[there] / counts.sum(1)[there]))

    def share(hits: list[bool]) -> float:
        return float(np.mean(hits)) if hits else float("nan")

    right, chosen, meant = (float(part) for part in one.chosen)
    return {
        "mIoU": rooms(one.pixels, metrics.mean_iou),
        "mAcc": rooms(one.pixels, class_accuracy),
        "acc.": rooms(one.pixels, metrics.accuracy),
        "pooled mIoU": metrics.mean_iou(sum(one.pixels)),
        "mIoU 3D": rooms(one.gaussians, metrics.mean_iou),
        "mAcc 3D": rooms(one.gaussians, class_accuracy),
        "points at": share(one.hits),
        "at things": share(one.thing_hits),
        "chosen": 2 * right / (chosen + meant) if meant else float("nan"),
        "ECE": calibration(one.sure),
        "s a room": float(np.mean(one.seconds)),
    }


def calibration(sure: list[tuple[Floats, npt.NDArray[np.bool_]]]) -> float:
    """Expected calibration error."""
    if not sure:
        return float("nan")
    confidence, right = np.concatenate([a for a, _ in sure]), np.concatenate([b for _, b in sure])
    place = np.minimum((confidence * 10).astype(int), 9)
    bins = [place == k for k in range(10) if (place == k).any()]
    return float(sum(abs(confidence[b].mean() - right[b].mean()) * b.sum() for b in bins) / len(confidence))
