# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels onto meshes, names for objects, and objects found by class, likeness or question: for the panel, search and scripts."""

from collections.abc import Generator
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as _

from ...core.errors import InvalidInput, SplatonymError
from .. import jobs, transfer
from ..answers import chosen_points, last_answer
from ..build import find_results
from ..build.reading import read_steps
from ..classes import active_result
from ..classes.selection import leave_edit
from ..output import MESH_OPTIONS, SplatonymOutput
from .base import ResultOperator, copied, settled

_TOLD = 5
"""How many objects a report names."""


def _listed(names: list[str]) -> str:
    """The first few names, and how many more."""
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 'es' if word.endswith('sh') else 's'}"


def _in_object_mode(cls: type, context: bpy.types.Context) -> bool:
    """Whether Blender is in object mode; if not, that is the tooltip's reason."""
    if context.mode != "OBJECT":
        cls.poll_message_set(_("Leave the mode that you edit or paint in first"))
        return False
    return True


class MeshOperator(ResultOperator, jobs.ModalWork):
    """An operator on a result and the scene's own objects."""

    place = "output"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) and _in_object_mode(cls, context)


class Selecting(MeshOperator):
    """An operator that selects objects: its work returns what they have in common, in words, and their names.

    Whoever edits points or a mesh gets back to object mode first, since only there objects can be selected.
    """

    extend: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Extend", description="Keep what is selected, and select more", options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode not in ("OBJECT", "EDIT_MESH", "EDIT_POINTCLOUD"):
            cls.poll_message_set(_("Leave the mode that you edit or paint in first"))
            return False
        return ResultOperator.poll.__func__(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        leave_edit(context)
        return super().execute(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        leave_edit(context)
        return super().invoke(context, event)

    def done(self, context: bpy.types.Context, outcome: tuple[str, list[str]]) -> str:
        what, names = outcome
        transfer.select(context, names, extend=self.extend)
        return f"{what}: {_number(len(names), 'object')}. {_listed(names)}".strip() if names else f"{what}: no object."


class SPLATONYM_OT_labels_to_meshes(MeshOperator, bpy.types.Operator):
    """Write the classes of a result onto the faces of meshes, by the Gaussians nearest to each; others stay unlabelled"""

    bl_idname = "splatonym.labels_to_meshes"
    bl_label = "Labels to Meshes"
    bl_options = {"REGISTER", "UNDO"}

    __annotations__ = {
        "result": ResultOperator.__annotations__["result"],
        **{name: copied(name, SplatonymOutput) for name in MESH_OPTIONS},
    }

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        options = transfer.TransferOptions(**settled(self, context.scene.splatonym_output, MESH_OPTIONS))
        return transfer.labels_to_meshes(context, self.chosen(context), options)

    def done(self, context: bpy.types.Context, outcome: transfer.Transferred) -> str:
        named = sum(outcome.classes.values())
        classes = _listed([f"{name} {count:,}" for name, count in outcome.classes.items()])
        made = f" {_number(outcome.new_objects, 'new object')}." if outcome.new_objects else ""
        words = f"Labelled {named:,} of {_number(outcome.faces, 'face')} of {_number(outcome.meshes, 'mesh')}"
        return f"{words}{f': {classes}' if classes else ''}.{made} {outcome.notes}".strip()


class SPLATONYM_OT_remove_labels(bpy.types.Operator):
    """Take classes, instances, class vertex groups and class materials off meshes; their own materials come back"""

    bl_idname = "splatonym.remove_labels"
    bl_label = "Remove Labels from Meshes"
    bl_options = {"REGISTER", "UNDO"}

    selected: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Only Selected", description="Clean the selected meshes, not all visible ones", default=True
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not jobs.state.running and _in_object_mode(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            count = transfer.remove_labels(context, self.selected)
        except SplatonymError as error:
            jobs.state.told("output", error=error)
            self.report({"ERROR"}, error.sentence())
            return {"CANCELLED"}
        words = f"Took the labels off {_number(count, 'mesh')}"
        jobs.state.told("output", f"{words}.")
        self.report({"INFO"}, words)
        return {"FINISHED"}


class SPLATONYM_OT_rename_objects(MeshOperator, bpy.types.Operator):
    """Name objects after what most of their Gaussians are: 'Cube.047' becomes 'chair.001'"""

    bl_idname = "splatonym.rename_objects"
    bl_label = "Rename Objects"
    bl_options = {"REGISTER", "UNDO"}

    selected: copied("rename_selected", SplatonymOutput)  # type: ignore[valid-type]
    only_unnamed: copied("only_unnamed", SplatonymOutput)  # type: ignore[valid-type]
    least: copied("least", SplatonymOutput)  # type: ignore[valid-type]
    preview: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Preview", description="Only say which names there would be", options={"SKIP_SAVE"}
    )

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        panel = context.scene.splatonym_output
        if not self.properties.is_property_set("selected"):
            self.selected = panel.rename_selected
        choice = settled(self, panel, ("only_unnamed", "least"))
        return transfer.preview_names(context, self.chosen(context), selected=self.selected, **choice)

    def done(self, context: bpy.types.Context, outcome: list[transfer.Rename]) -> str:
        if not self.preview:
            transfer.apply_names(context, outcome)
        if not outcome:
            return "There is no object to rename: all have names, or are not known well enough."
        words = _listed([f"{old} → {new} ({confidence:.0%})" for old, new, confidence in outcome])
        return f"{'Would rename' if self.preview else 'Renamed'} {_number(len(outcome), 'object')}: {words}"


class SPLATONYM_OT_what_is_this(MeshOperator, bpy.types.Operator):
    """Say what the selected objects are called in a result, with the share of each class"""

    place = "classes"
    bl_idname = "splatonym.what_is_this"
    bl_label = "What Is This Called?"
    bl_options = {"REGISTER"}  # nothing changes, so there is nothing to undo

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        return transfer.what_is(context, self.chosen(context))

    def done(self, context: bpy.types.Context, outcome: list[transfer.Called]) -> str:
        return "; ".join(_answer(called) for called in outcome[:_TOLD]) + (
            f"; and {len(outcome) - _TOLD} more." if len(outcome) > _TOLD else "."
        )


def _answer(called: transfer.Called) -> str:
    """ "'Cube.001' is chair (93%), table (7%)" """
    if not called.shares:
        return f"'{called.name}' is not in the result"
    return f"'{called.name}' is {', '.join(f'{name} ({share:.0%})' for name, share in list(called.shares.items())[:3])}"


def _class_names(self: Any, context: bpy.types.Context, typed: str) -> list[str]:
    """Proposals for a class's name: the classes that occur."""
    active = active_result(context.scene)
    mine = (
        [result for result in find_results(context.scene) if self.result in (result.id, result.name)]
        if self.result
        else [active]
    )
    return [item.name for result in mine if result for item in result.classes if typed.casefold() in item.name.casefold()]


class SPLATONYM_OT_select_class(Selecting, bpy.types.Operator):
    """Select the objects that are of a class, or one thing: those most of whose Gaussians are"""

    place = "classes"
    bl_idname = "splatonym.select_class"
    bl_label = "Select Objects of Class"
    bl_options = {"REGISTER", "UNDO"}

    class_name: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Class", description="Name of the class; not needed with an instance", search=_class_names
    )
    instance: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Instance", description="Number of a thing in the result; 0 to go by class", min=0
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.class_name.strip() and not self.instance:  # from operator search: ask the person first
            return context.window_manager.invoke_props_dialog(self)
        return super().invoke(context, event)

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        if not self.class_name.strip() and not self.instance:
            raise InvalidInput("Neither a class nor an instance is given.", "Type a class's name, or an instance's number.")
        return _select_class(context, self.chosen(context), self.class_name, self.instance)


def _select_class(context: bpy.types.Context, result: Any, name: str, instance: int) -> Generator[jobs.Step, None, Any]:
    scene = yield from transfer.read_labelled(result)
    if instance:
        return f"Instance {instance}", (yield from transfer.meant(context, scene, transfer.of_instance(scene, instance)))
    name = scene.labels.names[transfer.find_class(scene, name)]
    return f"Class '{name}'", (yield from transfer.meant(context, scene, transfer.of_class(scene, name)))


class SPLATONYM_OT_select_similar(Selecting, bpy.types.Operator):
    """Select all objects that are of the same class as the active one"""

    place = "classes"
    bl_idname = "splatonym.select_similar"
    bl_label = "Select Similar Objects"
    bl_options = {"REGISTER", "UNDO"}

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        return transfer.similar(context, self.chosen(context))

    def done(self, context: bpy.types.Context, outcome: tuple[str, list[str]]) -> str:
        return super().done(context, (f"Class '{outcome[0]}'", outcome[1]))


class SPLATONYM_OT_select_answer(Selecting, bpy.types.Operator):
    """Select the objects that the last question meant: those most of whose Gaussians it chose"""

    place = "ask"
    bl_idname = "splatonym.select_answer"
    bl_label = "Select Objects of Answer"
    bl_options = {"REGISTER", "UNDO"}

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        return _select_answer(context, self.chosen(context))


def _select_answer(context: bpy.types.Context, result: Any) -> Generator[jobs.Step, None, tuple[str, list[str]]]:
    chosen = chosen_points(result)
    scene = yield from read_steps(result.collection)
    return "Last question", (yield from transfer.meant(context, scene, chosen))


class SPLATONYM_OT_answer_to_collection(MeshOperator, bpy.types.Operator):
    """Put the objects that the last question meant into a collection of their own, as well as where they are"""

    place = "ask"
    bl_idname = "splatonym.answer_to_collection"
    bl_label = "Answer to Collection"
    bl_options = {"REGISTER", "UNDO"}

    name: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Name", description="Name of the collection; empty means the question", options={"SKIP_SAVE"}
    )

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        return _select_answer(context, self.chosen(context))

    def done(self, context: bpy.types.Context, outcome: tuple[str, list[str]]) -> str:
        names = outcome[1]
        if not names:
            return "The last question meant no object, so there is nothing to group."
        found = last_answer(self.chosen(context))
        group = bpy.data.collections.new(self.name.strip() or (found.text if found else "Answer"))
        context.scene.collection.children.link(group)
        for name in names:
            group.objects.link(bpy.data.objects[name])
        transfer.select(context, names)
        return f"The collection '{group.name}' holds {_number(len(names), 'object')}: {_listed(names)}"


CLASSES = (
    SPLATONYM_OT_labels_to_meshes,
    SPLATONYM_OT_remove_labels,
    SPLATONYM_OT_rename_objects,
    SPLATONYM_OT_what_is_this,
    SPLATONYM_OT_select_class,
    SPLATONYM_OT_select_similar,
    SPLATONYM_OT_select_answer,
    SPLATONYM_OT_answer_to_collection,
)
