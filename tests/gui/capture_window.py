# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a real window by blender-gui.sh: Predict is pressed; meanwhile the person edits, undoes, saves and renders; then it is cancelled.

SPLATONYM_ROOM names the .blend; figures are printed after "CAPTURE".
"""

import importlib.util
import os
import sys
import time
from collections import Counter
from pathlib import Path

import bpy

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ["BGUI_OUT"]).parent


def load_package():
    spec = importlib.util.spec_from_file_location("splatonym", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    sys.modules["splatonym"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    return package


class Heart:
    """Beats every 10 ms while the window is free, and notes the gaps; `ticks` are the job's own steps on the main thread."""

    def __init__(self, jobs):
        self.jobs, self.gaps, self.ticks, self.listening = jobs, [], [], False
        self.last = time.perf_counter()
        advance = jobs.advance

        def timed(work):
            begun = time.perf_counter()
            try:
                return advance(work)
            finally:
                self.ticks.append((1000 * (time.perf_counter() - begun), jobs.state.step.stage, jobs.state.step.text))

        jobs.advance = timed
        bpy.app.timers.register(self.beat)  # until another file is loaded

    def beat(self):
        now = time.perf_counter()
        if self.listening:
            self.gaps.append((1000 * (now - self.last), self.jobs.state.step.text))
        self.last = now
        return 0.01

    def listen(self, seconds):
        """Beats of some seconds in which this script does nothing."""
        yield 0.2
        self.listening = True
        yield seconds
        self.listening = False

    def told(self, what):
        """Print the gaps, and give the beats of each step that the panel told of."""
        beats = Counter(text for _, text in self.gaps)
        gaps = sorted((gap for gap, _ in self.gaps), reverse=True)
        print(f"CAPTURE {what}: {len(gaps)} beats, longest gaps {[round(g) for g in gaps[:5]]} ms", flush=True)
        self.gaps = []
        return beats


def children():
    """Process ids of Blenders that render views."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"child.py" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            pass
    return found


def temporary():
    return sorted(path.name for path in Path("/tmp").glob("splatonym-*"))


def things():
    return {kind: len(getattr(bpy.data, kind)) for kind in ("scenes", "cameras", "objects", "images", "meshes")}


def wait_for(condition, what, seconds=120):
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, f"waited in vain for {what}"
        yield 0.05


def steps(ui):
    package = load_package()
    package.register()
    from splatonym.addon import jobs

    blend = OUT / "room.blend"
    bpy.ops.wm.open_mainfile(filepath=str(blend), load_ui=False)
    yield 1.0
    heart = Heart(jobs)
    settings = bpy.context.scene.splatonym
    settings.camera_source, settings.resolution, settings.samples = "ALL", 256, 4
    with ui.override():
        bpy.ops.ed.undo_push(message="Settings")
    yield from ui.open_sidebar("Splatonym", width=340)
    for _ in range(3):
        ui.redraw()
        yield from heart.listen(0.5)
    heart.told("the window redrawn, without a job")

    before = things()
    x, y = yield from ui.find_op("splatonym.predict")
    begun = time.perf_counter()
    yield from ui.click(x, y)
    assert jobs.state.running, jobs.state.error
    yield from wait_for(lambda: "2 of" in jobs.state.step.text, "the second view")
    print(f"CAPTURE first view after {time.perf_counter() - begun:.1f} s", flush=True)
    assert len(children()) == 1 and things() == before, (children(), things())
    ui.shot(str(OUT / "capture_running.png"))
    yield from heart.listen(2.0)
    beats = heart.told("while views are rendered")
    assert max(beats.values()) > 3, f"a view that is rendered here lets one beat through: {beats}"

    # edit and undo: the job goes on, and shows the scene as it was
    cube = bpy.data.objects.new("Edited", None)
    bpy.context.scene.collection.objects.link(cube)
    with ui.override():
        bpy.ops.ed.undo_push(message="Edited")
        bpy.context.scene.camera.location.z += 1.0
        bpy.ops.ed.undo_push(message="Moved")
        bpy.ops.ed.undo()
        bpy.ops.ed.undo()
    assert "Edited" not in bpy.data.objects and jobs.state.running and jobs.state.step.stage == "Capture"
    yield 0.3
    # save: nothing of the job gets into the file
    assert jobs.state.running, "undo ended the job"
    bpy.ops.wm.save_as_mainfile(filepath=str(OUT / "saved.blend"), copy=True)
    bpy.ops.wm.save_mainfile()
    yield 0.3
    print(
        "CAPTURE saved meanwhile: the job", "goes on" if jobs.state.running else f"stopped ({jobs.state.message})", flush=True
    )
    with bpy.data.libraries.load(str(OUT / "saved.blend")) as (held, _):
        assert held.scenes == ["Scene"] or "Splatonym Capture" not in held.scenes, held.scenes
    # a render of the person's own
    if jobs.state.running:
        bpy.context.scene.render.resolution_percentage = 10
        bpy.context.scene.cycles.samples = 1
        bpy.context.preferences.view.render_display_type = "NONE"
        bpy.ops.render.render("INVOKE_DEFAULT")
        yield from wait_for(lambda: not bpy.app.is_job_running("RENDER"), "the person's own render")
        assert jobs.state.running, (jobs.state.error, jobs.state.message)
        yield from wait_for(lambda: jobs.state.step.stage != "Capture" or not jobs.state.running, "the end of the capture")
        print(f"CAPTURE all views after {time.perf_counter() - begun:.1f} s", flush=True)
        yield from wait_for(lambda: not children() and not temporary(), "the child's end", 10)
        yield from wait_for(lambda: not jobs.state.running, "the job's end")
        assert jobs.state.error is None, jobs.state.error
        print(f"CAPTURE done: {jobs.state.message}", flush=True)
    ticks = sorted(heart.ticks, reverse=True)
    print("CAPTURE longest ticks of the job", [(round(ms, 1), stage, text) for ms, stage, text in ticks[:6]], flush=True)
    ui.shot(str(OUT / "capture_done.png"))

    # a second run, cancelled with the button
    heart.ticks = []
    now = things()
    x, y = yield from ui.find_op("splatonym.predict")
    yield from ui.click(x, y)
    yield from wait_for(lambda: "2 of" in jobs.state.step.text, "the second view")
    x, y = yield from ui.find_op("splatonym.cancel")
    yield from ui.click(x, y)
    assert not jobs.state.running and jobs.state.message.startswith("Cancelled"), jobs.state.message
    yield from wait_for(lambda: not children() and not temporary(), "the child's end", 5)
    assert things() == now, (things(), now)
    print("CAPTURE cancelled", [round(ms, 1) for ms, _, _ in sorted(heart.ticks, reverse=True)[:4]], flush=True)
    ui.shot(str(OUT / "capture_cancelled.png"))

    # loading another file ends it
    with ui.override():
        bpy.ops.splatonym.predict("INVOKE_DEFAULT")
    yield from wait_for(lambda: "1 of" in jobs.state.step.text, "the first view")
    assert len(children()) == 1
    bpy.ops.wm.open_mainfile(filepath=str(blend), load_ui=False)
    assert not jobs.state.running
    yield from wait_for(lambda: not children() and not temporary(), "the child's end", 5)
    print("CAPTURE loaded meanwhile", flush=True)
    package.unregister()
