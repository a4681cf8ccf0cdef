# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse votes: entries (Gaussian, number, weight), and what is asked of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


Votes = tuple[Ints, Ints, npt.NDArray[np.floating]]
"""Gaussian, number (0 or more, below 2^32) and weight of each entry."""

NONE: Votes = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)


def added_up(*votes: Votes) -> tuple[Ints, Ints, Floats]:
    """All votes together, with each pair once, sorted by Gaussian, then number."""
    gaussian, number, weight = (np.concatenate(column) for column in zip(NONE, *votes, strict=True))
    keys, place = np.unique(gaussian << 32 | number, return_inverse=True)
    return keys >> 32, keys & 0xFFFFFFFF, np.bincount(place, weight, minlength=len(keys)).astype(np.float64)


def heaviest(group: Ints, weight: npt.NDArray[np.floating]) -> Ints:
    """The place of each group's heaviest entry; the first among equals."""
    order = np.lexsort((-weight, group))
    return order[np.unique(group[order], return_index=True)[1]]
