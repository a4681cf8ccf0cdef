# SPDX-License-Identifier: GPL-3.0-or-later
"""However a capture ends, the file is as it was; what cannot be done is said in a sentence."""

import gc
import os
import signal
import tempfile
from pathlib import Path

import bpy
import pytest
from splatonym.addon.capture import CaptureSession, CaptureSettings, capture, choose_cameras, session
from splatonym.core.errors import InvalidFile, InvalidInput, NotAvailable, SplatonymError

from .capture_scenes import TINY, box, camera, room

pytestmark = [
    pytest.mark.usefixtures("blank"),
    pytest.mark.filterwarnings(r"ignore:'\w+.use_nodes' is expected:DeprecationWarning"),  # the snapshot reads everything
]

VIEW = CaptureSettings(width=16, height=16, samples=1, engine="CYCLES", denoise=False)


def properties(owner):
    """What a struct holds, by name: plain values, names of datablocks, and lengths of collections."""
    out = {}
    for prop in owner.bl_rna.properties:
        if prop.identifier == "users":
            continue  # see `users`
        value = getattr(owner, prop.identifier, None)
        if prop.type == "POINTER":
            out[prop.identifier] = getattr(value, "name", value is not None)
        elif prop.type == "COLLECTION":
            out[prop.identifier] = len(value)
        elif prop.type == "ENUM" or isinstance(value, (str, bool, int)):
            out[prop.identifier] = str(value)
        elif isinstance(value, float):
            out[prop.identifier] = value
        else:
            out[prop.identifier] = [round(float(v), 6) for row in value for v in (row if hasattr(row, "__len__") else [row])]
    return out


def snapshot():
    """All that a capture could disturb: settings, flags, objects, and the names and users of every datablock."""
    scene = bpy.context.scene
    out = {"context": (scene.name, bpy.context.view_layer.name, scene.frame_current, scene.frame_subframe)}
    holders = [scene, scene.render, scene.render.image_settings, scene.cycles, scene.eevee, scene.display]
    holders += [scene.display.shading, scene.view_settings, scene.display_settings, scene.world]
    for layer in scene.view_layers:
        holders += [layer, layer.cycles]
        out[layer.name] = [(c.name, c.exclude, c.holdout, c.hide_viewport) for c in layer.layer_collection.children]
    holders += [*bpy.data.objects, *bpy.data.cameras, *bpy.data.materials]
    for place, holder in enumerate(holder for holder in holders if holder is not None):
        out[f"{place} {holder.bl_rna.identifier}"] = properties(holder)
    for prop in bpy.data.bl_rna.properties:
        if prop.type == "COLLECTION":
            out[f"bpy.data.{prop.identifier}"] = [(block.name, users(block)) for block in getattr(bpy.data, prop.identifier)]
    out["nodes"] = [node.name for tree in compositors(scene) for node in tree.nodes]
    out["temporary"] = sorted(path.name for path in Path(tempfile.gettempdir()).glob("splatonym-*"))
    return out


def users(block):
    """How many use a datablock; 4.2 itself counts what a copied scene's collection holds twice and takes one away again."""
    miscounted = bpy.app.version < (4, 3) and isinstance(block, (bpy.types.Object, bpy.types.Collection))
    return None if miscounted else block.users


def assert_unchanged(before):
    after = snapshot()
    differ = {
        key: (before.get(key), after.get(key)) for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    }
    for key, (old, new) in differ.items():
        if isinstance(old, dict):
            differ[key] = {name: (old[name], new[name]) for name in old if old[name] != new[name]}
    assert not differ


def compositors(scene):
    tree = scene.compositing_node_group if bpy.app.version >= (5, 0) else scene.node_tree
    return [tree] if tree else []


@pytest.fixture
def busy():
    """A scene with something of everything that a capture sets, none of it at its default; two shots of two frames."""
    scene = bpy.context.scene
    seen = room(lens=20.0)
    camera("Other", lens=30.0).select_set(True)
    scene.view_layers.new("Second layer")
    scene.world = bpy.data.worlds.new("World")
    if bpy.app.version >= (5, 0):
        scene.compositing_node_group = bpy.data.node_groups.new("Compositor", "CompositorNodeTree")
    else:
        scene.use_nodes = True
    compositors(scene)[0].nodes.new("CompositorNodeBlur")
    render = scene.render
    render.engine, render.filepath = "BLENDER_WORKBENCH", "//somewhere/else"
    render.resolution_x, render.resolution_y, render.resolution_percentage = 123, 77, 50
    render.use_border = render.use_stamp = render.film_transparent = render.use_motion_blur = True
    render.image_settings.file_format, render.image_settings.quality = "JPEG", 33
    scene.cycles.samples, scene.cycles.filter_width, scene.cycles.max_bounces = 77, 2.5, 7
    scene.view_settings.view_transform, scene.view_settings.exposure = "Filmic", 1.5
    layer = bpy.context.view_layer
    layer.use_pass_mist, layer.use_pass_combined, layer.samples = True, False, 5
    bpy.data.objects["Cube"].pass_index = 12
    bpy.data.cameras["Camera"].dof.use_dof = True
    scene.timeline_markers.new("Cut", frame=2).camera = bpy.data.objects["Other"]
    stray = box("Stray", 0.1)
    stray["splatonym_result"] = "1"
    seen.keyframe_insert("location", frame=1)
    scene.keyframe_insert("view_settings.exposure", frame=1)
    scene.frame_start, scene.frame_end = 4, 5
    scene.frame_set(3)
    seen.location.z += 0.25  # not keyed
    bpy.context.view_layer.update()
    return choose_cameras(bpy.context, "ACTIVE_ANIMATED") + choose_cameras(bpy.context, "ALL")


def test_nothing_is_changed_after_success(busy):
    before = snapshot()
    captured = capture(bpy.context, busy, VIEW)
    assert len(captured.views) == 4 and all(v.depth.any() for v in captured.views)
    assert_unchanged(before)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, InvalidInput])
def test_nothing_is_changed_after_an_error_in_a_render(busy, monkeypatch, error):
    def fail(*arguments):
        raise error(
            "in a render"
        )  # made here: one that outlives the test would keep its frames, and 4.2 crashes at exit over them

    before = snapshot()
    monkeypatch.setattr(session, "render_geometry", fail)
    with pytest.raises(error):
        capture(bpy.context, busy, VIEW)
    assert_unchanged(before)


def test_nothing_is_changed_after_an_error_at_the_start(busy, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("at the start")

    before = snapshot()
    with pytest.raises(NotAvailable, match="'LUXCORE' is not there"):
        capture(bpy.context, busy, CaptureSettings(engine="LUXCORE"))
    monkeypatch.setattr(session, "_leave_results_out", fail)
    with pytest.raises(RuntimeError):
        capture(bpy.context, busy, VIEW)
    assert_unchanged(before)


def test_nothing_is_changed_after_a_cancel_between_views(busy):
    def steps():
        with CaptureSession(bpy.context, VIEW) as running:
            for shot in busy:
                yield running.render(shot)

    before = snapshot()
    work = steps()
    next(work)
    assert snapshot() != before  # the copy is there
    work.close()
    assert_unchanged(before)
    work = steps()
    next(work)
    del work  # forgotten rather than closed
    gc.collect()
    assert_unchanged(before)


def test_progress_names_each_view(busy):
    told = []
    capture(bpy.context, busy[:2], VIEW, lambda *words: told.append(words))
    assert told == [(0, 2, "Other 0004"), (1, 2, "Other 0005")]


@pytest.mark.parametrize(
    "settings",
    [{"width": 0}, {"height": -3}, {"resolution": 0}, {"width": 20000, "height": 10}, {"samples": 0}],
)
def test_sizes_and_samples_that_cannot_be_rendered(settings):
    room()
    with pytest.raises(InvalidInput, match="cannot be rendered"):
        capture(bpy.context, choose_cameras(bpy.context, "ALL"), CaptureSettings(**settings))


def test_sizes():
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 200, 100, 50
    assert CaptureSettings().size(scene) == (100, 50)
    assert CaptureSettings(resolution=256).size(scene) == (256, 128)
    assert CaptureSettings(width=64).size(scene) == (64, 32)
    assert CaptureSettings(height=64).size(scene) == (128, 64)
    assert CaptureSettings(width=30, height=40).size(scene) == (30, 40)
    scene.render.resolution_x = 50
    assert CaptureSettings(resolution=256).size(scene) == (128, 256)


def test_what_goes_away_between_two_views_is_said():
    seen = room()
    shots = choose_cameras(bpy.context, "ALL")
    with CaptureSession(bpy.context, VIEW) as running:
        running.render(shots[0])
        bpy.data.objects.remove(seen)
        with pytest.raises(InvalidInput, match="went away"):
            running.render(shots[0])
    with CaptureSession(bpy.context, VIEW) as running:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        with pytest.raises(InvalidInput, match="went away"):
            running.render(shots[0])
    assert [s.name for s in bpy.data.scenes] == ["Scene"]


def test_an_undo_between_two_views_is_said():
    room()
    bpy.ops.ed.undo_push(message="before")
    bpy.context.scene.frame_current = 2
    bpy.ops.ed.undo_push(message="after")
    shots = choose_cameras(bpy.context, "ALL")
    with CaptureSession(bpy.context, VIEW) as running:
        running.render(shots[0])
        bpy.ops.ed.undo()
        with pytest.raises(InvalidInput, match="went away"):
            running.render(shots[0])
    assert [s.name for s in bpy.data.scenes] == ["Scene"] and len(bpy.data.cameras) == 1


def test_rigid_bodies_are_refused_where_they_have_moved():
    seen = camera()
    stone = box("Stone", 0.5)
    bpy.context.view_layer.objects.active = stone
    bpy.ops.rigidbody.object_add()
    assert capture(bpy.context, choose_cameras(bpy.context, names=[seen.name]), VIEW).views
    bpy.context.scene.frame_set(5)
    shots = choose_cameras(bpy.context, names=[seen.name])
    with pytest.raises(NotAvailable, match="'Stone' is moved by a rigid body simulation"):
        capture(bpy.context, shots, VIEW)
    stone.rigid_body.type = "PASSIVE"
    assert capture(bpy.context, shots, VIEW).views


def test_no_temporary_folder(monkeypatch, tmp_path):
    room()
    before = snapshot()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(NotAvailable, match="No temporary folder can be made: No such file"):
        capture(bpy.context, choose_cameras(bpy.context, "ALL"), VIEW)
    monkeypatch.undo()
    assert_unchanged(before)


@pytest.mark.skipif(os.name == "nt", reason="the limit on file sizes is POSIX's")
def test_a_disk_that_is_full():
    import resource

    room()
    before = snapshot()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(SplatonymError) as found:
            capture(bpy.context, choose_cameras(bpy.context, "ALL"), TINY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert isinstance(found.value, (InvalidFile, InvalidInput, NotAvailable)) and found.value.hint
    assert_unchanged(before)


def test_without_cycles_the_engine_is_named():
    import addon_utils

    room()
    shots = choose_cameras(bpy.context, "ALL")
    addon_utils.disable("cycles")
    try:
        with pytest.raises(NotAvailable, match="'CYCLES' is not there") as found:
            capture(bpy.context, shots, CaptureSettings(width=16, height=16, engine="WORKBENCH"))
        assert "add-on" in found.value.hint
        only_colour = CaptureSettings(width=16, height=16, samples=1, engine="WORKBENCH", depth=False, index=False)
        assert capture(bpy.context, shots, only_colour).views[0].rgb.any()
    finally:
        addon_utils.enable("cycles")
