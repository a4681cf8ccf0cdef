# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a real Blender that has the extension, with a window or in the background: a job or the live view begins, then Blender ends.

blender [--background] ROOM.blend --python quit_blender.py -- STAGE quit|kill
"""

import os
import signal
import sys
import time

import bpy

stage, how = sys.argv[sys.argv.index("--") + 1 :]
ADDON = "bl_ext.user_default.splatonym.addon"
VIEWS = {"camera_source": "ALL", "resolution": 32, "samples": 1}


def end():
    print("QUIT at", stage, flush=True)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    bpy.ops.wm.quit_blender()


def in_background():
    from bl_ext.user_default.splatonym.addon import connection, jobs
    from bl_ext.user_default.splatonym.addon.capture import CaptureSettings, capture_in_steps, choose_cameras
    from bl_ext.user_default.splatonym.addon.labelling import LabelOptions, label_cameras

    connection.client().submit("scenes").result(60)
    if stage == "Capture":
        shots = choose_cameras(bpy.context, "ALL")
        work = capture_in_steps(bpy.context, shots, CaptureSettings(resolution=32, samples=1), apart=True)
    else:
        work = label_cameras(bpy.context, LabelOptions(**VIEWS))
    jobs.state.work = work
    next(step for step in work if step.stage == stage and "copying" not in step.text)
    end()


def in_window():
    """A generator's steps, as a timer takes them."""
    jobs, live = sys.modules[f"{ADDON}.jobs"], sys.modules[f"{ADDON}.live"]
    yield
    window = bpy.context.window_manager.windows[0]
    area = max((a for a in window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width * a.height)
    region = next(region for region in area.regions if region.type == "WINDOW")
    override = {"window": window, "screen": window.screen, "area": area, "region": region}
    client = sys.modules[f"{ADDON}.connection"].client()
    hello = client.submit("scenes")
    while not hello.done:
        yield
    with bpy.context.temp_override(**override):
        if stage == "Live":
            bpy.ops.splatonym.live_view(switch="ON")
        else:
            bpy.ops.splatonym.predict("INVOKE_DEFAULT", **VIEWS)
    if stage == "Live":
        while live.status(area.spaces.active) != "ON":
            yield
    elif stage == "Server":
        while jobs.state.step.stage != "Capture":
            yield
        os.kill(client.pid, signal.SIGSTOP)
    while stage != "Live" and (jobs.state.step.stage != stage or "copying" in jobs.state.step.text):
        assert jobs.state.running, jobs.state.error
        yield
    end()


if bpy.app.background:
    in_background()
else:
    steps, begun = in_window(), time.monotonic()

    def tick():
        try:
            assert time.monotonic() - begun < 60, "it did not come to that"
            next(steps)
        except StopIteration:  # in a window Blender quits a moment later
            return None
        except BaseException:  # noqa: BLE001 - told to whoever started this Blender
            import traceback

            traceback.print_exc()
            os._exit(7)
        return 0.02

    bpy.app.timers.register(tick, first_interval=0.5)
