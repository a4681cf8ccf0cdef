# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job in a real Blender over a real server process, as operators and scripts run it."""

import os
import signal

import bpy
import numpy as np
import pytest
from splatonym.core.errors import SplatonymError
from splatonym.core.ply import read_ply
from splatonym.core.scene import read_scene

DATA = ("collections", "objects", "pointclouds", "meshes", "materials", "node_groups", "images", "scenes")


def names():
    return {store: sorted(item.name for item in getattr(bpy.data, store)) for store in DATA}


def predict(**settings):
    return bpy.ops.splatonym.predict(
        **{"camera_source": "ALL", "resolution": 32, "samples": 1, "result_name": "Room", **settings}
    )


def result(scene):
    from splatonym.addon.build import find_results

    found = find_results(scene)
    assert len(found) == 1
    return found[0]


def test_predict_brings_labelled_points_onto_the_surfaces(small_room):
    assert predict() == {"FINISHED"}
    room = result(small_room)
    assert room.name == "Room"
    counts = {c.name: c.count for c in room.classes}
    assert set(counts) == {"floor", "chair"}
    assert min(counts.values()) > 50
    for cls in room.classes:
        points = cls.objects[0].data.attributes["position"].data
        where = np.empty(3 * len(points), np.float32)
        points.foreach_get("vector", where)
        where = where.reshape(-1, 3)
        off_floor = np.abs(where[:, 2])
        off_cube = np.abs(np.abs(where - [0, 0, 0.5]).max(axis=1) - 0.5)
        assert np.minimum(off_floor, off_cube).max() < 0.02, "a point lies on no surface"
        # At 32 pixels a few points on the outline take the neighbour's name.
        assert np.quantile(off_floor if cls.name == "floor" else off_cube, 0.95) < 0.02


def test_predicting_again_replaces_the_result_and_removing_leaves_nothing(small_room):
    before = names()
    predict()
    first = names()
    predict()
    assert names() == first
    bpy.ops.splatonym.remove_result(result="Room")
    assert names() == before


def test_export_writes_both_kinds_of_ply(small_room, tmp_path):
    predict()
    bpy.ops.splatonym.export_ply(filepath=str(tmp_path / "room.ply"))
    bpy.ops.splatonym.export_ply(filepath=str(tmp_path / "strict.ply"), strict=True)
    labelled, strict = read_ply(tmp_path / "room.ply"), read_ply(tmp_path / "strict.ply")
    assert len(labelled) == len(strict) == result(small_room).count
    assert labelled.label is not None and strict.label is None


def test_export_into_a_missing_folder_says_so(small_room, tmp_path):
    predict()
    with pytest.raises(RuntimeError, match="cannot be written"):
        bpy.ops.splatonym.export_ply(filepath=str(tmp_path / "missing" / "room.ply"))


@pytest.mark.parametrize("picture", ["RGB", "DEPTH", "ALPHA", "CLASS", "INSTANCE"])
def test_render_view_makes_an_image_of_the_result(small_room, picture):
    predict()
    assert bpy.ops.splatonym.render_view(picture=picture) == {"FINISHED"}
    image = bpy.data.images[f"Room {picture.title()}"]
    pixels = np.empty(32 * 32 * 4, np.float32)
    image.pixels.foreach_get(pixels)
    pixels = pixels.reshape(32, 32, 4)[::-1]
    middle, corner = pixels[16, 16, :3], pixels[1, 1, :3]
    assert middle.max() > 0.05
    if picture == "DEPTH":
        assert 2.5 < middle[0] < 5
    if picture == "ALPHA":
        assert middle[0] > 0.9
    if picture != "RGB":
        assert np.abs(middle - corner).max() > 0.01


def test_points_deleted_in_blender_are_gone_from_the_export(small_room, tmp_path):
    predict()
    room = result(small_room)
    floor = next(c for c in room.classes if c.name == "floor")
    left = room.count - floor.count
    bpy.data.objects.remove(floor.objects[0])
    bpy.ops.splatonym.export_ply(filepath=str(tmp_path / "room.ply"))
    assert len(read_ply(tmp_path / "room.ply")) == left


def test_cancel_at_every_stage_leaves_the_scene_as_it_was(small_room):
    from splatonym.addon.labelling import LabelOptions, label_cameras

    options = LabelOptions(result_name="Room", camera_source="ALL", resolution=32, samples=1)
    before, settings = names(), render_settings(small_room)
    seen = []
    while True:
        work = label_cameras(bpy.context, options)
        new = next((step.stage for step in work if step.stage not in seen), None)
        if new is None:
            break  # ran to its end: every stage was cancelled once
        seen.append(new)
        work.close()
        assert names() == before, new
        assert render_settings(small_room) == settings, new
    assert {"Capture", "Server", "Import"} <= set(seen)


def render_settings(scene):
    render = scene.render
    return (
        render.engine, render.resolution_x, render.resolution_y, render.resolution_percentage, render.filepath, scene.frame_current,
        scene.view_settings.view_transform, scene.cycles.samples, scene.camera.name, [o.pass_index for o in scene.objects],
    )  # fmt: skip


def test_a_killed_server_is_said_and_the_next_prediction_works(small_room):
    from splatonym.addon import connection
    from splatonym.addon.labelling import LabelOptions, label_cameras

    options = LabelOptions(result_name="Room", camera_source="ALL", resolution=32, samples=1)
    before = names()
    server = connection.client().pid
    with pytest.raises(SplatonymError, match="server") as caught:
        for step in label_cameras(bpy.context, options):
            if step.waiting and server:
                os.kill(server, signal.SIGKILL)
                server = 0
    assert caught.value.hint
    assert names() == before
    assert predict() == {"FINISHED"}


@pytest.mark.parametrize("settings, message", [
    ({"camera_source": "SELECTED"}, "[Nn]o camera"),
    ({"result_name": " "}, "no name"),
])  # fmt: skip
def test_bad_settings_are_said_and_change_nothing(small_room, settings, message):
    bpy.ops.object.select_all(action="DESELECT")
    before = names()
    with pytest.raises(RuntimeError, match=message):
        predict(**settings)
    assert names() == before


def test_a_panoramic_camera_is_refused_by_name(small_room):
    camera = bpy.data.objects["Camera 2"]
    camera.data.type = "PANO"
    with pytest.raises(RuntimeError, match="Camera 2"):
        predict()


def test_a_camera_that_sees_nothing_is_named_and_the_others_count(small_room):
    bpy.data.objects["Camera 2"].rotation_euler = (3.1, 0, 0)  # into the sky
    assert predict() == {"FINISHED"}
    from splatonym.addon import jobs

    assert "Camera 2" in jobs.state.message


def test_no_camera_sees_anything(small_room):
    for k in range(3):
        bpy.data.objects[f"Camera {k}"].rotation_euler = (3.1, 0, 0)
    before = names()
    with pytest.raises(RuntimeError, match="Camera 0"):
        predict()
    assert names() == before


@pytest.mark.parametrize("value, message", [("/nowhere/python", "nowhere"), (os.devnull, "null"), ("", "No Python")])
def test_a_missing_interpreter_is_said(small_room, monkeypatch, value, message, tmp_path):
    from splatonym.addon import preferences

    monkeypatch.setenv(preferences.INTERPRETER_VARIABLE, value)
    monkeypatch.setattr(preferences, "ROOT", tmp_path)  # a place without a .venv-server
    with pytest.raises(RuntimeError, match=message):
        predict()


def test_headless_labelling_writes_its_files_and_leaves_the_blend(small_room, tmp_path):
    from splatonym.addon.headless import HeadlessOptions, label_file
    from splatonym.addon.labelling import LabelOptions

    blend, out = tmp_path / "room.blend", tmp_path / "out"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    content = blend.read_bytes()
    options = LabelOptions(result_name="Room", camera_names=("Camera 0", "Camera 2"), resolution=32, samples=1)
    outcome = label_file(HeadlessOptions(out=out, label=options, blend=blend))
    assert sorted(p.name for p in out.iterdir()) == ["Room.blend", "labels.json", "report.json", "scene.ply"]
    assert blend.read_bytes() == content
    assert read_scene(out).counts() == outcome.scene.counts()
    bpy.ops.wm.open_mainfile(filepath=str(out / "Room.blend"))
    assert result(bpy.context.scene).count == len(outcome.scene.gaussians)


def test_headless_labelling_refuses_a_folder_that_cannot_be_written(small_room, tmp_path):
    from splatonym.addon.headless import HeadlessOptions, label_file
    from splatonym.addon.labelling import LabelOptions

    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SplatonymError, match="cannot be written"):
        label_file(HeadlessOptions(out=tmp_path / "file" / "out", label=LabelOptions(camera_source="ALL")))


def test_loading_another_file_ends_the_job(small_room):
    from splatonym.addon import jobs
    from splatonym.addon.labelling import LabelOptions, label_cameras

    settings = render_settings(small_room)
    work = label_cameras(bpy.context, LabelOptions(camera_source="ALL", resolution=32, samples=1))
    next(work), next(work)
    jobs.state.work = work
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert not jobs.state.running
    with pytest.raises(StopIteration):
        next(work)
    assert settings


def test_every_class_has_an_icon_that_blender_knows(small_room):
    from splatonym.addon.panels.classes import tag_icon

    small_room.objects["Cube.047"]["semantic_class"] = "unlabelled"
    predict()
    known = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
    for cls in result(small_room).classes:
        assert tag_icon(cls.collection) in known


def test_saving_during_capture_keeps_the_temporary_scene_out_of_the_file(small_room, tmp_path):
    from splatonym.addon.labelling import LabelOptions, label_cameras

    before = names()
    work = label_cameras(bpy.context, LabelOptions(camera_source="ALL", resolution=32, samples=1))
    next(work), next(work)
    assert names() != before
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))
    assert names() == before
    with pytest.raises(SplatonymError, match="went away before it was rendered"):
        next(work)


@pytest.mark.parametrize("use_depth", [True, False])
def test_the_network_names_what_it_sees(small_room, use_depth):
    from splatonym.core.labels import preset

    assert predict(predictor="network", label_source="network", use_depth=use_depth) == {"FINISHED"}
    room = result(small_room)
    assert room.count > 100
    assert {c.name for c in room.classes} <= set(preset("rooms").names)
