# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender side: capture, build, operators and panels. It speaks to the server through `core.wire` and never imports torch."""

from __future__ import annotations

import sys

import bpy

from . import command, connection, demo, jobs, live, operators, output, panels, preferences, properties
from .classes import registration as class_properties

_CLASSES = (
    preferences.SplatonymPreferences,
    properties.SplatonymSettings,
    properties.SplatonymQuestion,
    live.SplatonymLive,
    output.SplatonymRename,
    output.SplatonymOutput,
    *operators.CLASSES,
    *panels.CLASSES,
)


def register() -> None:
    """Register everything with Blender."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.splatonym = bpy.props.PointerProperty(type=properties.SplatonymSettings)
    bpy.types.Scene.splatonym_question = bpy.props.PointerProperty(type=properties.SplatonymQuestion)
    bpy.types.Scene.splatonym_live = bpy.props.PointerProperty(type=live.SplatonymLive)
    bpy.types.Scene.splatonym_output = bpy.props.PointerProperty(type=output.SplatonymOutput)
    bpy.types.Collection.splatonym_show = properties.show_property()
    class_properties.register()
    panels.register()
    jobs.register()
    demo.register()
    live.register()
    command.register()


def unregister() -> None:
    """End the job and the server, and take everything back."""
    command.unregister()
    live.unregister()
    jobs.unregister()
    demo.unregister()
    connection.close()
    panels.unregister()
    class_properties.unregister()
    del bpy.types.Collection.splatonym_show
    del bpy.types.Scene.splatonym_output
    del bpy.types.Scene.splatonym_live
    del bpy.types.Scene.splatonym_question
    del bpy.types.Scene.splatonym
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
    _hold_modules()


def _hold_modules() -> None:
    """Keep Blender 4.2 as a Python module from crashing at exit.

    It never lets go of the class of a property group. Through the functions that the class refers to, `bpy` would outlive Python, and
    be ended after it. A module that is still there when Python ends is emptied; so what is never let go holds our modules.
    """
    if bpy.app.version < (4, 5):
        ours = preferences.PACKAGE
        held = [module for name, module in sys.modules.items() if name == ours or name.startswith(f"{ours}.")]
        properties.SplatonymSettings.held_modules = held
