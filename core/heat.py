# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores as colours: dark where nothing fits, bright where all does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

STOPS = ((8, 8, 20), (62, 20, 92), (158, 38, 90), (232, 98, 42), (252, 196, 60), (255, 250, 200))
"""sRGB at scores 0, 0.2, ... 1; lightness grows evenly, so the order shows without colours, too."""


def heat_colours(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Scores [..] in 0..1 (others are clipped) -> sRGB colours [.., 3]."""
    places = np.linspace(0, 1, len(STOPS))
    channels = [np.interp(scores, places, [stop[k] for stop in STOPS]) for k in range(3)]
    colours: npt.NDArray[np.uint8] = np.rint(np.stack(channels, -1)).astype(np.uint8)
    return colours
