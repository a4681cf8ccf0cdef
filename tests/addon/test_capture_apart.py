# SPDX-License-Identifier: GPL-3.0-or-later
"""A second Blender gives the views that this one would, whatever happens here meanwhile, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import bmesh
import bpy
import numpy as np
import pytest
from splatonym.addon import jobs
from splatonym.addon.capture import CaptureSettings, Shot, capture, capture_in_steps, choose_cameras
from splatonym.addon.capture.apart import RendererDied, save_copy, why_not_apart
from splatonym.core.errors import InvalidInput, NotAvailable

from .capture_scenes import TINY, box, camera, room
from .test_capture_session import assert_unchanged, busy, snapshot  # noqa: F401 - busy is a fixture

pytestmark = [
    pytest.mark.usefixtures("blank"),
    pytest.mark.filterwarnings(r"ignore:'\w+.use_nodes' is expected:DeprecationWarning"),  # the snapshot reads everything
]

VIEW = CaptureSettings(width=16, height=16, samples=1, engine="CYCLES", denoise=False)


@pytest.fixture(autouse=True)
def own_folder(tmp_path_factory, monkeypatch):
    """Temporary folders of this test alone, so that it can see what is left in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


def apart(shots, settings=VIEW, check=lambda: None):
    return jobs.run_to_end(capture_in_steps(bpy.context, shots, settings, check, apart=True))


def temporary():
    return sorted(path.name for path in Path(tempfile.gettempdir()).glob("splatonym-*"))


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def cleared():
    """No thread of ours is still clearing up after a process."""
    return not any(thread.name == "splatonym clears" for thread in threading.enumerate())


@contextmanager
def nothing_left():
    before = snapshot()
    yield
    wait_for(cleared)
    assert_unchanged(before)


def assert_same(one, other):
    assert one.instances == other.instances and one.labels == other.labels
    assert len(one.views) == len(other.views)
    for a, b in zip(one.views, other.views, strict=True):
        assert a.name == b.name and a.camera.projection == b.camera.projection
        np.testing.assert_array_equal(a.camera.K, b.camera.K)
        np.testing.assert_array_equal(a.camera.T_world_camera, b.camera.T_world_camera)
        for picture in ("rgb", "depth", "index"):
            np.testing.assert_array_equal(getattr(a, picture), getattr(b, picture), err_msg=f"{a.name} {picture}")


def alive(pid):
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def painted(name, is_float=False):
    """A picture whose pixels are in no file, on a plane in front of the room's camera."""
    image = bpy.data.images.new(name, 8, 4, float_buffer=is_float)
    image.pixels.foreach_set(np.linspace(0, 1, 8 * 4 * 4, dtype=np.float32))
    image.update()
    return image


def show(image, thing):
    """Make a thing shine with a picture."""
    tree = thing.active_material.node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    tree.links.new(tree.nodes.new("ShaderNodeTexCoord").outputs["Generated"], node.inputs["Vector"])
    tree.links.new(node.outputs["Color"], tree.nodes["Emission"].inputs["Color"])


def test_views_are_those_of_this_blender(busy):  # noqa: F811
    bpy.context.scene.cycles.device = "GPU"  # which is the processor where there is none
    bpy.data.objects["Cube"]["semantic_class"] = "throne"
    bpy.data.objects.new("Aardvark", bpy.data.meshes.new("Aardvark"))  # nothing uses it, so the copy does not have it
    here = capture(bpy.context, busy, VIEW)
    with nothing_left():
        assert_same(apart(busy), here)
    assert {thing.class_name for thing in here.instances.values()} >= {"throne"}


def test_pictures_that_are_not_saved_are_seen():
    room()
    show(painted("Painted"), bpy.data.objects["Room"])
    show(painted("Float", is_float=True), bpy.data.objects["Cube"])
    shots = choose_cameras(bpy.context, "ALL")
    here = capture(bpy.context, shots, TINY)
    assert len(np.unique(here.views[0].rgb)) > 8
    with nothing_left():
        assert_same(apart(shots, TINY), here)


def test_linked_cameras_and_relative_paths(tmp_path):
    camera("Linked", at=(1.0, -1.5, 0.5))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    room()
    painted("Painted").save(filepath=str(tmp_path / "painted.png"))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))
    show(bpy.data.images.load("//painted.png"), bpy.data.objects["Room"])
    with bpy.data.libraries.load("//library.blend", link=True, relative=True) as (there, taken):
        taken.objects = [there.objects[0]]
    bpy.context.scene.collection.objects.link(taken.objects[0])
    camera("Linked", at=(1.0, -1.0, 0.5))
    shots = [Shot(thing, 1, str(place)) for place, thing in enumerate(o for o in bpy.data.objects if o.type == "CAMERA")]
    assert len(shots) == 3
    here = capture(bpy.context, shots, TINY)
    with nothing_left():
        assert_same(apart(shots, TINY), here)
    assert [bpy.data.images["painted.png"].filepath, bpy.data.libraries[0].filepath] == ["//painted.png", "//library.blend"]


def test_what_is_edited_is_seen_and_goes_on():
    room()
    cube = bpy.data.objects["Cube"]
    bpy.context.view_layer.objects.active = cube
    bpy.ops.object.mode_set(mode="EDIT")
    mesh = bmesh.from_edit_mesh(cube.data)
    for corner in mesh.verts:
        corner.co *= 1.5
    bmesh.update_edit_mesh(cube.data)
    shots = choose_cameras(bpy.context, "ALL")
    there = apart(shots, TINY)
    assert cube.mode == "EDIT"
    bpy.ops.object.mode_set(mode="OBJECT")
    assert_same(there, capture(bpy.context, shots, TINY))


def test_the_copy_is_no_save_of_the_persons(tmp_path):
    room()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))
    bpy.ops.ed.undo_push(message="a change")
    called = []
    handlers = bpy.app.handlers
    files, dirty = bpy.context.preferences.filepaths, bpy.data.is_dirty
    state = (bpy.data.filepath, bpy.data.is_saved, dirty, files.file_preview_type, bpy.context.preferences.is_dirty)
    painted("Painted").save(filepath=str(tmp_path / "painted.png"))
    bpy.data.use_autopack = True
    for held in (handlers.save_pre, handlers.save_post):
        held.append(lambda *_: called.append(1))
    try:
        save_copy(tmp_path / "copy.blend")
        assert len(handlers.save_pre) == len(handlers.save_post) == 1 and not called
    finally:
        handlers.save_pre.clear()
        handlers.save_post.clear()
    assert (tmp_path / "copy.blend").stat().st_size
    assert bpy.data.use_autopack and not bpy.data.images["Painted"].packed_file
    bpy.data.use_autopack = False
    assert state == (
        bpy.data.filepath, bpy.data.is_saved, bpy.data.is_dirty, files.file_preview_type, bpy.context.preferences.is_dirty,
    )  # fmt: skip


def test_what_happens_meanwhile_does_not_matter(tmp_path):
    seen = room()
    shots = choose_cameras(bpy.context, "ALL") * 3
    here = capture(bpy.context, shots, VIEW)
    bpy.ops.ed.undo_push(message="before")
    bpy.context.scene.frame_current = 2
    bpy.ops.ed.undo_push(message="after")
    work = capture_in_steps(bpy.context, shots, VIEW, apart=True)
    for step in work:
        if "1 of 3" in step.text:
            break
    bpy.ops.ed.undo()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"), copy=True)
    with bpy.data.libraries.load(str(tmp_path / "room.blend")) as (held, _):
        assert list(held.scenes) == ["Scene"] and len(held.cameras) == 1
    bpy.data.objects.remove(bpy.data.objects["Camera"])
    del seen
    bpy.ops.wm.read_factory_settings(use_empty=True)  # a job would be closed here; the child would not mind
    captured = jobs.run_to_end(work)
    assert_same(captured, here)
    wait_for(cleared)
    assert not temporary()


def test_a_cancel_in_the_middle_ends_it_at_once(busy):  # noqa: F811
    with nothing_left():
        work = capture_in_steps(bpy.context, busy * 20, VIEW, apart=True)
        for step in work:
            if "2 of" in step.text:
                break
        (process,) = children()
        work.close()
        wait_for(lambda: not alive(process))
    assert not children()


def test_what_check_raises_ends_it(busy):  # noqa: F811
    def check():
        raise NotAvailable("The server is gone.")

    with nothing_left(), pytest.raises(NotAvailable, match="server is gone"):
        apart(busy, check=check)


@pytest.mark.skipif(os.name == "nt", reason="reads /proc")
def test_a_child_that_is_killed_is_said(busy):  # noqa: F811
    with nothing_left():
        work = capture_in_steps(bpy.context, busy * 20, VIEW, apart=True)
        for step in work:
            if "2 of" in step.text:
                break
        (process,) = children()
        os.kill(process, signal.SIGKILL)
        with pytest.raises(RendererDied, match=r"ended early \(status -9\)") as found:
            jobs.run_to_end(work)
    assert "memory" in found.value.hint


def test_what_the_child_cannot_render_is_said_as_here(busy):  # noqa: F811
    box("Body", 0.1)
    bpy.context.view_layer.objects.active = bpy.data.objects["Body"]
    bpy.ops.rigidbody.object_add()
    with nothing_left(), pytest.raises(NotAvailable, match="'Body' is moved by a rigid body simulation"):
        apart(busy)
    with nothing_left(), pytest.raises(NotAvailable, match="'LUXCORE' is not there"):
        apart(busy, CaptureSettings(engine="LUXCORE"))
    with nothing_left(), pytest.raises(InvalidInput, match="0 samples"):
        apart(busy, CaptureSettings(samples=0))


@pytest.mark.skipif(os.name == "nt", reason="the limit on file sizes is POSIX's")
def test_a_disk_that_is_full():
    import resource

    room()
    shots = choose_cameras(bpy.context, "ALL")
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with nothing_left():
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
            with pytest.raises(NotAvailable, match="cannot be copied") as found:
                apart(shots)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
    assert "room on the disk" in found.value.hint


def test_no_second_blender_and_no_temporary_folder(monkeypatch, tmp_path):
    room()
    shots = choose_cameras(bpy.context, "ALL")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with nothing_left(), pytest.raises(RendererDied, match="cannot be started: No such file") as found:
        apart(shots)
    assert "missing" in found.value.hint
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        with pytest.raises(NotAvailable, match="No temporary folder"):
            apart(shots)


@pytest.mark.skipif(os.name == "nt", reason="reads /proc")
def test_a_blender_that_is_killed_takes_its_child_along(tmp_path):
    words = [sys.executable, Path(__file__).with_name("capture_orphan.py")]
    with subprocess.Popen(words, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True) as parent:
        told = next(line for line in parent.stdout if line.startswith("CHILD "))
        child = int(told.split()[1])
        assert alive(child) and list(tmp_path.glob("splatonym-*"))
        parent.kill()
    wait_for(lambda: not alive(child) and not list(tmp_path.glob("splatonym-*")))


def test_scenes_that_a_copy_does_not_hold_are_rendered_here(tmp_path):
    room()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))  # else no cache can be on disk
    scene, cube = bpy.context.scene, bpy.data.objects["Cube"]
    assert why_not_apart(scene) == ""
    cloth = cube.modifiers.new("Cloth", "CLOTH")
    assert why_not_apart(scene) == ""
    cloth.point_cache.use_disk_cache = True
    assert "'Cube'" in why_not_apart(scene)
    cube.modifiers.clear()
    tree = bpy.data.node_groups.new("Simulated", "GeometryNodeTree")
    tree.nodes.new("GeometryNodeSimulationOutput")
    assert "simulation" in why_not_apart(scene)
    assert len(apart(choose_cameras(bpy.context, "ALL")).views) == 1
    assert not children()
    bpy.data.node_groups.remove(tree)
    tiled = bpy.data.images.new("Tiles", 4, 4, tiled=True)
    tiled.pixels[0] = 0.5
    tiled.update()
    assert not tiled.is_dirty or "'Tiles'" in why_not_apart(scene)


def test_a_script_that_did_not_run_here_does_not_run_in_the_copy(tmp_path):
    """A text may come with what is appended. It runs when its file is opened, for those who let scripts run; the copy is no way around."""
    room()
    assert not bpy.context.preferences.filepaths.use_scripts_auto_execute
    text = bpy.data.texts.new("appended.py")
    text.use_module = True
    text.write(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    assert len(apart(choose_cameras(bpy.context, "ALL")).views) == 1
    assert not (tmp_path / "ran").exists()
    assert "'appended.py'" in why_not_apart(bpy.context.scene)
    text.use_module = False
    assert why_not_apart(bpy.context.scene) == ""


def test_what_is_rendered_here_is_never_saved(tmp_path):
    room()
    tree = bpy.data.node_groups.new("Simulated", "GeometryNodeTree")
    tree.nodes.new("GeometryNodeSimulationOutput")
    work = capture_in_steps(bpy.context, choose_cameras(bpy.context, "ALL") * 3, VIEW, apart=True)
    next(work), next(work)
    assert len(bpy.data.scenes) == 2
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"), copy=True)
    with bpy.data.libraries.load(str(tmp_path / "room.blend")) as (held, _):
        assert list(held.scenes) == ["Scene"] and len(held.cameras) == 1
    with pytest.raises(InvalidInput, match="went away"):
        jobs.run_to_end(work)
    assert not bpy.app.handlers.save_pre


def children():
    """Process ids of Blenders that render views for this one."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "child.py" in line and "defunct" not in line]
