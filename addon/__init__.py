# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender side: capture, build, operators and panels. It speaks to the server through `core.wire` and never imports torch."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

import bpy

from . import command, connection, demo, jobs, live, operators, output, panels, preferences, properties, translations
from .classes import registration as class_properties

_CLASSES = (
    preferences.SplatonymPreferences,
    properties.SplatonymSettings,
    properties.SplatonymQuestion,
    properties.SplatonymPlan,
    live.SplatonymLive,
    output.SplatonymRename,
    output.SplatonymOutput,
    *operators.CLASSES,
    *panels.CLASSES,
)


_PARTS = (class_properties, panels, demo, live, command, translations)
"""Modules with more to register than classes."""
_registered = ExitStack()


def register() -> None:
    """Register everything with Blender; where something cannot be, nothing is, and its error is raised."""
    global _registered
    with ExitStack() as undo:
        for cls in _CLASSES:
            bpy.utils.register_class(cls)
            undo.callback(bpy.utils.unregister_class, cls)
        for owner, name, prop in _properties():
            setattr(owner, name, prop)
            undo.callback(delattr, owner, name)
        for part in _PARTS:
            part.register()
            undo.callback(part.unregister)
        undo.callback(connection.close)
        jobs.register()
        undo.callback(jobs.unregister)  # the first to go: a job may need all of the rest
        _registered = undo.pop_all()


def unregister() -> None:
    """End the job and the server, and take everything back."""
    _registered.close()
    _hold_modules()


def _properties() -> list[tuple[type, str, Any]]:
    """What is added to Blender's own types."""
    pointer = bpy.props.PointerProperty
    return [
        (bpy.types.Scene, "splatonym", pointer(type=properties.SplatonymSettings)),
        (bpy.types.Scene, "splatonym_question", pointer(type=properties.SplatonymQuestion)),
        (bpy.types.Scene, "splatonym_plan", pointer(type=properties.SplatonymPlan)),
        (bpy.types.Scene, "splatonym_live", pointer(type=live.SplatonymLive)),
        (bpy.types.Scene, "splatonym_output", pointer(type=output.SplatonymOutput)),
        (bpy.types.Collection, "splatonym_show", properties.show_property()),
    ]


def _hold_modules() -> None:
    """Keep Blender 4.2 as a Python module from crashing at exit.

    It never lets go of the class of a property group. Through the functions that the class refers to, `bpy` would outlive Python, and
    be ended after it. A module that is still there when Python ends is emptied; so what is never let go holds our modules.
    """
    if bpy.app.version < (4, 5):
        ours = preferences.PACKAGE
        held = [module for name, module in sys.modules.items() if name == ours or name.startswith(f"{ours}.")]
        properties.SplatonymSettings.held_modules = held
