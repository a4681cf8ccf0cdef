# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a real window by blender-gui.sh: the live view in every kind of view, beside what rays through Blender's own view hit.

Prints "LIVE name agreement" for each picture; pictures lie beside BGUI_OUT.
"""

import math
import os
from pathlib import Path

import bpy
import numpy as np
from live_scene import at_rest, drag, load_package, look_from_the_front, make_result
from mathutils import Vector

OUT = Path(os.environ["BGUI_OUT"]).parent
CLEAR = 6
"""Pixels from the edges of things within which nothing is compared."""
OF = {"Floor": "floor", "Cube": "blue", "Suzanne": "orange", "Pillar": "grey", "": "grey"}


def colour_name(rgb):
    """Which thing's colour it is; grey is the pillar's and the background's."""
    red, _, blue = (int(part) for part in rgb)
    if blue - red > 40:
        return "blue"
    return "orange" if red - blue > 90 else "floor" if red - blue > 10 else "grey"


def unprojected(back, x, y, z):
    place = back @ Vector((x, y, z, 1))
    return place.xyz / place.w


def hit(region, view3d, x, y, without):
    """The name of what a ray through a pixel meets first."""
    back = view3d.perspective_matrix.inverted()
    start, end = (unprojected(back, 2 * x / region.width - 1, 2 * y / region.height - 1, z) for z in (-1, 1))
    way = (end - start).normalized()
    graph = bpy.context.evaluated_depsgraph_get()
    for _ in range(10):
        found, place, _, _, item, _ = bpy.context.scene.ray_cast(graph, start, way)
        if not found:
            return ""
        if item.type == "MESH" and item.name not in without:
            return item.name
        start = place + 1e-4 * way
    return ""


def agreement(ui, name, region, view3d, without=(), step=23):
    """The share of places of a region that have the colour of what is there, away from edges."""
    path = str(OUT / f"live_{name}.png")
    ui.shot(path)
    image = bpy.data.images.load(path)
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    picture = np.rint(255 * pixels.reshape(height, width, 4)[..., :3])
    right, wrong = 0, []
    for x in range(60, region.width - 60, step):
        for y in range(40, region.height - 60, step):
            around = {hit(region, view3d, x + a, y + b, without) for a in (-CLEAR, CLEAR) for b in (-CLEAR, CLEAR)}
            if len(around) > 1:
                continue
            wanted, found = OF[around.pop()], colour_name(picture[region.y + y, region.x + x])
            right += wanted == found
            if wanted != found:
                wrong.append((x, y, wanted, found))
    share = right / max(1, right + len(wrong))
    print(f"LIVE {name} {share:.4f} of {right + len(wrong)}; wrong: {wrong[:4]}", flush=True)
    return share


def steps(ui):
    yield 1.0
    package = load_package()
    package.register()
    from splatonym.addon import jobs, live
    from splatonym.addon.live import running

    result = make_result(60_000)
    scene = bpy.context.scene
    space = ui.area().spaces.active
    space.overlay.show_overlays = space.show_gizmo = False
    view3d = space.region_3d
    look_from_the_front(view3d)
    with ui.override():
        assert bpy.ops.splatonym.live_view("INVOKE_DEFAULT") == {"FINISHED"}
    yield from at_rest()
    region = ui.region()

    def check(name, least=0.97, **options):
        assert agreement(ui, name, region, view3d, **options) >= least, name

    check("perspective")
    scene.splatonym_live.depth = "OVER"
    yield 1.0
    check("over", without=("Pillar",))
    scene.splatonym_live.depth = "TESTED"
    view3d.view_perspective = "ORTHO"
    yield 0.5
    yield from at_rest()
    check("orthographic")
    with ui.override():
        bpy.ops.view3d.view_axis(type="TOP")
    yield 1.0
    yield from at_rest()
    check("top")

    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.location, camera.rotation_euler, camera.scale = (4, -7, 4), (math.radians(65), 0, math.radians(28)), (2, 2, 2)
    camera.data.shift_x, camera.data.shift_y = 0.15, -0.1
    for kind in ("PERSP", "ORTHO"):
        camera.data.type, camera.data.ortho_scale = kind, 8
        view3d.view_perspective = "CAMERA"
        view3d.view_camera_zoom, view3d.view_camera_offset = 10, (0.1, 0.05)
        yield 0.5
        yield from at_rest()
        check(f"camera_{kind.lower()}")

    look_from_the_front(view3d)
    yield 0.5
    yield from drag(ui, 3, each=lambda step: step == 8 and ui.shot(str(OUT / "live_moving.png")))
    yield from at_rest()
    assert view3d.view_rotation.to_euler().z != math.radians(15), "the drag has turned nothing"
    check("after_drag")

    cube = next(item for item in result.collection.all_objects if "cabinet" in item.name)
    scene.splatonym_live.hide_points = False  # what is hidden stays where it is, in Blender
    yield 1.0
    cube.location.z += 3  # its points, not the mesh
    before = running._state.regions[region.as_pointer()].live.picture
    yield 1.0
    yield from at_rest()
    ui.shot(str(OUT / "live_points_moved.png"))
    assert running._state.regions[region.as_pointer()].live.picture is not before
    cube.location.z -= 3
    yield 1.0
    scene.splatonym_live.hide_points = True
    yield 1.0
    yield from at_rest()
    check("points_back")

    with ui.override():
        bpy.ops.screen.region_quadview()
    yield 1.0
    yield from at_rest(4)
    quarters = [each for each in ui.area().regions if each.type == "WINDOW"]
    for number, (quarter, quarter_view) in enumerate(zip(quarters, [*space.region_quadviews], strict=True)):
        share = agreement(ui, f"quad_{number}", quarter, quarter_view, step=11)
        assert share > 0.9, number
    with ui.override():
        bpy.ops.screen.region_quadview()
    yield 1.0

    with ui.override():
        bpy.ops.screen.area_dupli("INVOKE_DEFAULT")
    yield 2.0
    window = bpy.context.window_manager.windows[-1]
    area = next(each for each in window.screen.areas if each.type == "VIEW_3D")
    main_region = next(each for each in area.regions if each.type == "WINDOW")
    with bpy.context.temp_override(window=window, screen=window.screen, area=area, region=main_region):
        bpy.ops.splatonym.live_view("INVOKE_DEFAULT", switch="ON")
    scene.splatonym_live.show = "CLASS"
    yield 0.5
    yield from at_rest(2)
    assert len(running._state.spaces) == 2 and len(running._state.sources) == 1
    ui.shot(str(OUT / "live_two_windows.png"))
    with bpy.context.temp_override(window=window):
        bpy.ops.wm.window_close()
    yield 1.0
    assert len(running._state.spaces) == 1
    scene.splatonym_live.show = "COLOUR"

    space.overlay.show_overlays = space.show_gizmo = True
    yield from ui.open_sidebar("Splatonym", width=300)
    yield from at_rest()
    ui.shot(str(OUT / "live_panel.png"))
    with ui.override():
        bpy.ops.splatonym.live_view("INVOKE_DEFAULT")
    yield 1.0
    assert not live.any_live() and jobs.state.error is None
    assert not [c.name for c in bpy.data.collections if "splatonym_live_hidden" in c]
    longest = 1000 * max([*running.figures().ticks, *running.figures().draws])
    print(f"LIVE longest tick or draw {longest:.1f} ms", flush=True)
    package.unregister()
    print("LIVE done", flush=True)
