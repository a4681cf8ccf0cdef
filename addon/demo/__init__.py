# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo room: a furnished living room with ten cameras, opened as a new file, so that saving asks for a name and nothing is overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

ROOM = Path(__file__).with_name("room.blend")
_MARK = "splatonym_held_out"
"""A property of the room's scene, by which it is known when it has been loaded."""


def load(ask: bool) -> set[str]:
    """Open the room; `ask`: Blender asks first what becomes of unsaved changes, and opens it when that is answered."""
    words = {"filepath": str(ROOM), "load_ui": False}
    return set(bpy.ops.wm.read_homefile("INVOKE_DEFAULT" if ask else "EXEC_DEFAULT", **words))


@persistent
def _prepare(*_arguments: Any) -> None:
    """The room has been loaded by `load`: all its cameras are selected, and the panels are set to use them."""
    scene = bpy.context.scene
    if bpy.data.filepath or scene is None or _MARK not in scene or not hasattr(scene, "splatonym"):
        return
    for item in scene.objects:
        item.select_set(item.type == "CAMERA")
    bpy.context.view_layer.objects.active = scene.camera
    scene.splatonym.camera_source = "SELECTED"
    scene.splatonym.label_source = "scene"
    for area in (area for window in bpy.context.window_manager.windows for area in window.screen.areas):
        if area.type == "VIEW_3D":  # through the camera the room is seen from inside
            area.spaces.active.region_3d.view_perspective = "CAMERA"


def register() -> None:
    bpy.app.handlers.load_post.append(_prepare)


def unregister() -> None:
    bpy.app.handlers.load_post.remove(_prepare)
