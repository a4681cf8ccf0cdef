# SPDX-License-Identifier: GPL-3.0-or-later
"""A viewport's matrices as a camera. No bpy: tests hold it against Blender's own projection.

Whatever the view is (perspective, orthographic, through a camera with shift and zoom, a quarter of a quad view), its window matrix
says all: [[a, 0, b, c], [0, d, e, f], ...] maps view coordinates to -1..1 of the region, in OpenGL's way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...core.cameras import Camera, intrinsics, pose_from_opengl

Matrix = npt.NDArray[np.float64]
_NEAREST, _FARTHEST = 1e-6, 1e10


@dataclass(frozen=True)
class ViewCamera:
    """A region's view: camera, the planar depths that the view shows, and the matrices it came from."""

    camera: Camera
    near: float
    far: float
    window: Matrix
    view: Matrix

    def same_view(self, other: ViewCamera | None) -> bool:
        """Whether both show the same, pixel by pixel."""
        return (
            other is not None
            and (self.camera.width, self.camera.height) == (other.camera.width, other.camera.height)
            and np.array_equal(self.window, other.window)
            and np.array_equal(self.view, other.view)
        )


def view_camera(window_matrix: npt.ArrayLike, view_matrix: npt.ArrayLike, width: int, height: int) -> ViewCamera:
    """The camera of a region of width x height pixels, from its RegionView3D's matrices."""
    window, view = np.array(window_matrix, np.float64), np.array(view_matrix, np.float64)
    pose = pose_from_opengl(np.linalg.inv(view))
    fx, fy = window[0, 0] * width / 2, window[1, 1] * height / 2
    if is_perspective(window):
        K = intrinsics(fx, fy, width / 2 * (1 - window[0, 2]), height / 2 * (1 + window[1, 2]))
        beyond = window[2, 2] + 1  # of float32: where the clip range is very wide, nothing is left of it
        near, far = window[2, 3] / (window[2, 2] - 1), window[2, 3] / beyond if beyond < 0 else _FARTHEST
        return ViewCamera(Camera(width, height, K, pose), max(near, _NEAREST), far, window, view)
    K = intrinsics(fx, fy, width / 2 * (1 + window[0, 3]), height / 2 * (1 - window[1, 3]))
    near, far = (window[2, 3] + 1) / window[2, 2], (window[2, 3] - 1) / window[2, 2]
    return ViewCamera(Camera(width, height, K, pose, "orthographic"), near, far, window, view)


def is_perspective(window: Matrix) -> bool:
    """Whether a window matrix divides by depth."""
    return bool(window[3, 2] != 0)


def reprojection(old: ViewCamera, new: ViewCamera) -> Matrix:
    """[4, 4]: where a view's point in -1..1 (x, y, z) is in another view; the identity, to the last bit, where nothing moved."""
    if np.array_equal(old.window, new.window) and np.array_equal(old.view, new.view):
        return np.eye(4)
    return new.window @ new.view @ np.linalg.inv(old.window @ old.view)


def depth_numbers(window: Matrix) -> tuple[float, float, float]:
    """(a, b, w): a planar depth d lies at (b - a * d) / (d if w else 1) of the view's -1..1."""
    return float(window[2, 2]), float(window[2, 3]), float(is_perspective(window))
