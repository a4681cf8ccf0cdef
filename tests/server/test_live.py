# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb `look`: quick pictures agree with `render`, exact ones are the same; what is kept follows the scene."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_scenes import camera, cloud, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from splatonym.core.cameras import Camera
from splatonym.core.errors import InvalidInput, NotAvailable
from splatonym.core.heat import heat_colours
from splatonym.core.labels import NOTHING, LabelMap, label_colour
from splatonym.core.protocol import SHOWS, LookFields, pack_camera, pack_look, pack_texels, unpack_look, unpack_texels
from splatonym.core.scene import SemanticScene
from test_service_verbs import Server

LABELS = LabelMap(("chair", "table", "lamp"))


def labelled(count=1500, sh_degree=0, seed=3):
    """Small splats at depths of 0.5 to 6; what class and instance they have says where in the picture they are."""
    rng = np.random.default_rng(seed)
    g = cloud(seed, count, "round", sh_degree)
    label = np.digitize(g.means[:, 0] / g.means[:, 2], [-0.2, 0.2]).astype(np.int32)
    small = np.repeat(0.025 * g.means[:, 2:], 3, axis=1)
    clear = {"scales": small, "opacities": np.full(count, 0.9, np.float32)}
    named = {"label": label, "instance": label, "confidence": rng.random(count).astype(np.float32)}
    return SemanticScene("Room", replace(g, **clear, **named), LABELS)


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path / "scenes")


def look(server, number, view, arrays=None, **asked):
    data, pictures = server("look", pack_look(LookFields(number, view, **asked)), arrays or {})
    assert data["scene"] == number and data["seconds"] > 0
    assert pictures["look"].dtype == np.float32 and pictures["look"].shape == (view.height, view.width, 2)
    return unpack_texels(pictures["look"])


def rendered(server, number, view, **arrays):
    _, pictures = server("render", {"scene": number, "cameras": [pack_camera(view)]}, arrays)
    return {name.removeprefix("render.0."): picture for name, picture in pictures.items()}


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
@pytest.mark.parametrize("sh_degree", [0, 2])
def test_colour_and_depth_are_those_of_render(server, projection, sh_degree):
    number, view = server.put(labelled(sh_degree=sh_degree)), camera(48, 32, projection)
    rgb, depth = look(server, number, view)
    full = rendered(server, number, view)
    there = full["depth"] != 0
    assert there.mean() > 0.2
    assert np.abs(rgb[there].astype(int) - full["rgb"][there]).max() <= 1
    assert ((depth != 0) == there).all()
    assert (depth <= full["depth"] * (1 + 1e-5)).all()  # what shines through is left out
    np.testing.assert_allclose(np.median(depth[there] / full["depth"][there]), 1, atol=0.02)


def test_depth_has_no_pits_where_something_behind_shines_through(server):
    """A wall with a few weak splats before another wall far behind: the picture's depth stays that of the wall."""
    side = np.linspace(-2, 2, 80)
    x, y = (part.ravel() for part in np.meshgrid(side, side))
    count = len(x)
    rng = np.random.default_rng(0)
    wall = np.where(rng.random(count) < 0.03, 0.1, 0.9)
    g = replace(
        cloud(0, 2 * count),
        means=np.float32(np.column_stack([np.tile(x, 2), np.tile(y, 2), np.repeat([2.0, 8.0], count)])),
        scales=np.repeat(np.float32([[0.04] * 3, [0.2] * 3]), count, axis=0),
        opacities=np.float32(np.concatenate([wall, np.ones(count)])),
    )
    number, view = server.put(SemanticScene("Walls", g, LABELS)), camera(96, 64)
    _, depth = look(server, number, view)
    mean = rendered(server, number, view)["depth"]
    inside = (slice(8, -8), slice(8, -8))
    holes, left = (mean[inside] > 2.1).sum(), (depth[inside] > 2.1).sum()
    assert holes > 20 and left < 0.2 * holes


@pytest.mark.parametrize("show", ["CLASS", "INSTANCE"])
def test_an_exact_look_is_the_class_map_and_a_quick_one_nearly_so(server, show):
    number, view = server.put(labelled()), camera(48, 32)
    full = rendered(server, number, view)
    numbers = full["classes"].astype(int) if show == "CLASS" else full["instances"]
    there = full["classes"] != NOTHING
    table = np.array([label_colour(name) for name in LABELS.names])
    if show == "INSTANCE":
        table = np.array([(128, 128, 128), *(label_colour(f"instance {k}") for k in range(1, 3))])
    exact, depth = look(server, number, view, show=show, exact=True)
    assert (depth[there] != 0).all()
    np.testing.assert_array_equal(exact[there], table[numbers[there]])
    quick, _ = look(server, number, view, show=show)
    off = np.abs(quick[there].astype(int) - exact[there]).max(-1)
    assert np.median(off) <= 8 and (off < 64).mean() > 0.8


def test_confidence_depth_and_answers_are_shown_in_their_scales(server):
    scene = labelled()
    number, view = server.put(scene), camera(48, 32)
    scores = np.random.default_rng(0).random(len(scene.gaussians)).astype(np.float32)
    full = rendered(server, number, view)
    there = full["depth"] != 0
    _, heat = server("render", {"scene": number, "cameras": [pack_camera(view)]}, {"scores": scores})
    rgb, _ = look(server, number, view, {"scores": scores}, show="ANSWER")
    assert np.abs(rgb[there].astype(int) - heat_colours(heat["heat.0"])[there]).max() <= 1
    again, _ = look(server, number, view, show="ANSWER")
    np.testing.assert_array_equal(again, rgb)  # the scores were kept
    near_to_far, depth = look(server, number, view, show="DEPTH")
    light = near_to_far.astype(int).sum(-1)[there]
    assert np.corrcoef(light, -depth[there])[0, 1] > 0.9
    sure = replace(scene, gaussians=replace(scene.gaussians, confidence=np.ones(len(scene.gaussians), np.float32)))
    rgb, _ = look(server, server.put(sure), view, show="CONFIDENCE")
    assert (np.abs(rgb[there].astype(int) - (253, 231, 37)) <= 1).all()


def test_a_scene_without_names_shows_something_in_every_mode_but_answers(server):
    scene = labelled()
    bare = replace(scene, gaussians=replace(scene.gaussians, label=None, instance=None, confidence=None))
    number, view = server.put(bare), camera(24, 16)
    for show in set(SHOWS) - {"ANSWER"}:
        for exact in (False, True):
            _, depth = look(server, number, view, show=show, exact=exact)
            assert (depth != 0).any(), show
    with pytest.raises(NotAvailable, match="asked"):
        look(server, number, view, show="ANSWER")


def test_nothing_is_kept_of_a_scene_that_changed_or_went(server):
    scene = labelled()
    number, view = server.put(scene), camera(24, 16)
    before, _ = look(server, number, view)
    black = replace(scene, gaussians=replace(scene.gaussians, sh=np.full_like(scene.gaussians.sh, -10)))
    server.store.replace(number, black)
    after, _ = look(server, number, view)
    assert before.any() and not after.any()
    server("forget", {"scene": number})
    with pytest.raises(NotAvailable, match=number):
        look(server, number, view)


def test_an_empty_scene_and_an_empty_view_show_nothing(server):
    scene = labelled()
    away = camera(24, 16, T_world_camera=np.diag([1.0, -1, -1, 1]))
    for nothing in (replace(scene, gaussians=scene.gaussians.select(np.zeros(0, np.int64))), scene):
        number = server.put(nothing)
        for show in set(SHOWS) - {"ANSWER"}:
            _, depth = look(server, number, away, show=show, exact=True)
            assert not depth.any()


def test_near_and_far_cut(server):
    number, view = server.put(labelled()), camera(48, 32)
    _, whole = look(server, number, view)
    _, part = look(server, number, view, near=1.0, far=3.0)
    assert whole[whole != 0].min() < 1 and whole.max() > 3
    assert part[part != 0].min() >= 1 and part.max() <= 3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(SHOWS), st.booleans())
def test_what_is_asked_travels(seed, show, exact):
    fields = LookFields("room-abcdef", camera(7, 5, T_world_camera=turned(seed)), show, exact, 0.5, 90.0)
    back = unpack_look(pack_look(fields))
    assert isinstance(back.camera, Camera)
    assert pack_look(back) == pack_look(fields)
    rng = np.random.default_rng(seed)
    rgb, depth = rng.integers(0, 256, (5, 7, 3)), rng.random((5, 7)).astype(np.float32)
    got, same = unpack_texels(pack_texels(rgb, depth))
    np.testing.assert_array_equal(got, rgb)
    np.testing.assert_array_equal(same, depth)


def test_what_cannot_be_shown_is_named(server):
    number, view = server.put(labelled()), camera(8, 8)
    with pytest.raises(InvalidInput, match="SMELL"):
        look(server, number, view, show="SMELL")
    with pytest.raises(InvalidInput, match="scores"):
        look(server, number, view, {"scores": np.zeros(3, np.float32)}, show="ANSWER")


@pytest.mark.parametrize("show", ["COLOUR", "CLASS"])
def test_fewer_and_larger_gaussians_look_much_the_same(server, show):
    number, view = server.put(labelled(6000)), camera(48, 32)
    whole, depth = look(server, number, view, show=show)
    half, half_depth = look(server, number, view, show=show, every=2)
    there = (depth != 0) & (half_depth != 0)
    assert there.sum() > 0.95 * (depth != 0).sum()
    if show == "CLASS":
        assert np.median(np.abs(half[there].astype(int) - whole[there]).max(-1)) <= 8
    exact, _ = look(server, number, view, show=show, every=2, exact=True)
    assert exact.shape == whole.shape
    with pytest.raises(InvalidInput, match="every"):
        look(server, number, view, every=0)
