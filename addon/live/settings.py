# SPDX-License-Identifier: GPL-3.0-or-later
"""What the live view shows and how; remembered in the .blend, scene by scene. Whether it is on is not.

(No postponed annotations here: Blender reads properties from the annotations' values.)
"""

import bpy

from . import running

SHOWS = [
    ("COLOUR", "Colour", "The colour that the cameras saw"),
    ("CLASS", "Classes", "The colour of each class"),
    ("INSTANCE", "Instances", "A colour for each thing; grey where there is none"),
    ("DEPTH", "Depth", "Near is bright, far is dark"),
    ("CONFIDENCE", "Confidence", "How sure the class is, from dark blue to yellow"),
    ("ANSWER", "Answer", "How well what shows in each pixel fits the last question"),
]
DEPTHS = [
    ("TESTED", "Among Meshes", "Hidden by the scene's meshes that are in front of it"),
    ("OVER", "Over Meshes", "In front of everything in the viewport"),
]


def _redraw(_settings: bpy.types.PropertyGroup, _context: bpy.types.Context) -> None:
    running.redraw()


class SplatonymLive(bpy.types.PropertyGroup):
    show: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Show", description="What the live view shows", items=SHOWS, default="COLOUR", update=_redraw
    )
    depth: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Depth", description="What is in front of what", items=DEPTHS, default="TESTED", update=_redraw
    )
    opacity: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Opacity",
        description="How much the splat covers what Blender draws",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_redraw,
    )
    tolerance: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Tolerance",
        description="How much nearer the splat is taken to be, as a part of its distance, "
        "so that the meshes it was predicted from do not hide it",
        default=0.02,
        min=0.0,
        max=0.2,
        soft_max=0.05,
        precision=3,
        subtype="FACTOR",
        update=_redraw,
    )
    hide_points: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Hide Points",
        description="Hide the result's point objects while the live view shows them; they are there again afterwards",
        default=True,
        update=_redraw,
    )
    result: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Result", description="Name of the result that is shown; empty means the last one", update=_redraw
    )
