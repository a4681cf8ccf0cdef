# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cameras are chosen, how views and instances are called, and what class an object has."""

import bpy
import pytest
from splatonym.addon.capture import capture, choose_cameras, scene_camera
from splatonym.addon.capture.classes import class_of, cryptomatte_hash, murmur3
from splatonym.core.errors import InvalidInput
from splatonym.core.labels import LabelMap, preset

from .capture_scenes import TINY, box, camera, room

pytestmark = pytest.mark.usefixtures("blank")

LABELS = LabelMap(("chair", "lamp", "table"), {"chair": ("stool",)})


def collection(name, parent=None, semantic_class=None):
    made = bpy.data.collections.new(name)
    (parent or bpy.context.scene.collection).children.link(made)
    if semantic_class is not None:
        made["semantic_class"] = semantic_class
    return made


def names(shots):
    return [shot.name for shot in shots]


def test_selected_all_and_named_cameras():
    for name in ("B", "A", "C"):
        camera(name)
    box("Table", 1.0).select_set(True)
    with pytest.raises(InvalidInput, match="No camera is selected") as found:
        choose_cameras(bpy.context, "SELECTED")
    assert "Select the cameras" in found.value.hint and found.value.repair == "splatonym.use_all_cameras"
    for name in ("C", "A"):
        bpy.data.objects[name].select_set(True)
    assert names(choose_cameras(bpy.context, "SELECTED")) == ["A", "C"]
    assert names(choose_cameras(bpy.context, "ALL")) == ["A", "B", "C"]
    assert names(choose_cameras(bpy.context, names=["C", "B", "C"])) == ["C", "B"]
    with pytest.raises(InvalidInput, match="'D' is not in the scene") as found:
        choose_cameras(bpy.context, names=["D"])
    assert found.value.hint == "Cameras: A, B, C."
    with pytest.raises(InvalidInput, match="'Table' is not a camera"):
        choose_cameras(bpy.context, names=["Table"])
    with pytest.raises(InvalidInput, match="no camera source 'SOME'"):
        choose_cameras(bpy.context, "SOME")


def test_a_scene_without_cameras():
    for source in ("ALL", "SELECTED"):
        with pytest.raises(InvalidInput, match="has no camera in view layer") as found:
            choose_cameras(bpy.context, source)
        assert found.value.repair == "splatonym.plan_cover"
    for ask in (lambda: choose_cameras(bpy.context, "ACTIVE_ANIMATED"), lambda: scene_camera(bpy.context.scene)):
        with pytest.raises(InvalidInput, match="has no active camera"):
            ask()


def test_panoramic_cameras_are_refused_by_name():
    camera("Good")
    camera("Round", type="PANO")
    for source in ("ALL", "ACTIVE_ANIMATED"):
        bpy.context.scene.camera = bpy.data.objects["Round"]
        with pytest.raises(InvalidInput, match="Camera 'Round' is panoramic") as found:
            choose_cameras(bpy.context, source)
        assert "Perspective or Orthographic" in found.value.hint
    shots = choose_cameras(bpy.context, names=["Good"])
    bpy.data.cameras["Good"].type = "PANO"  # after it was chosen
    with pytest.raises(InvalidInput, match="'Good' is panoramic"):
        capture(bpy.context, shots, TINY)


def test_animated_shots_follow_range_step_and_markers():
    scene = bpy.context.scene
    first, second = camera("First"), camera("Second")
    scene.frame_start, scene.frame_end, scene.frame_step = 10, 20, 5
    assert names(choose_cameras(bpy.context, "ACTIVE_ANIMATED")) == ["First 0010", "First 0015", "First 0020"]
    scene.timeline_markers.new("Cut", frame=15).camera = second
    scene.timeline_markers.new("Start", frame=12).camera = first
    assert names(choose_cameras(bpy.context, "ACTIVE_ANIMATED")) == ["First 0010", "Second 0015", "Second 0020"]


def test_the_active_camera_as_a_camera():
    seen = room(lens=25.0)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 200, 100
    found = scene_camera(scene)
    assert (found.width, found.height, found.fx) == (200, 100, 25.0 * 200 / 36)
    assert found.position == pytest.approx(list(seen.location), abs=1e-6)


def test_a_class_comes_from_the_object_then_its_collections_then_its_name():
    outer = collection("Outer", semantic_class="lamp")
    inner = collection("Inner", outer)
    thing = box("Bar Stool.003", 1.0, collection=inner)
    assert class_of(thing, LABELS) == "lamp"
    inner["semantic_class"] = "Table"  # as the label set spells it
    assert class_of(thing, LABELS) == "table"
    thing["semantic_class"] = "  kitchen   stool "  # a name of its own
    assert class_of(thing, LABELS) == "kitchen stool"
    thing["semantic_class"] = ""  # says nothing
    assert class_of(thing, LABELS) == "table"
    del inner["semantic_class"], outer["semantic_class"]
    assert class_of(thing, LABELS) == "chair"
    thing.name = "Cube.001"
    assert class_of(thing, LABELS) == "unlabelled"
    bpy.context.scene.collection["semantic_class"] = "room"
    assert class_of(thing, LABELS) == "room"


def test_the_nearest_of_several_collections_decides():
    far = collection("Far", collection("Top", semantic_class="table"))
    near = collection("Near", semantic_class="chair")
    thing = box("Lamp", 1.0, collection=far)
    assert class_of(thing, LABELS) == "table"
    near.objects.link(thing)
    assert class_of(thing, LABELS) == "chair"
    far["semantic_class"] = "lamp"  # as near: the first by name
    assert class_of(thing, LABELS) == "lamp"


def test_a_class_that_is_no_text_is_refused_by_name():
    thing = box("Thing", 1.0)
    thing["semantic_class"] = 5
    with pytest.raises(InvalidInput, match="semantic_class of 'Thing' is 5"):
        class_of(thing, LABELS)


def test_labels_of_a_capture_hold_the_names_that_properties_gave():
    room(lens=20.0)
    bpy.data.objects["Cube"]["semantic_class"] = "Zeppelin"
    box("Unseen", 0.1, at=(50, 0, 0))["semantic_class"] = "submarine"
    captured = capture(bpy.context, choose_cameras(bpy.context, "ALL"), TINY)
    things = {thing.name: thing for thing in captured.instances.values()}
    assert things["Cube"].class_name == "Zeppelin" and things["Room"].class_name == "unlabelled"
    assert captured.labels.names == (*preset("indoor").names, "Zeppelin")
    assert all(number == thing.id > 0 for number, thing in captured.instances.items())


def test_linked_objects_have_numbers_and_classes(tmp_path):
    chair = box("Armchair", 0.5)
    path = str(tmp_path / "library.blend")
    bpy.data.libraries.write(path, {chair})
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = ["Armchair"]
    bpy.context.scene.collection.objects.link(wanted.objects[0])
    camera(at=(0, 0, 4), turn=(0, 0, 0))
    captured = capture(bpy.context, choose_cameras(bpy.context, "ALL"), TINY)
    assert [(t.name, t.class_name) for t in captured.instances.values()] == [("Armchair", "chair")]


def test_murmur_hash_and_what_cryptomatte_makes_of_it():
    assert murmur3(b"") == 0
    assert murmur3(b"hello") == 0x248BFA47
    assert murmur3(b"hello, world") == 0x149BBB7F
    assert murmur3(b"The quick brown fox jumps over the lazy dog") == 0x2E4FF723
    assert cryptomatte_hash("") == 1 << 23  # not denormal
