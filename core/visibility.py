# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pixels of a view show something that other views saw too.

A picture of a reconstruction can only be judged fairly where an input view saw the surface: elsewhere nothing is known. A pixel counts
as seen if its true point (its own depth, unprojected) falls into an input view on a pixel whose depth is the point's own depth in
that view, within a tolerance relative to that depth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .cameras import Camera
from .errors import InvalidInput
from .views import View

Mask = npt.NDArray[np.bool_]

TOLERANCE = 0.02
"""Share of the depth by which two views may differ about the same surface."""


def seen_mask(view: View, inputs: Sequence[View], tolerance: float = TOLERANCE) -> Mask:
    """[H, W] bool: the pixels of `view` whose surface at least one of `inputs` saw.

    `view` needs depth. Inputs without depth are passed over; pixels without depth count as not seen.
    """
    if view.depth is None:
        raise InvalidInput(f"View '{view.name}' has no depth, so nobody can say what it shares with others.")
    seen = np.zeros(view.depth.shape, dtype=bool)
    points = view.camera.unproject(view.depth.astype(np.float64))
    for other in inputs:
        open_ = (view.depth > 0) & ~seen
        if other.depth is not None and open_.any():
            own, found = depth_at(points[open_], other.camera, other.depth)
            with np.errstate(invalid="ignore"):
                seen[open_] = (found > 0) & (np.abs(own - found) <= tolerance * np.abs(own))
    return seen


def depth_at(
    points: npt.NDArray[np.floating], camera: Camera, depth: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """World points [N, 3] -> their own planar depth [N], and the depth map's at the pixel they fall on [N], 0 outside it."""
    pixels, own = camera.project(points)
    with np.errstate(invalid="ignore"):
        inside = (own > 0) & (pixels >= 0).all(1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
    column, row = np.where(inside[:, None], pixels, 0).astype(np.int64).T
    return own.astype(np.float64), np.where(inside, depth[row, column], 0.0).astype(np.float64)
