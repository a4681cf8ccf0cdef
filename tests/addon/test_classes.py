# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes and things edited by hand: names, numbers, collections and objects stay in step, and what is read back says the same."""

import json

import bpy
import numpy as np
import pytest
import splatonym
from splatonym.addon import classes
from splatonym.addon.build import build_scene, find_results, read_gaussians
from splatonym.addon.classes.selection import read_selection
from splatonym.core.codebook import Codebook
from splatonym.core.errors import InvalidInput, NotAvailable
from splatonym.core.labels import LabelMap
from splatonym.core.scene import SemanticScene
from splatonym.core.views import Instance

from .build_scenes import random_scene

COUNT = 400


@pytest.fixture
def addon():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    splatonym.register()
    yield bpy.ops.splatonym
    splatonym.unregister()


@pytest.fixture
def result(addon):
    return build_scene(bpy.context.scene, random_scene(COUNT))


def described(count=COUNT, **changes):
    """A scene that can be asked: words, shares and what was taught."""
    draw = np.random.default_rng(1)
    vectors = draw.normal(size=(3, 8)).astype(np.float16)
    words = np.zeros((count, 4), np.uint8)
    words[:, 0] = draw.integers(0, 3, count)
    shares = np.zeros((count, 4), np.uint8)
    shares[:, 0] = 255
    taught = np.full(count, -1, np.int32)
    taught[:10] = 1
    plain = random_scene(count, words=words, shares=shares, taught=taught, **changes)
    return SemanticScene("Room", plain.gaussians, plain.labels, plain.instances, Codebook("tiny", "key", vectors, vectors))


def scene():
    return read_gaussians(find_results(bpy.context.scene)[-1].collection)


def titles():
    return [child.name for child in find_results(bpy.context.scene)[-1].collection.children]


def by_place(read):
    """What each point is, whatever the order: {position: (class, instance)}."""
    g = read.gaussians
    names = [read.labels.names[k] for k in g.label]
    return {tuple(p): (n, int(i)) for p, n, i in zip(g.means.tolist(), names, g.instance, strict=True)}


def step(operator, **properties):
    """An operator as a person presses it, with its undo step."""
    return getattr(bpy.ops.splatonym, operator)("EXEC_DEFAULT", True, **properties)


# Names


def test_a_class_gets_another_name_and_its_points_stay(result, addon):
    before = by_place(scene())
    addon.rename_class(class_name="chair", name="  seat ")
    after = by_place(scene())
    assert after == {place: ("seat" if name == "chair" else name, thing) for place, (name, thing) in before.items()}
    assert scene().labels.names == ("seat", "table", "lamp", "unlabelled") and scene().labels.synonyms["seat"] == ("chair",)
    assert scene().instances == {1: Instance(1, "Stühlchen", "seat")}
    assert [name.split(" ")[0] for name in titles()] == ["seat", "table"] and "seat" in bpy.data.objects


def test_what_a_person_named_keeps_its_name(result, addon):
    group = result.collection.children[0]
    group.name, group.all_objects[0].name = "My chairs", "Lots of points"
    addon.rename_class(class_name="chair", name="seat")
    assert group.name == "My chairs" and group.all_objects[0].name == "Lots of points"


def test_a_name_that_is_free_in_the_label_set_is_taken(result, addon):
    addon.rename_class(class_name="chair", name="Lamp")
    assert sorted(scene().labels.names) == ["lamp", "table", "unlabelled"] and set(scene().counts()) == {"lamp", "table"}
    assert scene().labels.synonyms["lamp"] == ("chair",)


def test_two_classes_do_not_get_the_same_name(result, addon):
    before = by_place(scene())
    with pytest.raises(RuntimeError, match=r"class 'table' already.*Merge"):
        addon.rename_class(class_name="chair", name="TABLE")
    with pytest.raises(RuntimeError, match="name is empty"):
        addon.rename_class(class_name="chair", name=" ")
    with pytest.raises(RuntimeError, match="no label 'stool'"):
        addon.rename_class(class_name="stool", name="seat")
    assert by_place(scene()) == before


def test_only_the_case_of_a_name_changes(result, addon):
    addon.rename_class(class_name="chair", name="Chair")
    assert "Chair" in scene().counts() and scene().labels.synonyms.get("Chair", ()) == ()


def test_a_new_name_goes_in_place_in_the_list(result):
    group = result.collection.children[0]
    group.splatonym_class_name = "armchair"
    assert group.splatonym_class_name == "armchair" and "armchair" in scene().counts()
    group.splatonym_class_name = "table"  # refused, and said in the panel
    assert group.splatonym_class_name == "armchair"
    assert "table" in splatonym.addon.jobs.state.error.message


# Merging


def test_a_class_becomes_part_of_another(result, addon):
    before = by_place(scene())
    addon.merge_class(class_name="chair", into="table")
    assert by_place(scene()) == {place: ("table", thing) for place, (_, thing) in before.items()}
    assert sorted(scene().labels.names) == ["lamp", "table", "unlabelled"] and scene().labels.synonyms["table"] == ("chair",)
    assert titles() == [f"table ({COUNT})"] and scene().instances[1].class_name == "table"
    colours = {tuple(item.color) for item in result.collection.all_objects}
    assert len(colours) == 1 and {item["splatonym_class"] for item in result.collection.all_objects} == {"table"}


def test_what_was_taught_follows(addon):
    result = build_scene(bpy.context.scene, described())
    addon.merge_class(class_name="chair", into="table")
    read = scene()
    assert read.codebook is not None and set(np.unique(read.gaussians.taught)) == {-1, read.labels.id_of("table")}
    addon.rename_class(class_name="table", name="desk")
    read = scene()
    assert read.labels.names[read.gaussians.taught.max()] == "desk" and result.id == "Room"


def test_merging_again_and_predicting_again(result, addon):
    addon.merge_class(class_name="chair", into="table")
    addon.merge_class(class_name="table", into="lamp")
    assert set(scene().counts()) == {"lamp"} and scene().labels.synonyms["lamp"] == ("chair", "table")
    build_scene(bpy.context.scene, scene(), result_id=result.id)
    assert titles() == [f"lamp ({COUNT})"] and len(result.collection.all_objects) == 1


def test_nothing_is_merged_into_itself(result, addon):
    with pytest.raises(RuntimeError, match="into itself"):
        addon.merge_class(class_name="chair", into="Chair")


def test_points_that_nobody_named_become_a_class(addon):
    build_scene(bpy.context.scene, random_scene(50, label=np.full(50, 3, np.int32)))
    addon.merge_class(class_name="unlabelled", into="chair")
    assert scene().counts() == {"chair": 50} and "unlabelled" in scene().labels.names


# Colours


def test_a_class_gets_another_colour(result, addon):
    addon.recolour_class(class_name="chair", colour=(1.0, 0.0, 0.0))
    group = result.collection.children[0]
    assert tuple(group.splatonym_class_colour) == (1.0, 0.0, 0.0)
    assert all(tuple(item.color) == (1.0, 0.0, 0.0, 1.0) for item in group.all_objects) and group.color_tag == "COLOR_01"
    group.splatonym_class_colour = (0.0, 0.0, 1.0)
    assert all(tuple(item.color) == (0.0, 0.0, 1.0, 1.0) for item in group.all_objects)


# Things


def test_a_thing_goes_to_another_class(result, addon):
    before = by_place(scene())
    addon.instance_to_class(instance=2, class_name="sofa")
    after = by_place(scene())
    assert after == {place: ("sofa" if thing == 2 else name, thing) for place, (name, thing) in before.items()}
    assert any(name.startswith("sofa (") for name in titles())
    moved = scene()
    sure = moved.gaussians.confidence[moved.gaussians.instance == 2]
    assert (sure == 1).all() and find_results(bpy.context.scene)[-1].count == COUNT


def test_all_other_columns_go_along(addon):
    result = build_scene(bpy.context.scene, described(bands=4))
    before = scene().gaussians
    for item in result.collection.all_objects:
        mark = item.data.attributes.new("theirs", "FLOAT_COLOR", "POINT")
        mark.data.foreach_set("color", np.tile(np.float32([0.5, 0.25, 1, 1]), len(mark.data)))
    addon.instance_to_class(instance=1, class_name="chair")
    after = scene().gaussians
    order = [np.lexsort(g.means.T) for g in (before, after)]
    for name in ("means", "quats", "scales", "opacities", "sh", "instance", "words", "shares"):
        assert np.allclose(getattr(before, name)[order[0]], getattr(after, name)[order[1]], atol=1e-6), name
    assert set(after.taught[after.instance == 1]) == {0}
    for item in result.collection.all_objects:
        assert tuple(item.data.attributes["theirs"].data[0].color) == (0.5, 0.25, 1, 1)


def test_moved_objects_keep_their_place_in_the_world(result, addon):
    for item in result.collection.all_objects:
        item.location = (1, 2, 3)
    bpy.context.view_layer.update()
    before = by_place(scene())
    addon.instance_to_class(instance=3, class_name="chair")
    bpy.context.view_layer.update()
    assert set(by_place(scene())) == set(before)


def test_a_thing_gets_a_name(result, addon):
    addon.rename_instance(instance=1, name="Grandma's chair")
    addon.rename_instance(instance=2, name="Table by the window")
    assert scene().instances[1].name == "Grandma's chair" and scene().instances[2].name == "Table by the window"
    with pytest.raises(RuntimeError, match="no instance 99"):
        addon.rename_instance(instance=99, name="x")


def test_a_thing_is_deleted(result, addon):
    number = int((scene().gaussians.instance == 1).sum())
    addon.delete_instance(instance=1)
    assert len(scene().gaussians) == COUNT - number and not (scene().gaussians.instance == 1).any() and not scene().instances
    assert sum(int(name.split("(")[1][:-1]) for name in titles()) == COUNT - number


def test_a_class_is_deleted(result, addon):
    chairs = scene().counts()["chair"]
    addon.delete_class(class_name="chair")
    assert scene().counts() == {"table": COUNT - chairs} and len(result.collection.children) == 1
    assert len(bpy.data.pointclouds) == 1
    addon.delete_class(class_name="table")
    assert len(scene().gaussians) == 0 and not bpy.data.pointclouds


def test_a_class_in_an_object_that_was_joined_of_two(result, addon):
    """What counts are the points: the other class's stay."""
    chairs = scene().counts()["chair"]
    item = result.classes[1].objects[0]
    label = np.zeros(len(item.data.points), np.int32)
    item.data.attributes["semantic_class"].data.foreach_get("value", label)
    label[:5] = 0
    item.data.attributes["semantic_class"].data.foreach_set("value", label)
    assert classes.summary_of(result.collection).classes["chair"].count == chairs + 5
    addon.delete_class(class_name="chair")
    assert scene().counts() == {"table": COUNT - chairs - 5}


# Hiding


def hidden():
    return [
        group["splatonym_class"] for group in find_results(bpy.context.scene)[-1].collection.children if group.hide_viewport
    ]


def test_one_class_alone_and_all_as_before(result, addon):
    addon.instance_to_class(instance=2, class_name="lamp")
    result.collection.children[1].hide_viewport = True
    addon.isolate(class_name="chair")
    assert hidden() == ["table", "lamp"] and classes.isolated(result.collection) == ("chair", 0)
    addon.isolate(class_name="lamp")
    assert hidden() == ["chair", "table"]
    addon.isolate(class_name="lamp")
    assert hidden() == ["table"] and classes.isolated(result.collection) is None
    addon.hide_classes()
    assert len(hidden()) == 3
    addon.show_classes()
    assert hidden() == []


def test_one_thing_alone_without_touching_points(result, addon):
    counted = (scene().gaussians.instance == 1).sum()
    addon.isolate(instance=1)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    depsgraph.update()
    shown = 0
    for item in result.collection.all_objects:
        assert item.modifiers[0].name.startswith("Splatonym Isolate")
        item.modifiers[1].show_viewport = False
        depsgraph.update()
        shown += len(item.evaluated_get(depsgraph).data.points)
    assert shown == counted and len(scene().gaussians) == COUNT
    addon.isolate(instance=1)
    assert [len(item.modifiers) for item in result.collection.all_objects] == [1, 1]
    assert not [g for g in bpy.data.node_groups if "Isolate" in g.name]


# Undo


@pytest.mark.parametrize(
    ("operator", "properties"),
    [
        ("rename_class", {"class_name": "chair", "name": "seat"}),
        ("merge_class", {"class_name": "chair", "into": "table"}),
        ("recolour_class", {"class_name": "chair", "colour": (1, 0, 0)}),
        ("delete_class", {"class_name": "chair"}),
        ("instance_to_class", {"instance": 2, "class_name": "sofa"}),
        ("rename_instance", {"instance": 1, "name": "mine"}),
        ("delete_instance", {"instance": 2}),
        ("isolate", {"instance": 2}),
        ("apply_class_preset", {"preset": "scannet20"}),
    ],
)
def test_one_undo_and_one_redo(addon, operator, properties):
    build_scene(bpy.context.scene, described())
    bpy.ops.ed.undo_push(message="before")

    def state():
        result = find_results(bpy.context.scene)[-1]
        read = read_gaussians(result.collection)
        kept = {key: str(value) for key, value in result.collection.items()}
        looks = [(o.name, tuple(o.color), len(o.modifiers), o.users_collection[0].name) for o in result.collection.all_objects]
        return by_place(read), read.labels, read.instances, kept, looks, titles(), hidden(), read.gaussians.taught.tolist()

    before = state()
    summary = classes.summary_of(find_results(bpy.context.scene)[-1].collection)
    step(operator, **properties)
    after = state()
    assert after != before
    bpy.ops.ed.undo()
    assert state() == before and classes.summary_of(find_results(bpy.context.scene)[-1].collection) == summary
    bpy.ops.ed.redo()
    assert state() == after
    bpy.ops.ed.undo()
    assert state() == before


# At a glance


def test_the_summary_counts_points_and_is_worked_out_once(result, addon):
    found = classes.summary_of(result.collection)
    g = scene().gaussians
    for k, name in enumerate(("chair", "table")):
        mine = g.label == k
        assert found.classes[name].count == mine.sum() and found.classes[name].confidence == pytest.approx(
            g.confidence[mine].mean(), abs=1e-5
        )
    things = {thing.id: thing for item in found.classes.values() for thing in item.things}
    assert set(things) == {1, 2, 3, 4} and things[1].name == "Stühlchen" and things[1].count == (g.instance == 1).sum()
    assert classes.summary_of(result.collection) is found
    addon.rename_class(class_name="chair", name="seat")
    assert "seat" in classes.summary_of(result.collection).classes


def test_points_that_a_person_deleted_count_no_more(result, addon):
    if bpy.app.version < (4, 5, 0):
        pytest.skip("point clouds have no edit mode in this Blender")
    number = classes.summary_of(result.collection).classes["chair"].count
    addon.select_class_points(instance=1, edit_mode=True)
    item = result.classes[0].objects[0]
    chosen = int(read_selection(item.data).sum())
    assert bpy.context.mode == "EDIT_POINTCLOUD" and chosen
    bpy.ops.pointcloud.delete()
    assert classes.summary_of(result.collection).classes["chair"].count == number - chosen
    bpy.ops.object.mode_set(mode="OBJECT")
    addon.rename_class(class_name="chair", name="seat")
    assert titles()[0] == f"seat ({number - chosen})"


def test_huge_instance_numbers(addon):
    numbers = np.full(30, 2**31 - 1, np.int32)
    numbers[:10] = 7
    result = build_scene(bpy.context.scene, random_scene(30, instance=numbers, label=np.zeros(30, np.int32)))
    assert {thing.id: thing.count for thing in classes.summary_of(result.collection).classes["chair"].things} == {
        2**31 - 1: 20,
        7: 10,
    }


def test_points_without_confidence_instances_or_classes(addon):
    build_scene(bpy.context.scene, random_scene(20, instance=None, confidence=None))
    found = classes.summary_of(find_results(bpy.context.scene)[-1].collection)
    assert found.classes["chair"].confidence is None and found.classes["chair"].things == ()
    addon.rename_class(class_name="chair", name="seat")
    with pytest.raises(RuntimeError, match="no instance 1"):
        addon.instance_to_class(instance=1, class_name="sofa")


# Several results


def test_the_result_that_is_marked_is_meant(result, addon):
    other = build_scene(bpy.context.scene, random_scene(30, name="Other"))
    assert classes.active_result(bpy.context.scene).id == other.id  # the last one
    addon.activate_result(result="Room")
    addon.rename_class(class_name="chair", name="seat")
    assert "seat" in read_gaussians(result.collection).counts() and "seat" not in read_gaussians(other.collection).counts()
    addon.rename_class(result="Other", class_name="chair", name="stool")
    assert "stool" in read_gaussians(other.collection).counts()
    addon.remove_result(result="Room")
    assert classes.active_result(bpy.context.scene).id == other.id


def test_two_scenes_have_a_marked_result_each(result, addon):
    other = bpy.data.scenes.new("Second")
    build_scene(other, random_scene(20, name="There"))
    addon.activate_result(result="Room")
    assert classes.active_result(other).name == "There" and classes.active_result(bpy.context.scene).name == "Room"


# Sets of names and colours


def test_a_set_that_ships_renames_merges_and_colours(addon):
    labels = LabelMap(("couch", "settee", "desk lamp", "widget"))
    draw = np.random.default_rng(0)
    result = build_scene(
        bpy.context.scene, random_scene(90, labels=labels, label=draw.integers(0, 4, 90).astype(np.int32), instance=None)
    )
    addon.apply_class_preset(preset="indoor")
    counts = scene().counts()
    assert {"sofa", "lamp", "widget"} == set(counts) and sum(counts.values()) == 90
    assert "ceiling" in scene().labels.names and len(result.collection.children) == 3


def test_a_class_in_two_collections_is_renamed_once(addon):
    labels = LabelMap(("couch", "table"))
    result = build_scene(bpy.context.scene, random_scene(90, labels=labels))
    group = next(child for child in result.collection.children if child["splatonym_class"] == "couch")
    folder = bpy.data.collections.new("mine")
    folder["splatonym_class"] = "couch"
    result.collection.children.link(folder)
    twin = group.objects[0].copy()
    folder.objects.link(twin)
    addon.apply_class_preset(preset="indoor")
    assert set(scene().counts()) == {"sofa", "table"} and folder["splatonym_class"] == "sofa"
    assert "1 classes renamed" in splatonym.addon.jobs.state.message


def test_a_set_of_ones_own(result, addon):
    addon.rename_class(class_name="chair", name="Sitzmöbel")
    addon.recolour_class(class_name="Sitzmöbel", colour=(1.0, 0.5, 0.0))
    addon.save_class_preset(name="Mine / too")
    assert "Mine _ too" in classes.preset_list()[1]
    other = build_scene(bpy.context.scene, random_scene(30, name="Other"))
    addon.activate_result(result="Other")
    addon.apply_class_preset(preset="Mine _ too")
    group = next(c for c in other.collection.children if c["splatonym_class"] == "Sitzmöbel")  # "chair" is another word for it
    assert np.allclose(group.splatonym_class_colour, (1.0, 0.5, 0.0), atol=0.01)
    addon.remove_class_preset(preset="Mine _ too")
    assert "Mine _ too" not in classes.preset_list()[1]
    with pytest.raises(RuntimeError, match="no label set"):
        addon.apply_class_preset(preset="Mine _ too")
    with pytest.raises(RuntimeError, match="no set of your own"):
        addon.remove_class_preset(preset="indoor")
    with pytest.raises(RuntimeError, match="ships with Splatonym"):
        addon.save_class_preset(name="indoor")


def test_a_damaged_set_of_ones_own(result, addon):
    from splatonym.addon.preferences import user_folder

    path = user_folder("classes") / "bad.json"
    for text in ("{", '{"labels": 3}', '{"labels": [{"synonyms": []}]}', '{"labels": [{"name": "a", "colour": "red"}]}'):
        path.write_text(text)
        with pytest.raises(RuntimeError, match="not a set of names"):
            addon.apply_class_preset(preset="bad")
    path.unlink()


# What goes wrong


def test_the_marked_result_was_deleted_renamed_or_emptied(result, addon):
    build_scene(bpy.context.scene, random_scene(30, name="Other"))
    addon.activate_result(result="Room")
    result.collection.name = "My room"
    addon.rename_class(class_name="chair", name="seat")
    assert "seat" in read_gaussians(result.collection).counts()
    bpy.data.collections.remove(result.collection)
    assert classes.active_result(bpy.context.scene).id == "Other"
    addon.rename_class(class_name="chair", name="stool")
    bpy.data.collections.remove(find_results(bpy.context.scene)[-1].collection)
    assert classes.active_result(bpy.context.scene) is None and not addon.rename_class.poll()


def test_a_class_without_points_and_an_empty_result(result, addon):
    group = bpy.data.collections.new("ghost")
    group["splatonym_class"] = "lamp"
    result.collection.children.link(group)
    assert classes.summary_of(result.collection).classes.keys() == {"chair", "table"}
    with pytest.raises(RuntimeError, match="no label"):
        addon.recolour_class(class_name="sofa", colour=(1, 0, 0))
    addon.rename_class(class_name="chair", name="seat")  # tidies up
    assert "lamp" not in [c.get("splatonym_class") for c in result.collection.children]
    for item in list(result.collection.all_objects):
        bpy.data.objects.remove(item)
    assert classes.summary_of(result.collection).count == 0
    with pytest.raises(RuntimeError):
        addon.isolate(class_name="chair")


@pytest.mark.parametrize("value", ["{", "3", '"chair"', '[["a"]]', 7, '["chair", "chair"]'])
def test_damaged_names(result, addon, value):
    result.collection["splatonym_labels"] = value
    assert classes.summary_of(result.collection).damaged
    for run in (
        lambda: addon.rename_class(class_name="chair", name="seat"),
        lambda: addon.merge_class(class_name="chair", into="table"),
        lambda: addon.delete_class(class_name="chair"),
        lambda: addon.select_class_points(class_name="chair"),
    ):
        with pytest.raises(RuntimeError, match=r"Error: .*"):
            run()
    assert sum(item.count for item in find_results(bpy.context.scene)[-1].classes) == COUNT


@pytest.mark.parametrize(
    "key", ["splatonym_instances", "splatonym_synonyms", "splatonym_isolated", "splatonym_answer", "splatonym_recent"]
)
@pytest.mark.parametrize("value", ["{", "3", "[1]", 7])
def test_other_damaged_properties_raise_nothing_but_typed_errors(result, addon, key, value):
    result.collection[key] = value
    classes.summary_of(result.collection)
    for run in (lambda: classes.rename(result, "chair", "seat"), lambda: classes.isolate(result, "table")):
        try:
            run()
        except (InvalidInput, NotAvailable):
            pass


def test_points_with_numbers_that_are_no_class(result, addon):
    item = result.classes[0].objects[0]
    item.data.attributes["semantic_class"].data[0].value = 77
    classes.summary_of(result.collection)  # still what it was: Blender tells nobody
    splatonym.addon.classes.summary.forget()
    assert "1 points" in classes.summary_of(result.collection).damaged
    with pytest.raises(RuntimeError, match="numbers that are no class"):
        addon.merge_class(class_name="chair", into="table")


def test_objects_that_were_converted_or_joined(result, addon):
    item = result.classes[0].objects[0]
    item.modifiers.clear()
    bpy.context.view_layer.update()
    for other in bpy.context.view_layer.objects:
        other.select_set(other == item)
    bpy.context.view_layer.objects.active = item
    bpy.ops.object.convert(target="MESH")
    counts = scene().counts()
    addon.instance_to_class(instance=1, class_name="sofa")
    assert sum(scene().counts().values()) == COUNT and scene().counts()["sofa"]
    addon.rename_class(class_name="chair", name="seat")
    assert scene().counts()["seat"] == counts["chair"] - (scene().counts()["sofa"] - 0) + _tables_in(counts)
    addon.delete_class(class_name="seat")
    assert "seat" not in scene().counts()


def _tables_in(counts):
    """How many of the sofa's points were tables before."""
    return counts["table"] - scene().counts()["table"]


def test_several_windows_of_time_are_no_state(result, addon):
    """Everything is kept in the file: saved and opened, the same is marked, hidden and named."""
    addon.rename_class(class_name="chair", name="seat")
    addon.isolate(class_name="seat")
    result.collection.splatonym_class_index = 1
    labels = json.loads(result.collection["splatonym_labels"])
    path = f"{bpy.app.tempdir}classes.blend"
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    again = find_results(bpy.context.scene)[-1]
    assert json.loads(again.collection["splatonym_labels"]) == labels and again.collection.splatonym_class_index == 1
    assert classes.isolated(again.collection) == ("seat", 0)
    addon.isolate(class_name="seat")
    assert hidden() == []
