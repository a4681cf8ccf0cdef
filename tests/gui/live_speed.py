# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a real window by blender-gui.sh: pictures a second while the view is orbited with the mouse, and how long the main thread is held.

SPLATONYM_LIVE is JSON {"count": Gaussians, "seconds": of each orbit}. Prints "FIGURES" and JSON; called by scripts/benchmarks/live.py.
"""

import json
import os
import statistics

import bpy
import gpu
from live_scene import at_rest, drag, load_package, look_from_the_front, make_result


def milliseconds(values):
    return {"median": round(1000 * statistics.median(values), 2), "longest": round(1000 * max(values), 2)} if values else {}


def steps(ui):
    yield 1.0
    asked = json.loads(os.environ.get("SPLATONYM_LIVE", "{}"))
    package = load_package()
    package.register()
    from splatonym.addon import live
    from splatonym.addon.live import hiding, running

    result = make_result(asked.get("count", 250_000))
    with ui.override():
        bpy.ops.screen.screen_full_area(use_hide_panels=True)
    yield 1.0
    space = ui.area().spaces.active
    look_from_the_front(space.region_3d)
    hiding.hide(bpy.context.scene, bpy.context.view_layer, result.collection)
    yield 1.0
    drawn = [0]

    def count_drawn():
        drawn[0] += 1

    handler = bpy.types.SpaceView3D.draw_handler_add(count_drawn, (), "WINDOW", "POST_VIEW")
    figures = {
        "blender": bpy.app.version_string,
        "graphics": gpu.platform.renderer_get(),
        "region": [ui.region().width, ui.region().height],
        "gaussians": result.count,
        "orbits": [],
    }

    def orbit(name):
        measured = running.figures()
        for kept in (measured.ticks, measured.draws, measured.pictures):
            kept.clear()
        drawn[0] = 0
        took = yield from drag(ui, asked.get("seconds", 6))
        sizes = [[r.live.pace.scale, r.live.pace.every] for r in running._state.regions.values()]
        figures["orbits"].append(
            {
                "show": name,
                "redraws_per_second": round(drawn[0] / took, 2),
                "pictures_per_second": round(len(measured.pictures) / took, 2),
                "tick_ms": milliseconds(measured.ticks),
                "draw_ms": milliseconds(measured.draws),
                "scale_every": sizes,
            }
        )

    yield from orbit("off, points hidden")
    hiding.show_again()
    with ui.override():
        bpy.ops.splatonym.live_view("INVOKE_DEFAULT")
    yield from at_rest()
    figures["until_first_full_picture"] = {
        "tick_ms": milliseconds(running.figures().ticks),
        "draw_ms": milliseconds(running.figures().draws),
    }
    for show in ("COLOUR", "CLASS", "DEPTH"):
        bpy.context.scene.splatonym_live.show = show
        yield from at_rest()
        yield from orbit(show)
    bpy.types.SpaceView3D.draw_handler_remove(handler, "WINDOW")
    live.stop_all()
    package.unregister()
    print("FIGURES " + json.dumps(figures), flush=True)
