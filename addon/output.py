# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel "Output" remembers in the .blend: how results are written, and the names that objects would get.

(No postponed annotations here: Blender reads properties from the annotations' values.)
"""

from collections.abc import Iterable

import bpy

from . import jobs, transfer
from .pictures import PICTURES

SEPARATIONS = [
    ("NO", "No", "Objects stay whole"),
    ("CLASS", "By Class", "An object for each class on a mesh"),
    ("INSTANCE", "By Instance", "An object for each thing on a mesh"),
]


class SplatonymRename(bpy.types.PropertyGroup):
    """A line of the preview. Its `name`, which every property group may have, is what the object is called now."""

    name: bpy.props.StringProperty(name="Object", description="What the object is called now")  # type: ignore[valid-type]
    new: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="New Name", description="What the object will be called; change it as you like"
    )
    confidence: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Confidence",
        description="Share of the object's Gaussians that say so",
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    use: bpy.props.BoolProperty(name="Rename", description="Rename this object", default=True)  # type: ignore[valid-type]


def _show_object(settings: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """A line was clicked: its object is selected, so that one sees what it is."""
    renames, place = settings.renames, settings.active_rename
    if not 0 <= place < len(renames) or context.mode != "OBJECT" or jobs.state.running:
        return
    if renames[place].name in context.view_layer.objects:
        transfer.select(context, [renames[place].name])


MESH_OPTIONS = ("selected", "fill", "vertex_groups", "materials", "separate")
"""Settings of labels on meshes, as transfer.TransferOptions has them."""


class SplatonymOutput(bpy.types.PropertyGroup):
    strict: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Strict 3DGS",
        description="Leave out label, instance and confidence, for programs that know only the original properties",
    )
    picture: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Picture", items=PICTURES, default="RGB", description="What the image shows"
    )

    selected: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Only Selected", description="Label the selected meshes, not all visible ones"
    )
    fill: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Fill Unseen",
        description="Faces that no Gaussian is near to take the class that most of their connected piece of mesh has",
    )
    vertex_groups: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Vertex Groups", description="Also make a vertex group for each class"
    )
    materials: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Materials", description="Show the classes' colours; 'Remove Labels' brings the meshes' own materials back"
    )
    separate: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Separate", items=SEPARATIONS, default="NO", description="Take objects apart by what their faces are"
    )

    rename_selected: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Only Selected", description="Rename selected objects, not all visible ones"
    )
    only_unnamed: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Only Unnamed", description="Leave objects alone whose name says something, unlike 'Cube.047'", default=True
    )
    least: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Least Share",
        description="How much of an object's Gaussians must say the same",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    renames: bpy.props.CollectionProperty(  # type: ignore[valid-type]
        type=SplatonymRename, name="Renames", description="The names that objects would get"
    )
    active_rename: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Active Line", description="The line of the preview that is marked", min=0, update=_show_object
    )


def show_preview(scene: bpy.types.Scene, renames: Iterable[transfer.Rename]) -> None:
    """Put the names that objects would get into the panel's list."""
    shown = scene.splatonym_output.renames
    shown.clear()
    for old, new, confidence in renames:
        line = shown.add()
        line.name, line.new, line.confidence = old, new, confidence
    scene.splatonym_output["active_rename"] = 0  # as a custom property, so that nothing is selected by it


def shown_preview(scene: bpy.types.Scene) -> list[transfer.Rename]:
    """What of the panel's list is to be renamed: ticked lines whose objects are still there, under names that say something."""
    lines = scene.splatonym_output.renames
    return [
        transfer.Rename(line.name, line.new.strip(), line.confidence)
        for line in lines
        if line.use and line.new.strip() and line.name in scene.objects
    ]
