# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Live View": the splat in the viewport, while it moves."""

from __future__ import annotations

import bpy

from .. import live
from ..build.objects import RESULT
from ..classes.active import has_results
from .base import SidebarPanel, draw_job

PLACE = "live"


class SPLATONYM_PT_live(SidebarPanel, bpy.types.Panel):
    bl_label = "Live View"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return live.any_live() or has_results(context.scene)

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout, on = context.scene.splatonym_live, self.layout, live.is_live(context.space_data)
        layout.use_property_split = True
        layout.use_property_decorate = False
        button = layout.row()
        button.scale_y = 1.3
        icon = "HIDE_OFF" if on else "HIDE_ON"
        button.operator("splatonym.live_view", icon=icon, depress=on).switch = "OFF" if on else "ON"
        if on:
            _draw_status(layout, context)
        column = layout.column()
        column.prop(settings, "show")
        column.prop(settings, "depth")
        if settings.depth == "TESTED":
            column.prop(settings, "tolerance")
        column.prop(settings, "opacity")
        column.prop(settings, "hide_points")
        if sum(RESULT in c for c in context.scene.collection.children_recursive) > 1:
            column.prop_search(settings, "result", context.scene.collection, "children")
        draw_job(layout, context, PLACE)


def _draw_status(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What is waited for; nothing where the picture is there."""
    match live.status(context.space_data):
        case "JOB":
            layout.label(text="Waiting for the job to end", icon="TIME")
        case "START" | "READ":
            layout.label(text="Reading the points", icon="TIME")
        case "SERVER":
            layout.label(text="Waiting for the server", icon="TIME")
        case "UNASKED":
            layout.label(text="Ask something first", icon="INFO")


CLASSES = (SPLATONYM_PT_live,)
