# SPDX-License-Identifier: GPL-3.0-or-later
"""Points of a result: what they are, which are selected, and to which class they belong."""

from typing import Any

import bpy

from ...core.errors import InvalidInput
from .. import classes
from ..answers import chosen_points, last_answer
from ..build import Result
from ..classes.active import activate_class
from ..classes.selection import leave_edit
from .editing import Editing, class_property, instance_property


class Assigning(Editing):
    """An operator that moves points to a class: `points` says which."""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.execute(context) if self.class_name.strip() else context.window_manager.invoke_props_dialog(self)

    def points(self, context: bpy.types.Context, result: Result) -> Any:
        raise TypeError(f"{type(self).__name__} does not say which points are meant")

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        chosen = self.points(context, result)
        leave_edit(context)
        name = classes.assign(result, chosen, self.class_name)
        return f"{int(chosen.sum()):,} points are '{name}' now."


class SPLATONYM_OT_instance_to_class(Assigning, bpy.types.Operator):
    """Say what a thing really is: its points go to that class, which is made if needed"""

    bl_idname = "splatonym.instance_to_class"
    bl_label = "Thing to Class"
    bl_options = {"REGISTER", "UNDO"}

    instance: instance_property()  # type: ignore[valid-type]
    class_name: class_property("What the thing is; a new name makes a new class")  # type: ignore[valid-type]

    def points(self, context: bpy.types.Context, result: Result) -> Any:
        return classes.instance_mask(result, self.instance_of(result))


class SPLATONYM_OT_points_to_class(Assigning, bpy.types.Operator):
    """Say what the selected points really are: they go to that class, which is made if needed"""

    bl_idname = "splatonym.points_to_class"
    bl_label = "Selected Points to Class"
    bl_options = {"REGISTER", "UNDO"}

    class_name: class_property("What the points are; a new name makes a new class")  # type: ignore[valid-type]

    def points(self, context: bpy.types.Context, result: Result) -> Any:
        return classes.selected_points(context, result)


class SPLATONYM_OT_answer_to_class(Assigning, bpy.types.Operator):
    """Make what the last question found a class of its own, or part of one that is there"""

    place = "ask"
    bl_idname = "splatonym.answer_to_class"
    bl_label = "Answer to Class"
    bl_options = {"REGISTER", "UNDO"}

    class_name: class_property("What the points are; a new name makes a new class")  # type: ignore[valid-type]

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.class_name.strip():
            return self.execute(context)
        collection = self.collection_of(context)
        found = last_answer(self.chosen(context)) if collection else None
        self.class_name = found.text if found else ""
        return context.window_manager.invoke_props_dialog(self)

    def points(self, context: bpy.types.Context, result: Result) -> Any:
        return chosen_points(result)


class SelectingPoints(Editing):
    """An operator that selects points and the objects that hold them."""

    edit_mode: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Edit Mode", description="Go into edit mode, where points are seen to be selected (Blender 4.5 and later)"
    )
    extend: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Extend", description="Keep what is selected, and select more", options={"SKIP_SAVE"}
    )

    def select(self, context: bpy.types.Context, result: Result, chosen: Any) -> str:
        count = classes.select_points(context, result, chosen, extend=self.extend, edit=self.edit_mode)
        return f"Selected {count:,} points."


class SPLATONYM_OT_select_class_points(SelectingPoints, bpy.types.Operator):
    """Select the points of a class, or of one thing, and the objects that hold them"""

    bl_idname = "splatonym.select_class_points"
    bl_label = "Select Points of Class"
    bl_options = {"REGISTER", "UNDO"}

    class_name: class_property()  # type: ignore[valid-type]
    instance: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Instance", description="Number of a thing; 0 to go by class", min=0, options={"SKIP_SAVE"}
    )

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        name = "" if self.instance else self.class_of(result)
        if name:
            activate_class(result.collection, name)
        return self.select(context, result, classes.chosen_of(result, name, self.instance))


class SPLATONYM_OT_select_answer_points(SelectingPoints, bpy.types.Operator):
    """Select the points that the last question meant, and the objects that hold them"""

    place = "ask"
    bl_idname = "splatonym.select_answer_points"
    bl_label = "Select Points of Answer"
    bl_options = {"REGISTER", "UNDO"}

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        return self.select(context, result, chosen_points(result))


class SPLATONYM_OT_what_are_these_points(Editing, bpy.types.Operator):
    """Say what the selected points are: the share of each class, and which things they belong to"""

    bl_idname = "splatonym.what_are_these_points"
    bl_label = "What Are These Points?"
    bl_options = {"REGISTER"}  # nothing changes, so there is nothing to undo

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        chosen = classes.selected_points(context, result)
        if not chosen.any():
            raise InvalidInput(f"No points of '{result.name}' are selected.", "Select some in edit mode, or a point object.")
        return classes.told_points(result, chosen)


CLASSES = (
    SPLATONYM_OT_instance_to_class,
    SPLATONYM_OT_points_to_class,
    SPLATONYM_OT_answer_to_class,
    SPLATONYM_OT_select_class_points,
    SPLATONYM_OT_select_answer_points,
    SPLATONYM_OT_what_are_these_points,
)
