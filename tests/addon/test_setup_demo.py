# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo room opens as a new file, ready for the next click."""

import bpy
import pytest
import splatonym
from splatonym.addon import demo, jobs


@pytest.fixture
def registered():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    splatonym.register()
    yield
    splatonym.unregister()


def test_the_room_is_new_and_its_cameras_are_selected(registered):
    before = demo.ROOM.read_bytes()
    bpy.context.scene.splatonym.camera_source = "ALL"
    assert bpy.ops.splatonym.load_demo_room() == {"FINISHED"}
    scene = bpy.context.scene
    assert scene.name == "Demo Room" and bpy.data.filepath == "", "saving asks for a name"
    cameras = [item for item in scene.objects if item.type == "CAMERA"]
    assert len(cameras) == 10 and bpy.context.selected_objects == cameras
    assert scene.splatonym.camera_source == "SELECTED"
    with pytest.raises(RuntimeError):  # Blender asks for a name, which a script must give
        bpy.ops.wm.save_mainfile()
    assert demo.ROOM.read_bytes() == before
    assert bpy.ops.splatonym.predict.poll()


def test_another_file_is_left_as_it_is(registered, tmp_path):
    scene = bpy.context.scene
    camera = bpy.data.objects.new("Mine", bpy.data.cameras.new("Mine"))
    scene.collection.objects.link(camera)
    scene.splatonym.camera_source = "ALL"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "mine.blend"))
    bpy.ops.splatonym.load_demo_room()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "mine.blend"))
    assert bpy.context.scene.splatonym.camera_source == "ALL" and not bpy.context.selected_objects


def test_the_room_waits_for_a_running_job(registered):
    jobs.state.work = iter(())
    try:
        assert not bpy.ops.splatonym.load_demo_room.poll()
    finally:
        jobs.state.work = None
