# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference rasterizer against brute force, and the identities that rendering and registration obey."""

from dataclasses import replace

import brute_force
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import Cancelled, NotAvailable, SplatonymError
from splatonym.core.gaussians import GaussianArrays, sh_from_rgb
from splatonym.server.job import Job
from splatonym.server.rasterize.contract import RasterSettings, choose


def camera(width=24, height=18, projection="perspective"):
    focal = 20.0 if projection == "perspective" else 6.0
    return Camera(width, height, intrinsics(focal, focal * 1.1, width / 2 + 0.3, height / 2 - 0.7), np.eye(4), projection)


def cloud(seed, count, needles=False):
    rng = np.random.default_rng(seed)
    means = rng.uniform([-2, -1.5, 0.5], [2, 1.5, 6], (count, 3))
    quats = rng.normal(size=(count, 4))
    scales = np.exp(rng.uniform(-4, 0.3 if needles else -1, (count, 3)))
    return GaussianArrays(
        means=means.astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=scales.astype(np.float32),
        opacities=rng.uniform(0, 1, count).astype(np.float32),
        sh=sh_from_rgb(rng.uniform(0, 1, (count, 3))),
    )


def in_the_picture(g):
    """Centres moved into the field of view: outside it, the Jacobian is clamped on purpose."""
    return replace(
        g,
        means=g.means
        * np.concatenate([0.3 * g.means[:, 2:], 0.3 * g.means[:, 2:], np.ones((len(g), 1))], 1).astype(np.float32),
    )


def prepare(g, cam, **settings):
    return choose("reference").prepare(g, cam, RasterSettings(**settings), Job())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.sampled_from(["perspective", "orthographic"]), st.booleans())
def test_pictures_equal_brute_force(seed, count, projection, needles):
    g, cam = in_the_picture(cloud(seed, count, needles=needles)), camera(projection=projection)
    weights, depths = brute_force.splat(g, cam)
    out = prepare(g, cam).render()
    assert np.abs(out.features - weights @ brute_force.colours(g)).max() < 1e-5
    alpha = weights.sum(-1)
    assert np.abs(out.alpha - alpha).max() < 1e-5
    hit = alpha > 1e-3
    assert np.abs(out.depth - (weights @ depths) / np.where(hit, alpha, 1))[hit].max(initial=0) < 6e-5
    assert (out.depth[alpha == 0] == 0).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_registration_is_the_transpose_of_rendering(seed, count):
    g, cam = cloud(seed, count), camera()
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(cam.height, cam.width, 3)).astype(np.float32)
    features = rng.normal(size=(count, 3)).astype(np.float32)
    frame = prepare(g, cam)
    sums, weight = frame.register(image)
    assert (frame.render(features).features * image).sum() == pytest.approx((sums * features).sum(), rel=1e-3, abs=1e-3)
    assert weight.sum() == pytest.approx(frame.render().alpha.sum(), rel=1e-4, abs=1e-5)
    ones, _ = frame.register(np.ones((cam.height, cam.width, 1), np.float32))
    assert np.allclose(ones[:, 0], weight, atol=1e-5)


def test_register_ids_sums_the_weights_of_each_id():
    g, cam = cloud(3, 80), camera()
    ids = np.random.default_rng(0).integers(0, 5, (cam.height, cam.width)).astype(np.int32)
    frame = prepare(g, cam)
    found = frame.register_ids(ids)
    dense = np.zeros((len(g), 5))
    dense[found.gaussian, found.id] = found.weight
    assert (found.id > 0).all()
    assert len(found.id) > 20
    for k in range(1, 5):
        one, _ = frame.register((ids == k).astype(np.float32)[..., None])
        assert np.allclose(dense[:, k], one[:, 0], atol=1e-5)


def test_dominant_id_is_the_argmax_of_blended_one_hot_features():
    g, cam = cloud(5, 120), camera()
    ids = np.random.default_rng(1).integers(0, 7, len(g)).astype(np.int32)
    frame = prepare(g, cam)
    winner, share = frame.dominant_id(ids)
    blended = frame.render(np.eye(7, dtype=np.float32)[ids]).features
    assert np.allclose(share, blended.max(-1), atol=1e-5)
    clear = np.sort(blended, -1)[..., -1] - np.sort(blended, -1)[..., -2] > 1e-4
    assert (winner == blended.argmax(-1))[clear].all()


def test_a_gaussian_over_the_whole_picture_and_many_behind_it():
    g = cloud(1, 3000)
    scales = g.scales.copy()
    scales[:50] = 5
    out = prepare(replace(g, scales=scales), camera(130, 70)).render()
    assert np.isfinite(out.features).all() and out.alpha.max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (65, 3), (64, 64), (200, 1)])
def test_odd_sizes(size):
    out = prepare(cloud(2, 50), camera(*size)).render()
    assert out.features.shape == (size[1], size[0], 3)


def test_nothing_in_front_of_the_camera_gives_an_empty_picture():
    g = cloud(0, 20)
    out = prepare(replace(g, means=-g.means), camera()).render(background=np.array([0.2, 0.4, 0.6], np.float32))
    assert (out.alpha == 0).all() and (out.depth == 0).all()
    assert np.allclose(out.features, [0.2, 0.4, 0.6])


def test_no_gaussians_at_all():
    out = prepare(cloud(0, 0), camera()).render()
    assert (out.alpha == 0).all()


def test_near_and_far_cut():
    g, cam = in_the_picture(cloud(4, 100)), camera()
    weights, _ = brute_force.splat(g, cam, near=2, far=4)
    assert np.abs(prepare(g, cam, near=2, far=4).render().alpha - weights.sum(-1)).max() < 1e-5


def test_view_dependent_colour_is_evaluated_toward_the_camera():
    g = cloud(7, 1)
    sh = np.zeros((1, 4, 3), np.float32)
    sh[0, 2] = 1.0  # the harmonic along z
    g = replace(g, means=np.array([[0, 0, 3]], np.float32), opacities=np.ones(1, np.float32), sh=sh)
    facing = prepare(g, camera()).render().features[9, 12]
    turned = np.diag([-1.0, 1.0, -1.0, 1.0])
    turned[2, 3] = 6
    behind = prepare(g, replace(camera(), T_world_camera=turned)).render().features[9, 12]
    assert facing.min() > 0.5 and behind.max() < 0.3


@pytest.mark.parametrize("field, value", [("means", np.nan), ("scales", -1.0), ("opacities", 2.0), ("quats", 0.0)])
def test_bad_gaussians_are_refused_by_name(field, value):
    g = cloud(0, 5)
    bad = getattr(g, field).copy()
    bad[2] = value
    with pytest.raises(SplatonymError):
        prepare(replace(g, **{field: bad}), camera())


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(NotAvailable, match="quick"):
        choose("quick")


def test_cancel_stops_a_render():
    job = Job()
    frame = choose("reference").prepare(cloud(0, 200), camera(), RasterSettings(), job)
    job.cancel()
    with pytest.raises(Cancelled):
        frame.render()
