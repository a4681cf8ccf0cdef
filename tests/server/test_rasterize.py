# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rasterizer against brute force, and the identities that rendering and registration obey."""

from dataclasses import replace

import brute_force
import numpy as np
import pytest
import torch
from drawn_scenes import BACKENDS, backend_or_skip, camera, cloud, over_the_picture, scenes, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.errors import Cancelled, InvalidInput, NotAvailable
from splatonym.server.job import Job
from splatonym.server.rasterize.choice import choose
from splatonym.server.rasterize.contract import RasterSettings

CLOSE = 1e-5


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return backend_or_skip(request.param)


def prepare(backend, g, cam, **options):
    return backend.prepare(g, cam, RasterSettings(**options), Job())


def drawn(backend, scene):
    """The frame, the brute-force picture, and where in the picture the two have to agree."""
    frame = backend.prepare(scene.gaussians, scene.camera, scene.settings, Job())
    truth = brute_force.splat(*brute_force.tensors(scene.gaussians), scene.camera, scene.settings)
    sure = ~truth.doubtful.numpy()
    if sure.size > 500:
        assert sure.mean() > 0.98
    return frame, truth, sure


def equal(found, expected, sure, tolerance=CLOSE):
    error = np.abs(found - np.asarray(expected))[sure]
    assert error.max(initial=0) <= tolerance, error.max()


# --- pictures -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(scenes())
def test_pictures(backend, scene):
    frame, truth, sure = drawn(backend, scene)
    background = np.array([0.2, 0.9, 0.4], np.float32)
    out = frame.render(background=background, normals=True)
    features, depth, alpha = truth.render(brute_force.colours(scene.gaussians, scene.camera), torch.tensor(background))
    equal(out.features, features, sure)
    equal(out.alpha, alpha, sure)
    equal(out.depth, depth, sure, CLOSE * max(float(depth.max()), 1e-9))
    assert (out.depth[out.alpha == 0] == 0).all()

    normals = truth.weights @ brute_force.normals(scene.gaussians, scene.camera)
    length = normals.norm(dim=-1)
    clear = sure & (length > 0.05 * alpha).numpy() & (alpha > 0).numpy()
    equal(out.normals, normals / torch.where(length > 0, length, 1)[..., None], clear, 1e-4)
    assert (out.normals[out.alpha == 0] == 0).all()
    assert all(part.dtype == np.float32 for part in (out.features, out.depth, out.alpha, out.normals))


@pytest.mark.parametrize("channels", [1, 3, 4, 7, 32, 33, 70])
def test_any_number_of_channels(backend, channels):
    g, cam = cloud(channels, 150), camera(33, 19)
    rng = np.random.default_rng(channels)
    features = rng.normal(size=(len(g), channels)).astype(np.float32)
    background = rng.normal(size=channels).astype(np.float32)
    truth = brute_force.splat(*brute_force.tensors(g), cam)
    out = prepare(backend, g, cam).render(features, background)
    expected, _, _ = truth.render(torch.tensor(features).double(), torch.tensor(background).double())
    equal(out.features, expected, ~truth.doubtful.numpy(), 2 * CLOSE)


def test_colour_is_evaluated_toward_the_camera(backend):
    sh = np.zeros((1, 4, 3), np.float32)
    sh[0, 2] = 1.0  # the harmonic along z
    g = replace(over_the_picture(cloud(7, 1), 3.0), sh=sh)
    behind = np.diag([-1.0, 1.0, -1.0, 1.0])
    behind[2, 3] = 6
    colours = [prepare(backend, g, camera(T_world_camera=pose)).render().features[9, 12] for pose in (None, behind)]
    assert colours[0].min() > 0.5 and colours[1].max() < 0.3


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
def test_normals_look_at_the_camera(backend, projection):
    flat = np.tile(np.float32([0.3, 0.3, 0.001]), (40, 1))
    g = replace(cloud(1, 40), scales=flat, quats=np.tile(np.float32([1, 0, 0, 0]), (40, 1)))
    out = prepare(backend, g, camera(projection=projection)).render(normals=True)
    assert np.allclose(out.normals[out.alpha > 0], [0, 0, -1], atol=1e-5)


def test_many_cameras_are_the_same_as_each_by_itself(backend):
    g = cloud(3, 100, "around", 2)
    cameras = [camera(20 + k, 15, T_world_camera=turned(k, 1.0)) for k in range(5)]
    frames = list(backend.prepare_all(g, cameras, RasterSettings(), Job()))
    assert len(frames) == 5
    for cam, frame in zip(cameras, frames, strict=True):
        assert np.abs(frame.render().features - prepare(backend, g, cam).render().features).max() < 1e-6


# --- the heaviest, registration -----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(scenes(), st.sampled_from([1, 3, 8, 64]))
def test_topk(backend, scene, k):
    frame, truth, sure = drawn(backend, scene)
    found = frame.topk(k)
    weights = truth.weights.numpy()
    ordered = np.sort(weights, -1)[..., ::-1][..., :k]
    equal(found.weights[..., : ordered.shape[-1]], ordered, sure)
    assert ((found.ids == -1) == (found.weights == 0)).all()
    assert found.ids.dtype == np.int32 and found.weights.dtype == np.float32
    own = np.take_along_axis(weights, np.maximum(found.ids, 0), -1)
    equal(found.weights, np.where(found.ids < 0, 0, own), sure)
    ids = np.sort(found.ids, -1)
    assert not ((ids[..., 1:] == ids[..., :-1]) & (ids[..., 1:] >= 0)).any()


@settings(max_examples=40, deadline=None)
@given(scenes())
def test_registration(backend, scene):
    frame, truth, sure = drawn(backend, scene)
    rng = np.random.default_rng(scene.seed)
    weights = truth.weights.numpy() * sure[..., None]
    image = rng.normal(size=(*sure.shape, 3)).astype(np.float32) * sure[..., None]
    image[..., 2] = sure
    sums, whole = frame.register(image)
    size = np.maximum(1, weights.sum((0, 1)))  # where sums are large, float32 has its own last digit
    assert (np.abs(sums - np.einsum("hwn,hwc->nc", weights, image)) / size[:, None]).max() < 2 * CLOSE
    assert (np.abs(whole - truth.weights.sum((0, 1)).numpy()) / size).max() < CLOSE + 0.01 * (~sure).sum()

    ids = (rng.integers(0, 5, sure.shape) * sure).astype(np.int32)
    found = frame.register_ids(ids)
    assert (found.id > 0).all() and found.gaussian.dtype == found.id.dtype == np.int32
    key = found.gaussian.astype(np.int64) * 5 + found.id
    assert (np.diff(key) > 0).all()
    dense = np.zeros((len(whole), 5))
    dense[found.gaussian, found.id] = found.weight
    for k in range(1, 5):
        assert (np.abs(dense[:, k] - weights[ids == k].sum(0)) / size).max() < CLOSE

    labels = rng.integers(0, 4, len(whole)).astype(np.int32) * 300
    winner, share = frame.dominant_id(labels)
    blended = np.stack([truth.weights.numpy()[..., labels == k].sum(-1) for k in np.unique(labels)], -1)
    equal(share, blended.max(-1), sure)
    second = np.sort(blended, -1)[..., -2] if blended.shape[-1] > 1 else np.zeros(sure.shape)
    clear = sure & (blended.max(-1) - second > 1e-4)
    assert (winner == np.unique(labels)[blended.argmax(-1)])[clear].all()
    assert (winner[share == 0] == 0).all()


@settings(max_examples=10, deadline=None)
@given(scenes())
def test_registration_is_the_transpose_of_rendering(backend, scene):
    rng = np.random.default_rng(scene.seed)
    frame = backend.prepare(scene.gaussians, scene.camera, scene.settings, Job())
    image = rng.normal(size=(scene.camera.height, scene.camera.width, 3)).astype(np.float32)
    features = rng.normal(size=(len(scene.gaussians), 3)).astype(np.float32)
    sums, weight = frame.register(image)
    size = 1e-5 * image.size
    assert float((frame.render(features).features * image).sum()) == pytest.approx(
        float((sums * features).sum()), rel=1e-4, abs=size
    )
    assert weight.sum() == pytest.approx(frame.render().alpha.sum(), rel=1e-4, abs=1e-5)


def test_a_large_id_and_many_ids_are_as_good_as_a_small_one(backend):
    g, cam = cloud(3, 80), camera()
    few = np.random.default_rng(0).integers(0, 5, (cam.height, cam.width)).astype(np.int32)
    frame = prepare(backend, g, cam)
    small, large = frame.register_ids(few), frame.register_ids(np.where(few, few + 2_000_000_000, 0).astype(np.int32))
    assert (large.id == small.id + 2_000_000_000).all() and np.allclose(large.weight, small.weight, atol=1e-6)
    every = np.arange(few.size, dtype=np.int32).reshape(few.shape)
    assert frame.register_ids(every).weight.sum() == pytest.approx(
        frame.register((every > 0)[..., None] * np.float32(1))[1].sum(), rel=0.02
    )
    assert (frame.register_ids(np.zeros_like(few)).weight.size) == 0


# --- edges --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (65, 3), (64, 64), (200, 1), (1, 200), (15, 17)])
def test_odd_sizes(backend, size):
    frame = prepare(backend, cloud(2, 50), camera(*size))
    shape = (size[1], size[0])
    out = frame.render(normals=True)
    assert out.features.shape == (*shape, 3) == out.normals.shape and out.depth.shape == out.alpha.shape == shape
    assert frame.topk(5).ids.shape == (*shape, 5) and frame.dominant_id(np.ones(50, np.int32))[0].shape == shape


def test_a_picture_of_4096_x_4096(backend):
    if backend.name == "reference":
        pytest.skip("reference: right, and slow")
    cam = camera(4096, 4096)
    out = prepare(backend, cloud(2, 200), cam).render()
    assert out.features.shape == (4096, 4096, 3) and np.isfinite(out.features).all() and out.alpha.max() > 0.5


def test_a_gaussian_over_the_whole_picture_and_many_behind_it(backend):
    g, cam = over_the_picture(cloud(1, 300), 0.3), camera(64, 48)
    truth = brute_force.splat(*brute_force.tensors(g), cam)
    equal(prepare(backend, g, cam).render().alpha, truth.weights.sum(-1), ~truth.doubtful.numpy())
    many = cloud(1, 3000)
    scales = many.scales.copy()
    scales[:50] = 50
    out = prepare(backend, replace(many, scales=scales), camera(130, 70)).render()
    assert np.isfinite(out.features).all() and out.alpha.max() <= 1


def test_enormous_and_minute_values_stay_finite(backend):
    g = cloud(1, 40)
    scales, means = g.scales.copy(), g.means.copy()
    scales[:10], scales[10:20], means[20:30] = 1e18, 1e-30, 1e25
    frame = prepare(backend, replace(g, scales=scales, means=means), camera())
    out, (sums, weight) = frame.render(normals=True), frame.register(np.ones((18, 24, 2), np.float32))
    assert all(np.isfinite(part).all() for part in (out.features, out.depth, out.alpha, out.normals, sums, weight))


def test_an_empty_picture(backend):
    g, cam, background = cloud(0, 20), camera(), np.float32([0.2, 0.4, 0.6])
    for nothing in (replace(g, means=-g.means), replace(g, opacities=np.zeros(20, np.float32)), cloud(0, 0)):
        frame = prepare(backend, nothing, cam)
        out = frame.render(background=background, normals=True)
        assert (out.alpha == 0).all() and (out.depth == 0).all() and (out.normals == 0).all()
        assert np.allclose(out.features, background)
        found = frame.topk(3)
        assert (found.ids == -1).all() and (found.weights == 0).all()
        sums, weight = frame.register(np.ones((cam.height, cam.width, 2), np.float32))
        assert sums.shape == (len(nothing), 2) and not sums.any() and not weight.any() and len(weight) == len(nothing)
        assert len(frame.register_ids(np.ones((cam.height, cam.width), np.int32)).id) == 0
        winner, share = frame.dominant_id(np.ones(len(nothing), np.int32))
        assert not winner.any() and not share.any()


def test_arrays_of_any_layout_are_right(backend):
    g, cam = cloud(5, 60, sh_degree=1), camera()
    features = np.random.default_rng(0).random((60, 4), np.float32)
    plain = prepare(backend, g, cam)
    every_other = {name: np.repeat(getattr(g, name), 2, 0)[::2] for name in ("means", "opacities")}
    fortran = {name: np.asfortranarray(getattr(g, name)) for name in ("quats", "scales", "sh")}
    backwards = {name: getattr(g, name)[::-1].copy()[::-1] for name in ("means", "quats", "scales", "opacities", "sh")}
    frozen = replace(g, means=g.means.copy())
    frozen.means.flags.writeable = False
    for odd in (replace(g, **every_other, **fortran), replace(g, **backwards), frozen):
        assert np.array_equal(prepare(backend, odd, cam).render().features, plain.render().features)
    expected = plain.render(features).features
    for odd in (np.asfortranarray(features), features[::-1].copy()[::-1], features.astype(np.float64)):
        assert np.allclose(plain.render(odd).features, expected, atol=1e-6)
    image = np.random.default_rng(1).random((cam.height, cam.width, 4), np.float32)
    for odd in (np.asfortranarray(image), image[::-1, ::-1].copy()[::-1, ::-1], image.astype(np.float64)):
        assert np.allclose(plain.register(odd)[0], plain.register(image)[0], atol=1e-5)
    ids = np.random.default_rng(2).integers(0, 3, (cam.height, cam.width))
    for odd in (np.asfortranarray(ids), ids.astype(np.uint8), ids.astype(np.int32)):
        assert np.allclose(plain.register_ids(odd).weight, plain.register_ids(ids).weight)


@pytest.mark.parametrize(
    "field, value",
    [(field, value) for field in ("means", "scales", "opacities", "quats", "sh") for value in (np.nan, np.inf, -np.inf)]
    + [("scales", -1.0), ("scales", 0.0), ("opacities", 2.0), ("opacities", -0.1), ("quats", 0.0)],
)
def test_bad_gaussians_are_refused_by_name(backend, field, value):
    g = cloud(0, 5)
    bad = getattr(g, field).copy()
    bad[2] = value
    with pytest.raises(InvalidInput, match="rotations" if value == 0 and field == "quats" else field):
        prepare(backend, replace(g, **{field: bad}), camera())


def test_float64_gaussians_are_refused_by_name(backend):
    g = cloud(0, 5)
    with pytest.raises(InvalidInput, match="means"):
        prepare(backend, replace(g, means=g.means.astype(np.float64)), camera())


@pytest.mark.parametrize("near", [-5.0, 0.0])
@pytest.mark.parametrize("projection, seen", [("perspective", False), ("orthographic", True)])
def test_what_is_behind_the_camera(backend, near, projection, seen):
    g, cam = cloud(3, 60), camera(projection=projection)
    behind = replace(g, means=g.means * np.float32([1, 1, -0.5]))
    alpha = prepare(backend, behind, cam, near=near).render().alpha
    assert (alpha.max() > 0) == (seen and near < 0)


@pytest.mark.parametrize("wrong", [{"near": 2, "far": 1}, {"near": np.nan}, {"eps2d": -0.1}, {"eps2d": np.inf}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(InvalidInput, match=r"drawn|eps2d"):
        RasterSettings(**wrong)


NAN = np.float32([[np.nan, 1, 1]])
WRONG_QUESTIONS = {
    "features of wrong length": (lambda f: f.render(np.ones((4, 3), np.float32)), r"\(4, 3\)"),
    "features of one axis": (lambda f: f.render(np.ones(5, np.float32)), r"\(5,\)"),
    "features without channels": (lambda f: f.render(np.ones((5, 0), np.float32)), r"\(5, 0\)"),
    "features with nan": (lambda f: f.render(np.ones((5, 1), np.float32) * NAN), "finite"),
    "background of wrong length": (lambda f: f.render(background=np.ones(4, np.float32)), "4"),
    "image of another size": (lambda f: f.register(np.ones((24, 18, 3), np.float32)), "24x18"),
    "image without channels": (lambda f: f.register(np.ones((18, 24), np.float32)), "24x18"),
    "image with inf": (lambda f: f.register(np.full((18, 24, 1), np.inf, np.float32)), "finite"),
    "ids of another size": (lambda f: f.register_ids(np.ones((24, 18), np.int32)), "24x18"),
    "ids below 0": (lambda f: f.register_ids(np.full((18, 24), -3, np.int32)), "-3"),
    "ids beyond int32": (lambda f: f.register_ids(np.full((18, 24), 2**32 + 5)), "int32"),
    "labels beyond int32": (lambda f: f.dominant_id(np.full(5, 2**31)), "int32"),
    "ids that are no numbers to count with": (lambda f: f.register_ids(np.ones((18, 24), np.float32)), "float32"),
    "labels of wrong length": (lambda f: f.dominant_id(np.ones(4, np.int32)), r"\(4,\)"),
    "labels below 0": (lambda f: f.dominant_id(np.full(5, -1, np.int32)), "-1"),
    "none of the heaviest": (lambda f: f.topk(0), "0"),
    "too many of the heaviest": (lambda f: f.topk(65), "65"),
}


@pytest.mark.parametrize("question", WRONG_QUESTIONS)
def test_wrong_questions_are_refused_with_their_value(backend, question):
    ask, said = WRONG_QUESTIONS[question]
    frame = prepare(backend, cloud(0, 5), camera())
    with pytest.raises(InvalidInput, match=said) as error:
        ask(frame)
    assert error.value.hint


def test_an_unknown_backend_is_refused_by_name():
    with pytest.raises(NotAvailable, match="quick"):
        choose("quick")


def test_cancel_stops_work(backend):
    job = Job()
    frames = backend.prepare_all(cloud(0, 200), [camera(), camera()], RasterSettings(), job)
    frame = next(frames)
    job.cancel()
    image, ids = np.ones((18, 24, 1), np.float32), np.ones((18, 24), np.int32)
    questions = (
        frame.render,
        lambda: frame.topk(2),
        lambda: frame.register(image),
        lambda: frame.register_ids(ids),
        lambda: next(frames),
    )
    for ask in questions:
        with pytest.raises(Cancelled):
            ask()
    with pytest.raises(Cancelled):
        backend.prepare(cloud(0, 200), camera(), RasterSettings(), job)


def test_a_frame_answers_in_any_order_and_again(backend):
    g, cam = cloud(4, 100), camera()
    frame = prepare(backend, g, cam)
    first = frame.render().features.copy()
    frame.topk(4), frame.register(np.ones((18, 24, 5), np.float32)), frame.render(np.ones((100, 40), np.float32))
    prepare(backend, cloud(5, 300), camera(64, 48)).render()
    again = frame.render().features
    assert np.array_equal(first, again)
