# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel "Ask": a question, how well everything fits it, what is meant, and what it really is."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from .. import jobs
from ..answers import last_answer
from ..build import Result, find_results
from ..build.objects import CODEBOOK
from .base import SidebarPanel, draw_job, draw_wrapped

MOST = 6
"""Things that are listed."""
BARS = " ▁▂▃▄▅▆▇█"


class SPLATONYM_PT_ask(SidebarPanel, bpy.types.Panel):
    bl_label = "Ask"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return bool(find_results(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        self._draw_question(self.layout.column(), context)
        draw_job(self.layout, context, "ask")

    def _draw_question(self, layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
        question, result = context.scene.splatonym_question, find_results(context.scene)[-1]
        layout.enabled = not jobs.state.running
        if CODEBOOK not in result.collection:
            draw_wrapped(layout, f"Nobody has said yet what is in '{result.name}'.", context, icon="INFO")
            layout.operator("splatonym.describe", icon="VIEWZOOM").result = result.id
            return
        row = layout.row(align=True)
        row.prop(question, "text", text="", icon="VIEWZOOM")
        ask = row.operator("splatonym.query", text="Ask")
        ask.result, ask.text, ask.level = result.id, question.text, question.level
        layout.row().prop(question, "level", expand=True)
        _draw_answer(layout, context, result)


def _draw_answer(layout: bpy.types.UILayout, context: bpy.types.Context, result: Result) -> None:
    """What the last question meant, and what can be done with it."""
    found, question = last_answer(result), context.scene.splatonym_question
    if found is None:
        return
    layout.label(text=bars(found.histogram))
    layout.prop(question, "threshold", slider=True)
    words = f"'{found.text}': {found.count:,} points" if found.count else f"Nothing fits '{found.text}' that well."
    draw_wrapped(layout, words, context, icon="CHECKMARK" if found.count else "INFO")
    column = layout.column(align=True)
    for thing in found.things[:MOST]:
        row = column.row(align=True)
        row.label(text=str(thing["name"]), icon="OBJECT_DATA" if thing["name"] in context.scene.objects else "DOT")
        score = row.row()
        score.alignment = "RIGHT"
        score.label(text=f"{thing['score']:.2f}")
    if len(found.things) > MOST:
        column.label(text=f"and {len(found.things) - MOST} more", icon="BLANK1")
    row = layout.row(align=True)
    row.prop(question, "teach", text="", icon="GREASEPENCIL")
    teach = row.operator("splatonym.teach", text="Teach")
    teach.result, teach.name = result.id, question.teach


def bars(counts: Sequence[int], width: int = 32) -> str:
    """A histogram as a line of text, its bars by the cube root, so that few among many show."""
    step = max(1, len(counts) // width)
    joined = [sum(counts[k : k + step]) for k in range(0, len(counts), step)]
    most = max(joined, default=0) ** (1 / 3) or 1
    return "".join(BARS[round((len(BARS) - 1) * n ** (1 / 3) / most)] for n in joined)


CLASSES = (SPLATONYM_PT_ask,)
