# SPDX-License-Identifier: GPL-3.0-or-later
"""Coverage: samples spread as areas are, seeing as projection says, choices against all that could be chosen."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.coverage import (
    Coverage,
    Samples,
    choose_views,
    could_see,
    crop,
    eyes_of,
    in_frame,
    pose,
    reach,
    sample_surfaces,
    spread,
    times_seen,
    upright,
)
from splatonym.core.errors import InvalidInput

SQUARE = np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 1, 0]]], dtype=float)
AWAY = SQUARE + np.array([5.0, 0, 0])


def two_squares() -> tuple[np.ndarray, np.ndarray]:
    """A square of side 1 (owner 0) and one of side 10 at x = 20 (owner 1)."""
    return np.concatenate([SQUARE, 10 * SQUARE + [20, 0, 0]]), np.array([0, 0, 1, 1])


def triangle_areas(triangles: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1) / 2


def test_samples_are_spread_by_area_and_none_is_forgotten() -> None:
    samples = sample_surfaces(*two_squares(), 1000, least=16)
    small = samples.owners == 0
    assert len(samples) == 1000 and 14 <= small.sum() <= 18
    assert samples.areas[small].sum() == pytest.approx(1) and samples.areas[~small].sum() == pytest.approx(100)
    np.testing.assert_allclose(np.abs(samples.normals), [[0, 0, 1]] * 1000, atol=1e-12)
    large = samples.points[~small]
    counts, _, _ = np.histogram2d(large[:, 0], large[:, 1], bins=5, range=[[20, 30], [0, 10]])
    assert counts.sum() == len(large) and counts.min() >= 30 and counts.max() <= 50  # 39 in each on average


def test_fewer_samples_stand_for_the_same_areas() -> None:
    samples = sample_surfaces(*two_squares(), 4000, least=64)
    thinned = samples.thinned(500, least=16)
    assert 480 <= len(thinned) <= 500 and thinned.areas.sum() == pytest.approx(101)
    assert (thinned.owners == 0).sum() >= 14
    assert samples.thinned(10000) is samples


@pytest.mark.parametrize("triangles", [np.zeros((0, 3, 3)), np.zeros((2, 3, 3))])
def test_no_surface_is_said(triangles: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="no surface"):
        sample_surfaces(triangles, np.zeros(len(triangles), dtype=int), 10)


def test_a_huge_triangle_is_cut_to_the_box() -> None:
    low, high = np.array([-1.0, -1, -1]), np.array([1.0, 1, 1])
    triangles, owners = crop(
        np.concatenate([1000 * SQUARE - [500, 500, 0], SQUARE / 4, AWAY]), np.array([3, 3, 4, 4, 5, 5]), low, high
    )
    assert set(owners.tolist()) == {3, 4}
    assert triangle_areas(triangles[owners == 4]).sum() == pytest.approx(1 / 16)
    area = triangle_areas(triangles[owners == 3]).sum()
    assert 4 <= area < 4 * 1.3  # all of the box's 2 x 2, and a little around it
    assert (np.abs(triangles) < 1.3).all() and len(triangles) < 2000
    assert len(crop(AWAY, np.array([0, 0]), low, high)[0]) == 0


def looking(eye: Any, at: Any, size: int = 100, focal: float = 50.0, kind: Any = "perspective") -> Camera:
    forward = np.subtract(at, eye)
    return Camera(size, size, intrinsics(focal, focal, size / 2, size / 2), pose(eye, forward), kind)


def grid(z: float = 0.0, half: float = 2.0, count: int = 21) -> Samples:
    x, y = np.meshgrid(*2 * [np.linspace(-half, half, count)])
    points = np.stack([x, y, np.full_like(x, z)], axis=-1).reshape(-1, 3)
    up = np.tile([0.0, 0.0, 1.0], (len(points), 1))
    return Samples(points, up, np.zeros(len(points), dtype=int), np.ones(len(points)))


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
def test_the_frame_is_that_of_the_projection(kind: Any) -> None:
    camera = looking((0.5, -3, 2), (0, 0, 0), focal=50.0 if kind == "perspective" else 20.0, kind=kind)
    points = np.random.default_rng(0).uniform(-6, 6, (2000, 3))
    pixels, depth = camera.project(points)
    with np.errstate(invalid="ignore"):
        inside = (depth > 0) & (pixels >= 0).all(1) & (pixels < 100).all(1)
    local = (points - camera.position) @ camera.T_world_camera[:3, :3]
    assert 100 < inside.sum() < 1900
    np.testing.assert_array_equal(in_frame(camera, local), inside)


def test_what_is_flat_far_or_clipped_is_not_seen() -> None:
    above = looking((0, 0, 3), (0, 0, 0))
    assert could_see(above, grid(), np.inf).all()
    assert not could_see(above, grid(), 2.9 / 50).any()  # a pixel covers 3 / 50
    assert could_see(above, grid(), 3.1 / 50).all()
    assert not could_see(above, grid(), np.inf, near=3.1).any()
    assert not could_see(above, grid(), np.inf, far=2.9).any()
    flat = looking((-9, 0, 0.5), (0, 0, 0))
    assert not could_see(flat, grid(), np.inf).any()
    below = looking((0, 0, -3), (0, 0, 0))
    assert could_see(below, grid(), np.inf).all()  # surfaces have two sides


def test_reach_is_where_a_pixel_is_as_large_as_the_detail() -> None:
    assert reach(looking((0, 0, 3), (0, 0, 0)), 0.1) == pytest.approx(5.0)
    flat = looking((0, 0, 3), (0, 0, 0), focal=20.0, kind="orthographic")
    assert reach(flat, 0.06) == np.inf and reach(flat, 0.04) == 0.0


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
def test_lines_of_sight_begin_on_the_near_plane_and_end_on_one_pixel(kind: Any) -> None:
    camera = looking((0.5, -3, 2), (0, 0, 0), kind=kind)
    points = grid().points
    eyes = eyes_of(camera, points, near=0.5)
    pixels, depth = camera.project(eyes)
    np.testing.assert_allclose(depth, 0.5, atol=1e-9)
    np.testing.assert_allclose(pixels, camera.project(points)[0], atol=1e-6)


def test_two_cameras_at_one_place_see_once() -> None:
    seen = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=bool)
    np.testing.assert_array_equal(times_seen(seen, np.array([0, 0, 0])), [1, 1, 1])
    np.testing.assert_array_equal(times_seen(seen, np.array([0, 1, 2])), [1, 2, 2])
    np.testing.assert_array_equal(times_seen(seen, np.array([5, 5, 2])), [1, 1, 2])


def worth(seen: np.ndarray, places: np.ndarray) -> int:
    """What a choice is worth: 2 for a sample seen once, 3 for one seen twice."""
    return int(np.array([0, 2, 3])[np.minimum(times_seen(seen, places), 2)].sum())


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_choice_is_nearly_the_best(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    seen, places = rng.random((8, 30)) < rng.uniform(0.1, 0.6), rng.integers(0, 6, 8)
    chosen = choose_views(seen, places, most)
    assert len(chosen) == len(set(chosen)) <= most
    best = max(worth(seen[list(few)], places[list(few)]) for few in combinations(range(8), most))
    assert worth(seen[chosen], places[chosen]) >= (1 - 1 / np.e) * best  # what greedy choice of such sums always gives


def test_the_choice_ends_when_all_is_seen_twice_or_enough_is() -> None:
    seen, places = np.ones((5, 10), dtype=bool), np.arange(5)
    seen[1:, :4] = False
    assert len(choose_views(seen[:, 4:], places, 5)) == 2
    assert len(choose_views(seen, places, 5)) == 2  # four are seen once, and a third view does not help them
    assert choose_views(seen, places, 5, enough=0.5)[:1] == [0]
    assert choose_views(seen, np.zeros(5, dtype=int), 5) == [0]  # from one place, a second look adds nothing
    assert choose_views(seen, places, 5, of=np.zeros(10, dtype=bool)) == []
    assert choose_views(np.zeros((0, 10), dtype=bool), np.zeros(0, dtype=int), 5) == []
    assert choose_views(np.zeros((3, 10), dtype=bool), np.arange(3), 5) == []


def test_shares_by_owner_name_the_least_covered_first() -> None:
    samples = Samples(np.zeros((10, 3)), np.zeros((10, 3)), np.array([0] * 4 + [1] * 5 + [2]), np.ones(10))
    coverage = Coverage(samples, np.array([2, 2, 2, 1, 0, 0, 1, 2, 3, 0]), ["chair", "lamp", "pin"])
    assert coverage.share(1) == pytest.approx(0.7) and coverage.share() == pytest.approx(0.5)
    assert coverage.by_owner() == [("lamp", pytest.approx(0.4)), ("chair", pytest.approx(0.75))]
    assert coverage.by_owner(1, fewest=1)[0] == ("pin", 0.0)
    assert Coverage(samples.select(np.zeros(10, dtype=bool)), np.zeros(0, dtype=int), []).share() == 1


def test_spread_goes_to_the_ends_first() -> None:
    line = np.stack([np.linspace(0, 10, 11), np.zeros(11), np.zeros(11)], axis=1)
    assert spread(line, 3) == [5, 0, 10]
    assert sorted(spread(line, 50)) == list(range(11))
    assert spread(np.zeros((4, 3)), 3) == [0] and spread(np.zeros((0, 3)), 3) == []


@given(st.floats(-np.pi, np.pi), st.floats(-np.pi / 2, np.pi / 2))
@settings(max_examples=60, deadline=None)
def test_cameras_stand_upright(yaw: float, pitch: float) -> None:
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    rotation = upright(3 * forward)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(rotation[:, 2], forward, atol=1e-9)
    assert rotation[2, 0] == pytest.approx(0, abs=1e-9)  # the horizon is level
    assert rotation[2, 1] <= 1e-9  # the picture's down is not the world's up
