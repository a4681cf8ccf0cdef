# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Results": what was predicted, class by class."""

from __future__ import annotations

import bpy

from ..build import find_results
from .base import SidebarPanel


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


CLASSES = (SPLATONYM_PT_results,)
