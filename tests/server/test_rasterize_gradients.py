# SPDX-License-Identifier: GPL-3.0-or-later
"""The gradients of every rasterizer against brute force under autograd, and those against finite differences."""

from dataclasses import replace

import brute_force
import numpy as np
import pytest
import torch
from drawn_scenes import BACKENDS, backend_or_skip, camera, cloud, over_the_picture, scenes, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.errors import InvalidInput
from splatonym.server.rasterize.contract import RasterSettings

NAMES = ("means", "quats", "scales", "opacities", "features", "background")


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request):
    return backend_or_skip(request.param)


def leaves(g, channels, seed, dtype, *, cameras=1, each_camera=False, with_background=True):
    """Tensors that collect gradients, by name; quaternions of any length."""
    rng = np.random.default_rng(seed)
    several = (cameras,) if each_camera else ()
    arrays = dict(zip(NAMES, (g.means, g.quats * rng.uniform(0.5, 2, (len(g), 1)), g.scales, g.opacities), strict=False))
    arrays["features"] = rng.normal(size=(*several, len(g), channels))
    if with_background:
        arrays["background"] = rng.normal(size=(*several, channels))
    rounded = {name: array.astype(np.float32) for name, array in arrays.items()}
    return {name: torch.tensor(array, dtype=dtype, requires_grad=True) for name, array in rounded.items()}


def brute(tensors, cameras, options):
    """The pictures [V, ...] of brute force, and where each is sure."""
    shapes = [tensors[name] for name in NAMES[:4]]
    pictures, sure = [], []
    for k, cam in enumerate(cameras):
        features, background = tensors["features"], tensors.get("background")
        picture = brute_force.splat(*shapes, cam, options, gradients=True)
        if features.ndim == 3:
            features, background = features[k], None if background is None else background[k]
        pictures.append(picture.render(features, background))
        sure.append(~picture.doubtful)
    return [torch.stack(parts) for parts in zip(*pictures, strict=True)], torch.stack(sure)


def loss(pictures, sure, seed, covered):
    """A sum over features, depth and alpha, each pixel with a weight of its own; nothing of what is not sure.

    Depth weighs as much as is `covered` [V, H, W]: its gradient goes with 1 / alpha, and float32's last digit of it too.
    """
    generator = torch.Generator().manual_seed(seed)
    features, depth, alpha = (
        picture * torch.randn(picture.shape, generator=generator, dtype=torch.float64).to(picture.dtype) for picture in pictures
    )
    return (features * sure[..., None]).sum() + (depth * covered * sure).sum() + (alpha * sure).sum()


def compare(backend, g, cameras, options, seed, *, channels=3, each_camera=False, with_background=True, dtype=torch.float32):
    more = {"cameras": len(cameras), "each_camera": each_camera, "with_background": with_background}
    truth = leaves(g, channels, seed, torch.float64, **more)
    expected, sure = brute(truth, cameras, options)
    covered = expected[2].detach()
    loss(expected, sure, seed, covered).backward()
    own = leaves(g, channels, seed, dtype, **more)
    out = backend.rasterize(**own, cameras=cameras, settings=options)
    found = (out.features, out.depth, out.alpha)
    assert all(part.dtype == dtype for part in found)
    for part, right in zip(found, expected, strict=True):
        assert part.shape == right.shape
        error = ((part - right).abs() * sure.reshape(*sure.shape, *[1] * (part.ndim - 3))).max()
        assert error <= 1e-5 * max(1, float(right.detach().abs().max()))
    loss(found, sure, seed, covered).backward()
    for name, tensor in own.items():
        right, grad = truth[name].grad, torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        assert grad.isfinite().all()
        error, size = float((grad - right).abs().max()), float(right.abs().max())
        assert error <= 1e-4 * size + 1e-7, (name, error, size)


@settings(max_examples=60, deadline=None)
@given(scenes(most=120), st.sampled_from([1, 3, 5]), st.booleans())
def test_gradients(backend, scene, channels, with_background):
    compare(
        backend, scene.gaussians, [scene.camera], scene.settings, scene.seed, channels=channels, with_background=with_background
    )


@pytest.mark.parametrize("channels", [7, 32, 33, 70])
def test_gradients_of_many_channels(backend, channels):
    compare(backend, cloud(channels, 60), [camera(20, 13)], RasterSettings(), 1, channels=channels)


@pytest.mark.parametrize("each_camera", [False, True])
def test_gradients_of_many_cameras_add_up(backend, each_camera):
    cameras = [
        camera(21, 14, T_world_camera=turned(k, 0.5), projection=("perspective", "orthographic")[k % 2]) for k in range(4)
    ]
    compare(backend, cloud(8, 80, "around"), cameras, RasterSettings(near=0.3), 1, each_camera=each_camera)


def test_gradients_of_a_gaussian_over_everything(backend):
    compare(backend, over_the_picture(cloud(2, 40)), [camera(33, 19)], RasterSettings(), 1)


def test_gradients_of_an_almost_opaque_gaussian_behind_fog(backend):
    """What is left behind it is divided by 1 - alpha: a thousand times the rounding of what came before. Only it has a direction."""
    for seed in range(20):
        g = over_the_picture(cloud(seed, 2))
        scales, opacities, means = g.scales.copy(), np.float32([0.9, 0.9985]), g.means.copy()
        means[1], scales[1] = (-1.0, 2.2, 3), (17, 10, 5)
        scene = replace(g, means=means, scales=scales, opacities=opacities)
        compare(backend, scene, [camera(1, 1)], RasterSettings(), seed, with_background=False)


def test_only_what_is_asked_for_has_a_gradient(backend):
    g, cam = cloud(1, 30), camera()
    for name in NAMES:
        tensors = leaves(g, 3, 0, torch.float32)
        for other in NAMES:
            tensors[other].requires_grad_(other == name)
        backend.rasterize(**tensors, cameras=[cam]).features.sum().backward()
        assert [each for each in NAMES if tensors[each].grad is not None] == [name]
    with torch.no_grad():
        assert not backend.rasterize(**tensors, cameras=[cam]).features.requires_grad


def test_gradients_of_depth_alone_and_of_alpha_alone(backend):
    g, cam, found = cloud(1, 30), camera(), {}
    for part in ("features", "depth", "alpha"):
        tensors = leaves(g, 3, 0, torch.float32)
        getattr(backend.rasterize(**tensors, cameras=[cam]), part).sum().backward()
        found[part] = {
            name: None if tensor.grad is None else float(tensor.grad.abs().sum()) for name, tensor in tensors.items()
        }
    assert all(found["features"].values())
    for part in ("depth", "alpha"):
        assert (
            not found[part]["features"] and not found[part]["background"] and found[part]["means"] and found[part]["opacities"]
        )


def test_nothing_to_see_has_gradients_of_zero(backend):
    g = cloud(0, 10)
    tensors = leaves(replace(g, means=-g.means), 3, 0, torch.float32)
    out = backend.rasterize(**tensors, cameras=[camera()])
    (out.features.sum() + out.depth.sum() + out.alpha.sum()).backward()
    assert all(tensors[name].grad is None or not tensors[name].grad.any() for name in NAMES[:5])
    assert (tensors["background"].grad == 24 * 18).all()
    empty = leaves(cloud(0, 0), 3, 0, torch.float32)
    out = backend.rasterize(**empty, cameras=[camera()])
    assert torch.allclose(out.features, empty["background"].expand_as(out.features)) and not out.alpha.any()
    out.features.sum().backward()


def test_tensors_of_any_layout_are_right(backend):
    g, cam = cloud(1, 30), camera()
    tensors = leaves(g, 4, 0, torch.float32)
    expected = backend.rasterize(**tensors, cameras=[cam]).features
    odd = {name: torch.stack([tensor.detach(), tensor.detach()], -1)[..., 0] for name, tensor in tensors.items()}
    assert torch.equal(backend.rasterize(**odd, cameras=[cam]).features, expected)
    background = tensors["background"][:1].detach().expand(4)
    assert backend.rasterize(**{**odd, "background": background}, cameras=[cam]).features.isfinite().all()


def test_float64_keeps_its_digits():
    reference = backend_or_skip("reference")
    compare(
        reference,
        cloud(3, 60, "mixed", pose=turned(3)),
        [camera(24, 17, T_world_camera=turned(3))],
        RasterSettings(),
        0,
        dtype=torch.float64,
    )


def put(tensors, name, place, value):
    changed = tensors[name].detach().clone()
    changed[place] = value
    return {**tensors, name: changed}


WRONG = {
    "nan": (lambda t: put(t, "means", (2, 0), float("nan")), "means"),
    "infinite": (lambda t: put(t, "scales", (2, 0), float("inf")), "scales"),
    "infinite features": (lambda t: put(t, "features", (2, 0), float("inf")), "features"),
    "nan background": (lambda t: put(t, "background", 0, float("nan")), "background"),
    "no rotation": (lambda t: put(t, "quats", 3, 0.0), "Gaussian 3 has quats"),
    "no extent": (lambda t: put(t, "scales", (4, 1), 0.0), "Gaussian 4 has scales"),
    "negative extent": (lambda t: put(t, "scales", (4, 1), -1.0), "Gaussian 4 has scales"),
    "logits": (lambda t: put(t, "opacities", 1, 1.5), "Gaussian 1 has opacities"),
    "negative opacity": (lambda t: put(t, "opacities", 1, -0.5), "Gaussian 1 has opacities"),
    "too few features": (lambda t: {**t, "features": t["features"][:-1]}, "features"),
    "features of too many cameras": (lambda t: {**t, "features": t["features"].expand(2, -1, -1)}, "features"),
    "means of two axes": (lambda t: {**t, "means": t["means"][:, :2]}, "means"),
    "background of other channels": (lambda t: {**t, "background": t["background"][:2]}, "background"),
    "half precision": (lambda t: {**t, "quats": t["quats"].half()}, "float16"),
    "mixed precision": (lambda t: {**t, "quats": t["quats"].double()}, "float64"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_tensors_are_refused_by_name(backend, case):
    change, said = WRONG[case]
    tensors = {name: tensor.detach() for name, tensor in leaves(cloud(0, 6), 3, 0, torch.float32).items()}
    with pytest.raises(InvalidInput, match=said) as error:
        backend.rasterize(**change(tensors), cameras=[camera()])
    assert error.value.hint


def test_cameras_of_different_sizes_and_no_camera_are_refused(backend):
    tensors = leaves(cloud(0, 6), 3, 0, torch.float32)
    with pytest.raises(InvalidInput, match="20x10"):
        backend.rasterize(**tensors, cameras=[camera(20, 10), camera(20, 11)])
    with pytest.raises(InvalidInput, match="no camera"):
        backend.rasterize(**tensors, cameras=[])


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
@pytest.mark.parametrize("antialiased", [False, True])
def test_brute_force_against_finite_differences(projection, antialiased):
    g, options = cloud(5, 8, "discs"), RasterSettings(antialiased=antialiased)
    cam = camera(9, 7, projection, turned(5, 0.1))
    g = cloud(5, 8, "discs", pose=turned(5, 0.1))
    tensors = leaves(g, 2, 0, torch.float64)
    pictures, sure = brute(tensors, [cam], options)
    covered = pictures[2].detach()
    loss(pictures, sure, 0, covered).backward()
    step = 1e-6
    for name, tensor in tensors.items():
        flat, numeric = tensor.detach().reshape(-1), torch.zeros(tensor.numel(), dtype=torch.float64)
        for k in range(len(flat)):
            sides = []
            for sign in (1, -1):
                moved = flat.clone()
                moved[k] += sign * step
                moved_pictures, _ = brute({**tensors, name: moved.reshape(tensor.shape)}, [cam], options)
                sides.append(loss(moved_pictures, sure, 0, covered).item())
            numeric[k] = (sides[0] - sides[1]) / (2 * step)
        assert (numeric - tensor.grad.reshape(-1)).abs().max() <= 1e-5 * tensor.grad.abs().max() + 1e-7, name
