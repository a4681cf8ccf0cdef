# SPDX-License-Identifier: GPL-3.0-or-later
"""Points selected, and what is selected read back.

A point cloud keeps its selection as the attribute `.selection`, which its edit mode shows (Blender 4.5 and later; 4.2 has no such mode, so
there the objects alone are selected). Results that were converted to meshes have their vertices selected.
"""

from __future__ import annotations

import bpy
import numpy as np

from ...core.errors import InvalidInput
from ..build import Result, attributes
from ..build.objects import point_objects
from .carving import Mask

SELECTION = ".selection"
CAN_EDIT_POINTS = hasattr(bpy.ops.pointcloud, "select_all") and bpy.app.version >= (4, 5, 0)


def select_points(context: bpy.types.Context, result: Result, chosen: Mask, *, extend: bool = False, edit: bool = False) -> int:
    """Select points, and the objects that hold any; unless extended, nothing else stays selected. Returns how many it found.

    edit: go into the mode where points are seen to be selected, where this Blender has it.
    """
    leave_edit(context)
    items = list(point_objects(result.collection))
    ends = np.cumsum([0, *(attributes.count(item.data) for item in items)])
    if ends[-1] != len(chosen):
        raise InvalidInput("The points were changed meanwhile.", "Try again.")
    if not extend:
        for item in context.view_layer.objects:
            item.select_set(False)
    most: tuple[int, bpy.types.Object] | None = None
    count = 0
    for item, start, stop in zip(items, ends[:-1], ends[1:], strict=True):
        rows = chosen[start:stop]
        put_selection(item.data, rows | read_selection(item.data) if extend and item.select_get() else rows)
        if not rows.any() or item.name not in context.view_layer.objects:
            continue
        item.hide_set(False)
        item.select_set(True)
        if item.select_get():
            count += int(rows.sum())
            if most is None or rows.sum() > most[0]:
                most = int(rows.sum()), item
    if most is None and chosen.any():
        raise InvalidInput(
            f"These points of '{result.name}' are hidden.", "Show them by the eye in the list, or in the outliner."
        )
    if most is not None:
        context.view_layer.objects.active = most[1]
        if edit and (CAN_EDIT_POINTS or most[1].type == "MESH") and bpy.ops.object.mode_set.poll():
            bpy.ops.object.mode_set(mode="EDIT")
    return count


def selected_points(context: bpy.types.Context, result: Result) -> Mask:
    """[N] which points are selected: in edit mode those of the objects that are edited, else those of the selected objects."""
    editing = {item.name for item in context.objects_in_mode} if context.mode.startswith("EDIT") else None
    parts = [np.zeros(0, bool)]
    for item in point_objects(result.collection):
        there = item.name in editing if editing is not None else item.select_get()
        if there and item.mode == "EDIT" and item.type == "MESH":
            item.update_from_editmode()
        parts.append(read_selection(item.data) if there else np.zeros(attributes.count(item.data), bool))
    return np.concatenate(parts)


def leave_edit(context: bpy.types.Context) -> None:
    """Back to object mode: points cannot be replaced while they are edited."""
    if context.mode != "OBJECT" and bpy.ops.object.mode_set.poll():
        bpy.ops.object.mode_set(mode="OBJECT")


def put_selection(data: bpy.types.ID, rows: Mask) -> None:
    """Mark the points of a point cloud, or the vertices of a mesh."""
    if isinstance(data, bpy.types.Mesh):
        data.vertices.foreach_set("select", rows)
        for parts in (data.edges, data.polygons):
            parts.foreach_set("select", np.zeros(len(parts), bool))
        return
    attribute = data.attributes.get(SELECTION)
    if attribute is not None and (attribute.data_type != "BOOLEAN" or attribute.domain != "POINT"):
        data.attributes.remove(attribute)
        attribute = None
    if attribute is None:
        attribute = data.attributes.new(SELECTION, "BOOLEAN", "POINT")
    attribute.data.foreach_set("value", np.ascontiguousarray(rows, bool))
    data.update_tag()


def read_selection(data: bpy.types.ID) -> Mask:
    """[n] which points are marked; where nothing says so, all of them, as Blender has it."""
    rows = np.ones(attributes.count(data), bool)
    if isinstance(data, bpy.types.Mesh):
        data.vertices.foreach_get("select", rows)
        return rows
    attribute = data.attributes.get(SELECTION)
    if attribute is not None and attribute.data_type == "BOOLEAN" and attribute.domain == "POINT":
        attribute.data.foreach_get("value", rows)
    return rows
