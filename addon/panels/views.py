# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Views": which cameras see the scene, and how they are rendered."""

from __future__ import annotations

import bpy

from .base import SidebarPanel, draw_job


class SPLATONYM_PT_views(SidebarPanel, bpy.types.Panel):
    bl_label = "Views"

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = context.scene.splatonym, self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "camera_source")
        layout.label(text=_camera_summary(context, settings.camera_source), icon="CAMERA_DATA")
        layout.prop(settings, "resolution")
        layout.prop(settings, "engine")
        layout.prop(settings, "samples")
        draw_job(layout, context, "views")


def _camera_summary(context: bpy.types.Context, source: str) -> str:
    if source == "SELECTED":
        count = sum(item.type == "CAMERA" for item in context.selected_objects)
        return f"{count} camera{'' if count == 1 else 's'} selected"
    if source == "ALL":
        return f"{sum(item.type == 'CAMERA' for item in context.scene.objects)} cameras in the scene"
    return f"Frames {context.scene.frame_start} to {context.scene.frame_end}"


CLASSES = (SPLATONYM_PT_views,)
