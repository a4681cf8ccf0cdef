# SPDX-License-Identifier: GPL-3.0-or-later
"""The live view, on and off."""

import bpy
from bpy.app.translations import pgettext_iface as _

from ...core.errors import InvalidInput, SplatonymError
from .. import jobs, live
from ..build import find_results

SWITCHES = [
    ("TOGGLE", "Toggle", "On where it is off, off where it is on"),
    ("ON", "On", "Show the live view"),
    ("OFF", "Off", "Show it no more"),
]


class SPLATONYM_OT_live_view(bpy.types.Operator):
    """Show the splat as the server renders it in this viewport, aligned with the view while it moves"""

    bl_idname = "splatonym.live_view"
    bl_label = "Live View"
    bl_options = {"REGISTER"}

    switch: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Switch",
        description="Whether to turn the live view on or off",
        items=SWITCHES,
        default="TOGGLE",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if live.any_live():
            return True
        if not find_results(context.scene):
            cls.poll_message_set(_("There is no result yet; predict first"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self._switch(context)
        except SplatonymError as error:
            if not jobs.state.running:
                jobs.state.told("live", error=error)
            self.report({"ERROR"}, error.sentence())
            return {"CANCELLED"}
        return {"FINISHED"}

    def _switch(self, context: bpy.types.Context) -> None:
        space = context.space_data
        if bpy.app.background or space is None or space.type != "VIEW_3D":
            raise InvalidInput("The live view needs a 3D viewport.", "Use Render Splat View where there is no window.")
        on = not live.is_live(space) if self.switch == "TOGGLE" else self.switch == "ON"
        if not jobs.state.running and jobs.state.place == "live":
            jobs.state.told("live")  # whatever was wrong before
        if on:
            live.start(space)
        elif live.is_live(space):
            live.stop(space)


CLASSES = (SPLATONYM_OT_live_view,)
