# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes and things of a result, edited by hand: operators for the panel, operator search and scripts. Nothing is predicted here."""

import bpy

from ...core.errors import SplatonymError
from .. import classes, jobs
from ..answers import last_answer
from ..build import Result
from ..classes.active import active_class
from ..classes.selection import leave_edit
from ..classes.summary import summary_of
from ..properties import follow
from .editing import Editing, all_names, class_property, instance_property


class SPLATONYM_OT_activate_result(Editing, bpy.types.Operator):
    """Let the panels be about this result"""

    bl_idname = "splatonym.activate_result"
    bl_label = "Choose Result"
    bl_options = {"REGISTER", "UNDO"}

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        context.scene.splatonym_result = result.id
        found = last_answer(result)
        if found is not None:
            follow(context.scene, found)
        return f"The panels are about '{result.name}'."


class SPLATONYM_OT_activate_instance(Editing, bpy.types.Operator):
    """Mark this thing; the buttons below are about it"""

    bl_idname = "splatonym.activate_instance"
    bl_label = "Mark Thing"
    bl_options = {"INTERNAL", "UNDO"}

    instance: instance_property()  # type: ignore[valid-type]

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        marked = result.collection.splatonym_instance
        result.collection.splatonym_instance = 0 if marked == self.instance else self.instance
        return ""


class SPLATONYM_OT_rename_class(Editing, bpy.types.Operator):
    """Call a class something else. The old name stays as another word for it, so questions still find it"""

    bl_idname = "splatonym.rename_class"
    bl_label = "Rename Class"
    bl_options = {"REGISTER", "UNDO"}

    class_name: class_property()  # type: ignore[valid-type]
    name: bpy.props.StringProperty(name="New Name", description="What the class is called from now on")  # type: ignore[valid-type]

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.properties.is_property_set("name"):
            return self.execute(context)
        collection = self.collection_of(context)
        self.name = self.class_name or (active_class(collection) if collection else "")
        self.class_name = self.name
        return context.window_manager.invoke_props_dialog(self)

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.prop(self, "name")

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        old = self.class_of(result)
        leave_edit(context)
        return f"'{old}' is called '{classes.rename(result, old, self.name)}' now."


class SPLATONYM_OT_merge_class(Editing, bpy.types.Operator):
    """Make a class part of another. Its name stays as another word for that"""

    bl_idname = "splatonym.merge_class"
    bl_label = "Merge Class"
    bl_options = {"REGISTER", "UNDO"}

    class_name: class_property()  # type: ignore[valid-type]
    into: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Into", description="The class that it becomes part of", search=all_names, options={"SKIP_SAVE"}
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.execute(context) if self.into else context.window_manager.invoke_props_dialog(self)

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        source = self.class_of(result)
        leave_edit(context)
        return f"'{source}' is part of '{classes.merge(result, source, self.into)}' now."


class SPLATONYM_OT_recolour_class(Editing, bpy.types.Operator):
    """Give a class another colour"""

    bl_idname = "splatonym.recolour_class"
    bl_label = "Recolour Class"
    bl_options = {"REGISTER", "UNDO"}

    class_name: class_property()  # type: ignore[valid-type]
    colour: bpy.props.FloatVectorProperty(  # type: ignore[valid-type]
        name="Colour", description="The class's new colour", size=3, min=0.0, max=1.0, subtype="COLOR", default=(0.8, 0.2, 0.1)
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return (
            self.execute(context)
            if self.properties.is_property_set("colour")
            else context.window_manager.invoke_props_dialog(self)
        )

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        name = self.class_of(result)
        classes.recolour(result, name, tuple(self.colour))
        return f"'{name}' has another colour."


class SPLATONYM_OT_delete_class(Editing, bpy.types.Operator):
    """Delete all points of a class"""

    bl_idname = "splatonym.delete_class"
    bl_label = "Delete Class"
    bl_options = {"REGISTER", "UNDO"}

    class_name: class_property()  # type: ignore[valid-type]

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        name = self.class_of(result)
        leave_edit(context)
        return f"Deleted {classes.delete(result, classes.class_mask(result, name)):,} points of '{name}'."


class SPLATONYM_OT_isolate(Editing, bpy.types.Operator):
    """Show only this class, or only one thing; once more shows all again that was shown before"""

    bl_idname = "splatonym.isolate"
    bl_label = "Isolate Class"
    bl_options = {"REGISTER", "UNDO"}

    class_name: class_property()  # type: ignore[valid-type]
    instance: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Instance", description="Number of a thing; 0 to go by class", min=0, options={"SKIP_SAVE"}
    )

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        name = "" if self.instance else self.class_of(result)
        alone = classes.isolate(result, name, self.instance)
        what = f"instance {self.instance}" if self.instance else f"'{name}'"
        return f"Only {what} is shown." if alone else "All is shown again that was shown before."


class SPLATONYM_OT_show_classes(Editing, bpy.types.Operator):
    """Show all classes of the result"""

    bl_idname = "splatonym.show_classes"
    bl_label = "Show All Classes"
    bl_options = {"REGISTER", "UNDO"}

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        classes.show_all(result)
        return "All classes are shown."


class SPLATONYM_OT_hide_classes(Editing, bpy.types.Operator):
    """Hide all classes of the result"""

    bl_idname = "splatonym.hide_classes"
    bl_label = "Hide All Classes"
    bl_options = {"REGISTER", "UNDO"}

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        classes.show_all(result, hide=True)
        return "All classes are hidden."


class SPLATONYM_OT_rename_instance(Editing, bpy.types.Operator):
    """Call a thing something else"""

    bl_idname = "splatonym.rename_instance"
    bl_label = "Rename Thing"
    bl_options = {"REGISTER", "UNDO"}

    instance: instance_property()  # type: ignore[valid-type]
    name: bpy.props.StringProperty(name="New Name", description="What the thing is called from now on")  # type: ignore[valid-type]

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.properties.is_property_set("name"):
            return self.execute(context)
        collection = self.collection_of(context)
        if collection is not None:
            self.instance = self.instance or collection.splatonym_instance
            things = (thing for item in summary_of(collection).classes.values() for thing in item.things)
            self.name = next((thing.name for thing in things if thing.id == self.instance), "")
        return context.window_manager.invoke_props_dialog(self)

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.prop(self, "name")

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        number = self.instance_of(result)
        return f"Instance {number} is called '{classes.rename_instance(result, number, self.name)}' now."


class SPLATONYM_OT_delete_instance(Editing, bpy.types.Operator):
    """Delete all points of a thing"""

    bl_idname = "splatonym.delete_instance"
    bl_label = "Delete Thing"
    bl_options = {"REGISTER", "UNDO"}

    instance: instance_property()  # type: ignore[valid-type]

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        number = self.instance_of(result)
        leave_edit(context)
        count = classes.delete(result, classes.instance_mask(result, number))
        result.collection.splatonym_instance = 0
        return f"Deleted {count:,} points of instance {number}."


class SPLATONYM_OT_apply_class_preset(Editing, bpy.types.Operator):
    """Call classes as a set of names calls them (a couch becomes a sofa), and give them its colours"""

    bl_idname = "splatonym.apply_class_preset"
    bl_label = "Apply Names and Colours"
    bl_options = {"REGISTER", "UNDO"}

    preset: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Set",
        description="A label set that ships with Splatonym, or one of your own",
        search=lambda self, context, typed: [n for names in classes.preset_list() for n in names if typed in n],
    )
    names: bpy.props.BoolProperty(
        name="Names", description="Rename classes; those that get the same name are merged", default=True
    )  # type: ignore[valid-type]
    colours: bpy.props.BoolProperty(name="Colours", description="Recolour classes", default=True)  # type: ignore[valid-type]

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.execute(context) if self.preset else context.window_manager.invoke_props_dialog(self)

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        leave_edit(context)
        renamed, recoloured = classes.apply_preset(result, self.preset, names=self.names, colours=self.colours)
        return f"'{self.preset}': {renamed} classes renamed, {recoloured} coloured."


class SPLATONYM_OT_save_class_preset(Editing, bpy.types.Operator):
    """Keep the names and colours of this result as a set of your own, for other results and files"""

    bl_idname = "splatonym.save_class_preset"
    bl_label = "Save Names and Colours"
    bl_options = {"REGISTER"}

    name: bpy.props.StringProperty(name="Name", description="What the set is called; one of this name is replaced")  # type: ignore[valid-type]

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        return f"Saved the set '{classes.save_preset(result, self.name)}'."


class SPLATONYM_OT_remove_class_preset(bpy.types.Operator):
    """Remove a set of names and colours of your own"""

    bl_idname = "splatonym.remove_class_preset"
    bl_label = "Remove Names and Colours"
    bl_options = {"REGISTER"}

    preset: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Set", description="One of your own sets", search=lambda self, context, typed: classes.preset_list()[1]
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            classes.remove_preset(self.preset)
        except SplatonymError as error:
            jobs.state.told("classes", error=error)
            self.report({"ERROR"}, error.sentence())
            return {"CANCELLED"}
        words = f"Removed the set '{self.preset}'"
        jobs.state.told("classes", f"{words}.")
        self.report({"INFO"}, words)
        return {"FINISHED"}


CLASSES = (
    SPLATONYM_OT_activate_result,
    SPLATONYM_OT_activate_instance,
    SPLATONYM_OT_rename_class,
    SPLATONYM_OT_merge_class,
    SPLATONYM_OT_recolour_class,
    SPLATONYM_OT_delete_class,
    SPLATONYM_OT_isolate,
    SPLATONYM_OT_show_classes,
    SPLATONYM_OT_hide_classes,
    SPLATONYM_OT_rename_instance,
    SPLATONYM_OT_delete_instance,
    SPLATONYM_OT_apply_class_preset,
    SPLATONYM_OT_save_class_preset,
    SPLATONYM_OT_remove_class_preset,
)
