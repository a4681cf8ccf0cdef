# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of meaning, from any backend's frame: the class of each pixel, and codes of a scene's codebook.

Whatever the number of classes or words, no more than CHANNELS_MOST channels are blended at once, and no picture with a channel for each
is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidInput
from .contract import CHANNELS_MOST, Floats, Frame, Ints

COVERED = 0.5
"""Alpha from which on a pixel shows something."""
NOWHERE = -1
"""What a class map holds where nothing is shown, if not told otherwise."""


def class_map(
    frame: Frame, labels: npt.NDArray[Any], *, alpha: Floats | None = None, covered: float = COVERED, nothing: int = NOWHERE
) -> tuple[Ints, Floats]:
    """The class [H, W] int32 whose Gaussians show most in each pixel, all together, and their share [H, W] of what is shown, 0..1.

    labels: [N], whole numbers of at least 0. alpha: the frame's, if it is at hand.
    Where alpha is below `covered` the class is `nothing` and the share 0.
    """
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidInput(f"Labels are whole numbers, one a Gaussian, not {labels.dtype} {labels.shape}.", "Give [N] int32.")
    classes, weight = frame.dominant_id(labels)
    if alpha is None:
        alpha = frame.render(np.ones((len(labels), 1), np.float32)).alpha
    return _where_covered(classes, weight, alpha, covered, nothing)


def soft_class_map(
    frame: Frame, probabilities: npt.NDArray[Any], *, covered: float = COVERED, nothing: int = NOWHERE
) -> tuple[Ints, Floats]:
    """As `class_map`, of probabilities [N, K]: the class whose blended probability is greatest; the smaller of equal ones.

    The share is that probability's mean over what is shown. Any finite scores will do.
    """
    if probabilities.ndim != 2 or not probabilities.shape[1]:
        raise InvalidInput(
            f"Class probabilities are an array [Gaussians, classes], not {probabilities.shape}.", "Give one row each."
        )
    best: Floats | None = None
    for first, last in _turns(probabilities.shape[1]):
        out = frame.render(np.ascontiguousarray(probabilities[:, first:last], np.float32))
        highest, winner = out.features.max(-1), out.features.argmax(-1).astype(np.int32) + np.int32(first)
        if best is None:
            best, classes, alpha = highest, winner, out.alpha
        else:
            better = highest > best
            best, classes = np.where(better, highest, best), np.where(better, winner, classes)
    assert best is not None
    return _where_covered(classes, best, alpha, covered, nothing)


def render_codes(frame: Frame, index: npt.NDArray[Any], weight: npt.NDArray[Any], codebook: npt.NDArray[Any]) -> Floats:
    """Blend codes: a Gaussian's is the sum over its k words of weight * codebook[index]. The picture [H, W, D] float32.

    index: [N, k], weight: [N, k], codebook: [W, D]. The words' weights are blended, and each turn's picture times its words is added up;
    words that no Gaussian uses cost nothing.
    """
    _check_codes(index, weight, codebook)
    used = np.flatnonzero(np.bincount(index.reshape(-1), minlength=len(codebook)))
    if not len(used):
        used = np.zeros(1, np.int64)  # no Gaussians: a picture of zeros, of the frame's size
    place = np.zeros(len(codebook), np.int64)
    place[used] = np.arange(len(used))
    column = place[index]
    picture: Floats | None = None
    for first, last in _turns(len(used)):
        blended = frame.render(_dense(column - first, weight, last - first)).features
        part = blended @ codebook[used[first:last]].astype(np.float32, copy=False)
        picture = part if picture is None else picture + part
    assert picture is not None
    return picture


def _turns(channels: int) -> Iterator[tuple[int, int]]:
    """0..channels cut into pieces that may be blended at once."""
    for first in range(0, channels, CHANNELS_MOST):
        yield first, min(first + CHANNELS_MOST, channels)


def _dense(column: npt.NDArray[np.int64], weight: npt.NDArray[Any], width: int) -> Floats:
    """[N, width]: each Gaussian's weights in their columns; columns outside are left out, and a word named twice counts twice."""
    out = np.zeros((len(column), width), np.float32)
    for k in range(column.shape[1]):
        rows = np.flatnonzero((column[:, k] >= 0) & (column[:, k] < width))
        out[rows, column[rows, k]] += weight[rows, k]
    return out


def _where_covered(classes: Ints, weight: Floats, alpha: Floats, covered: float, nothing: int) -> tuple[Ints, Floats]:
    shown = (alpha >= covered) & (alpha > 0)
    share = np.where(shown, weight / np.where(shown, alpha, np.float32(1)), np.float32(0))
    return np.where(shown, classes, np.int32(nothing)), share


def _check_codes(index: npt.NDArray[Any], weight: npt.NDArray[Any], codebook: npt.NDArray[Any]) -> None:
    if index.ndim != 2 or not index.shape[1] or not np.issubdtype(index.dtype, np.integer):
        raise InvalidInput(
            f"Code indices are whole numbers [Gaussians, k], not {index.dtype} {index.shape}.", "Give [N, k] int32."
        )
    if weight.shape != index.shape:
        raise InvalidInput(f"Code weights {weight.shape} do not fit indices {index.shape}.", "Give one weight an index.")
    if codebook.ndim != 2 or not codebook.size:
        raise InvalidInput(f"A codebook is an array [words, dimensions], not {codebook.shape}.", "Give one row a word.")
    for name, array in (("Code weights", weight), ("The codebook", codebook)):
        if not np.isfinite(array).all():
            raise InvalidInput(
                f"{name} must be finite; row {int(np.argwhere(~np.isfinite(array))[0, 0])} is not.", "Leave it out."
            )
    if index.size and (index.min() < 0 or index.max() >= len(codebook)):
        wrong = int(index.min()) if index.min() < 0 else int(index.max())
        raise InvalidInput(
            f"Code index {wrong} is outside of the codebook of {len(codebook)} words.",
            "Use 0 with weight 0 for an unused place.",
        )
