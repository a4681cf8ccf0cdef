# SPDX-License-Identifier: GPL-3.0-or-later
"""Where people look first: a right click in the viewport, on objects and on points."""

import bpy

from ..classes.active import active_collection, has_results


class SPLATONYM_MT_object_context(bpy.types.Menu):
    """What a result knows of the selected objects"""

    bl_label = "Splatonym"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator("splatonym.what_is_this", icon="QUESTION")
        layout.operator("splatonym.select_similar", icon="RESTRICT_SELECT_OFF")


class SPLATONYM_MT_points_context(bpy.types.Menu):
    """What a result knows of the selected points"""

    bl_label = "Splatonym"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator("splatonym.what_are_these_points", icon="QUESTION")
        layout.menu("SPLATONYM_MT_points_to_class", icon="GREASEPENCIL")


def _on_objects(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    if has_results(context.scene):
        self.layout.separator()
        self.layout.menu("SPLATONYM_MT_object_context", icon="OUTLINER_OB_POINTCLOUD")


def _on_points(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    collection = active_collection(context.scene)
    if collection is not None and context.object is not None and context.object.name in collection.all_objects:
        self.layout.separator()
        self.layout.menu("SPLATONYM_MT_points_context", icon="OUTLINER_OB_POINTCLOUD")


_PLACES = (("VIEW3D_MT_object_context_menu", _on_objects), ("VIEW3D_MT_edit_pointcloud", _on_points))


def register() -> None:
    for name, draw in _PLACES:
        if hasattr(bpy.types, name):
            getattr(bpy.types, name).append(draw)


def unregister() -> None:
    for name, draw in _PLACES:
        if hasattr(bpy.types, name):
            getattr(bpy.types, name).remove(draw)


CLASSES = (SPLATONYM_MT_object_context, SPLATONYM_MT_points_context)
