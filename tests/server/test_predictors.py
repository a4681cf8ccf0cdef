# SPDX-License-Identifier: GPL-3.0-or-later
"""The depth-pass predictor on scenes whose answer is known, its fusion, and what it says to bad input."""

from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import Cancelled, InvalidInput, NotAvailable
from splatonym.core.views import View
from splatonym.server import predictors
from splatonym.server.job import Job
from splatonym.server.predictors.depth_pass import DepthPass, quaternions, unproject
from splatonym.server.predictors.depth_pass import Options as DepthOptions
from splatonym.server.predictors.fusion import Points, compare, merge
from splatonym.server.predictors.normals import surface
from splatonym.server.rasterize.projection import rotations

SIDE = 24


def plane_view(normal, offset, position=(0.0, 0.0, 0.0), projection="perspective", name="view"):
    """A plane normal . x = offset, seen along +z from a position; depth is exact."""
    focal = 20.0 if projection == "perspective" else 8.0
    pose = np.eye(4)
    pose[:3, 3] = position
    camera = Camera(SIDE, SIDE, intrinsics(focal, focal, SIDE / 2, SIDE / 2), pose, projection)
    near, far = camera.unproject(np.ones((SIDE, SIDE))), camera.unproject(np.full((SIDE, SIDE), 2.0))
    depth = 1 + (offset - near @ normal) / ((far - near) @ normal)
    colour = np.full((SIDE, SIDE, 3), 128, np.uint8)
    return View(name, camera, colour, np.where(depth > 0, depth, 0).astype(np.float32))


def unit(vector):
    return np.asarray(vector, float) / np.linalg.norm(vector)


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.sampled_from(["perspective", "orthographic"]))
def test_normals_of_a_slanted_plane_are_exact(a, b, projection):
    normal = unit([a, b, -1.0])
    view = plane_view(normal, -3.0, projection=projection)
    shown = surface(view.camera, view.depth)
    assert np.abs(shown.normals - normal).max() < 2e-4
    assert not shown.edge.any()


def test_an_edge_is_found_on_both_sides_and_the_rim_on_the_nearer():
    view = plane_view(unit([0, 0, -1.0]), -3.0)
    depth = view.depth.copy()
    depth[:, : SIDE // 2] = 1.5
    shown = surface(view.camera, depth)
    middle = slice(SIDE // 2 - 1, SIDE // 2 + 1)
    assert shown.edge[:, middle].all() and shown.edge.sum() == 2 * SIDE
    assert shown.rim[:, SIDE // 2 - 1].all() and not shown.rim[:, SIDE // 2].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_quaternions_invert_rotations(seed):
    import torch

    q = np.random.default_rng(seed).normal(size=(20, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    R = rotations(torch.as_tensor(q)).numpy()
    assert np.allclose(rotations(torch.as_tensor(quaternions(R))).numpy(), R, atol=1e-9)


def test_gaussians_lie_flat_on_the_surface():
    normal = unit([0.3, -0.2, -1.0])
    views = [plane_view(normal, -3.0, (x, 0.0, 0.0), name=f"view {x}") for x in (-0.3, 0.0, 0.3)]
    prediction = DepthPass().predict(views, {}, Job())
    g = prediction.gaussians
    g.validate()
    assert np.abs(g.means @ normal + 3.0).max() < 1e-3
    thin = g.scales.argmin(1)
    import torch

    axis = rotations(torch.as_tensor(g.quats, dtype=torch.float64)).numpy()[np.arange(len(g)), :, thin]
    assert np.abs(axis @ normal).min() > 0.999
    assert np.abs(g.rgb - 128 / 255).max() < 0.02


def test_the_number_of_gaussians_grows_with_the_surface_and_not_with_the_views():
    normal = unit([0, 0, -1.0])
    one = DepthPass().predict([plane_view(normal, -3.0)], {}, Job())
    jitter = np.linspace(-0.02, 0.02, 5)
    many = DepthPass().predict([plane_view(normal, -3.0, (x, x, 0), name=str(x)) for x in jitter], {}, Job())
    assert many.figures["points"] == 5 * one.figures["points"]
    assert len(many.gaussians) < 2.5 * len(one.gaussians)


def test_a_point_that_two_views_look_through_is_dropped():
    normal = unit([0, 0, -1.0])
    views = [plane_view(normal, -3.0, (x, 0, 0), name=str(x)) for x in (-0.1, 0.0, 0.1)]
    depth = views[0].depth.copy()
    depth[12, 12] = 1.0  # a speck in the air that only the first view has
    views[0] = replace(views[0], depth=depth)
    prediction = DepthPass().predict(views, {}, Job())
    assert prediction.figures["points_contradicted"] == 1
    assert prediction.gaussians.means[:, 2].min() > 2.9


def test_merging_keeps_weighted_means_and_one_point_a_cell():
    rng = np.random.default_rng(0)
    view = plane_view(unit([0, 0, -1.0]), -3.0)
    points = unproject(view, DepthOptions())
    doubled = Points.concatenate([points, points])
    merged = merge(doubled, 0.7, Job())
    assert len(merged) == len(merge(points, 0.7, Job()))
    total = (points.colour * points.weight[:, None]).sum(0) * 2
    assert np.allclose((merged.colour * merged.weight[:, None]).sum(0), total)
    shuffled = doubled.select(rng.permutation(len(doubled)))
    assert np.allclose(np.sort(merge(shuffled, 0.7, Job()).position, 0), np.sort(merged.position, 0))


def test_a_single_view_contradicts_nothing():
    points = unproject(plane_view(unit([0, 0, -1.0]), -3.0), DepthOptions())
    verdict = compare(points, [], 0.005, Job())
    assert not verdict.contradicted.any() and not verdict.outdone.any()


def test_no_depth_and_nothing_to_see_are_said_with_the_views():
    view = plane_view(unit([0, 0, -1.0]), -3.0, name="Sofa side")
    with pytest.raises(InvalidInput, match="Sofa side"):
        DepthPass().predict([replace(view, depth=None)], {}, Job())
    empty = replace(view, name="Inside the wall", depth=np.zeros_like(view.depth))
    with pytest.raises(InvalidInput, match="Inside the wall"):
        DepthPass().predict([empty], {}, Job())
    notes = DepthPass().predict([view, empty, replace(view, name="RGB only", depth=None)], {}, Job()).notes
    assert any("Inside the wall" in note for note in notes) and any("RGB only" in note for note in notes)


@pytest.mark.parametrize(
    "options", [{"sise": 1}, {"size": "big"}, {"size": -1}, {"size": True}, {"rounds": 1e9}, {"cell": float("nan")}]
)
def test_bad_options_are_refused_by_name(options):
    with pytest.raises(InvalidInput, match=next(iter(options))):
        DepthPass().predict([plane_view(unit([0, 0, -1.0]), -3.0)], options, Job())


def test_cancel_at_every_progress():
    views = [plane_view(unit([0, 0, -1.0]), -3.0, (x, 0, 0), name=str(x)) for x in (0.0, 0.1)]
    told = 0

    def count(*_):
        nonlocal told
        told += 1

    DepthPass().predict(views, {}, Job(count))
    assert told > 8
    for stop in range(told - 1):  # after the last one there is nothing left to stop
        with pytest.raises(Cancelled):
            DepthPass().predict(views, {}, cancelled_after(stop))


def cancelled_after(stop):
    """A job that is cancelled when it tells of its progress for the (stop + 1)th time."""
    left = [stop]

    def sink(*_):
        left[0] -= 1
        if left[0] < 0:
            job.cancel()

    job = Job(sink)
    return job


def test_an_unknown_predictor_is_refused_with_the_known_ones():
    with pytest.raises(NotAvailable, match="magic") as caught:
        predictors.choose("magic")
    assert "depth-pass" in caught.value.hint


def test_a_plug_in_is_found_and_a_broken_one_says_why(monkeypatch):
    entries = metadata.EntryPoints([
        metadata.EntryPoint("mine", "splatonym.server.predictors.depth_pass:DepthPass", predictors.GROUP),
        metadata.EntryPoint("broken", "no_such_module:Thing", predictors.GROUP),
        metadata.EntryPoint("wrong", "builtins:dict", predictors.GROUP),
    ])  # fmt: skip
    monkeypatch.setattr(metadata, "entry_points", lambda **query: entries.select(**query))
    assert {"mine", "broken", "depth-pass"} <= set(predictors.names())
    assert isinstance(predictors.choose("mine"), DepthPass)
    with pytest.raises(NotAvailable, match="no_such_module"):
        predictors.choose("broken")
    with pytest.raises(NotAvailable, match="predict"):
        predictors.choose("wrong")
