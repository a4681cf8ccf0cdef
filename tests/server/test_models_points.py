# SPDX-License-Identifier: GPL-3.0-or-later
"""From maps to Gaussians: cells, merging, agreement of views, and the plain splats of an untrained head."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import SMALL, looking, rig_of
from splatonym.core.cameras import Camera, intrinsics
from splatonym.server.models.consensus import consensus
from splatonym.server.models.points import (
    MERGE_CELL,
    OPACITY,
    SIZE,
    THIN,
    Maps2D,
    PointHead,
    Points,
    cells,
    edges,
    interact,
    merge,
    quaternions,
    to_splats,
)
from splatonym.server.predictors import depth_pass
from splatonym.server.rasterize.projection import rotations

SIDE = 24


def plane_maps(positions, offset=3.0, trust=0.0, side=SIDE):
    """Cameras along +z at some places, and the plane z = offset as they see it."""
    cameras = []
    for place in positions:
        pose = np.eye(4)
        pose[:3, 3] = place
        cameras.append(Camera(side, side, intrinsics(1.0 * side, 1.0 * side, side / 2, side / 2), pose))
    rig = rig_of(cameras)
    V = len(cameras)
    depth = torch.tensor([offset - place[2] for place in positions], dtype=torch.float32)[:, None, None].expand(V, side, side)
    generator = torch.Generator().manual_seed(0)
    maps = Maps2D(
        depth=depth.clone(),
        confidence=torch.full((V, side, side), 0.8),
        trust=torch.full((V, side, side), trust),
        normals=torch.tensor([0.0, 0.0, -1.0]).expand(V, side, side, 3),
        logits=torch.randn(V, 24, side, side, generator=generator),
        features=torch.randn(V, SMALL.point_features, side, side, generator=generator),
        rgb=torch.rand(V, 3, side, side, generator=generator),
        solid=torch.ones(V, side, side, dtype=torch.bool),
    )
    return maps, rig


def some_points(count, seed, spread=0.2):
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape):
        return torch.rand(count, *shape, generator=generator, dtype=torch.float64)

    shapes = {
        "position": (3,),
        "ray": (3,),
        "normal": (3,),
        "stretch": (3,),
        "own_stretch": (3,),
        "colour": (3,),
        "logits": (5,),
    }
    points = Points(**{f.name: numbers(*shapes.get(f.name, ())) for f in fields(Points)})
    return replace(
        points, position=points.position * spread, footprint=0.02 + 0.06 * points.footprint, weight=0.1 + points.weight
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_quaternions_equal_those_of_the_depth_pass(seed):
    axes, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(20, 3, 3)))
    axes *= np.sign(np.linalg.det(axes))[:, None, None]
    found = quaternions(torch.from_numpy(axes))
    assert np.allclose(found.numpy(), depth_pass.quaternions(axes), atol=1e-9)
    assert np.allclose(rotations(found).numpy(), axes, atol=1e-9)


def test_quaternions_of_half_turns():
    turns = torch.stack([torch.diag(torch.tensor(d)) for d in ([1.0, 1, 1], [1.0, -1, -1], [-1.0, 1, -1], [-1.0, -1, 1])])
    assert torch.allclose(quaternions(turns).abs(), torch.eye(4))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 1000))
def test_merging_conserves_weight_and_weighted_means(count, seed):
    points = some_points(count, seed)
    merged = merge(points, MERGE_CELL)
    assert 1 <= len(merged) <= count
    assert torch.allclose(merged.weight.sum(), points.weight.sum())
    for f in fields(Points):
        if f.name != "weight":
            before, after = getattr(points, f.name), getattr(merged, f.name)
            shape = (-1,) + (1,) * (before.ndim - 1)
            moments = (before * points.weight.reshape(shape)).sum(0), (after * merged.weight.reshape(shape)).sum(0)
            assert torch.allclose(*moments), f.name


def test_merging_nothing_gives_nothing():
    assert len(merge(some_points(0, 0), MERGE_CELL)) == 0
    assert len(to_splats(merge(some_points(0, 0), MERGE_CELL))) == 0


def test_points_in_one_cell_are_one_and_far_ones_are_not():
    position = torch.tensor([[0.10, 0.10, 0.10], [0.14, 0.12, 0.13], [0.60, 0.10, 0.10], [-0.1, 0.1, 0.1]])
    group, count = cells(position, torch.full((4,), 0.25))
    assert count == 3 and group[0] == group[1] and len(set(group.tolist())) == 3


def test_points_of_different_sizes_do_not_share_a_cell():
    position = torch.zeros(2, 3)
    assert cells(position, torch.tensor([0.25, 0.5]))[1] == 2
    assert cells(position, torch.tensor([0.25, 0.26]))[1] == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_cells_are_those_of_a_plain_dictionary(seed):
    generator = torch.Generator().manual_seed(seed)
    position, side = torch.randn(200, 3, generator=generator), 0.2 + torch.rand(200, generator=generator)
    group, count = cells(position, side)
    names = {}
    for place, s, number in zip(position.tolist(), side.tolist(), group.tolist(), strict=True):
        level = round(math.log2(s))
        names.setdefault((level, *(math.floor(x / 2.0**level) for x in place)), set()).add(number)
    assert len(names) == count and all(len(numbers) == 1 for numbers in names.values())


def test_interaction_equals_a_plain_loop():
    points = some_points(80, 4)
    f, side = torch.randn(80, 6, dtype=torch.float64), torch.full((80,), 0.08, dtype=torch.float64)
    found = interact(f, points.position, side)
    group, count = cells(points.position, side)
    assert 10 < count < 75
    for k in range(80):
        others = [j for j in range(80) if group[j] == group[k]]
        middle, mean = points.position[others].mean(0), f[others].mean(0)
        d = (points.position[k] - middle).norm() / side[k]
        assert torch.allclose(found[k], f[k] + d * mean)


def test_a_lone_point_is_left_alone_by_interaction():
    f = torch.randn(1, 4)
    assert torch.equal(interact(f, torch.tensor([[1.0, 2, 3]]), torch.tensor([0.1])), f)


def agree(maps, rig, positions=None):
    return consensus(rig.unproject(maps.depth) if positions is None else positions, maps, edges(maps.depth), rig)


@pytest.mark.parametrize("trust", [0.0, 1.0])
def test_of_one_plane_seen_twice_half_the_points_stay(trust):
    maps, rig = plane_maps([(0, 0, 0), (0, 0, 0)], trust=trust)
    agreed = agree(maps, rig)
    assert agreed.kept.sum() == SIDE * SIDE and (agreed.votes == 2).all()
    shifted, rig = plane_maps([(0, 0, 0), (0.06, 0.03, 0)], trust=trust)
    assert SIDE * SIDE <= agree(shifted, rig).kept.sum() < 1.3 * SIDE * SIDE


def test_the_view_that_resolves_better_keeps_its_points():
    maps, rig = plane_maps([(0, 0, 0), (0, 0, 1.5)])
    kept = agree(maps, rig).kept
    assert kept[1].all() and not kept[0, 8:16, 8:16].any() and kept[0, :4].all()


def test_what_more_views_look_through_than_see_goes():
    maps, rig = plane_maps([(0, 0, 0), (0.1, 0, 0), (-0.1, 0, 0)])
    maps.depth[0, 12, 12] = 1.5
    agreed = agree(maps, rig)
    assert not agreed.kept[0, 12, 12] and agreed.votes[0, 12, 12] == -1
    assert abs(rig.unproject(maps.depth)[agreed.kept][:, 2] - 3).max() < 1e-4


def test_guesses_do_not_look_through_what_was_measured():
    """Two views guess a surface behind the one whose depth was given."""
    maps, rig = plane_maps([(0, 0, 0), (0.02, 0, 0), (0.04, 0, 0)])
    maps.depth[1:] *= 1.5
    assert not agree(maps, rig).kept[0, 8:-8, 8:-8].any()
    maps.trust[0] = 1.0
    assert agree(maps, rig).kept[0].all()


def test_what_another_view_cannot_see_stays():
    """Behind the surface that the other view sees nothing is known."""
    maps, rig = plane_maps([(0, 0, 0), (0.1, 0, 0)])
    maps.depth[0, 12, 12] = 5.0
    assert agree(maps, rig).kept[0, 12, 12]


def test_predicted_positions_are_averaged_and_exact_ones_are_not_moved():
    maps, rig = plane_maps([(0, 0, 0), (0, 0, 0)])
    maps.depth[1] = 3.06
    agreed = agree(maps, rig)
    middle = agreed.positions[..., 2]
    assert ((middle > 3.02) & (middle < 3.04)).all()
    maps.trust[0] = 1
    agreed = agree(maps, rig)
    assert (agreed.positions[0] - rig.unproject(maps.depth)[0]).abs().max() < 1e-6
    assert (agreed.positions[1, ..., 2] - 3).abs().max() < 1e-3, "a prediction is drawn to given depth"


def test_one_view_agrees_with_itself():
    maps, rig = plane_maps([(0, 0, 0)])
    agreed = agree(maps, rig)
    assert agreed.kept.all() and torch.equal(agreed.positions, rig.unproject(maps.depth))


def test_views_that_do_not_meet_change_nothing():
    maps, _ = plane_maps([(0, 0, 0), (0, 0, 0)])
    K = intrinsics(SIDE, SIDE, SIDE / 2, SIDE / 2)
    poses = looking((0, 0, 0), (1, 0, 0)), looking((0, 0, 0), (-1, 0, 0))
    rig = rig_of([Camera(SIDE, SIDE, K, pose) for pose in poses])
    agreed = agree(maps, rig)
    assert agreed.kept.all() and torch.equal(agreed.positions, rig.unproject(maps.depth))


def test_the_number_of_splats_grows_with_the_surface_and_not_with_the_views():
    head = PointHead(SMALL)
    with torch.no_grad():
        one = len(head.splats(*plane_maps([(0, 0, 0)]))[0])
        assert len(head.splats(*plane_maps([(0, 0, 0)] * 2))[0]) == one
        four = len(head.splats(*plane_maps([(x, x, 0) for x in (0, 0.02, 0.04, 0.06)]))[0])
        beside = len(head.splats(*plane_maps([(0, 0, 0), (6, 0, 0)]))[0])
    assert 0.7 * SIDE * SIDE < one <= SIDE * SIDE
    assert four < 1.5 * one
    assert abs(beside - 2 * one) < 0.1 * one


def test_an_untrained_head_gives_the_plain_splats():
    """Flat, on the surface, covering the pixel: the numbers of the predictor "depth-pass"."""
    maps, rig = plane_maps([(0, 0, 0)])
    with torch.no_grad():
        points, positions = PointHead(SMALL)(maps, rig)
        splats = to_splats(points)
    assert torch.equal(positions, rig.unproject(maps.depth)) and torch.equal(splats.means, positions.reshape(-1, 3))
    assert torch.allclose(splats.opacities, torch.tensor(OPACITY))
    assert torch.allclose(splats.logits, maps.logits.permute(0, 2, 3, 1).reshape(-1, 24))
    assert torch.allclose(splats.colours, maps.rgb.permute(0, 2, 3, 1).reshape(-1, 3))
    width = SIZE * 3.0 / SIDE
    facing = rig.rays().norm(dim=-1).reshape(-1)
    plain = torch.full_like(facing, width)
    assert torch.allclose(splats.scales, torch.stack([plain * facing, plain, plain * THIN], 1))
    thin = rotations(splats.quats.double())[:, :, 2]
    assert torch.allclose(thin.abs(), torch.tensor([0.0, 0, 1], dtype=torch.float64), atol=1e-4)
    options = depth_pass.Options()
    assert (options.size, options.thin, options.opacity, options.cell) == (SIZE, THIN, OPACITY, MERGE_CELL)


def test_what_is_not_solid_becomes_nothing():
    maps, rig = plane_maps([(0, 0, 0)])
    maps.solid[:, :, 12:] = False
    with torch.no_grad():
        splats, _ = PointHead(SMALL).splats(maps, rig)
        assert splats.means[:, 0].max() < 0.01
        nothing, _ = PointHead(SMALL).splats(replace(maps, solid=torch.zeros_like(maps.solid)), rig)
    assert len(nothing) == 0


def test_edges_lie_on_both_sides_of_a_jump():
    depth = torch.full((1, 8, 8), 2.0)
    depth[:, :, 4:] = 3.0
    found = edges(depth)
    assert found[:, :, 3:5].all() and found.sum() == 16


def test_gradients_reach_every_part_of_the_head():
    torch.manual_seed(0)
    head = PointHead(replace(SMALL, own_semantics=True))
    with torch.no_grad():
        head.change.weight.normal_(0, 0.1)
        head.change.bias[10] = 2.0
    maps, rig = plane_maps([(0, 0, 0), (0.3, 0, 0)])
    splats, positions = head.splats(maps, rig)
    total = sum((value * torch.randn_like(value)).sum() for value in vars(splats).values())
    (total + positions.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 and torch.isfinite(p.grad).all() for p in head.parameters())
