# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinhole and orthographic cameras.

Convention, everywhere in this project: OpenCV camera axes (+X right, +Y down, +Z forward), camera-to-world 4x4
matrices, intrinsics in pixels with pixel centres at +0.5, planar depth (along +Z) in scene units. Blender and
nerfstudio use OpenGL axes (+X right, +Y up, -Z forward); the conversion happens here and nowhere else.

A perspective camera projects (x, y, z) to (fx x/z + cx, fy y/z + cy), an orthographic one to (fx x + cx, fy y + cy), where
fx and fy are then pixels per scene unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from .errors import InvalidInput

FloatArray = npt.NDArray[np.floating]
Projection = Literal["perspective", "orthographic"]
SensorFit = Literal["AUTO", "HORIZONTAL", "VERTICAL"]

MAX_SIDE = 16384
"""Largest width or height in pixels: what Blender renders and a PNG reader accepts without a second thought."""

_FLIP_YZ = np.diag([1.0, -1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Camera:
    """One posed camera.

    width, height: image size in pixels.
    K: [3, 3] float64, intrinsics in pixels; for an orthographic camera fx, fy are pixels per scene unit.
    T_world_camera: [4, 4] float64, camera-to-world, OpenCV axes, a rotation and a translation in scene units.
    projection: "perspective" or "orthographic".
    """

    width: int
    height: int
    K: FloatArray
    T_world_camera: FloatArray
    projection: Projection = "perspective"

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", np.asarray(self.K, dtype=np.float64))
        object.__setattr__(self, "T_world_camera", np.asarray(self.T_world_camera, dtype=np.float64))
        self._check()

    def _check(self) -> None:
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise InvalidInput(
                f"A camera image of {self.width}x{self.height} pixels cannot be used.", f"Use 1 to {MAX_SIDE} pixels a side."
            )
        if self.projection not in ("perspective", "orthographic"):
            raise InvalidInput(f"Unknown projection '{self.projection}'.", "Use 'perspective' or 'orthographic'.")
        if self.K.shape != (3, 3) or self.T_world_camera.shape != (4, 4):
            raise InvalidInput(
                f"A camera needs K [3, 3] and a pose [4, 4], not {self.K.shape} and {self.T_world_camera.shape}."
            )
        if not (np.isfinite(self.K).all() and np.isfinite(self.T_world_camera).all()):
            raise InvalidInput("The camera's intrinsics or pose are not finite.", "Check the camera's transform.")
        if self.fx <= 0 or self.fy <= 0:
            raise InvalidInput(f"Focal lengths must be positive, not {self.fx:g}, {self.fy:g}.")
        if not np.allclose(self.K, intrinsics(self.fx, self.fy, self.cx, self.cy), rtol=0, atol=1e-9):
            raise InvalidInput("The camera's intrinsics are not those of a pinhole with square axes.", "Skew is not supported.")
        rotation = self.T_world_camera[:3, :3]
        turned = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0
        if not turned or not np.allclose(self.T_world_camera[3], [0, 0, 0, 1], atol=1e-6):
            raise InvalidInput(
                "The camera's pose is not a rotation and a translation.", "Remove its scale, shear or mirroring."
            )

    @property
    def fx(self) -> float:
        return float(self.K[0, 0])

    @property
    def fy(self) -> float:
        return float(self.K[1, 1])

    @property
    def cx(self) -> float:
        return float(self.K[0, 2])

    @property
    def cy(self) -> float:
        return float(self.K[1, 2])

    @property
    def position(self) -> FloatArray:
        """[3] float64, the camera's centre in the world."""
        return self.T_world_camera[:3, 3]

    @property
    def T_camera_world(self) -> FloatArray:
        """[4, 4] float64, world-to-camera."""
        rotation = self.T_world_camera[:3, :3].T
        out = np.eye(4)
        out[:3, :3] = rotation
        out[:3, 3] = -rotation @ self.position
        return out

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """World points [N, 3] -> pixel coordinates [N, 2] and planar depth [N].

        Pixel (column i, row j) covers [i, i+1) x [j, j+1). Points at or behind a perspective camera give nan.
        """
        world_to_camera = self.T_camera_world
        local = points @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
        depth = local[:, 2]
        scale = np.ones_like(depth)
        if self.projection == "perspective":
            scale = np.where(depth > 1e-9, 1.0 / np.where(depth > 1e-9, depth, 1.0), np.nan)
        u = self.fx * local[:, 0] * scale + self.cx
        v = self.fy * local[:, 1] * scale + self.cy
        return np.stack([u, v], axis=-1), depth

    def unproject(self, depth: FloatArray) -> FloatArray:
        """Planar depth [H, W] -> world points [H, W, 3] at the pixel centres."""
        u, v = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        x, y = (u - self.cx) / self.fx, (v - self.cy) / self.fy
        if self.projection == "perspective":
            x, y = x * depth, y * depth
        local = np.stack([x, y, depth], axis=-1)
        return local @ self.T_world_camera[:3, :3].T + self.position

    def resized(self, width: int, height: int) -> Camera:
        """The same camera with another image size."""
        scale = np.diag([width / self.width, height / self.height, 1.0])
        return replace(self, width=width, height=height, K=scale @ self.K)


def intrinsics(fx: float, fy: float, cx: float, cy: float) -> FloatArray:
    """[3, 3] float64 intrinsic matrix of the four numbers, in pixels."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def pose_from_opengl(matrix: npt.ArrayLike) -> FloatArray:
    """Camera-to-world with OpenGL or Blender axes [4, 4] -> OpenCV axes [4, 4] float64, with any scale removed."""
    pose = np.array(matrix, dtype=np.float64)
    if pose.shape != (4, 4):
        raise InvalidInput(f"A camera pose is a 4x4 matrix, not {pose.shape}.")
    lengths = np.linalg.norm(pose[:3, :3], axis=0)
    if not np.isfinite(pose).all() or (lengths < 1e-12).any():
        raise InvalidInput("The camera's pose is degenerate (not finite, or with a scale of zero).", "Check the transform.")
    pose[:3, :3] /= lengths
    return pose @ _FLIP_YZ


def pose_to_opengl(T_world_camera: FloatArray) -> FloatArray:
    """Camera-to-world with OpenCV axes [4, 4] -> OpenGL or Blender axes [4, 4] float64."""
    return np.asarray(T_world_camera, dtype=np.float64) @ _FLIP_YZ


def blender_intrinsics(
    *,
    width: int,
    height: int,
    sensor_fit: SensorFit,
    sensor_width: float,
    sensor_height: float,
    shift_x: float,
    shift_y: float,
    pixel_aspect_x: float = 1.0,
    pixel_aspect_y: float = 1.0,
    lens: float | None = None,
    ortho_scale: float | None = None,
) -> FloatArray:
    """Intrinsics [3, 3] float64 of a Blender camera that renders `width` x `height` pixels.

    Give `lens` (mm, as the sensor sizes) for a perspective camera or `ortho_scale` (scene units) for an orthographic
    one. The formula was fitted to rendered Position passes, for all sensor fits, shifts and pixel aspects.
    """
    if (lens is None) == (ortho_scale is None):
        raise ValueError("give either lens or ortho_scale")
    aspect = pixel_aspect_y / pixel_aspect_x
    horizontal = sensor_fit == "HORIZONTAL" or (sensor_fit == "AUTO" and pixel_aspect_x * width >= pixel_aspect_y * height)
    sensor = sensor_height if sensor_fit == "VERTICAL" else sensor_width
    fitted_side = width if horizontal else aspect * height
    if lens is not None:
        fx = lens * fitted_side / sensor
    else:
        assert ortho_scale is not None
        fx = fitted_side / ortho_scale
    fy = fx / aspect
    cx = width / 2 - shift_x * fitted_side
    cy = height / 2 + shift_y * fitted_side / aspect
    return intrinsics(fx, fy, cx, cy)
