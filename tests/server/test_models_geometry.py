# SPDX-License-Identifier: GPL-3.0-or-later
"""Rays, ranges and overlaps in torch agree with core's cameras."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import arc, looking, rig_of, scaled
from splatonym.core.cameras import Camera, intrinsics
from splatonym.server.models.geometry import (
    LONE_VIEW_RANGE,
    WIDE_RANGE,
    focus,
    invert,
    overlap,
    sources,
    surface_normals,
    wide_range,
)
from splatonym.server.predictors.normals import surface
from splatonym.tests import synthetic


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 9))
def test_unproject_equals_cores_camera_and_projects_back(seed, width, height):
    rng = np.random.default_rng(seed)
    cameras = arc(3, width, height)
    rig = rig_of(cameras, torch.float64)
    depth = rng.uniform(0.3, 5, (3, height, width))
    points = rig.unproject(torch.from_numpy(depth)).numpy()
    for camera, own, z in zip(cameras, points, depth, strict=True):
        assert np.allclose(own, camera.unproject(z), atol=1e-9)
        pixels, back = camera.project(own.reshape(-1, 3))
        grid = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1).reshape(-1, 2)
        assert np.allclose(pixels, grid, atol=1e-7) and np.allclose(back, z.reshape(-1))


def test_a_resized_rig_is_that_of_resized_cameras():
    cameras = arc(2, 24, 16)
    small = rig_of(cameras, torch.float64).resized(10, 7)
    assert (small.height, small.width) == (10, 7)
    for K, camera in zip(small.K, cameras, strict=True):
        assert np.allclose(K.numpy(), camera.resized(7, 10).K)


def test_inverses_of_poses():
    rig = rig_of(arc(4), torch.float64)
    assert torch.allclose(invert(rig.T_world_camera) @ rig.T_world_camera, torch.eye(4, dtype=torch.float64).expand(4, 4, 4))
    for T, camera in zip(rig.T_camera_world, arc(4), strict=True):
        assert np.allclose(T.numpy(), camera.T_camera_world)


def test_overlap_is_a_share_and_whole_with_itself():
    shared = overlap(rig_of(arc(5, turn=1.4)), 0.5, 12.0)
    assert ((shared >= 0) & (shared <= 1)).all()
    assert (shared.diag() == 1).all()
    assert shared[2, 1] > shared[2, 0] and shared[2, 3] > shared[2, 4]


def test_views_back_to_back_share_nothing():
    K = intrinsics(12, 12, 8, 8)
    ahead, back = looking((0, 0, 0), (1, 0, 0)), looking((-0.5, 0, 0), (-2, 0, 0))
    shared = overlap(rig_of([Camera(16, 16, K, ahead), Camera(16, 16, K, back)]), 0.3, 5.0)
    assert shared[0, 1] == 0 and shared[1, 0] == 0


def test_sources_are_the_views_that_share_most_and_never_oneself():
    chosen = sources(rig_of(arc(5, turn=1.4)), 0.5, 12.0, 2)
    assert set(chosen[2].tolist()) == {1, 3} and 0 not in chosen[0]
    assert sources(rig_of(arc(1)), 0.5, 12.0, 3).shape == (1, 0)
    assert sources(rig_of(arc(2)), 0.5, 12.0, 3).tolist() == [[1], [0]]


def test_the_first_range_comes_from_where_the_cameras_look():
    rig = rig_of(arc(3))
    assert focus(rig) == pytest.approx(3, rel=0.1), "the arc is 3 away from what all look at"
    near, far = wide_range(rig)
    assert near == pytest.approx(focus(rig) * WIDE_RANGE[0]) and far == pytest.approx(focus(rig) * WIDE_RANGE[1])
    assert wide_range(scaled(rig, 7.0)) == pytest.approx((7 * near, 7 * far))


def test_cameras_side_by_side_look_at_something_far_but_not_at_infinity():
    poses = []
    for x in (0.0, 0.2):
        poses.append(np.eye(4))
        poses[-1][0, 3] = x
    K = intrinsics(12, 12, 8, 8)
    near, far = wide_range(rig_of([Camera(16, 16, K, pose) for pose in poses]))
    assert 0 < near < 1 and 5 < far < 100


def test_one_view_and_cameras_in_one_place_have_the_lone_views_range():
    one = arc(1)[0]
    turned = Camera(one.width, one.height, one.K, one.T_world_camera @ np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert wide_range(rig_of([one])) == LONE_VIEW_RANGE
    assert wide_range(rig_of([one, turned, one])) == LONE_VIEW_RANGE
    shaken = [replace(one, T_world_camera=one.T_world_camera + np.eye(4)[:, 3:] * k * 2e-7) for k in (0.0, 1.0, -1.0)]
    assert wide_range(rig_of(shaken)) == LONE_VIEW_RANGE, "what float32 makes of one place"
    moved = arc(2)[1]  # two in one place and one elsewhere have a scale
    assert wide_range(rig_of([one, turned, moved])) != LONE_VIEW_RANGE


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))
def test_normals_of_a_slanted_plane_are_exact(a, b):
    normal = np.array([a, b, -1.0]) / np.linalg.norm([a, b, -1.0])
    rig = rig_of([Camera(20, 14, intrinsics(22, 25, 9, 8), np.eye(4))], torch.float64)
    depth = -2.0 / (rig.rays().numpy() @ normal)
    found, known = surface_normals(torch.from_numpy(depth), rig)
    assert known.all() and np.abs(found.numpy() - normal).max() < 1e-6


def test_normals_do_not_reach_across_edges_and_holes():
    rig = rig_of([Camera(12, 12, intrinsics(14, 14, 6, 6), np.eye(4))])
    depth = torch.full((1, 12, 12), 3.0)
    depth[:, :, 6:] = 1.5
    depth[:, 9, 2] = 0
    normals, known = surface_normals(depth, rig)
    assert torch.equal(known, depth > 0)
    assert torch.allclose(normals[known], torch.tensor([0.0, 0, -1]), atol=1e-5)


@pytest.mark.parametrize("number", range(3))
def test_normals_equal_those_of_the_depth_pass(number):
    """On a furnished room, up to a few pixels where both sides of an edge bend alike."""
    view = synthetic.views(3, (40, 32))[number]
    normals, known = surface_normals(torch.from_numpy(view.depth)[None].double(), rig_of([view.camera], torch.float64))
    twin = surface(view.camera, view.depth)
    assert known.all()
    alike = (normals[0].numpy() * twin.normals).sum(-1)
    assert (alike > 0.999).mean() > 0.98


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_normals_of_anything_are_unit_and_face_the_camera(seed):
    rng = np.random.default_rng(seed)
    rig = rig_of([Camera(9, 7, intrinsics(8, 9, 4, 4), np.eye(4))])
    depth = rng.lognormal(0, 2, (1, 7, 9)) * (rng.random((1, 7, 9)) < rng.random())
    normals, known = surface_normals(torch.from_numpy(depth).float(), rig)
    assert not (known & torch.from_numpy(depth <= 0)).any()
    assert torch.allclose(normals.norm(dim=-1), torch.ones(1, 7, 9), atol=1e-4)
    assert ((normals * rig.rays()).sum(-1) <= 1e-6).all()
