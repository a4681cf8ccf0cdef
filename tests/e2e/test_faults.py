# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong while a job runs: the server dies or hangs, the add-on goes, another file is loaded, Blender ends."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bpy
import pytest
import splatonym
from mathutils import Matrix
from splatonym.addon import connection, jobs, live
from splatonym.addon.asking import ask_result
from splatonym.addon.build import find_results
from splatonym.addon.capture import CaptureSettings, capture_in_steps, choose_cameras
from splatonym.addon.labelling import LabelOptions, label_cameras
from splatonym.addon.live import hiding, running
from splatonym.addon.live.asking import LiveView, Wanted
from splatonym.addon.live.cameras import view_camera
from splatonym.addon.live.source import Source
from splatonym.addon.panels.base import repair_of
from splatonym.addon.setup import builds, steps
from splatonym.core.wire.errors import ServerDied

ROOT = Path(__file__).resolve().parents[2]
DATA = ("collections", "objects", "pointclouds", "meshes", "materials", "node_groups", "images", "scenes", "cameras")
VIEWS = {"camera_source": "ALL", "resolution": 32, "samples": 1}
OPTIONS = LabelOptions(result_name="Room", **VIEWS)
OPERATORS = {
    "predict": VIEWS | {"result_name": "Room", "label_source": "scene", "predictor": "depth-pass"},
    "describe": VIEWS | {"names": "floor, box", "model": "tiny"},
    "query": {"text": "box"},
    "relabel": {"names": "floor, crate"},
    "teach": {"name": "crate", "things": "1"},
    "render_view": {"picture": "CLASS"},
}
PLACES = {"predict": "predict", "describe": "ask", "query": "ask", "relabel": "ask", "teach": "ask", "render_view": "output"}


def content():
    """What is in the file, and what the results hold."""
    held = {store: sorted(item.name for item in getattr(bpy.data, store)) for store in DATA}
    return held, [(r.name, r.count, [(c.name, c.count) for c in r.classes]) for s in bpy.data.scenes for r in find_results(s)]


def operate(name):
    return getattr(bpy.ops.splatonym, name)("EXEC_DEFAULT", True, **OPERATORS[name])


@contextlib.contextmanager
def told(act):
    """Operators that run to their end tell `act` their steps."""
    jobs.terminal = act
    try:
        yield
    finally:
        jobs.terminal = None


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


def runs(pid):
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def greeted():
    """The server's process id, once it has said hello."""
    client = connection.client()
    client.submit("scenes").result(60)
    return client.pid


def until(work, stage):
    """Take steps to the first one of a stage."""
    return next(step for step in work if step.stage == stage)


# --- the server dies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATORS)
def test_the_server_dies_at_work_and_the_next_try_has_another(room, name):
    bpy.ops.ed.undo_push(message="before")
    before, pid = content(), greeted()
    seen = []

    def kill(step):
        if not seen:
            os.kill(pid, signal.SIGSTOP)  # so that it has answered nothing when it dies
        seen.append(step.stage)
        if step.stage == "Server" and seen.count("Server") == 1:
            os.kill(pid, signal.SIGKILL)

    with told(kill), pytest.raises(RuntimeError, match="was killed by signal 9"):
        operate(name)
    assert jobs.state.place == PLACES[name] and isinstance(jobs.state.error, ServerDied) and not jobs.state.message
    assert repair_of(jobs.state.error) is not None and jobs.state.error.hint
    assert "Python 3" not in jobs.state.error.message, "the log's greeting is no news"
    assert content() == before and not jobs.state.running
    assert operate(name) == {"FINISHED"}
    assert connection.client().pid != pid and jobs.state.error is None and jobs.state.place == PLACES[name]
    after = content()
    bpy.ops.ed.undo()
    assert content() == before, "what failed left no undo step"
    bpy.ops.ed.redo()
    assert content() == after


def test_the_server_dies_while_views_are_rendered_and_another_predicts(room):
    pid = greeted()

    def kill(step):
        if step.text.startswith("Camera 1"):
            os.kill(pid, signal.SIGKILL)

    with told(kill):
        assert operate("predict") == {"FINISHED"}
    assert connection.client().pid != pid and jobs.state.error is None


def test_the_server_dies_before_it_has_said_hello(room):
    connection.close()
    before = content()

    def kill(step):
        client = connection.client()
        if client.alive:
            os.kill(client.pid, signal.SIGKILL)
            wait_for(lambda: not client.alive, "the server's end")

    with told(kill), pytest.raises(RuntimeError, match="was killed by signal 9"):
        operate("predict")
    assert jobs.state.place == "predict" and content() == before
    assert operate("predict") == {"FINISHED"}


def test_the_server_dies_when_all_has_arrived(room):
    pid, client = greeted(), connection.client()

    def kill(step):
        if step.stage == "Import" and client.alive:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not client.alive, "the server's end")

    with told(kill):
        assert operate("predict") == {"FINISHED"}
    assert operate("render_view") == {"FINISHED"}


# --- the server hangs ------------------------------------------------------------------------------------------------------


def test_a_server_that_hangs_is_cancelled_and_the_next_try_need_not_wait_for_anybody(room):
    pid, before = greeted(), content()
    os.kill(pid, signal.SIGSTOP)
    (result,) = find_results(room)
    work = ask_result(bpy.context, result, "box", "", "object", None, True)
    until(work, "Server")
    assert all(next(work).waiting for _ in range(50)), "the steps come whatever the server does"
    client = connection.client()
    work.close()
    assert content() == before and client.cancelling
    assert operate("query") == {"FINISHED"}  # at once, while the old one still has its time to hear the cancel
    assert not client.alive and not runs(pid) and connection.client().pid != pid


# --- the live view ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def viewport(room):
    areas = [area for window in bpy.context.window_manager.windows for area in window.screen.areas]
    if not areas:
        pytest.skip("this Blender has no window data in the background")
    areas[0].type = "VIEW_3D"
    yield areas[0].spaces.active
    live.stop_all()


def a_view(across=0.0):
    window = Matrix(((1.5, 0, 0, 0), (0, 2, 0, 0), (0, 0, -1.0002, -0.2), (0, 0, -1, 0)))
    return view_camera(window, Matrix.Translation((-across, 0, -8)), 96, 72)


def show_live(space):
    """The live view of a viewport, which nobody draws: the test says what it shows."""
    live.start(space)
    key = (bpy.context.scene.name, bpy.context.view_layer.name, "")
    source = running._state.sources[key] = Source(*key)
    region = running._state.regions[1] = running._Region(space.as_pointer(), key, LiveView(source.ask))
    region.drawn_at = time.monotonic()
    region.live.want(Wanted(a_view(), "", "COLOUR"), time.monotonic())
    return region


def tick_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        running._tick()
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


def test_the_server_dies_while_the_live_view_sends_the_points(viewport):
    pid = greeted()
    os.kill(pid, signal.SIGSTOP)
    region = show_live(viewport)
    source = running._state.sources[region.source]
    tick_until(lambda: source.step.stage == "Server")
    os.kill(pid, signal.SIGKILL)
    tick_until(lambda: not live.any_live())
    assert jobs.state.place == "live" and jobs.state.error.repair == "splatonym.live_view"
    region = show_live(viewport)
    tick_until(lambda: region.live.picture is not None)


def test_the_server_dies_under_a_job_and_the_live_view_and_it_is_said_once(viewport, room):
    region = show_live(viewport)
    tick_until(lambda: region.live.picture is not None and region.live.finished(time.monotonic()))
    pid = greeted()
    os.kill(pid, signal.SIGSTOP)
    region.live.want(Wanted(a_view(0.5), region.live.wanted.scene, "COLOUR"), time.monotonic())
    running._tick()
    assert region.live.waiting

    def kill(step):
        if step.stage == "Server":
            os.kill(pid, signal.SIGKILL)

    with told(kill), pytest.raises(RuntimeError, match="was killed by signal 9"):
        operate("query")
    tick_until(lambda: not live.any_live())
    assert jobs.state.place == "ask" and isinstance(jobs.state.error, ServerDied)
    assert hiding.HIDDEN not in find_results(room)[0].collection


# --- the add-on goes while something runs ----------------------------------------------------------------------------------


def temporary():
    return set(Path(tempfile.gettempdir()).glob("splatonym-*"))


def again():
    """Disabled and enabled."""
    splatonym.unregister()
    assert connection._connection is None and not jobs.state.running
    splatonym.register()


def test_disabled_while_another_blender_renders(room):
    held, before = temporary(), content()
    shots = choose_cameras(bpy.context, "ALL")
    work = jobs.state.work = capture_in_steps(bpy.context, shots, CaptureSettings(resolution=32, samples=1), apart=True)
    next(step for step in work if "Camera 0" in step.text)
    children = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "child.py"], capture_output=True, text=True
    ).stdout.split()
    assert len(children) == 1 and len(temporary() - held) == 1
    again()
    wait_for(lambda: not runs(children[0]) and temporary() == held, "the other Blender's end", 20)
    assert content() == before
    assert operate("predict") == {"FINISHED"}


def test_disabled_while_the_server_works(room):
    pid, before = greeted(), content()
    work = jobs.state.work = label_cameras(bpy.context, OPTIONS)
    until(work, "Server")
    again()
    assert not runs(pid) and content() == before
    assert operate("predict") == {"FINISHED"}


def test_disabled_while_the_live_view_is_on(viewport, room):
    region = show_live(viewport)
    tick_until(lambda: region.live.picture is not None and hiding.HIDDEN in find_results(room)[0].collection)
    pid = connection.client().pid
    again()
    assert not live.any_live() and not bpy.app.timers.is_registered(running._tick) and not runs(pid)
    assert hiding.HIDDEN not in find_results(room)[0].collection


def test_disabled_while_the_server_is_set_up(room, tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "uv").write_text(f"#!/bin/sh\nsleep 300 & echo $! > '{tmp_path}/pid'\nwait\n")
    (programs / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    build = builds.Build("index", "asked for")
    plan = steps.Plan(tmp_path / "setup", ROOT / "requirements", ROOT / "server" / "fit.py", "0", build)
    work = jobs.state.work = steps.set_up(plan)
    next(step for step in work if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    assert runs(pid)
    again()
    wait_for(lambda: not runs(pid), "the end of what uv had started", 20)
    assert not plan.folder.exists()


# --- another file is loaded, or this one saved -----------------------------------------------------------------------------

STAGES = ("Capture", "Server", "Import")


@pytest.mark.parametrize("load", ["file", "new"])
@pytest.mark.parametrize("stage", STAGES)
def test_loading_another_file_ends_the_job_and_the_next_one_works(room, described, stage, load):
    held = temporary()
    work = jobs.state.work = label_cameras(bpy.context, OPTIONS)
    until(work, stage)
    if load == "file":
        bpy.ops.wm.open_mainfile(filepath=str(described), load_ui=False)
    else:
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True, load_ui=False)
    assert not jobs.state.running and not jobs.state.error
    assert temporary() == held
    assert not [name for kind in content()[0].values() for name in kind if "half made" in name or name == "Splatonym Capture"]
    if load == "file":
        assert operate("query") == {"FINISHED"}


@pytest.mark.parametrize("stage", ["Server", "Import"])
def test_saving_during_a_job_holds_the_persons_work_alone_and_the_job_goes_on(room, tmp_path, stage):
    before = content()
    work = label_cameras(bpy.context, OPTIONS)
    until(work, stage)
    if stage == "Import":
        next(step for step in work if content()[0] != before[0])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    jobs.run_to_end(work)
    assert find_results(bpy.context.scene)[0].count != before[1][0][1]
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"), load_ui=False)
    assert content() == before


def test_saving_with_the_live_view_on_saves_no_hidden_points(viewport, room, tmp_path):
    region = show_live(viewport)
    tick_until(lambda: region.live.picture is not None and hiding.HIDDEN in find_results(room)[0].collection)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"), copy=True)
    assert live.any_live()
    tick_until(lambda: hiding.HIDDEN in find_results(room)[0].collection)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"), load_ui=False)
    (result,) = find_results(bpy.context.scene)
    assert hiding.HIDDEN not in result.collection
    assert not hiding.find_layer_collection(bpy.context.view_layer.layer_collection, result.collection).hide_viewport


# --- Blender ends ----------------------------------------------------------------------------------------------------------

ENDS = """
import os, signal, sys
import bpy
import splatonym
from splatonym.addon import connection, jobs
from splatonym.addon.capture import CaptureSettings, capture_in_steps, choose_cameras
from splatonym.addon.labelling import LabelOptions, label_cameras
blend, stage, how = sys.argv[1:]
splatonym.register()
bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False)
connection.client().submit("scenes").result(60)
if stage == "Capture":
    work = capture_in_steps(bpy.context, choose_cameras(bpy.context, "ALL"), CaptureSettings(resolution=32, samples=1), apart=True)
    next(step for step in work if "Camera 0" in step.text)
else:
    work = label_cameras(bpy.context, LabelOptions(result_name="Room", camera_source="ALL", resolution=32, samples=1))
    next(step for step in work if step.stage == stage)
jobs.state.work = work
print("AT", stage, connection.client().pid, flush=True)
if how == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
splatonym.unregister()
"""


@pytest.mark.parametrize("stage, how", [("Capture", "killed"), ("Server", "killed"), ("Capture", "ended")])
def test_nothing_outlives_a_blender_that_ends_during_a_job(server_python, described, tmp_path, stage, how):
    saved = described.read_bytes()
    (tmp_path / "ends.py").write_text(ENDS)
    words = [sys.executable, tmp_path / "ends.py", described, stage, how]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "SPLATONYM_SERVER_PYTHON": str(server_python)}
    environment["BLENDER_USER_RESOURCES"] = str(tmp_path / "user")
    done = subprocess.run([*map(str, words)], env=environment, capture_output=True, text=True, timeout=300)
    assert f"AT {stage}" in done.stdout, done.stdout + done.stderr
    assert done.returncode == (-signal.SIGKILL if how == "killed" else 0), done.stderr
    pid = done.stdout.partition(f"AT {stage}")[2].split()[0]
    wait_for(lambda: not runs(pid), "the server's end", 20)
    wait_for(lambda: not list(tmp_path.glob("splatonym-*")), "the temporary folder's end", 20)
    assert subprocess.run(["pgrep", "-f", f"{tmp_path}/splatonym-"], capture_output=True).returncode == 1, "an orphan"
    assert described.read_bytes() == saved and not list(tmp_path.glob("*.crash.txt"))
