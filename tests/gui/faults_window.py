# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a real window by blender-gui.sh, with the zip beside OUT: jobs meet killed servers, undo, other scenes and windows, and an
extension that is disabled, updated and uninstalled under them.

What happened is printed after "FAULT".
"""

import os
import signal
import sys
import time
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ["BGUI_OUT"]).parent
MODULE = "bl_ext.user_default.splatonym"
PYTHON = ROOT / ".venv-server" / "bin" / "python"
VIEWS = {"camera_source": "ALL", "resolution": 32, "samples": 1}
sys.path.insert(0, str(ROOT / "tests"))
from small_room import make_small_room  # noqa: E402


def part(name):
    """A module of the extension as it is installed now."""
    return sys.modules[f"{MODULE}.addon.{name}"]


def say(*words):
    print("FAULT", *words, flush=True)


def wait_for(condition, what, seconds=90):
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"waited in vain for {what}"
        yield 0.03


def children():
    """Process ids of servers, and of Blenders that render views."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"child.py" in words or b"server/__main__.py" in words:
            found.append(int(path.parent.name))
    return found


def temporary():
    return sorted(path.name for path in Path("/tmp").glob("splatonym-*"))


def errors(ui):
    """How many errors Blender has reported, each with a popup: its Info log, copied as a person would copy it."""
    area = ui.area()
    before, area.type = area.type, "INFO"
    yield 0.3
    with bpy.context.temp_override(window=ui.window, screen=ui.window.screen, area=area, region=ui.region(area)):
        bpy.ops.info.select_all(action="SELECT")
        bpy.ops.info.report_copy()
    area.type = before
    yield 0.3
    return bpy.context.window_manager.clipboard.count("was killed by signal 9")


def install():
    archive = next(OUT.glob("*.zip"))
    bpy.ops.extensions.package_install_files(repo="user_default", filepath=str(archive), enable_on_install=True)


def use_python():
    bpy.context.preferences.addons[MODULE].preferences.server_python = str(PYTHON)


def begin(ui, name, **words):
    """Press a button, so to speak."""
    with ui.override():
        began = getattr(bpy.ops.splatonym, name)("INVOKE_DEFAULT", **words)
    assert began == {"RUNNING_MODAL"}, (began, part("jobs").state.error)


def predict(ui, **words):
    begin(ui, "predict", **{**VIEWS, "result_name": "Room", "label_source": "scene", **words})


def until(stage):
    jobs = part("jobs")
    yield from wait_for(lambda: not jobs.state.running or jobs.state.step.stage == stage, stage)
    assert jobs.state.running, (stage, jobs.state.error, jobs.state.message)


def ended():
    jobs = part("jobs")
    yield from wait_for(lambda: not jobs.state.running, "the job's end")


def freeze():
    """The server answers nothing from now on; its process id."""
    client = part("connection").client()
    client.submit("scenes").result(90)
    os.kill(client.pid, signal.SIGSTOP)
    return client.pid


def results(scene=None):
    return part("build").find_results(scene or bpy.context.scene)


def steps(ui):
    install()
    use_python()
    say("installed")
    bpy.ops.object.select_all(action="SELECT")
    bpy.ops.object.delete()
    with ui.override():
        make_small_room()
        bpy.ops.ed.undo_push(message="Room")
    yield from ui.open_sidebar("Splatonym", width=340)
    jobs = part("jobs")

    # --- the window shows another scene when the job ends
    home, other = bpy.context.scene, bpy.data.scenes.new("Other")
    with ui.override():
        bpy.ops.ed.undo_push(message="Other")
    predict(ui, label_source="text", names="floor, box", model="tiny")
    yield from until("Capture")
    ui.window.scene = other
    yield from ended()
    assert jobs.state.error is None, jobs.state.error
    assert ui.window.scene == other and len(results(home)) == 1 and not results(other)
    assert part("report").last_report(results(home)[0].collection) is not None
    ui.window.scene = home
    with ui.override():
        bpy.ops.ed.undo_push(message="Home")  # undo shows the scene of its time
    say("the result is in the scene that was asked")

    # --- Ctrl+Z while a job waits for the server
    with ui.override():
        bpy.ops.object.empty_add()
        bpy.ops.ed.undo_push(message="Empty")
    assert "Empty" in bpy.data.objects
    pid = freeze()
    begin(ui, "query", text="box", result="Room")
    yield from until("Server")
    area = ui.area()
    yield from ui.move(area.x + area.width // 3, area.y + area.height // 2)
    yield from ui.key("ctrl+z")
    yield from wait_for(lambda: "Empty" not in bpy.data.objects, "undo", 10)
    os.kill(pid, signal.SIGCONT)
    yield from ended()
    say("undone under a question:", jobs.state.message or jobs.state.error.message)
    yield from ui.key("ctrl+z")
    yield 0.5
    yield from ui.key("ctrl+shift+z")
    yield 0.5
    # everything is undone under a job on it
    pid = freeze()
    begin(ui, "relabel", names="floor, thing", result="Room")
    yield from until("Server")
    for _ in range(14):
        yield from ui.key("ctrl+z")
    assert not results(), [result.name for result in results()]
    os.kill(pid, signal.SIGCONT)
    yield from ended()
    assert jobs.state.error is not None and "went away" in jobs.state.error.message, (jobs.state.error, jobs.state.message)
    say("undone altogether:", jobs.state.error.message)
    with ui.override():
        while bpy.ops.ed.redo.poll() and not results():
            bpy.ops.ed.redo()
    yield 0.3

    # --- the server dies in front of each panel
    for name, words in (
        ("predict", {**VIEWS, "result_name": "Second"}),
        ("query", {"text": "box", "result": "Room"}),
    ):
        told, pid = (yield from errors(ui)), freeze()
        begin(ui, name, **words)
        yield from until("Server")
        os.kill(pid, signal.SIGKILL)
        yield from ended()
        assert "signal 9" in jobs.state.error.message and jobs.state.place in ("predict", "ask", "output")
        yield 0.3
        ui.shot(str(OUT / f"died_{name}.png"))
        now = yield from errors(ui)
        assert now == told + 1, (name, now - told)
        begin(ui, name, **words)
        yield from ended()
        assert jobs.state.error is None, (name, jobs.state.error)
        say("died and went on:", name)
    assert [result.name for result in results()] == ["Room", "Second"]

    # --- another workspace, another window
    predict(ui)
    yield from until("Capture")
    ui.window.workspace = bpy.data.workspaces["Modeling"]
    yield 0.5
    yield from ended()
    assert jobs.state.error is None
    ui.window.workspace = bpy.data.workspaces["Layout"]
    yield 0.5
    ui.shot(str(OUT / "workspace_back.png"))
    with ui.override():
        bpy.ops.wm.window_new()
    yield 1.0
    ui.win = 1
    predict(ui)
    yield from until("Capture")
    with bpy.context.temp_override(window=ui.window):
        bpy.ops.wm.window_close()
    ui.win = 0
    yield 0.5
    assert not jobs.state.running and jobs.state.shown is None
    yield from wait_for(lambda: not temporary(), "the end of what the closed window had begun", 10)
    say("a window was closed under its job")

    # --- disabled, updated, uninstalled; at the server's stage with the live view on
    for what, stage in (("disabled", "Capture"), ("disabled", "Server"), ("updated", "Capture"), ("uninstalled", "Server")):
        if stage == "Server":
            with ui.override():
                bpy.ops.splatonym.live_view(switch="ON")
            yield from wait_for(lambda: part("live").status(ui.area().spaces.active) == "ON", "the live view")
        predict(ui)
        yield from until("Capture")
        if stage == "Server":
            freeze()
            yield from until("Server")
        old = part("jobs")
        if what == "disabled":
            bpy.ops.preferences.addon_disable(module=MODULE)
            yield 0.5
            ui.shot(str(OUT / f"disabled_{stage}.png"))
        elif what == "uninstalled":
            repos = [repo.module for repo in bpy.context.preferences.extensions.repos]
            bpy.ops.extensions.package_uninstall(repo_index=repos.index("user_default"), pkg_id="splatonym")
        else:
            install()
            assert part("jobs") is not old and not part("jobs").state.running
            kept = bpy.context.preferences.addons[MODULE].preferences.server_python
            assert kept == str(PYTHON), f"the update lost the server: {kept!r}"
        assert old.state.work is None and old.state.shown is None
        yield from wait_for(lambda: not children() and not temporary(), f"the end of what was {what}", 20)
        if what == "disabled":
            assert not hasattr(bpy.types.Scene, "splatonym")
            bpy.ops.preferences.addon_enable(module=MODULE)
            use_python()
        elif what == "uninstalled":
            assert not hasattr(bpy.types.Scene, "splatonym")
            install()
            use_python()
        yield 0.3
        say(what, "at", stage)
    predict(ui)
    yield from ended()
    jobs = part("jobs")
    assert jobs.state.error is None and results()
    assert not list(Path("/tmp").glob("*.crash.txt"))
    say("done:", jobs.state.message)
    bpy.ops.preferences.addon_disable(module=MODULE)
