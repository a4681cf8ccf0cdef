# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of collections and scenes for the panels: which result and class are marked, a class's name and colour to be edited in place.

(No postponed annotations are needed: nothing here is a class.) Name and colour store nothing; they read and write what the result keeps.
"""

from __future__ import annotations

import bpy

from ...core.errors import SplatonymError
from .. import jobs
from ..build.objects import CLASS, point_objects
from . import edit, summary
from .active import result_of

_GREY = (0.5, 0.5, 0.5)


def _get_name(group: bpy.types.Collection) -> str:
    return str(group.get(CLASS, group.name))


def _set_name(group: bpy.types.Collection, name: str) -> None:
    result = result_of(group)
    if result is None or CLASS not in group or jobs.state.running:
        return
    try:
        edit.rename(result, str(group[CLASS]), name)
        jobs.state.told("classes")
    except SplatonymError as error:  # a property cannot report; the panel says it
        jobs.state.told("classes", error=error)


def _get_colour(group: bpy.types.Collection) -> tuple[float, ...]:
    item = next(point_objects(group), None)
    return _GREY if item is None else tuple(item.color[:3])


def _set_colour(group: bpy.types.Collection, colour: tuple[float, ...]) -> None:
    result = result_of(group)
    if result is not None and CLASS in group:
        try:
            edit.recolour(result, str(group[CLASS]), (colour[0], colour[1], colour[2]))
        except SplatonymError as error:
            jobs.state.told("classes", error=error)


def register() -> None:
    bpy.types.Scene.splatonym_result = bpy.props.StringProperty(
        name="Active Result", description="Id of the result that the panels are about; empty means the last one in the outliner"
    )
    bpy.types.Collection.splatonym_class_index = bpy.props.IntProperty(
        name="Active Class", description="Place in the list", min=0
    )
    bpy.types.Collection.splatonym_instance = bpy.props.IntProperty(
        name="Active Instance", description="Number of the thing that is marked in the panel's list", min=0
    )
    bpy.types.Collection.splatonym_page = bpy.props.IntProperty(
        name="Page", description="Which part of a long list of things is shown", default=1, min=1
    )
    bpy.types.Collection.splatonym_class_name = bpy.props.StringProperty(
        name="Class", description="Name of the class; double-click to rename it", get=_get_name, set=_set_name
    )
    bpy.types.Collection.splatonym_class_colour = bpy.props.FloatVectorProperty(
        name="Class Colour",
        description="Colour of the class",
        size=3,
        min=0.0,
        max=1.0,
        subtype="COLOR",
        get=_get_colour,
        set=_set_colour,
    )
    summary.register()


def unregister() -> None:
    summary.unregister()
    for name in ("class_index", "instance", "page", "class_name", "class_colour"):
        delattr(bpy.types.Collection, f"splatonym_{name}")
    del bpy.types.Scene.splatonym_result
