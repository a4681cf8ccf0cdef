# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Views": which cameras see the scene, cameras placed by a plan and what they cover, and how they are rendered."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as _
from bpy.app.translations import pgettext_n as n_

from .. import jobs, planning
from .base import SidebarPanel, draw_job

PLACE = "views"


class SPLATONYM_PT_views(SidebarPanel, bpy.types.Panel):
    bl_label = "Views"

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = context.scene.splatonym, self.layout
        layout.row().prop(settings, "camera_source", expand=True)
        text, icon = _camera_summary(context, settings.camera_source)
        layout.label(text=text, icon=icon, translate=False)
        _draw_plan(layout, context)
        draw_job(layout, context, PLACE)
        header, body = layout.panel("splatonym_rendering", default_closed=True)
        header.label(text="Rendering")
        if body is not None:
            body.use_property_split = True
            body.use_property_decorate = False
            body.prop(settings, "resolution")
            body.prop(settings, "engine")
            body.prop(settings, "samples")


def _draw_plan(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """Place cameras, and see what they cover before anything is rendered."""
    header, body = layout.panel("splatonym_plan")
    header.label(text="Place Cameras")
    if body is None:
        return
    body = body.column()
    body.enabled = not jobs.state.running
    column = body.column(align=True)
    column.prop(context.scene.splatonym_plan, "count")
    column.operator("splatonym.plan_orbit", icon="ORIENTATION_GIMBAL")
    column.operator("splatonym.plan_walk", icon="MOD_DYNAMICPAINT")
    column.operator("splatonym.plan_cover", icon="VIEW_PERSPECTIVE")
    row = body.row(align=True)
    row.operator("splatonym.show_coverage", icon="HIDE_OFF")
    row.operator("splatonym.clear_plan", icon="X", text="")
    shares = planning.shown_shares(context.scene)
    if shares is not None:
        column = body.column(align=True)
        for share, text in zip(shares, (n_("Seen: {share} %"), n_("From two places: {share} %")), strict=True):
            column.progress(factor=share, text=_(text).format(share=int(share * 100 + 1e-9)), translate=False)


def _camera_summary(context: bpy.types.Context, source: str) -> tuple[str, str]:
    """What the choice of cameras means now, in words, and an icon."""
    if source == "ACTIVE_ANIMATED":
        frames = (context.scene.frame_start, context.scene.frame_end)
        return _("Active camera, frames {first} to {last}").format(first=frames[0], last=frames[1]), "CAMERA_DATA"
    pool = context.selected_objects if source == "SELECTED" else context.scene.objects
    count = sum(item is not None and item.type == "CAMERA" for item in pool)
    if not count:
        return _("No camera selected") if source == "SELECTED" else _("No camera in the scene"), "ERROR"
    return (_("{count} camera") if count == 1 else _("{count} cameras")).format(count=count), "CAMERA_DATA"


CLASSES = (SPLATONYM_PT_views,)
