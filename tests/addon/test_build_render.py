# SPDX-License-Identifier: GPL-3.0-or-later
"""What is seen: right colours at right places, right shapes, in Cycles and EEVEE."""

import bpy
import numpy as np
import pytest
from splatonym.addon.build import build_scene, nodes, set_setting, set_show
from splatonym.addon.build.objects import linear
from splatonym.addon.build.reading import _matrices
from splatonym.core.labels import label_colour

from .build_scenes import few, grid, pixel, render

RGB = [[0.8, 0.1, 0.2], [0.02, 0.6, 0.9], [1.0, 1.0, 0.5]]
PLACES = [(-2, -2, 0), (0, 0, 1), (2, 1, -1)]


@pytest.fixture(autouse=True)
def empty():
    bpy.ops.wm.read_factory_settings(use_empty=True)


def three():
    return few(RGB, PLACES, scale=0.3, label=[0, 1, 0], confidence=[0, 1, 0.5], instance=[0, 1, 2])


@pytest.mark.parametrize("ellipsoids", [True, False])
def test_the_switch_in_cycles(ellipsoids):
    result = build_scene(bpy.context.scene, three())
    set_setting(result.collection, nodes.RENDER, ellipsoids)
    picture = render()
    for rgb, (x, y, _z) in zip(RGB, PLACES, strict=True):
        assert pixel(picture, x, y) == pytest.approx(np.array(rgb) * 255, abs=1.01)
    assert pixel(picture, -2, 2).tolist() == [0, 0, 0]

    set_show(result.collection, "CLASS")
    picture = render()
    for name, (x, y, _z) in zip(("chair", "table", "chair"), PLACES, strict=True):
        assert pixel(picture, x, y) == pytest.approx(label_colour(name), abs=1.01)

    set_show(result.collection, "CONFIDENCE")
    picture = render()
    for rgb, (x, y, _z) in zip(((68, 1, 84), (253, 231, 37), (33, 145, 140)), PLACES, strict=True):
        assert pixel(picture, x, y) == pytest.approx(rgb, abs=3)

    set_show(result.collection, "INSTANCE")
    none, one, two = (pixel(render(), x, y) for x, y, _z in PLACES)
    assert np.ptp(none) <= 1 and np.ptp(one) > 50 and np.ptp(two) > 50 and np.abs(one - two).max() > 50


def test_an_ellipsoid_is_turned_and_sized_as_its_gaussian():
    quat = np.array([0.8, 0.3, -0.2, 0.45])
    quat /= np.linalg.norm(quat)
    scales = np.array([1.0, 0.35, 0.1])
    result = build_scene(bpy.context.scene, few([[1, 1, 1]], [[0.3, -0.2, 0]], quats=[quat], scales=[scales]))
    set_setting(result.collection, nodes.SIZE, 1.8)
    seen = render()[..., 0] > 127

    def outline(q):
        half = _matrices(np.array([q]))[0] * scales
        inverse = np.linalg.inv((half @ half.T)[:2, :2])
        x, y = grid()
        p = np.stack([x - 0.3, y + 0.2], -1)
        return np.einsum("hwi,ij,hwj->hw", p, inverse, p) <= 1.8**2

    def overlap(wanted):
        return (seen & wanted).sum() / (seen | wanted).sum()

    assert overlap(outline(quat)) > 0.9
    assert overlap(outline(quat * [1, -1, -1, -1])) < 0.8  # the inverse rotation is another shape


def test_soft_edges_are_the_gaussian_itself():
    scales = np.array([1.0, 0.5, 0.2])
    result = build_scene(bpy.context.scene, few([[1, 1, 1]], [[0, 0, 0]], scales=[scales], opacities=[0.8]))
    set_setting(result.collection, nodes.SOFT, True)
    set_setting(result.collection, nodes.SIZE, 2.5)
    picture = render(samples=64)
    for x, y in ((0.0625, 0.0625), (1.0625, 0.0625), (0.0625, 0.5625), (1.0625, -0.5625), (-1.5625, 0.0625)):
        alpha = 0.8 * np.exp(-0.5 * ((x / scales[0]) ** 2 + (y / scales[1]) ** 2))
        assert linear(pixel(picture, x, y)[0] / 255) == pytest.approx(alpha, abs=0.02), (x, y)


def test_opacity_and_thresholds():
    result = build_scene(
        bpy.context.scene, few([[1, 1, 1]] * 3, PLACES, scale=0.3, opacities=[0.25, 0.5, 1], confidence=[1, 0.6, 0.1])
    )
    picture = render(samples=64)
    for alpha, (x, y, _z) in zip((0.25, 0.5, 1), PLACES, strict=True):
        assert linear(pixel(picture, x, y)[0] / 255) == pytest.approx(alpha, abs=0.01)
    set_setting(result.collection, nodes.MIN_OPACITY, 0.4)
    set_setting(result.collection, nodes.MIN_CONFIDENCE, 0.5)
    picture = render()
    assert [pixel(picture, x, y)[0] > 0 for x, y, _z in PLACES] == [False, True, False]


def test_eevee_shows_the_same():
    result = build_scene(bpy.context.scene, three())
    picture = render("EEVEE", samples=1)
    for rgb, (x, y, _z) in zip(RGB, PLACES, strict=True):
        assert pixel(picture, x, y) == pytest.approx(np.array(rgb) * 255, abs=2)
    assert pixel(picture, -2, 2).tolist() == [0, 0, 0]
    set_show(result.collection, "CLASS")
    assert pixel(render("EEVEE", samples=1), 0, 0) == pytest.approx(label_colour("table"), abs=2)
