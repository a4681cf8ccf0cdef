# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Output": what a result becomes: a file, a picture, labels on meshes, names of objects, a report."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as _

from .. import jobs, report
from ..build import Result
from ..build.objects import SCENE_NAME
from ..classes.active import active_result, has_results
from ..output import MESH_OPTIONS, SplatonymOutput
from ..translations import CONTEXT, stage_name
from .base import SidebarPanel, draw_job, draw_wrapped

PLACE = "output"
SLOWEST = 5
"""Stages whose seconds are shown."""
THUMBNAIL = 7.0
CLOSED = True
"""What is rarely used begins closed."""


class SPLATONYM_UL_renames(bpy.types.UIList):
    """The names that objects would get: a tick, the old name, the new one to be changed, and how sure it is."""

    def draw_item(  # its arguments are counted, so all of them are here
        self, context, layout, data, item, icon, active_data, active_property, index
    ) -> None:  # type: ignore[no-untyped-def]
        layout.use_property_split = False
        row = layout.row(align=True)
        row.prop(item, "use", text="")
        names = row.split(factor=0.37)
        names.active = item.use and item.name in context.scene.objects
        names.label(text=item.name, translate=False)
        new = names.split(factor=0.72)
        new.prop(item, "new", text="", emboss=False, icon="FORWARD")
        share = new.row()
        share.alignment = "RIGHT"
        share.label(text=f"{item.confidence:.0%}", translate=False)


class SPLATONYM_PT_output(SidebarPanel, bpy.types.Panel):
    bl_label = "Output"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.scene is not None and has_results(context.scene)

    def draw(self, context: bpy.types.Context) -> None:
        result, layout = active_result(context.scene), self.layout
        if result is None:
            return
        layout.use_property_split = True
        layout.use_property_decorate = False
        column, settings = layout.column(), context.scene.splatonym_output
        column.enabled = not jobs.state.running
        _draw_file(column, settings, result)
        for draw in (_draw_picture, _draw_meshes, _draw_names, _draw_report):
            draw(column, context, settings, result)
        column.separator()
        column.operator("splatonym.remove_result", icon="TRASH").result = result.name
        draw_job(layout, context, PLACE)


def _draw_file(layout: bpy.types.UILayout, settings: SplatonymOutput, result: Result) -> None:
    layout.label(text=f"{result.name} ({result.count:,})", icon="OUTLINER_COLLECTION", translate=False)
    layout.prop(settings, "strict")
    export = layout.operator("splatonym.export_ply", icon="EXPORT")
    export.result, export.strict = result.name, settings.strict


def _draw_picture(layout: bpy.types.UILayout, context: bpy.types.Context, settings: SplatonymOutput, result: Result) -> None:
    header, body = layout.panel("splatonym_output_picture", default_closed=CLOSED)
    header.label(text="Picture")
    if body is None:
        return
    body.prop(settings, "picture")
    if context.scene.camera is None:
        body.label(text="The scene has no active camera", icon="INFO")
    render = body.operator("splatonym.render_view", icon="RENDER_STILL")
    render.result, render.picture = result.name, settings.picture
    # As addon/pictures.py names it.
    image = bpy.data.images.get(f"{result.collection.get(SCENE_NAME, result.name)} {settings.picture.title()}")
    if image is not None and image.preview is not None and image.preview.icon_id:
        body.template_icon(icon_value=image.preview.icon_id, scale=THUMBNAIL)


def _draw_meshes(layout: bpy.types.UILayout, context: bpy.types.Context, settings: SplatonymOutput, result: Result) -> None:
    header, body = layout.panel("splatonym_output_meshes", default_closed=CLOSED)
    header.label(text="Labels to Meshes")
    if body is None:
        return
    column = body.column()
    for name in MESH_OPTIONS:
        column.prop(settings, name)
    body.operator("splatonym.labels_to_meshes", icon="MOD_DATA_TRANSFER").result = result.name
    body.operator("splatonym.remove_labels", icon="X").selected = settings.selected


def _draw_names(layout: bpy.types.UILayout, context: bpy.types.Context, settings: SplatonymOutput, result: Result) -> None:
    header, body = layout.panel("splatonym_output_names", default_closed=CLOSED)
    header.label(text="Object Names")
    if body is None:
        return
    for name in ("rename_selected", "only_unnamed", "least"):
        body.prop(settings, name)
    body.operator("splatonym.preview_names", icon="VIEWZOOM").result = result.name
    if not settings.renames:
        return
    body.template_list("SPLATONYM_UL_renames", "", settings, "renames", settings, "active_rename", rows=4)
    row = body.row(align=True)
    row.operator("splatonym.apply_names", text="Apply", icon="CHECKMARK")
    row.operator("splatonym.discard_names", text="Discard", icon="X")


def _draw_report(layout: bpy.types.UILayout, context: bpy.types.Context, settings: SplatonymOutput, result: Result) -> None:
    header, body = layout.panel("splatonym_output_report", default_closed=CLOSED)
    header.label(text="Report", text_ctxt=CONTEXT)
    if body is None:
        return
    found = report.last_report(result.collection)
    if found is None:
        body.label(text="Nothing was measured of this result", icon="INFO")
        return
    _draw_lines(body.column(align=True), report.lines(found))
    stages = {name: seconds for name, seconds in report.stages(found).items() if seconds >= 0.05}
    slowest = sorted(stages.items(), key=lambda stage: -stage[1])[:SLOWEST]
    if slowest:
        body.label(text="Longest Stages")
        _draw_lines(
            body.column(align=True), [(stage_name(name), _("{seconds} s").format(seconds=f"{s:.1f}")) for name, s in slowest]
        )
    for note in report.warnings(found):
        draw_wrapped(body, note, context, icon="ERROR")
    row = body.row(align=True)
    row.operator("splatonym.open_report", icon="TEXT").result = result.name
    row.operator("splatonym.save_report", icon="EXPORT").result = result.name


def _draw_lines(layout: bpy.types.UILayout, lines: list[tuple[str, str]]) -> None:
    for what, how in lines:
        row = layout.split(factor=0.4)
        row.label(text=what, translate=False)
        row.label(text=how, translate=False)


CLASSES = (SPLATONYM_UL_renames, SPLATONYM_PT_output)
