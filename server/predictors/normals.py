# SPDX-License-Identifier: GPL-3.0-or-later
"""Surface geometry of a depth map: normals, and where the depth jumps.

A plane n.X = d is affine in the picture: of inverse depth for a perspective camera (1/z = n.ray / d), of depth for an
orthographic one. So derivatives are taken of that quantity q, and the normal follows without error on planes of any slope:
n ~ (dq/du, dq/dv, q - u dq/du - v dq/dv) with u, v the ray's slopes, or (dz/dx, dz/dy, -1). Each derivative comes from the
side (left, right or centred) on which q bends least, the ENO scheme of Harten et al. 1987, so that it does not reach across an edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...core.cameras import Camera

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """What a depth map says of each pixel, in camera axes.

    points: [H, W, 3], nan where there is no depth.
    normals: [H, W, 3], unit, towards the camera; the viewing direction where nothing is known.
    rays: [H, W, 3], unit, from the camera outwards.
    footprint: [H, W] what a pixel measures at that depth, scene units: z / f.
    jump: [H, W] how far the surface lies from its neighbours' planes, in footprints: 0 on smooth surfaces, large on edges.
    """

    points: Array
    normals: Array
    rays: Array
    footprint: Array
    jump: Array
