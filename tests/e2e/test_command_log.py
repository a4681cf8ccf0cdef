# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender records of an operator, run again under other settings, does the same (tests/gui/test_info_log.py: in a real window)."""

import bpy


def recorded():
    """The last operator as Blender keeps it for the Info log and for Repeat Last: its name and what is set."""
    last = bpy.context.window_manager.operators[-1]
    return last.bl_idname, {name: getattr(last.properties, name) for name in list(last.properties.keys())}


def made():
    from splatonym.addon.build import find_results

    return {r.name: {cls.name: cls.count for cls in r.classes} for r in find_results(bpy.context.scene)}


def test_the_panels_values_are_recorded_and_do_the_same_again(small_room):
    settings = small_room.splatonym
    settings.camera_source, settings.resolution, settings.samples, settings.result_name = "ALL", 32, 1, "First"
    bpy.ops.splatonym.predict("EXEC_DEFAULT", True)
    name, given = recorded()
    assert name == "SPLATONYM_OT_predict"
    assert (given["resolution"], given["samples"], given["result_name"], given["camera_source"]) == (32, 1, "First", "ALL")
    wanted = made()
    bpy.ops.splatonym.remove_result("EXEC_DEFAULT", True)
    name, removed = recorded()
    assert removed == {"result": "First"}, "which one it was stands in the log"

    settings.camera_source, settings.resolution, settings.samples, settings.result_name = "SELECTED", 64, 4, "Second"
    bpy.ops.splatonym.predict(**given)
    assert made() == wanted


def test_a_press_takes_the_panels_value_not_the_last_one(small_room):
    settings = small_room.splatonym
    settings.camera_source, settings.samples, settings.result_name = "ALL", 1, "Room"
    for resolution in (16, 32):
        settings.resolution = resolution
        bpy.ops.splatonym.predict("EXEC_DEFAULT", True)
        assert recorded()[1]["resolution"] == resolution
