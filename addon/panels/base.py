# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panels share: the tab, wrapped text, and where an error or a success is told."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as _

from ...core.errors import NotAvailable, SplatonymError
from ...core.wire.errors import NoInterpreter, ServerDied
from .. import jobs, setup, translations
from ..preferences import PACKAGE
from .wrapping import wrapped


class SidebarPanel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = jobs.TAB
    bl_translation_context = translations.CONTEXT  # Blender has other meanings of words such as Views

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
        draw_wrapped(layout, state.message, context, icon="INFO" if state.cancelled else "CHECKMARK")
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
    said = f"{translations.stage_name(step.stage)} {translations.step_text(step.text)}".strip()
    layout.progress(text=said, factor=step.fraction, translate=False)
    row = layout.row(align=True)
    row.operator("splatonym.cancel", text="Cancel", icon="CANCEL")
    if left:
        told = row.row()
        told.alignment = "RIGHT"
        told.label(text=_("{time} left").format(time=left), translate=False)


def draw_wrapped(layout: bpy.types.UILayout, text: str, context: bpy.types.Context, icon: str) -> None:
    """A text in as many lines as it needs, translated where it can be: about 7 pixels a letter at 100 %."""
    width = max(20, int(context.region.width / (7 * context.preferences.system.ui_scale)) - 6)
    column = layout.column(align=True)
    for line in wrapped(_(text), width):
        column.label(text=line, icon=icon, translate=False)
        icon = "NONE" if icon == "NONE" else "BLANK1"
