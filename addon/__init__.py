# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender side: capture, build, operators and panels. It speaks to the server through `core.wire` and never imports torch."""

from __future__ import annotations

import sys

import bpy

from . import command, connection, demo, jobs, operators, panels, preferences, properties

_CLASSES = (
    preferences.SplatonymPreferences,
    properties.SplatonymSettings,
    properties.SplatonymQuestion,
    *operators.CLASSES,
    *panels.CLASSES,
)


def register() -> None:
    """Register everything with Blender."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.splatonym = bpy.props.PointerProperty(type=properties.SplatonymSettings)
    bpy.types.Scene.splatonym_question = bpy.props.PointerProperty(type=properties.SplatonymQuestion)
    bpy.types.Collection.splatonym_show = properties.show_property()
    jobs.register()
    demo.register()
    command.register()


def unregister() -> None:
    """End the job and the server, and take everything back."""
    command.unregister()
    jobs.unregister()
    demo.unregister()
    connection.close()
    del bpy.types.Collection.splatonym_show
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
