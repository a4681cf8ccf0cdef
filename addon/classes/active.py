# SPDX-License-Identifier: GPL-3.0-or-later
"""Which result and which class the panels are about, where there are several."""

from __future__ import annotations

import bpy

from ..build import Result, describe, find_collection
from ..build.objects import CLASS, RESULT


def has_results(scene: bpy.types.Scene) -> bool:
    """Whether there is any result; cheaper than to list them, since every button of every panel asks."""
    return any(RESULT in collection for collection in scene.collection.children_recursive)


def active_collection(scene: bpy.types.Scene) -> bpy.types.Collection | None:
    """The collection of the result that a person chose, else of the last one in the outliner; None without any."""
    chosen = getattr(scene, "splatonym_result", "")  # not there in scripts that register nothing
    found = find_collection(scene, chosen) if chosen else None
    if found is not None:
        return found
    return next((c for c in reversed(scene.collection.children_recursive) if RESULT in c), None)


def active_result(scene: bpy.types.Scene) -> Result | None:
    """As `active_collection`, with what is in it."""
    collection = active_collection(scene)
    return None if collection is None else describe(collection)


def groups_of(collection: bpy.types.Collection) -> list[bpy.types.Collection]:
    """The class collections of a result, also those that people put into folders."""
    return [group for group in collection.children_recursive if CLASS in group]


def active_class(collection: bpy.types.Collection) -> str:
    """The name of the class that is marked in the panel's list; "" where none is."""
    place, children = collection.splatonym_class_index, collection.children
    marked = children[place] if 0 <= place < len(children) else None
    return "" if marked is None else str(marked.get(CLASS, ""))


def activate_class(collection: bpy.types.Collection, name: str) -> None:
    """Mark a class in the panel's list, if it is there."""
    place = next((k for k, child in enumerate(collection.children) if child.get(CLASS) == name), None)
    if place is not None:
        collection.splatonym_class_index = place


def result_of(group: bpy.types.Collection) -> Result | None:
    """The result that a class collection belongs to."""
    owner = next((c for c in bpy.data.collections if RESULT in c and group in c.children_recursive), None)
    return None if owner is None else describe(owner)
