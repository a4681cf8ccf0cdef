# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view without a window: its camera beside Blender's own projection, what it asks for, and what it hides."""

import math
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
import splatonym
from bpy_extras.view3d_utils import location_3d_to_region_2d
from hypothesis import given, settings
from hypothesis import strategies as st
from mathutils import Euler, Matrix, Vector
from splatonym.addon.build import build_scene
from splatonym.addon.live import hiding, running
from splatonym.addon.live.asking import LADDER, PIXELS_MOST, REST_SECONDS, WANTED_SECONDS, LiveView, Pace, Wanted
from splatonym.addon.live.cameras import depth_numbers, reprojection, view_camera
from splatonym.addon.live.source import SETTLE_SECONDS, Source

from .build_scenes import random_scene


@pytest.fixture
def addon(blank):
    splatonym.register()
    yield splatonym.addon
    splatonym.unregister()


# --- the camera ---------------------------------------------------------------------------------------------------------------

angles = st.floats(-3.1, 3.1)
shifts = st.floats(-0.8, 0.8)


@st.composite
def views(draw):
    """(window matrix, view matrix, width, height) as Blender makes them of a camera: any turn, lens, sensor and shift, flat or not."""
    data = bpy.data.cameras.get("Test") or bpy.data.cameras.new("Test")
    item = bpy.data.objects.get("Test") or bpy.data.objects.new("Test", data)
    data.type = draw(st.sampled_from(["PERSP", "ORTHO"]))
    data.lens, data.ortho_scale = draw(st.floats(8, 120)), draw(st.floats(0.5, 20))
    data.sensor_fit = draw(st.sampled_from(["AUTO", "HORIZONTAL", "VERTICAL"]))
    data.sensor_width, data.sensor_height = draw(st.floats(10, 40)), draw(st.floats(10, 40))
    data.shift_x, data.shift_y = draw(shifts), draw(shifts)
    data.clip_start, data.clip_end = draw(st.floats(0.01, 0.5)), draw(st.floats(50, 1000))
    width, height = draw(st.integers(64, 2000)), draw(st.integers(64, 2000))
    window = item.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=width, y=height)
    turned = Euler((draw(angles), draw(angles), draw(angles))).to_matrix().to_4x4()
    place = Matrix.Translation((draw(st.floats(-5, 5)), draw(st.floats(-5, 5)), draw(st.floats(-5, 5)))) @ turned
    return window, place.inverted(), width, height


def seen_points(view, count=40):
    """Points of the world that lie before the camera."""
    rng = np.random.default_rng(0)
    local = rng.uniform([-3, -3, -12], [3, 3, -1], (count, 3))
    return [view.inverted() @ Vector(point) for point in local]


@settings(max_examples=200, deadline=None)
@given(views())
def test_a_view_s_camera_puts_points_where_blender_puts_them(view):
    window, matrix, width, height = view
    made = view_camera(window, matrix, width, height)
    region = SimpleNamespace(width=width, height=height)
    view3d = SimpleNamespace(perspective_matrix=window @ matrix)
    points = seen_points(matrix)
    pixels, depth = made.camera.project(np.array(points))
    assert (depth > 0.9).all()
    for point, (u, v) in zip(points, pixels, strict=True):
        there = location_3d_to_region_2d(region, view3d, point)
        # Blender counts from the bottom. It works in float32: off the picture by many widths, digits are lost on its side.
        far_off = max(abs(u) / width, abs(v) / height, 1)
        assert abs(there.x - u) < 0.01 * far_off and abs(height - there.y - v) < 0.01 * far_off


@settings(max_examples=100, deadline=None)
@given(views(), views())
def test_depth_and_reprojection_are_those_of_the_matrices(old, new):
    """What the shader computes: a pixel and its planar depth in one view, through the matrix, lands where the other view shows the point."""
    one, two = view_camera(*old), view_camera(*new)
    points = np.array(seen_points(old[1]))
    uv, depth = one.camera.project(points)
    a, b, w = depth_numbers(one.window)
    z = (b - a * depth) / (depth if w else 1)
    place = np.column_stack([2 * uv[:, 0] / old[2] - 1, 1 - 2 * uv[:, 1] / old[3], z, np.ones(len(z))])
    clip = np.column_stack([points, np.ones(len(points))]) @ (two.window @ two.view).T
    moved = place @ reprojection(one, two).T
    # Both up to a factor of their own: compare where they are before the view.
    ahead = clip[:, 3] > 0.5
    got, wanted = moved[ahead, :3] / moved[ahead, 3:], clip[ahead, :3] / clip[ahead, 3:]
    assert np.abs(got - wanted).max(initial=0) < 1e-3 * max(1, np.abs(wanted).max(initial=0))
    assert np.array_equal(reprojection(one, view_camera(*old)), np.eye(4))


def test_near_and_far_are_those_of_the_view():
    data = bpy.data.cameras.new("Clip")
    item = bpy.data.objects.new("Clip", data)
    data.clip_start, data.clip_end = 0.25, 80
    for kind in ("PERSP", "ORTHO"):
        data.type = kind
        window = item.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=100, y=50)
        made = view_camera(window, Matrix(), 100, 50)
        assert made.near == pytest.approx(0.25, rel=1e-3) and made.far == pytest.approx(80, rel=1e-3)
    data.type, data.clip_start, data.clip_end = "PERSP", 0.001, 1e5  # float32 has no digits for that
    window = item.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=100, y=50)
    assert 1e5 <= view_camera(window, Matrix(), 100, 50).far < math.inf
    around = Matrix(
        ((0.1, 0, 0, 0), (0, 0.2, 0, 0), (0, 0, -2 / 200, 0), (0, 0, 0, 1))
    )  # as a flat viewport has it: both sides
    made = view_camera(around, Matrix(), 100, 50)
    assert (made.near, made.far) == (pytest.approx(-100), pytest.approx(100))


# --- what is asked for --------------------------------------------------------------------------------------------------------


def a_view(turn=0.0, width=640, height=360):
    lens = 1 / math.tan(0.4)
    window = Matrix(((lens, 0, 0, 0), (0, lens * width / height, 0, 0), (0, 0, -1.0002, -0.2), (0, 0, -1, 0)))
    return view_camera(window, Euler((0, turn, 0)).to_matrix().to_4x4(), width, height)


class Answer:
    """A call whose answer comes when the test says so."""

    def __init__(self, fields, seconds):
        self.fields, self.done, self._seconds = fields, False, seconds

    def result(self):
        size = (self.fields.camera.height, self.fields.camera.width, 2)
        return {"seconds": self._seconds}, {"look": np.ones(size, np.float32)}


class Asked(list):
    seconds = 0.03

    def __call__(self, fields):
        self.append(Answer(fields, self.seconds))
        return self[-1]


def test_one_question_at_a_time_and_the_newest_camera_wins():
    asked = Asked()
    live = LiveView(asked)
    for step in range(5):
        live.want(Wanted(a_view(0.1 * step), "s-000000", "COLOUR"), step)
        assert not live.pump(step)
    assert len(asked) == 1
    asked[0].done = True
    assert live.pump(5.0) and len(asked) == 2
    assert np.array_equal(asked[1].fields.camera.T_world_camera, a_view(0.4).camera.T_world_camera)
    assert asked[0].fields.camera.width < 640  # smaller while it moves


def test_a_view_at_rest_gets_its_full_picture_once():
    asked = Asked()
    live = LiveView(asked)
    live.want(Wanted(a_view(), "s-000000", "CLASS"), 0.0)
    now = 0.0
    while not live.finished(now) and now < 5:
        live.pump(now)
        if live.waiting:
            asked[-1].done = True
        now += 0.05
    assert live.finished(now) and not live.waiting
    assert [(a.fields.camera.width, a.fields.exact, a.fields.every) for a in asked] == [(320, False, 1), (640, True, 1)]
    count = len(asked)
    live.want(Wanted(a_view(), "s-000000", "CLASS"), now)
    live.pump(now)
    assert len(asked) == count  # drawn again, but nothing has changed
    for changed in (Wanted(a_view(), "s-111111", "CLASS"), Wanted(a_view(), "s-111111", "DEPTH")):
        live.want(changed, now)
        live.pump(now)
        assert len(asked) == count + 1
        asked[-1].done = True
        live.pump(now)
        while not live.finished(now):
            live.pump(now)
            asked[-1].done = True
            now += 0.05
        count = len(asked)


def test_an_answer_of_another_scene_or_show_is_not_shown():
    asked = Asked()
    live = LiveView(asked)
    live.want(Wanted(a_view(), "s-000000", "CLASS"), 0.0)
    live.pump(0.0)
    live.want(Wanted(a_view(), "s-000000", "COLOUR"), 0.1)
    asked[0].done = True
    assert not live.pump(0.1) and live.picture is None
    assert asked[1].fields.show == "COLOUR"


def test_a_large_region_gets_a_smaller_picture_and_a_slow_one_is_led_up_to():
    asked = Asked()
    live = LiveView(asked)
    live.want(Wanted(a_view(width=3840, height=2160), "s-000000", "COLOUR"), 0.0)
    now, live.pace.rung = 0.0, len(LADDER) - 1
    asked.seconds = 0.3
    while not live.finished(now) and now < 5:
        live.pump(now)
        asked[-1].done = True
        now += 0.05
    sizes = [a.fields.camera.width * a.fields.camera.height for a in asked]
    assert sizes == sorted(sizes) and len(sizes) >= 3
    assert sizes[-1] == pytest.approx(PIXELS_MOST, rel=0.01)


def test_the_pace_finds_the_rung_that_comes_in_time():
    pace = Pace()
    for _ in range(20):
        pace.took(4 * WANTED_SECONDS)
    assert (pace.scale, pace.every) == LADDER[-1]
    for _ in range(20):
        pace.took(0.1 * WANTED_SECONDS)
    assert (pace.scale, pace.every) == LADDER[0]
    pace.took(WANTED_SECONDS)
    assert (pace.scale, pace.every) == LADDER[0]
    assert REST_SECONDS < 0.5


# --- hiding, changes, the button ----------------------------------------------------------------------------------------------


def eye(collection):
    return hiding.find_layer_collection(bpy.context.view_layer.layer_collection, collection).hide_viewport


def test_points_are_hidden_and_there_again_and_what_a_person_hid_stays_hidden(addon, blank):
    scene, layer = bpy.context.scene, bpy.context.view_layer
    one = build_scene(scene, random_scene(name="One")).collection
    other = build_scene(scene, random_scene(name="Other")).collection
    hiding.find_layer_collection(layer.layer_collection, other).hide_viewport = True
    for collection in (one, other):
        hiding.hide(scene, layer, collection)
    assert eye(one) and eye(other)
    assert hiding.HIDDEN in one and hiding.HIDDEN not in other
    hiding.show_again(but=(one.name,))
    assert eye(one)
    hiding.show_again()
    assert not eye(one) and eye(other)
    assert hiding.HIDDEN not in one


def test_a_file_saved_meanwhile_shows_its_points(addon, blank, tmp_path):
    scene = bpy.context.scene
    collection = build_scene(scene, random_scene(name="One")).collection
    hiding.hide(scene, bpy.context.view_layer, collection)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "one.blend"))
    assert not eye(collection)
    hiding.hide(scene, bpy.context.view_layer, collection)
    bpy.app.handlers.save_pre.remove(running._around_save)  # as an autosave goes, which asks nobody
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "auto.blend"))
    finally:
        bpy.app.handlers.save_pre.append(running._around_save)
    for name in ("one", "auto"):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / f"{name}.blend"))
        assert not eye(bpy.data.collections["One"]), name


def test_a_file_that_cannot_be_opened_leaves_the_points_shown(addon, blank, tmp_path):
    collection = build_scene(bpy.context.scene, random_scene(name="One")).collection
    hiding.hide(bpy.context.scene, bpy.context.view_layer, collection)
    with pytest.raises(RuntimeError):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "nowhere.blend"))
    assert not eye(collection) and hiding.HIDDEN not in collection


def test_only_what_a_person_has_not_hidden_is_shown(addon, blank):
    scene, layer = bpy.context.scene, bpy.context.view_layer
    result = build_scene(scene, random_scene(name="One"))
    first, second = result.classes
    names = {item.name for group in result.classes for item in group.objects}
    assert hiding.shown_points(layer, result.collection) == names
    hiding.hide(scene, layer, result.collection)
    assert hiding.shown_points(layer, result.collection) == names  # our own hiding does not count
    first.objects[0].hide_set(True)
    assert hiding.shown_points(layer, result.collection) == names - {first.objects[0].name}
    first.objects[0].hide_set(False)
    second.collection.hide_viewport = True
    assert hiding.shown_points(layer, result.collection) == names - {second.objects[0].name}
    hiding.show_again()


def test_changes_of_a_result_are_noticed(addon, blank):
    scene, layer = bpy.context.scene, bpy.context.view_layer
    result = build_scene(scene, random_scene(name="One"))
    source = Source(scene.name, layer.name, "")
    now = 100.0

    def noticed():
        source._changed_at = None
        source.look_for_changes(now)
        return source._changed_at == now

    assert noticed() and not noticed()
    item = result.classes[0].objects[0]
    item.location.x += 1
    layer.update()
    assert noticed() and not noticed()
    item.hide_set(True)
    assert noticed() and not noticed()
    build_scene(scene, random_scene(300, name="One"))
    assert noticed() and not noticed()
    running._state.sources[("x", "y", "")] = source
    source._changed_at = None
    data = bpy.data.collections["One"].all_objects[0].data
    data.update_tag()
    layer.update()
    running._state.sources.clear()
    assert source._changed_at is not None  # attributes were written: only the depsgraph knows
    assert SETTLE_SECONDS < 1


def test_the_result_that_is_wanted_is_found(addon, blank):
    scene = bpy.context.scene
    for name in ("One", "Two"):
        build_scene(scene, random_scene(name=name))
    layer = bpy.context.view_layer.name
    assert Source(scene.name, layer, "").find().name == "Two"
    assert Source(scene.name, layer, "One").find().name == "One"
    assert Source(scene.name, layer, "Gone").find().name == "Two"
    assert Source("Gone", layer, "").find() is None


def test_without_a_viewport_the_button_says_so(addon, blank):
    assert not bpy.ops.splatonym.live_view.poll()
    build_scene(bpy.context.scene, random_scene())
    assert bpy.ops.splatonym.live_view.poll()
    with pytest.raises(RuntimeError, match="3D viewport"):
        bpy.ops.splatonym.live_view()
    assert "3D viewport" in addon.jobs.state.error.message and addon.jobs.state.place == "live"
    addon.jobs.state.told("predict")


def test_nothing_is_left_when_the_add_on_goes(blank):
    splatonym.register()
    build_scene(bpy.context.scene, random_scene(name="One"))
    hiding.hide(bpy.context.scene, bpy.context.view_layer, bpy.data.collections["One"])
    splatonym.unregister()
    assert not eye(bpy.data.collections["One"])
    assert not bpy.app.timers.is_registered(running._tick)
    assert not hasattr(bpy.types.Scene, "splatonym_live")
