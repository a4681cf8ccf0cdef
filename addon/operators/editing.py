# SPDX-License-Identifier: GPL-3.0-or-later
"""What operators that change a result at once share. A class or instance that is not given is the one marked in the panel's list."""

from typing import Any

import bpy

from ...core.errors import InvalidInput, SplatonymError
from .. import jobs
from ..build import Result
from ..classes.active import active_class
from ..classes.names import read_names
from ..classes.summary import summary_of
from .base import ResultOperator


def all_names(self: Any, context: bpy.types.Context, typed: str) -> list[str]:
    """Proposals for a name: the classes that occur, then the other names of the label set."""
    collection = self.collection_of(context)
    if collection is None:
        return []
    try:
        labels, _ = read_names(collection)
    except SplatonymError:
        return []
    there = list(summary_of(collection).classes)
    names = dict.fromkeys((*there, *labels.names))
    return [name for name in names if typed.casefold() in name.casefold()]


def class_property(description: str = "Name of the class; empty means the one marked in the panel") -> Any:
    return bpy.props.StringProperty(name="Class", description=description, search=all_names, options={"SKIP_SAVE"})


def instance_property() -> Any:
    return bpy.props.IntProperty(
        name="Instance",
        description="Number of the thing; 0 means the one marked in the panel",
        min=0,
        options={"SKIP_SAVE"},
    )


class Editing(ResultOperator):
    """An operator that changes a result at once: `edit` does it and returns the sentence that reports it."""

    place = "classes"

    def collection_of(self, context: bpy.types.Context) -> bpy.types.Collection | None:
        try:
            return self.chosen(context).collection
        except SplatonymError:
            return None

    def execute(self, context: bpy.types.Context) -> set[str]:
        if jobs.state.running:
            self.report({"ERROR"}, "Another job is running; cancel it or wait for it.")
            return {"CANCELLED"}
        try:
            told = self.edit(context, self.chosen(context))
        except SplatonymError as error:
            return self.failed(error)
        jobs.state.told(self.place, told)
        if told:
            self.report({"INFO"}, told)
        jobs.redraw(context)
        return {"FINISHED"}

    def edit(self, context: bpy.types.Context, result: Result) -> str:
        raise TypeError(f"{type(self).__name__} does not say what it does")

    def class_of(self, result: Result) -> str:
        """The class that is given, or marked."""
        name: str = self.class_name.strip() or active_class(result.collection)
        if not name:
            raise InvalidInput("No class is chosen.", "Click one in the list.")
        self.class_name = name  # so that the Info log's line means the same class when it is run again
        return name

    def instance_of(self, result: Result) -> int:
        """The thing that is given, or marked."""
        number: int = self.instance or result.collection.splatonym_instance
        if not number:
            raise InvalidInput("No thing is chosen.", "Click one in the list.")
        self.instance = number
        return number
