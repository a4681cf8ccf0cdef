# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels "Welcome", on top while no server is set up, and "Server", at the end once there is one."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as _

from ... import __version__
from .. import jobs, setup
from ..setup import builds
from .base import SidebarPanel, draw_job, draw_wrapped

PLACE = "setup"


class SPLATONYM_PT_welcome(SidebarPanel, bpy.types.Panel):
    bl_label = "Welcome"
    bl_order = 0

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        told = jobs.state.place == PLACE and (jobs.state.running or jobs.state.error or jobs.state.message)
        return bool(told) or not setup.is_ready() or setup.status().outdated

    def draw(self, context: bpy.types.Context) -> None:
        layout, known = self.layout, setup.status()
        running = jobs.state.running and jobs.state.place == PLACE
        if not known.there and not running:
            _draw_greeting(layout, context, known)
        elif known.outdated and known.environment is not None and not running:
            words = _("The server's packages are those of {old}; this is {new}.")
            draw_wrapped(layout, words.format(old=known.environment.version, new=__version__), context, icon="INFO")
            _big(layout).operator("splatonym.setup_server", text="Update Server", icon="IMPORT")
        draw_job(layout, context, PLACE)
        if not running:
            layout.operator("splatonym.load_demo_room", icon="HOME")


def _draw_greeting(layout: bpy.types.UILayout, context: bpy.types.Context, known: setup.Status) -> None:
    draw_wrapped(
        layout, _("Splatonym gives everything in your scene a name. One button brings what it needs."), context, "NONE"
    )
    if known.interpreter is not None:
        draw_wrapped(layout, _("There is no {path}").format(path=known.interpreter), context, icon="ERROR")
    _big(layout).operator("splatonym.setup_server", icon="IMPORT")
    layout.operator("splatonym.use_existing_python", icon="FILE_FOLDER")


def _big(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    row = layout.row()
    row.scale_y = 1.5
    return row


class SPLATONYM_PT_server(SidebarPanel, bpy.types.Panel):
    bl_label = "Server"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 100

    def draw(self, context: bpy.types.Context) -> None:
        layout, known = self.layout, setup.status()
        column = layout.column(align=True)
        made = known.environment
        if made is not None:
            words = _("Version {version}, Python {python}")
            column.label(text=words.format(version=made.version, python=made.python), icon="CHECKMARK")
            build = _("Ordinary") if made.build == builds.INDEX else made.build.upper()
            column.label(text=_("Torch build: {build}").format(build=build), icon="BLANK1")
        else:
            column.label(text="A Python that was there already", icon="CHECKMARK")
        column.label(text=str(known.interpreter), icon="BLANK1", translate=False)
        row = layout.row(align=True)
        row.operator("splatonym.repair_server", text="Repair", icon="TOOL_SETTINGS")
        row.operator("splatonym.use_existing_python", text="Change", icon="FILE_FOLDER")
        row = layout.row(align=True)
        row.operator("splatonym.open_log", icon="TEXT").log = "SERVER"
        if made is not None:
            row.operator("splatonym.remove_server", text="Remove", icon="TRASH")
        else:
            row.operator("splatonym.setup_server", icon="IMPORT")
        layout.operator("splatonym.load_demo_room", icon="HOME")
        draw_job(layout, context, "server")


CLASSES = (SPLATONYM_PT_welcome,)
LAST = (SPLATONYM_PT_server,)
