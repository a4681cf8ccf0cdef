# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels share: the tab, wrapped text, and where an error or a success is told."""

from __future__ import annotations

import bpy

from ...core.errors import NotAvailable, SplatonymError
from ...core.wire.errors import NoInterpreter, ServerDied
from .. import jobs, setup
from ..preferences import PACKAGE


class SidebarPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Splatonym"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Before a server is set up the tab shows one thing: the greeting. Operators work all the same."""
        return setup.is_ready()


def draw_job(layout: bpy.types.UILayout, context: bpy.types.Context, place: str) -> bool:
    """How far this panel's job is, with Cancel; else its last error with the button that repairs it, or its last success.

    Returns whether a job of this panel runs. Every panel that has buttons ends its drawing with this.
    """
    state = jobs.state
    if state.place != place:
        return False
    if state.running:
        _draw_progress(layout)
        return True
    if state.error is not None:
        box = layout.box()
        draw_wrapped(box, state.error.message, context, icon="ERROR")
        if state.error.hint:
            draw_wrapped(box, state.error.hint, context, icon="BLANK1")
        repair = repair_of(state.error)
        if repair is not None:
            operator, properties = repair
            button = box.operator(operator, icon="TOOL_SETTINGS")
            for name, value in properties.items():
                setattr(button, name, value)
    elif state.message:
        draw_wrapped(layout, state.message, context, icon="CHECKMARK")
    return False


def repair_of(error: SplatonymError) -> tuple[str, dict[str, str]] | None:
    """The operator that repairs an error, and its properties: what the error names itself, else by its kind."""
    if error.repair:
        return error.repair, {}
    if isinstance(error, NoInterpreter):
        return "splatonym.setup_server", {}
    if isinstance(error, ServerDied):
        return "splatonym.open_log", {"log": "SERVER"}
    if isinstance(error, NotAvailable):
        return "preferences.addon_show", {"module": PACKAGE}
    return None


def _draw_progress(layout: bpy.types.UILayout) -> None:
    step, left = jobs.state.step, jobs.state.forecast.text()
    layout.progress(text=f"{step.stage} {step.text}".strip(), factor=step.fraction)
    row = layout.row(align=True)
    row.operator("splatonym.cancel", icon="CANCEL")
    if left:
        told = row.row()
        told.alignment = "RIGHT"
        told.label(text=f"{left} left")


def draw_wrapped(layout: bpy.types.UILayout, text: str, context: bpy.types.Context, icon: str) -> None:
    """Labels do not wrap by themselves: about 7 pixels a letter at 100 %."""
    width = max(20, int(context.region.width / (7 * context.preferences.system.ui_scale)) - 6)
    column, line = layout.column(align=True), ""
    pieces = [word[start : start + width] for word in text.split() for start in range(0, len(word), width)]  # of a long path
    for word in [*pieces, None]:
        if word is not None and (not line or len(line) + len(word) < width):
            line = f"{line} {word}".strip()
            continue
        column.label(text=line, icon=icon)
        line, icon = word or "", "NONE" if icon == "NONE" else "BLANK1"
