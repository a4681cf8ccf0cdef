# SPDX-License-Identifier: GPL-3.0-or-later
"""Selection both ways: points and objects selected by what they are, and what is selected told and named."""

import bpy
import numpy as np
import pytest
import splatonym
from splatonym.addon import classes
from splatonym.addon.answers import Found, keep_answer
from splatonym.addon.build import build_scene, find_results, read_gaussians
from splatonym.addon.classes.selection import CAN_EDIT_POINTS, read_selection

from .build_scenes import random_scene
from .test_transfer import CHAIR, TABLE, add, points_on, result_of

COUNT = 300


@pytest.fixture
def addon():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    splatonym.register()
    yield bpy.ops.splatonym
    splatonym.unregister()


@pytest.fixture
def result(addon):
    return build_scene(bpy.context.scene, random_scene(COUNT))


def selected():
    return {item.name for item in bpy.context.view_layer.objects if item.select_get()}


def marked(result):
    """[N] which points are marked, in the order of `read_gaussians`."""
    return np.concatenate([read_selection(item.data) for item in result.collection.all_objects])


def last():
    return splatonym.addon.jobs.state.message


def test_points_of_a_class_and_of_a_thing(result, addon):
    g = read_gaussians(result.collection).gaussians
    addon.select_class_points(class_name="chair")
    assert selected() == {"chair"} and np.array_equal(marked(result), g.label == 0) and bpy.context.object.name == "chair"
    assert "points" in last()
    addon.select_class_points(instance=2)
    assert selected() == {"chair", "table"} and np.array_equal(marked(result), g.instance == 2)
    addon.select_class_points(instance=3, extend=True)
    assert np.array_equal(marked(result), np.isin(g.instance, (2, 3)))


def test_points_of_the_answer(result, addon):
    with pytest.raises(RuntimeError, match="No question has chosen anything"):
        addon.select_answer_points()
    instance = read_gaussians(result.collection).gaussians.instance
    scores = (instance == 3).astype(np.float32)
    keep_answer(result, Found("lamp", "object", 0.5, int(scores.sum()), [], [0] * 64), scores, scores > 0)
    addon.select_answer_points()
    assert np.array_equal(marked(result), instance == 3)
    addon.answer_to_class(class_name="floor lamp")
    assert read_gaussians(result.collection).counts()["floor lamp"] == (instance == 3).sum()
    addon.select_class_points(class_name="floor lamp")
    assert len(selected()) == 2  # what was of two classes lies in two objects


def test_scene_objects_and_other_points_are_no_longer_selected(result, addon):
    cube = add("cube", "Cube")
    cube.select_set(True)
    addon.select_class_points(class_name="chair")
    assert selected() == {"chair"}
    cube.select_set(True)
    addon.select_class_points(class_name="table", extend=True)
    assert selected() == {"chair", "Cube", "table"}


def test_hidden_objects_are_shown_before_they_are_selected(result, addon):
    result.classes[0].objects[0].hide_set(True)
    addon.select_class_points(class_name="chair")
    assert selected() == {"chair"}
    result.collection.children[0].hide_viewport = True
    with pytest.raises(RuntimeError, match=r"are hidden.*eye"):  # its collection is not: that is what the eye is for
        addon.select_class_points(class_name="chair")


@pytest.mark.skipif(not CAN_EDIT_POINTS, reason="point clouds have no edit mode in this Blender")
def test_in_edit_mode_and_back(result, addon):
    g = read_gaussians(result.collection).gaussians
    addon.select_class_points(instance=1, edit_mode=True)
    assert bpy.context.mode == "EDIT_POINTCLOUD"
    assert np.array_equal(classes.selected_points(bpy.context, result), g.instance == 1)
    addon.what_are_these_points()
    assert last().startswith(f"{(g.instance == 1).sum()} points: ") and "Stühlchen" in last()
    addon.points_to_class(class_name="armchair")
    read = read_gaussians(result.collection)
    assert bpy.context.mode == "OBJECT" and read.counts()["armchair"] == (g.instance == 1).sum()
    assert read.instances[1].class_name == "armchair"


@pytest.mark.skipif(not CAN_EDIT_POINTS, reason="point clouds have no edit mode in this Blender")
def test_what_a_person_selects_point_by_point(result, addon):
    addon.select_class_points(class_name="table", edit_mode=True)
    item = bpy.context.object
    item.data.attributes[".selection"].data.foreach_set("value", np.arange(len(item.data.points)) < 7)
    addon.what_are_these_points()
    assert last().startswith("7 points: table (100%).")
    addon.points_to_class(class_name="chair")
    assert classes.summary_of(result.collection).classes["table"].count == find_results(bpy.context.scene)[0].classes[1].count


def test_nothing_is_selected(result, addon):
    for run in (addon.what_are_these_points, lambda: addon.points_to_class(class_name="x")):
        with pytest.raises(RuntimeError, match=r"No points"):
            run()


def test_a_mesh_has_its_vertices_selected(result, addon):
    item = result.classes[0].objects[0]
    item.modifiers.clear()
    bpy.context.view_layer.update()
    item.select_set(True)
    bpy.context.view_layer.objects.active = item
    bpy.ops.object.convert(target="MESH")
    g = read_gaussians(result.collection).gaussians
    addon.select_class_points(instance=1)
    found = bpy.context.object
    assert {o.name for o in bpy.context.selected_objects} >= {found.name}
    chosen = np.concatenate([read_selection(o.data) for o in result.collection.all_objects if o.select_get()])
    assert chosen.sum() == (g.instance == 1).sum()
    addon.what_are_these_points()
    assert last().startswith(f"{(g.instance == 1).sum()} points")


def test_the_scenes_own_objects(addon):
    chair, table = add("cube", "Cube", (0, 0, 0), cuts=3), add("cube", "Cube.001", (3, 0, 0), cuts=3)
    result = result_of(points_on(chair, CHAIR, 4), points_on(table, TABLE, 9), instances=[(4, "Cube", "chair")])
    addon.select_class(class_name="chair")
    assert selected() == {"Cube"}
    addon.select_class(instance=9)
    assert selected() == {"Cube.001"}
    chosen = read_gaussians(result.collection).gaussians.instance == 9
    keep_answer(result, Found("desk", "object", 0.5, 1, [], [0] * 64), chosen.astype(np.float32), chosen)
    addon.select_answer()
    assert selected() == {"Cube.001"}
    addon.answer_to_collection()
    group = bpy.data.collections["desk"]
    assert [item.name for item in group.objects] == ["Cube.001"] and table.name in bpy.context.scene.collection.objects
    if CAN_EDIT_POINTS:
        addon.select_class_points(class_name="chair", edit_mode=True)
        addon.select_class(class_name="chair")
        assert bpy.context.mode == "OBJECT" and selected() == {"Cube"}


def test_nobody_is_meant(addon):
    cube = add("cube", "Cube", (50, 0, 0))
    result = result_of(points_on(add("cube", "Far"), CHAIR, 1))
    assert cube and result
    bpy.data.objects.remove(bpy.data.objects["Far"])
    none = np.zeros(result.count, bool)
    none[0] = True
    keep_answer(result, Found("x", "part", 0.5, 1, [], [0] * 64), none.astype(np.float32), none)
    addon.answer_to_collection()
    assert "x" not in bpy.data.collections and "no object" in last()


def test_menus_come_and_go():
    before = {name: _entries(name) for name in ("VIEW3D_MT_object_context_menu", "VIEW3D_MT_edit_pointcloud")}
    bpy.ops.wm.read_factory_settings(use_empty=True)
    splatonym.register()
    assert _entries("VIEW3D_MT_object_context_menu") == before["VIEW3D_MT_object_context_menu"] + 1
    splatonym.unregister()
    assert {name: _entries(name) for name in before} == before
    splatonym.register()
    splatonym.unregister()
    assert {name: _entries(name) for name in before} == before


def _entries(name):
    menu = getattr(bpy.types, name, None)
    return 0 if menu is None else len([f for f in getattr(menu.draw, "_draw_funcs", ()) if "splatonym" in f.__module__])
