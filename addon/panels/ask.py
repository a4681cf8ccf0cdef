# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Ask": a question, how well everything fits it, what is meant, what is done with that, and what it really is."""

import bpy
from bpy.app.translations import pgettext_iface as _

from .. import jobs
from ..answers import Found, last_answer, recent_questions
from ..build import Result
from ..build.objects import CODEBOOK
from ..classes import active_result, summary_of
from ..classes.active import has_results
from .base import SidebarPanel, draw_job, draw_wrapped
from .histogram import draw_histogram

PLACE = "ask"
MOST = 6
"""Things that are listed."""


class SPLATONYM_PT_ask(SidebarPanel, bpy.types.Panel):
    bl_label = "Ask"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) and has_results(context.scene)

    def draw(self, context: bpy.types.Context) -> None:
        layout, result = self.layout, active_result(context.scene)
        if result is None:
            return
        column = layout.column()
        column.enabled = not jobs.state.running
        if CODEBOOK not in result.collection:
            draw_wrapped(
                column, "Let a model look at this result first; then it can be asked for anything.", context, icon="INFO"
            )
            big = column.row()
            big.scale_y = 1.5
            big.operator("splatonym.describe", icon="VIEWZOOM").result = result.id
        else:
            found = last_answer(result)
            _draw_question(column, context, result, "" if found is None else found.text)
            if found is not None:
                _draw_answer(column, context, result, found)
        draw_job(layout, context, PLACE)


def _draw_question(layout: bpy.types.UILayout, context: bpy.types.Context, result: Result, last: str) -> None:
    """The question, what was asked before, and what is chosen."""
    question = context.scene.splatonym_question
    row = layout.row(align=True)
    row.scale_y = 1.2
    row = row.split(factor=0.75, align=True)
    row.prop(question, "text", text="", icon="VIEWZOOM", placeholder="red chair, not armchair")
    ask = row.operator("splatonym.query", text="Ask")
    ask.result, ask.text, ask.level = result.id, question.text, question.level
    recent = [text for text in recent_questions(result.collection) if text not in (question.text, last)]
    if recent:
        flow = layout.grid_flow(row_major=True, columns=2 if context.region.width < 420 else 3, even_columns=True, align=True)
        for text in recent[:4]:
            again = flow.operator("splatonym.query", text=text, icon="RECOVER_LAST", translate=False)
            again.result, again.text, again.level = result.id, text, question.level


def _draw_answer(layout: bpy.types.UILayout, context: bpy.types.Context, result: Result, found: Found) -> None:
    """What the last question meant, and what can be done with it."""
    question = context.scene.splatonym_question
    box = layout.box()
    header = box.row(align=True)
    header.label(text=found.text, icon="VIEWZOOM", translate=False)
    numbers = header.row()
    numbers.alignment = "RIGHT"
    numbers.label(text=f"{summary_of(result.collection).chosen:,}", icon="POINTCLOUD_DATA", translate=False)
    inside = box.column(align=True)
    draw_histogram(inside, context, found.histogram, found.threshold)
    inside.prop(question, "threshold", slider=True)
    row = box.row(align=True)
    row.label(text="Refine to")
    row.prop_enum(question, "level", "part", text="Points")
    row.prop_enum(question, "level", "object", text="Objects")
    row.prop_enum(question, "level", "group", text="Classes")
    _draw_things(box, context, found)
    _draw_heat(box, context, result)
    column = layout.column(align=True)
    column.enabled = summary_of(result.collection).chosen > 0
    row = column.row(align=True)
    points = row.operator("splatonym.select_answer_points", text="Select Points", icon="POINTCLOUD_DATA")
    points.result, points.edit_mode = result.id, True
    row.operator("splatonym.select_answer", text="Select Objects", icon="OBJECT_DATA").result = result.id
    row = column.row(align=True)
    row.operator("splatonym.answer_to_class", text="Make Class", icon="OUTLINER_COLLECTION").result = result.id
    row.operator("splatonym.answer_to_collection", text="Make Group", icon="GROUP").result = result.id
    row = layout.split(factor=0.75, align=True)
    row.prop(question, "teach", text="", icon="GREASEPENCIL", placeholder="What it really is")
    teach = row.operator("splatonym.teach", text="Teach")
    teach.result, teach.name = result.id, question.teach


def _draw_things(layout: bpy.types.UILayout, context: bpy.types.Context, found: Found) -> None:
    """The things that are meant, the best first."""
    if not found.count:
        draw_wrapped(layout, "A lower threshold shows what fits best.", context, icon="INFO")
        return
    column = layout.column(align=True)
    for thing in found.things[:MOST]:
        row = column.row(align=True)
        row.label(
            text=str(thing["name"]), icon="OBJECT_DATA" if thing["name"] in context.scene.objects else "DOT", translate=False
        )
        score = row.row()
        score.alignment = "RIGHT"
        score.label(text=f"{thing['score']:.2f}", translate=False)
    if len(found.things) > MOST:
        column.label(text=_("and {} more").format(len(found.things) - MOST), icon="BLANK1")


def _draw_heat(layout: bpy.types.UILayout, context: bpy.types.Context, result: Result) -> None:
    """The answer as a heat map: on the points, and as a picture."""
    row = layout.row(align=True)
    row.prop_enum(result.collection, "splatonym_show", "COLOUR", text="Colour")
    row.prop_enum(result.collection, "splatonym_show", "ANSWER", text="Heat Map")
    picture = row.operator("splatonym.render_view", text="", icon="RENDER_STILL")
    picture.result, picture.picture = result.id, "ANSWER"


CLASSES = (SPLATONYM_PT_ask,)
