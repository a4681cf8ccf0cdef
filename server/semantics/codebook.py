# SPDX-License-Identifier: GPL-3.0-or-later
"""How a codebook is made: few words out of many, and for each Gaussian the heaviest four."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...core.codebook import PAIRS, WORDS_MOST
from .votes import heaviest

Bytes = npt.NDArray[np.uint8]


def pairs(
    count: int, gaussian: npt.NDArray[np.int64], word: npt.NDArray[np.int64], weight: npt.NDArray[np.floating]
) -> tuple[Bytes, Bytes]:
    """Words and shares [count, 4] of Gaussians from entries (Gaussian, word, weight), each pair of the first two once.

    The four heaviest words stay, their shares rounded so that they add up to 255.
    """
    words, heavy = np.zeros((count, PAIRS), np.uint8), np.zeros((count, PAIRS))
    if (gaussian[1:] < gaussian[:-1]).any():  # votes that were added up are sorted
        order = np.lexsort((word, gaussian))
        gaussian, word, weight = gaussian[order], word[order], weight[order]
    left = np.flatnonzero(weight > 0)
    for rank in range(PAIRS):
        best = heaviest(gaussian[left], weight[left])
        mine = left[best]
        words[gaussian[mine], rank], heavy[gaussian[mine], rank] = word[mine], weight[mine]
        left = np.delete(left, best)
    bounds = np.cumsum(heavy, 1)
    bounds *= 255 / np.maximum(bounds[:, -1:], 1e-30)
    bounds = np.round(bounds)  # rounding the sums: the parts add up exactly
    return words, np.diff(bounds, axis=1, prepend=0.0).astype(np.uint8)


def shortened(
    specific: npt.NDArray[np.float32], context: npt.NDArray[np.float32], weight: npt.NDArray[np.float64], most: int = WORDS_MOST
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """At most so many words, and the word of each thing: the lightest things take the word of the likest heavier one."""
    if len(specific) <= most:
        return specific, context, np.arange(len(specific))
    order = np.argsort(-weight, kind="stable")
    kept = np.sort(order[:most])
    likeness = specific @ specific[kept].T + context @ context[kept].T
    word_of = likeness.argmax(1)
    word_of[kept] = np.arange(most)
    return specific[kept], context[kept], word_of
