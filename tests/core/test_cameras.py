# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras: conventions against formulas written out by hand, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.cameras import (
    MAX_SIDE,
    Camera,
    blender_intrinsics,
    intrinsics,
    pose_from_opengl,
    pose_to_opengl,
)
from splatonym.core.errors import InvalidInput

K = intrinsics(50.0, 60.0, 20.0, 15.0)


def rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


@st.composite
def cameras(draw: Any) -> Camera:
    unit = st.floats(-1, 1)
    axis = np.array([draw(unit), draw(unit), draw(unit) + 1.5])
    pose = np.eye(4)
    pose[:3, :3] = rotation(axis, draw(st.floats(-math.pi, math.pi)))
    pose[:3, 3] = [draw(st.floats(-100, 100)) for _ in range(3)]
    width, height = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    numbers = [draw(st.floats(1, 500)), draw(st.floats(1, 500)), draw(st.floats(-20, 20)), draw(st.floats(-20, 20))]
    return Camera(width, height, intrinsics(*numbers), pose, draw(st.sampled_from(["perspective", "orthographic"])))


@given(cameras(), st.floats(0.1, 50))
@settings(max_examples=60, deadline=None)
def test_unproject_then_project_gives_the_pixel_centres(camera: Camera, far: float) -> None:
    depth = np.linspace(0.1, far, camera.width * camera.height).reshape(camera.height, camera.width)
    points = camera.unproject(depth)
    assert points.shape == (camera.height, camera.width, 3)
    pixels, back = camera.project(points.reshape(-1, 3))
    np.testing.assert_allclose(back, depth.ravel(), atol=1e-7)
    rows, columns = np.divmod(np.arange(camera.width * camera.height), camera.width)
    np.testing.assert_allclose(pixels, np.stack([columns + 0.5, rows + 0.5], axis=-1), atol=1e-4)


@given(cameras())
@settings(max_examples=40, deadline=None)
def test_the_two_transforms_are_inverse(camera: Camera) -> None:
    np.testing.assert_allclose(camera.T_camera_world @ camera.T_world_camera, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(pose_from_opengl(pose_to_opengl(camera.T_world_camera)), camera.T_world_camera, atol=1e-12)


def test_projection_written_out() -> None:
    point = np.array([[2.0, -1.0, 4.0]])
    pixels, depth = Camera(40, 30, K, np.eye(4)).project(point)
    assert depth[0] == 4.0
    np.testing.assert_allclose(pixels[0], [50 * 2 / 4 + 20, 60 * -1 / 4 + 15])
    pixels, depth = Camera(40, 30, K, np.eye(4), "orthographic").project(point)
    np.testing.assert_allclose(pixels[0], [50 * 2 + 20, 60 * -1 + 15])


def test_points_behind_a_perspective_camera_have_no_pixel() -> None:
    behind = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, -2.0]])
    assert np.isnan(Camera(40, 30, K, np.eye(4)).project(behind)[0]).all()
    assert np.isfinite(Camera(40, 30, K, np.eye(4), "orthographic").project(behind)[0]).all()


def test_an_opengl_camera_looks_along_minus_z_with_y_up() -> None:
    camera = Camera(40, 30, K, pose_from_opengl(np.eye(4)))
    pixels, depth = camera.project(np.array([[0.0, 0.0, -3.0], [0.0, 1.0, -3.0], [1.0, 0.0, -3.0]]))
    np.testing.assert_allclose(depth, 3)
    np.testing.assert_allclose(pixels[0], [20, 15])
    assert pixels[1, 1] < 15  # up in the world is up in the picture
    assert pixels[2, 0] > 20


def test_a_scaled_opengl_pose_loses_its_scale() -> None:
    pose = np.diag([2.0, 3.0, 4.0, 1.0])
    np.testing.assert_allclose(pose_from_opengl(pose), np.diag([1.0, -1.0, -1.0, 1.0]))


def test_resized_sees_the_same() -> None:
    camera = Camera(40, 30, K, np.eye(4))
    double = camera.resized(80, 15)
    assert (double.width, double.height) == (80, 15)
    points = np.array([[0.3, 0.2, 2.0]])
    np.testing.assert_allclose(double.project(points)[0], camera.project(points)[0] * [2.0, 0.5])


def with_pose(row: int, column: int, value: float) -> np.ndarray:
    pose = np.eye(4)
    pose[row, column] = value
    return pose


@pytest.mark.parametrize(
    ("width", "height", "k", "pose", "word"),
    [
        (0, 30, K, np.eye(4), "0x30"),
        (40, MAX_SIDE + 1, K, np.eye(4), str(MAX_SIDE + 1)),
        (40, 30, K[:2], np.eye(4), "K [3, 3]"),
        (40, 30, K, np.eye(3), "pose [4, 4]"),
        (40, 30, intrinsics(50, np.nan, 0, 0), np.eye(4), "finite"),
        (40, 30, K, with_pose(0, 3, np.inf), "finite"),
        (40, 30, intrinsics(50, -60, 0, 0), np.eye(4), "-60"),
        (40, 30, intrinsics(0, 60, 0, 0), np.eye(4), "positive"),
        (40, 30, K + np.eye(3)[[1, 0, 2]] * [[1, 1, 0], [0, 0, 0], [0, 0, 0]], np.eye(4), "pinhole"),
        (40, 30, K, np.diag([1.0, 1.0, -1.0, 1.0]), "rotation"),
        (40, 30, K, np.diag([2.0, 2.0, 2.0, 1.0]), "rotation"),
        (40, 30, K, with_pose(0, 1, 0.5), "rotation"),
        (40, 30, K, with_pose(3, 0, 0.5), "rotation"),
        (40, 30, K, with_pose(3, 3, 2.0), "rotation"),
    ],
)
def test_wrong_cameras_are_refused(width: int, height: int, k: np.ndarray, pose: np.ndarray, word: str) -> None:
    with pytest.raises(InvalidInput, match="(?s)" + word.replace("[", r"\[").replace("]", r"\]")):
        Camera(width, height, k, pose)


def test_an_unknown_projection_is_refused() -> None:
    with pytest.raises(InvalidInput, match="fisheye"):
        Camera(40, 30, K, np.eye(4), "fisheye")  # type: ignore[arg-type]


@pytest.mark.parametrize("matrix", [np.eye(3), np.zeros((4, 4)), np.full((4, 4), np.nan), with_pose(2, 3, np.inf)])
def test_degenerate_opengl_poses_are_refused(matrix: np.ndarray) -> None:
    with pytest.raises(InvalidInput):
        pose_from_opengl(matrix)


BASE: dict[str, Any] = {
    "width": 200,
    "height": 100,
    "sensor_fit": "AUTO",
    "sensor_width": 36.0,
    "sensor_height": 24.0,
    "shift_x": 0.0,
    "shift_y": 0.0,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lens": 36.0}, (200, 200, 100, 50)),
        ({"lens": 36.0, "width": 100, "height": 200}, (200, 200, 50, 100)),  # AUTO fits the longer side
        ({"lens": 36.0, "sensor_fit": "VERTICAL"}, (150, 150, 100, 50)),
        ({"lens": 36.0, "sensor_fit": "HORIZONTAL", "width": 100, "height": 200}, (100, 100, 50, 100)),
        ({"lens": 36.0, "shift_x": 0.1, "shift_y": 0.2}, (200, 200, 80, 90)),
        ({"lens": 36.0, "pixel_aspect_x": 2.0}, (200, 400, 100, 50)),
        ({"ortho_scale": 4.0}, (50, 50, 100, 50)),
    ],
)
def test_blender_intrinsics(changes: dict[str, Any], expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(blender_intrinsics(**{**BASE, **changes}), intrinsics(*expected))


def test_blender_intrinsics_want_one_kind_of_lens() -> None:
    for changes in ({}, {"lens": 35.0, "ortho_scale": 2.0}):
        with pytest.raises(ValueError, match="either"):
            blender_intrinsics(**BASE, **changes)
