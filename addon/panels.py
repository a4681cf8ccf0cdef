# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab "Splatonym", in the order of the work: views, prediction, results. Draws only what is already known."""

from __future__ import annotations

import bpy

from ..core.errors import NotAvailable
from ..core.wire.errors import NoInterpreter, ServerDied
from . import jobs
from .build import find_results
from .preferences import PACKAGE
from .properties import TAKE_DEPTH_OR_LEAVE_IT


class SidebarPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Splatonym"


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
            column.prop(settings, "model")
            column.prop(settings, "regions")
        if jobs.state.running:
            step = jobs.state.step
            layout.progress(text=f"{step.stage} {step.text}".strip(), factor=step.fraction)
            layout.operator("splatonym.cancel", icon="CANCEL")
        else:
            big = layout.row()
            big.scale_y = 1.5
            big.operator("splatonym.predict", icon="OUTLINER_OB_POINTCLOUD")
        _draw_outcome(layout, context)


class SPLATONYM_PT_results(SidebarPanel, bpy.types.Panel):
    bl_label = "Results"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        results = find_results(context.scene)
        if not results:
            layout.label(text="Nothing predicted yet", icon="INFO")
        for result in results:
            header, body = layout.panel(f"splatonym_{result.id}")
            header.label(text=f"{result.name} ({result.count:,})", icon="OUTLINER_COLLECTION")
            if body is None:
                continue
            body.prop(result.collection, "splatonym_show", text="Show")
            column = body.column(align=True)
            for item in result.classes:
                row = column.row(align=True)
                row.label(text=item.name, icon=tag_icon(item.collection))
                count = row.row()
                count.alignment = "RIGHT"
                count.label(text=f"{item.count:,}")
                row.prop(item.collection, "hide_viewport", text="", emboss=False)
            row = body.row(align=True)
            for operator, icon in (("render_view", "RENDER_STILL"), ("export_ply", "EXPORT"), ("remove_result", "TRASH")):
                row.operator(f"splatonym.{operator}", icon=icon).result = result.id


def tag_icon(collection: bpy.types.Collection) -> str:
    """The icon of a collection in its colour."""
    return "OUTLINER_COLLECTION" if collection.color_tag == "NONE" else f"COLLECTION_{collection.color_tag}"


def _camera_summary(context: bpy.types.Context, source: str) -> str:
    if source == "SELECTED":
        count = sum(item.type == "CAMERA" for item in context.selected_objects)
        return f"{count} camera{'' if count == 1 else 's'} selected"
    if source == "ALL":
        return f"{sum(item.type == 'CAMERA' for item in context.scene.objects)} cameras in the scene"
    return f"Frames {context.scene.frame_start} to {context.scene.frame_end}"


def _draw_outcome(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The last error with its repair, or the last success."""
    error = jobs.state.error
    if error is not None:
        box = layout.box()
        draw_wrapped(box, error.message, context, icon="ERROR")
        if error.hint:
            draw_wrapped(box, error.hint, context, icon="BLANK1")
        if isinstance(error, (NotAvailable, NoInterpreter, ServerDied)):
            box.operator("preferences.addon_show", text="Open Preferences", icon="PREFERENCES").module = PACKAGE
    elif jobs.state.message:
        draw_wrapped(layout, jobs.state.message, context, icon="CHECKMARK")


def draw_wrapped(layout: bpy.types.UILayout, text: str, context: bpy.types.Context, icon: str) -> None:
    """Labels do not wrap by themselves: about 7 pixels a letter at 100 %."""
    width = max(20, int(context.region.width / (7 * context.preferences.system.ui_scale)) - 6)
    column, line = layout.column(align=True), ""
    for word in [*text.split(), None]:
        if word is not None and len(line) + len(word) < width:
            line = f"{line} {word}".strip()
            continue
        column.label(text=line, icon=icon)
        line, icon = word or "", "BLANK1"


CLASSES = (SPLATONYM_PT_views, SPLATONYM_PT_predict, SPLATONYM_PT_results)
