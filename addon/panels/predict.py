# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Predict": what is predicted, the one big button, and how far it is."""

from __future__ import annotations

import bpy

from .. import jobs
from ..properties import TAKE_DEPTH_OR_LEAVE_IT
from .base import SidebarPanel, draw_job

PLACE = "predict"


class SPLATONYM_PT_predict(SidebarPanel, bpy.types.Panel):
    bl_label = "Predict"

    def draw(self, context: bpy.types.Context) -> None:
        settings, layout = context.scene.splatonym, self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.enabled = not jobs.state.running
        column.prop(settings, "result_name")
        column.prop(settings, "predictor")
        if settings.predictor in TAKE_DEPTH_OR_LEAVE_IT:
            column.prop(settings, "use_depth")
        column.prop(settings, "label_source")
        if settings.label_source == "scene":
            column.prop(settings, "label_set")
        elif settings.label_source == "text":
            column.prop(settings, "names")
            row = column.row(align=True)
            row.prop(settings, "model")
            row.operator("splatonym.fetch_model", text="", icon="IMPORT")
            column.prop(settings, "regions")
        if jobs.state.place != PLACE or not jobs.state.running:
            big = layout.row()
            big.scale_y = 1.5
            big.operator("splatonym.predict", icon="OUTLINER_OB_POINTCLOUD")
        draw_job(layout, context, PLACE)


CLASSES = (SPLATONYM_PT_predict,)
