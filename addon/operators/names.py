# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and questions for results: operators for the panel, operator search and scripts."""

from typing import Any

import bpy

from ...core.errors import InvalidInput
from .. import jobs
from ..answers import Found
from ..asking import (
    Named,
    ask_result,
    describe_result,
    fetch_model,
    objects_called,
    relabel_result,
    teach_result,
)
from ..labelling import LabelOptions
from ..properties import LEVELS
from .base import AskedFirst, ResultOperator, copied, settled

_VIEWS = ("camera_source", "resolution", "samples", "engine", "names", "model", "regions")


def _named(outcome: Named) -> str:
    counts = outcome.scene.counts()
    most = sorted(counts, key=lambda name: -counts[name])[:6]
    words = ", ".join(f"{name} {counts[name]:,}" for name in most)
    return f"'{outcome.scene.name}' has {len(counts)} classes: {words}. {outcome.notes}".strip()


class SPLATONYM_OT_describe(ResultOperator, jobs.ModalWork, bpy.types.Operator):
    """Render the cameras and let a vision-language model say what they show of a result, so that it can be named and asked"""

    place = "ask"
    bl_idname = "splatonym.describe"
    bl_label = "Describe Result"
    bl_options = {"REGISTER", "UNDO"}

    __annotations__ = {"result": ResultOperator.__annotations__["result"], **{name: copied(name) for name in _VIEWS}}

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        chosen = settled(self, context.scene.splatonym, _VIEWS)
        return describe_result(context, self.chosen(context), LabelOptions(**chosen))

    def done(self, context: bpy.types.Context, outcome: Named) -> str:
        return _named(outcome)


class SPLATONYM_OT_relabel(ResultOperator, jobs.ModalWork, bpy.types.Operator):
    """Give a described result other names; no picture is looked at again"""

    place = "ask"
    bl_idname = "splatonym.relabel"
    bl_label = "Relabel Result"
    bl_options = {"REGISTER", "UNDO"}

    __annotations__ = {"result": ResultOperator.__annotations__["result"], "names": copied("names")}

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        names = settled(self, context.scene.splatonym, ["names"])["names"]
        return relabel_result(context, self.chosen(context), names)

    def done(self, context: bpy.types.Context, outcome: Named) -> str:
        return _named(outcome)


class SPLATONYM_OT_query(ResultOperator, jobs.ModalWork, bpy.types.Operator):
    """Ask a described result for something: 'red chair', 'chair, stool', 'chair not armchair'"""

    place = "ask"
    bl_idname = "splatonym.query"
    bl_label = "Ask Result"
    bl_options = {"REGISTER", "UNDO"}

    text: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Text", description="What you look for; commas between several, and 'not' before what you do not mean"
    )
    unwanted: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Not", description="What is not meant, with commas between"
    )
    level: bpy.props.EnumProperty(  # type: ignore[valid-type]
        name="Level", items=LEVELS, default="object", description="What is chosen"
    )
    use_threshold: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Own Threshold", description="Set the least score; otherwise it lies where the scores fall into two groups"
    )
    threshold: bpy.props.FloatProperty(  # type: ignore[valid-type]
        name="Threshold", description="Least score of what is meant", default=0.6, min=0.0, max=1.0, subtype="FACTOR"
    )
    select: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Select Objects", description="Select the scene's objects that the things found are named after", default=True
    )
    show: bpy.props.BoolProperty(  # type: ignore[valid-type]
        name="Show Answer", description="Colour the points by how well they fit", default=True
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.text.strip():  # from operator search: ask the person first
            return context.window_manager.invoke_props_dialog(self)
        return jobs.ModalWork.invoke(self, context, event)

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        limit = self.threshold if self.use_threshold else None
        return ask_result(context, self.chosen(context), self.text, self.unwanted, self.level, limit, self.show)

    def done(self, context: bpy.types.Context, outcome: Found) -> str:
        if self.select:
            found = objects_called(context.scene, [str(thing["name"]) for thing in outcome.things])
            for item in context.view_layer.objects:
                item.select_set(item in found)
        if not outcome.count:
            return f"Nothing fits '{outcome.text}' (threshold {outcome.threshold:.2f})."
        best = ", ".join(f"{thing['name']} ({thing['score']:.2f})" for thing in outcome.things[:5])
        return f"'{outcome.text}': {outcome.count:,} points at {outcome.threshold:.2f} or more. {best}".strip()


class SPLATONYM_OT_teach(ResultOperator, jobs.ModalWork, bpy.types.Operator):
    """Say what things are, or what the last question found; what is like them follows"""

    place = "ask"
    bl_idname = "splatonym.teach"
    bl_label = "Teach Result"
    bl_options = {"REGISTER", "UNDO"}

    name: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Name", description="What they are; empty takes back what was taught of them"
    )
    things: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Things", description="Instance numbers with commas between; empty means what the last question found"
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.properties.is_property_set("name"):
            return context.window_manager.invoke_props_dialog(self)
        return jobs.ModalWork.invoke(self, context, event)

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        words = [word.strip() for word in self.things.split(",") if word.strip()]
        wrong = next((word for word in words if not word.isdigit()), None)
        if wrong is not None:
            raise InvalidInput(f"'{wrong}' is not the number of a thing.", "Write numbers with commas between: 12, 15.")
        return teach_result(context, self.chosen(context), self.name, [int(word) for word in words])

    def done(self, context: bpy.types.Context, outcome: Named) -> str:
        return _named(outcome)


class SPLATONYM_OT_fetch_model(AskedFirst, bpy.types.Operator):
    """Fetch the weights of a vision-language model; you are asked first, and Blender must be allowed to go online"""

    place = "predict"
    bl_idname = "splatonym.fetch_model"
    bl_label = "Fetch Vision-Language Model"
    bl_options = {"REGISTER"}

    model: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Model", description="The model's name, as 'splatonym models' lists it", default="ViT-B-16/laion2b_s34b_b88k"
    )

    def ask(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return set(context.window_manager.invoke_props_dialog(self, width=400, confirm_text="Fetch"))

    def answers(self) -> dict[str, Any]:
        return {"model": self.model}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.prop(self, "model")
        layout.label(text="The weights stay on this machine; nothing is sent", icon="IMPORT")
        if not bpy.app.online_access:
            box = layout.box()
            box.label(text="Blender is not allowed to go online", icon="ERROR")
            box.operator("splatonym.allow_online", icon="INTERNET")

    def begin(self, context: bpy.types.Context) -> jobs.Work:
        return fetch_model(self.model)

    def done(self, context: bpy.types.Context, outcome: Any) -> str:
        return f"'{outcome}' is on this machine."


CLASSES = (
    SPLATONYM_OT_describe,
    SPLATONYM_OT_relabel,
    SPLATONYM_OT_query,
    SPLATONYM_OT_teach,
    SPLATONYM_OT_fetch_model,
)
