# SPDX-License-Identifier: GPL-3.0-or-later
"""The gsplat backend's own work, on a stand-in for gsplat's kernels, against the reference. The kernels need a GPU."""

from __future__ import annotations

import importlib
import importlib.util
import inspect

import numpy as np
import pytest
import torch
from gsplat_stand_in import StandIn
from splatonym.core.cameras import Camera, intrinsics
from splatonym.core.errors import InvalidInput
from splatonym.core.gaussians import GaussianArrays
from splatonym.server.job import Job
from splatonym.server.rasterize.contract import RasterSettings
from splatonym.server.rasterize.gsplat import backend as backend_module
from splatonym.server.rasterize.gsplat import pairs
from splatonym.server.rasterize.gsplat.backend import Gsplat
from splatonym.server.rasterize.reference import Reference

N, WIDTH, HEIGHT = 60, 37, 21


def scene(seed: int = 0, count: int = N) -> GaussianArrays:
    draw = np.random.default_rng(seed)
    quats = draw.normal(size=(count, 4))
    return GaussianArrays(
        means=(draw.uniform(-1, 1, (count, 3)) * [1.2, 0.8, 0.8]).astype(np.float32),
        quats=(quats / np.linalg.norm(quats, axis=1, keepdims=True)).astype(np.float32),
        scales=np.exp(draw.uniform(-4, -1, (count, 3))).astype(np.float32),
        opacities=draw.uniform(0.05, 1, count).astype(np.float32),
        sh=(draw.normal(size=(count, 9, 3)) * 0.3).astype(np.float32),
    )


def camera(projection: str = "perspective", back: float = 3.0) -> Camera:
    turned = np.eye(4)
    turned[:3, :3] = [[0.8, 0, -0.6], [0, 1, 0], [0.6, 0, 0.8]]
    turned[:3, 3] = -back * turned[:3, 2]
    focal = 30.0 if projection == "perspective" else 12.0
    return Camera(WIDTH, HEIGHT, intrinsics(focal, focal * 1.1, 18.2, 10.4), turned, projection)  # type: ignore[arg-type]


def frames(projection: str = "perspective", settings: RasterSettings | None = None, g: GaussianArrays | None = None):
    g = scene() if g is None else g
    settings, stand_in = settings or RasterSettings(), StandIn()
    ours = Gsplat("cpu", stand_in).prepare(g, camera(projection), settings, Job())
    return stand_in, ours, Reference("cpu").prepare(g, camera(projection), settings, Job())


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
@pytest.mark.parametrize("settings", [RasterSettings(), RasterSettings(near=2.6, far=3.5, eps2d=0.1, antialiased=True)])
def test_a_picture_with_normals(projection: str, settings: RasterSettings) -> None:
    _, ours, true = frames(projection, settings)
    background = np.array([0.2, 0.5, 0.9], np.float32)
    found, expected = ours.render(None, background, normals=True), true.render(None, background, normals=True)
    for name in ("features", "alpha", "depth", "normals"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert mine.dtype == np.float32 and mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, atol=1e-4, err_msg=name)
    assert ours.render().normals is None


@pytest.mark.parametrize("channels", [1, 32, 33, 70])
def test_any_number_of_channels(channels: int) -> None:
    _, ours, true = frames()
    features = np.random.default_rng(1).normal(size=(N, channels))  # float64, as numpy makes it
    np.testing.assert_allclose(ours.render(features).features, true.render(features).features, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 40])
def test_registration_is_the_gradient(channels: int) -> None:
    stand_in, ours, true = frames()
    image = np.random.default_rng(2).uniform(size=(HEIGHT, WIDTH, channels)).astype(np.float32)
    for mine, theirs in zip(ours.register(image), true.register(image), strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    assert max(stand_in.channels) <= 32


@pytest.mark.parametrize("most", [3, 90])
def test_registration_of_ids(most: int) -> None:
    _, ours, true = frames()
    ids = np.random.default_rng(3).integers(0, most, (HEIGHT, WIDTH)).astype(np.int32) * 1000
    mine, theirs = ours.register_ids(ids), true.register_ids(ids)
    np.testing.assert_array_equal(mine.gaussian, theirs.gaussian)
    np.testing.assert_array_equal(mine.id, theirs.id)
    np.testing.assert_allclose(mine.weight, theirs.weight, atol=1e-4)
    assert (mine.gaussian.dtype, mine.id.dtype, mine.weight.dtype) == (np.int32, np.int32, np.float32)
    nothing = ours.register_ids(np.zeros((HEIGHT, WIDTH), np.int32))
    assert len(nothing.gaussian) == 0 and nothing.weight.dtype == np.float32


@pytest.mark.parametrize(("most", "blended_most"), [(2, 128), (40, 128), (40, 8)], ids=["one turn", "turns", "pair by pair"])
def test_the_dominant_id(monkeypatch: pytest.MonkeyPatch, most: int, blended_most: int) -> None:
    monkeypatch.setattr(backend_module, "IDS_BLENDED_MOST", blended_most)
    monkeypatch.setattr(pairs, "STRIP_PIXELS", 1)  # a strip a row of tiles
    _, ours, true = frames()
    ids = np.random.default_rng(4).integers(0, most, N).astype(np.int32) * 7
    (mine, weight), (theirs, expected) = ours.dominant_id(ids), true.dominant_id(ids)
    np.testing.assert_allclose(weight, expected, atol=1e-5)
    assert mine.dtype == np.int32 and (mine != theirs).mean() < 0.002 and (mine[expected == 0] == 0).all()


def test_ties() -> None:
    """Pixel 0: Gaussians 5, 2 and 7 weigh the same, 4 less. Pixel 1 is empty."""
    quarter = torch.tensor([0.25, 0.25, 0.125, 0.25], dtype=torch.float64)
    strip = pairs.Strip(slice(0, 1), 2, torch.tensor([0, 0, 0, 0]), torch.tensor([5, 2, 4, 7]), quarter)
    assert strip.heaviest(2).ids.tolist() == [[[5, 2], [-1, -1]]]  # the nearer first
    group = torch.tensor([0, 0, 3, 0, 1, 1, 0, 3])  # groups 0 to 3 weigh 0, 0.375, 0 and 0.5
    assert strip.dominant(group, 4)[0].tolist() == [[3, 0]] and strip.dominant(group, 4)[1].tolist() == [[0.5, 0.0]]
    tied = torch.tensor([0, 0, 3, 0, 2, 1, 0, 2])  # 0.25 for group 1, 0.375 for 2, 0.25 for 3
    assert strip.dominant(tied, 4)[0].tolist() == [[2, 0]]
    assert strip.dominant(torch.tensor([0, 0, 3, 0, 0, 1, 0, 2]), 4)[0].tolist() == [[1, 0]]  # three tie: the smallest


@pytest.mark.parametrize("k", [1, 5, 64])
@pytest.mark.parametrize("strip_pixels", [1, 1 << 15])
def test_the_heaviest(monkeypatch: pytest.MonkeyPatch, k: int, strip_pixels: int) -> None:
    monkeypatch.setattr(pairs, "STRIP_PIXELS", strip_pixels)
    _, ours, true = frames()
    mine, theirs = ours.topk(k), true.topk(k)
    np.testing.assert_allclose(mine.weights, theirs.weights, atol=1e-5)
    assert mine.ids.dtype == np.int32 and mine.ids.shape == (HEIGHT, WIDTH, k)
    close = np.diff(theirs.weights, axis=-1, prepend=np.inf, append=-1)
    clear = np.minimum(-close[..., :-1], -close[..., 1:]) > 1e-5  # neither neighbour weighs the same
    np.testing.assert_array_equal(mine.ids[clear], theirs.ids[clear])
    assert (mine.ids[theirs.weights == 0] == -1).all()


@pytest.mark.parametrize("per_camera", [False, True])
def test_rasterize_passes_gradients(per_camera: bool) -> None:
    g = scene(count=20)
    cameras = [camera(), camera("orthographic"), camera(back=2.5)]
    draw = np.random.default_rng(5)
    features = draw.uniform(size=(3, 20, 4) if per_camera else (20, 4))
    background = draw.uniform(size=(3, 4) if per_camera else 4)
    gradients, pictures = [], []
    for rasterizer in (Gsplat("cpu", StandIn()), Reference("cpu")):
        inputs = [
            torch.tensor(array, dtype=torch.float32, requires_grad=True)
            for array in (g.means, g.quats, g.scales, g.opacities, features, background)
        ]
        out = rasterizer.rasterize(*inputs[:5], cameras, inputs[5])
        loss = (out.features**2).sum() + (out.alpha * out.depth).sum()
        gradients.append(torch.autograd.grad(loss, inputs))
        pictures.append(out)
    for name in ("features", "depth", "alpha"):
        torch.testing.assert_close(getattr(pictures[0], name), getattr(pictures[1], name), atol=1e-4, rtol=1e-4)
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, atol=float(theirs.abs().max()) * 1e-3, rtol=1e-3)


def test_nothing_to_draw() -> None:
    empty = scene(count=0)
    _, ours, _ = frames(g=empty)
    out = ours.render(background=np.ones(3, np.float32), normals=True)
    assert (out.features == 1).all() and not out.alpha.any() and not out.depth.any() and out.normals is not None
    assert (ours.topk(2).ids == -1).all() and not ours.dominant_id(np.zeros(0, np.int32))[1].any()
    assert ours.register(np.ones((HEIGHT, WIDTH, 2), np.float32))[0].shape == (0, 2)
    assert len(ours.register_ids(np.ones((HEIGHT, WIDTH), np.int32)).id) == 0
    behind = camera(back=-9)
    unseen = Gsplat("cpu", StandIn()).prepare(scene(), behind, RasterSettings(), Job())
    assert not unseen.render().alpha.any() and (unseen.topk(1).ids == -1).all()


def test_bad_questions() -> None:
    _, ours, _ = frames()
    for ask in (
        lambda: ours.render(np.ones((N + 1, 3), np.float32)),
        lambda: ours.render(np.full((N, 1), np.nan, np.float32)),
        lambda: ours.render(None, np.ones(4, np.float32)),
        lambda: ours.topk(0),
        lambda: ours.topk(65),
        lambda: ours.register(np.ones((HEIGHT, WIDTH + 1, 1), np.float32)),
        lambda: ours.register_ids(np.full((HEIGHT, WIDTH), -1, np.int32)),
        lambda: ours.dominant_id(np.zeros(N + 1, np.int32)),
    ):
        with pytest.raises(InvalidInput):
            ask()


def test_every_frame_of_many_cameras() -> None:
    cameras = [camera(), camera("orthographic")]
    mine = [f.render().alpha for f in Gsplat("cpu", StandIn()).prepare_all(scene(), cameras, RasterSettings(), Job())]
    for found, eye in zip(mine, cameras, strict=True):
        expected = Reference("cpu").prepare(scene(), eye, RasterSettings(), Job()).render().alpha
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.skipif(
    importlib.util.find_spec("gsplat") is None, reason="gsplat is not installed: its signatures cannot be compared"
)
@pytest.mark.parametrize("name", ["rasterization", "rasterize_to_indices_in_range"])
def test_the_stand_in_has_gsplats_signature(name: str) -> None:
    true = inspect.signature(getattr(importlib.import_module("gsplat"), name)).parameters
    assert set(inspect.signature(getattr(StandIn(), name)).parameters) <= set(true)
