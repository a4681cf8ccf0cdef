# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a real window by blender-gui.sh: the product as a person meets it, from the zip to a saved file, with the mouse and the keyboard.

Beside BGUI_OUT lies journey.json: {"zip": the extension, "python": the server's interpreter}. Prints "JOURNEY step" after each step; pictures
of each lie there, too.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import bpy

OUT = Path(os.environ["BGUI_OUT"]).parent
GIVEN = json.loads((OUT / "journey.json").read_text())
MODULE = "bl_ext.user_default.splatonym"
HEADER, SUB_HEADER = 28, 21
"""Pixels from the header of a closed panel to that of the next, and the same of panels inside of one."""
started = time.monotonic()


def told(step):
    print(f"JOURNEY {step} ({time.monotonic() - started:.0f} s)", flush=True)


def addon(name):
    return __import__(f"{MODULE}.addon.{name}", fromlist=["x"])


def picture(ui, name):
    """A picture once everything is drawn; the mouse is out of the way. Points are drawn for pictures only: without a GPU they take a second."""
    area = ui.area()
    area.spaces.active.show_object_viewport_pointcloud = True
    yield from ui.move(area.x + 300, area.y + 40)
    ui.redraw()
    yield 0.8
    ui.shot(str(OUT / f"{name}.png"))
    area.spaces.active.show_object_viewport_pointcloud = False


def press(ui, operator):
    """Click the button of an operator, where it is on the screen."""
    x, y = yield from ui.find_op(operator)
    yield from ui.click(x, y)
    return x, y


def until(condition, what, seconds=240):
    """Let Blender work until something is so."""
    end, state = time.monotonic() + seconds, addon("jobs").state
    while not condition():
        assert state.error is None, job_state()
        assert time.monotonic() < end, f"{what} has not come within {seconds} s; {job_state()}"
        yield 0.2


def job_state():
    state = addon("jobs").state
    return f"{state.place}: {state.step} {state.message!r} {state.error!r}"


def job_done(what, place, seconds=240):
    """Wait for the job that a button began, and see that it went well."""
    state = addon("jobs").state
    yield from until(lambda: not state.running, what, seconds)
    assert state.error is None and state.place == place and state.message, job_state()
    told(f"{what}: {state.message}")


def click_in_row(ui, row, button):
    """Click a button in the first row of a list, which is known by the property that says which row is active."""
    _, y = yield from ui.find(lambda found: found in (("prop", row), ("prop", button)))
    region = ui.region(type="UI")
    for x in range(region.x + region.width // 2, region.x + region.width, 5):
        yield from ui.move(x, y)
        if ui.under_mouse(ui.area(), region) == ("prop", button):
            yield from ui.click(x + 3, y)
            return
    raise LookupError(f"no {button} in the row of {row}")


def drag(ui, start, end):
    """Turn the view with the middle button."""
    yield from ui.move(*start)
    subprocess.run(["xdotool", "mousedown", "2"], check=True)
    for step in range(1, 13):
        yield from ui.move(*(a + (b - a) * step / 12 for a, b in zip(start, end, strict=True)))
    subprocess.run(["xdotool", "mouseup", "2"], check=True)


def fold(ui, *panels, top=0):
    """Close panels of the sidebar that stand one below the other, the first at this place from its top."""
    region = ui.region(type="UI")
    for _panel in panels:
        yield from ui.click(region.x + 60, region.y + region.height - 12 - HEADER * top)
        top += 1
        yield 0.3


def steps(ui):
    yield 1.0
    bpy.ops.extensions.package_install_files(repo="user_default", filepath=GIVEN["zip"], enable_on_install=True)
    yield from ui.open_sidebar("Splatonym", width=330)
    yield from picture(ui, "01_welcome")
    told("installed")

    yield from press(ui, "splatonym.setup_server")
    yield from picture(ui, "02_setup_dialog")
    yield from ui.key("Escape")
    assert not addon("jobs").state.running
    bpy.ops.splatonym.use_existing_python("EXEC_DEFAULT", filepath=GIVEN["python"])
    yield from until(lambda: not addon("jobs").state.running and addon("setup").is_ready(), "the server's Python", 120)
    yield 0.5
    told("server set up")

    yield from press(ui, "splatonym.load_demo_room")
    yield from until(lambda: "View.000" in bpy.data.objects, "the demo room")
    yield 1.0
    yield from ui.open_sidebar("Splatonym", width=330)
    scene = bpy.context.scene
    scene.splatonym.samples = 4
    scene.splatonym.label_source = "text"
    area = ui.area()
    area.spaces.active.shading.type, scene.eevee.taa_samples = "MATERIAL", 1
    yield from picture(ui, "03_demo_room")
    told("demo room")

    yield from press(ui, "splatonym.predict")
    state = addon("jobs").state
    yield from until(lambda: state.step.stage == "Capture" and state.step.fraction > 0.3, "a third of the views")
    yield from picture(ui, "04_predicting")
    yield from job_done("predicted", "predict")
    yield from picture(ui, "05_predicted")

    result = addon("build").find_results(scene)[-1]
    before = result.collection.children[0].hide_viewport
    yield from click_in_row(ui, "splatonym_class_index", "hide_viewport")
    assert sum(child.hide_viewport for child in result.collection.children) == 1 + before
    yield from picture(ui, "06_class_hidden")
    told("a class hidden")

    yield from fold(ui, "Views", "Predict", "Classes")
    x, y = yield from ui.find_prop("splatonym_question.text", fx=0.3)
    yield from ui.click(x, y)
    yield from ui.type("sofa")
    yield from ui.key("Return")
    yield 0.5
    yield from job_done("asked", "ask")
    yield from picture(ui, "07_asked")
    yield from press(ui, "splatonym.select_answer")
    yield from job_done("selected", "ask")
    assert [item.name for item in bpy.context.selected_objects] == ["Blue Sofa"], bpy.context.selected_objects
    yield from picture(ui, "08_selected")

    yield from fold(ui, "Ask", top=3)
    x, y = yield from ui.find_op("splatonym.export_ply")
    yield from ui.click(x, y - 10 - 2 * SUB_HEADER)
    yield 0.5
    scene.splatonym_output.materials = True
    yield from press(ui, "splatonym.labels_to_meshes")
    yield from job_done("labelled", "output")
    assert "semantic_class" in bpy.data.objects["Blue Sofa"].data.attributes
    result.collection.hide_viewport = True
    yield from picture(ui, "09_labelled")
    result.collection.hide_viewport = False
    bpy.ops.splatonym.remove_labels(selected=False)

    yield from fold(ui, "Output", top=4)
    yield from press(ui, "splatonym.live_view")
    yield 4.0
    yield from picture(ui, "10_live")
    scene.splatonym_live.show = "CLASS"
    yield 3.0
    yield from picture(ui, "11_live_classes")
    area = ui.area()
    middle = (area.x + 500, area.y + 500)
    yield from drag(ui, middle, (middle[0] + 120, middle[1] + 40))
    yield 1.0
    yield from press(ui, "splatonym.live_view")
    area.spaces.active.region_3d.view_perspective = "CAMERA"
    yield 1.0
    told("live")

    yield from fold(ui, "Live View", top=5)
    yield from fold(ui, "Predict", top=1)
    yield from press(ui, "splatonym.predict")  # the sofa is selected, and no camera
    yield 0.5
    assert state.error is not None and state.error.message == "No camera is selected.", job_state()
    yield from picture(ui, "12_no_camera")
    yield from press(ui, "splatonym.use_all_cameras")
    before = [item.name for item in bpy.data.objects]
    yield from press(ui, "splatonym.predict")
    yield from until(lambda: state.step.stage == "Capture" and state.step.fraction > 0, "a view")
    yield from press(ui, "splatonym.cancel")
    yield from until(lambda: not state.running, "the cancel", 10)
    assert [item.name for item in bpy.data.objects] == before and state.error is None and "Cancelled" in state.message
    yield from picture(ui, "13_cancelled")
    told("cancelled")

    bpy.ops.wm.save_as_mainfile(filepath=str(OUT / "room.blend"))
    told("saved")
