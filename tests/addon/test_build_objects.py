# SPDX-License-Identifier: GPL-3.0-or-later
"""Results in a scene: collections and objects, replaced in place, removed without a trace."""

import bpy
import numpy as np
import pytest
from splatonym.addon.build import (
    attributes,
    build_scene,
    find_collection,
    find_results,
    get_setting,
    get_show,
    nodes,
    read_gaussians,
    remove_result,
    set_setting,
    set_show,
)
from splatonym.addon.build.objects import nearest_tag
from splatonym.core.errors import InvalidInput, NotAvailable
from splatonym.core.labels import LabelMap

from .build_scenes import blocks, few, random_scene


@pytest.fixture(autouse=True)
def empty():
    bpy.ops.wm.read_factory_settings(use_empty=True)


def test_one_tagged_collection_and_one_point_object_for_each_class():
    result = build_scene(bpy.context.scene, random_scene(2000))
    assert [c.name for c in result.classes] == ["chair", "table"]
    assert result.count == sum(c.count for c in result.classes) == 2000
    assert result.collection.name == "Room" and result.collection.name in bpy.context.scene.collection.children
    for item in result.classes:
        assert item.collection.name == f"{item.name} ({item.count:,})"
        assert item.collection.color_tag.startswith("COLOR_0")
        (points,) = item.objects
        assert points.type == "POINTCLOUD" and len(points.data.points) == item.count
        assert points.matrix_world.is_identity
        assert len(points.modifiers) == 1 and points.data.materials[0].name == "Splatonym"
    assert find_results(bpy.context.scene) == [result]


def test_nothing_of_the_making_is_left():
    before = blocks()
    build_scene(bpy.context.scene, random_scene())
    after = blocks()
    assert after["meshes"] == before["meshes"] and after["scenes"] == before["scenes"]
    assert after["node_groups"] == [nodes.group_name()] and after["materials"] == ["Splatonym"]
    assert len(after["pointclouds"]) == len(after["objects"]) == 2


def test_removing_leaves_nothing():
    before = blocks()
    build_scene(bpy.context.scene, random_scene())
    build_scene(bpy.context.scene, random_scene(name="Other"))
    build_scene(bpy.context.scene, random_scene())
    remove_result(bpy.context.scene, "Room")
    assert [r.id for r in find_results(bpy.context.scene)] == ["Other"]
    assert bpy.data.materials and bpy.data.node_groups
    remove_result(bpy.context.scene, "Other")
    assert blocks() == before
    with pytest.raises(InvalidInput, match="no result 'Other'"):
        remove_result(bpy.context.scene, "Other")


def test_removing_keeps_what_people_put_in():
    result = build_scene(bpy.context.scene, random_scene())
    mine, folder = bpy.data.objects.new("mine", None), bpy.data.collections.new("folder")
    result.classes[0].collection.objects.link(mine)
    result.collection.children.link(folder)
    remove_result(bpy.context.scene, "Room")
    assert bpy.context.scene.collection.objects[:] == [mine] and bpy.context.scene.collection.children[:] == [folder]


def test_importing_again_replaces_in_place_and_keeps_settings():
    scene = bpy.context.scene
    first = build_scene(scene, random_scene(300))
    chair, table = first.classes
    chair.collection.name = "seats"
    chair.collection.hide_render = True
    chair.objects[0].color = (1, 0, 0, 1)
    chair.objects[0].hide_set(True)
    own = bpy.data.materials.new("own")
    table.objects[0].data.materials[0] = own
    set_show(first.collection, "CLASS")
    set_setting(first.collection, nodes.SIZE, 3.0)
    label = np.where(np.arange(500) % 3 == 0, 0, 2).astype(np.int32)  # tables are gone, lamps are new
    before = blocks()

    again = build_scene(scene, random_scene(500, label=label))
    assert again.collection == first.collection and [c.name for c in again.classes] == ["chair", "lamp"]
    assert again.classes[0].collection == chair.collection and again.classes[0].objects == chair.objects
    assert chair.collection.name == "seats" and chair.collection.hide_render
    assert tuple(chair.objects[0].color) == (1, 0, 0, 1) and chair.objects[0].hide_get()
    assert again.classes[1].collection.name == "lamp (333)"
    assert get_show(again.collection) == "CLASS" and again.classes[1].objects[0]["splatonym_show"] == 1
    assert get_setting(again.collection, nodes.SIZE) == 3.0
    assert {k: len(v) for k, v in blocks().items()} == {k: len(v) for k, v in before.items()}
    third = build_scene(scene, random_scene(500))
    assert third.classes[1].collection.name.startswith("table (")


def test_a_renamed_result_is_found_by_its_id():
    scene = bpy.context.scene
    build_scene(scene, random_scene(), result_id="r1").collection.name = "my room"
    build_scene(scene, random_scene(50), result_id="r1")
    (result,) = find_results(scene)
    assert (result.id, result.name, result.count) == ("r1", "my room", 50)
    assert find_collection(scene, "r1") == result.collection and find_collection(scene, "r2") is None


def test_hidden_and_excluded_results_are_replaced():
    scene = bpy.context.scene
    build_scene(scene, random_scene())
    bpy.context.view_layer.layer_collection.children["Room"].exclude = True
    result = build_scene(scene, random_scene(40, seed=1))
    assert result.count == 40 and read_gaussians(result.collection).gaussians.means.shape == (40, 3)
    assert bpy.context.view_layer.layer_collection.children["Room"].exclude


def test_selection_mode_and_scene_are_left_alone():
    scene = bpy.context.scene
    cube = bpy.data.objects.new("cube", bpy.data.meshes.new("cube"))
    scene.collection.objects.link(cube)
    bpy.context.view_layer.objects.active = cube
    cube.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    build_scene(scene, random_scene())
    assert cube.mode == "EDIT" and bpy.context.object == cube and bpy.context.selected_objects == [cube]
    assert bpy.context.scene == scene and len(bpy.data.scenes) == 1


def test_an_object_made_a_mesh_is_replaced_by_points():
    result = build_scene(bpy.context.scene, random_scene())
    (item,) = result.classes[0].objects
    bpy.data.objects.remove(item)
    mesh = bpy.data.meshes.new("converted")
    mesh.attributes.new("f_dc_0", "FLOAT", "POINT")
    result.classes[0].collection.objects.link(bpy.data.objects.new("converted", mesh))
    again = build_scene(bpy.context.scene, random_scene())
    assert [o.type for c in again.classes for o in c.objects] == ["POINTCLOUD", "POINTCLOUD"]


def test_an_empty_scene_and_one_gaussian():
    nothing = few(np.zeros((0, 3)), np.zeros((0, 3)))
    result = build_scene(bpy.context.scene, nothing)
    assert result.count == 0 and result.classes == () and get_show(result.collection) == "COLOUR"
    assert len(read_gaussians(result.collection).gaussians) == 0
    one = build_scene(bpy.context.scene, few([[1, 0, 0]], [[1, 2, 3]]))
    assert one.collection == result.collection and one.classes[0].collection.name == "chair (1)"
    assert build_scene(bpy.context.scene, nothing).classes == ()
    assert not bpy.data.objects and not bpy.data.pointclouds


def test_without_labels_all_is_unlabelled():
    scene = random_scene(20, label=None, instance=None, confidence=None)
    (only,) = build_scene(bpy.context.scene, scene).classes
    assert only.name == "unlabelled" and only.collection.color_tag == "NONE"
    assert "semantic_class" not in only.objects[0].data.attributes


def test_odd_and_long_names():
    names = ("шкаф " * 60, "a" * 300, "%s {0}\\n'\"", "椅子")
    names = tuple(n.strip() for n in names)
    scene = random_scene(40, name="ö" * 200, labels=LabelMap(names), label=np.arange(40, dtype=np.int32) % 4)
    for _ in range(2):  # the second time they are found again
        result = build_scene(bpy.context.scene, scene)
        assert [c.name for c in result.classes] == list(names)
        assert len(bpy.data.collections) == 5 and len(bpy.data.objects) == 4
    back = read_gaussians(result.collection)
    assert back.labels.names == scene.labels.names and back.name == scene.name


def test_labels_that_do_not_fit_change_nothing():
    build_scene(bpy.context.scene, random_scene())
    before = blocks()
    for label in (-1, 4):
        with pytest.raises(InvalidInput, match=r"do not fit|negative"):
            build_scene(bpy.context.scene, random_scene(5, label=np.full(5, label, np.int32)))
    with pytest.raises(InvalidInput, match="not finite"):
        build_scene(bpy.context.scene, random_scene(5, means=np.full((5, 3), np.nan, np.float32)))
    assert blocks() == before


def test_settings_and_switch_refuse_unknown_words():
    result = build_scene(bpy.context.scene, random_scene())
    with pytest.raises(InvalidInput, match="cannot show 'DEPTH'"):
        set_show(result.collection, "DEPTH")
    with pytest.raises(NotAvailable, match="no setting 'Sise'"):
        set_setting(result.collection, "Sise", 1.0)


def test_many_gaussians_start_as_points_in_the_viewport(monkeypatch):
    monkeypatch.setattr("splatonym.addon.build.objects.FAST_ABOVE", 100)
    result = build_scene(bpy.context.scene, random_scene(200))
    assert get_setting(result.collection, nodes.VIEWPORT) is False and get_setting(result.collection, nodes.RENDER) is True
    graph = bpy.context.evaluated_depsgraph_get()
    assert sum(i.is_instance for i in graph.object_instances) == 0
    set_setting(result.collection, nodes.VIEWPORT, True)
    graph = bpy.context.evaluated_depsgraph_get()
    assert sum(i.is_instance for i in graph.object_instances) == 200
    set_setting(result.collection, nodes.SHARE, 0.5)
    graph = bpy.context.evaluated_depsgraph_get()
    assert 60 < sum(i.is_instance for i in graph.object_instances) < 140


def test_an_older_group_and_material_are_brought_up_to_date():
    result = build_scene(bpy.context.scene, random_scene())
    set_setting(result.collection, nodes.SIZE, 4.0)
    bpy.data.node_groups[nodes.group_name()]["splatonym_version"] = 0
    bpy.data.materials["Splatonym"]["splatonym_version"] = 0
    bpy.data.materials["Splatonym"].node_tree.nodes.clear()
    again = build_scene(bpy.context.scene, random_scene())
    build_scene(bpy.context.scene, random_scene(name="Other"))
    assert [g.name for g in bpy.data.node_groups] == [nodes.group_name()] and len(bpy.data.materials) == 1
    assert get_setting(again.collection, nodes.SIZE) == 4.0
    assert len(bpy.data.materials["Splatonym"].node_tree.nodes) > 10


@pytest.mark.skipif(not attributes.NATIVE, reason="one set of names in this Blender")
def test_a_file_from_an_older_blender(monkeypatch):
    scene, data = bpy.context.scene, random_scene(60)
    monkeypatch.setattr(attributes, "NATIVE", False)
    old = build_scene(scene, data)
    build_scene(scene, random_scene(60, name="Other"))
    set_setting(old.collection, nodes.SIZE, 4.0)
    monkeypatch.undo()
    old_names = read_gaussians(old.collection).gaussians
    new = build_scene(scene, data)
    assert {g.name for g in bpy.data.node_groups} == {"Splatonym Points", "Splatonym Points (3DGS)"}
    assert new.collection == old.collection and get_setting(new.collection, nodes.SIZE) == 4.0
    assert "radiance:base" in new.classes[0].objects[0].data.attributes
    np.testing.assert_allclose(read_gaussians(new.collection).gaussians.scales, old_names.scales, rtol=1e-6)
    remove_result(scene, "Other")
    assert [g.name for g in bpy.data.node_groups] == ["Splatonym Points"]


def test_colour_tags():
    assert nearest_tag("unlabelled") == "NONE"
    assert all(nearest_tag(name) in {f"COLOR_{k:02d}" for k in range(1, 9)} for name in ("chair", "wall", "plant"))


def test_a_saved_result_is_there_again(tmp_path):
    scene = random_scene(300, bands=4)
    build_scene(bpy.context.scene, scene)
    before = read_gaussians(find_results(bpy.context.scene)[0].collection)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"), check_existing=False)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    (result,) = find_results(bpy.context.scene)
    after = read_gaussians(result.collection)
    assert np.array_equal(before.gaussians.sh, after.gaussians.sh) and after.instances == before.instances
    assert build_scene(bpy.context.scene, scene).collection == result.collection
