# SPDX-License-Identifier: GPL-3.0-or-later
"""One class or one thing alone, and all again.

Classes are hidden by their collections ("Disable in Viewports"), so the file remembers it. A thing is shown alone by a small geometry-nodes
modifier before all others: no points are touched. What was hidden before is remembered on the result's collection, and comes back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import bpy
import numpy as np

from ...core.errors import NotAvailable
from ..build import Result, attributes, nodes
from ..build.objects import CLASS, point_objects
from ..build.trees import arrange, node, output
from .active import groups_of
from .edit import instance_mask
from .names import known_name, read_names

ISOLATED = "splatonym_isolated"
_ALONE = "Splatonym Isolate"
_INSTANCE = "Instance"


def isolate(result: Result, class_name: str = "", instance: int = 0) -> bool:
    """Show only a class or a thing; where it is shown alone already, all that was shown before. Returns whether it is alone now."""
    collection = result.collection
    wanted = (class_name, instance)
    if instance:
        instance_mask(result, instance)
    else:
        class_name = known_name(read_names(collection)[0], class_name)
        wanted = (class_name, 0)
        if not any(group[CLASS] == class_name for group in groups_of(collection)):
            raise NotAvailable(f"No point is of the class '{class_name}'.", "Choose a class of the list.")
    alone, hidden = isolated(collection), _hidden_before(collection)
    _restore(collection, hidden)
    if alone == wanted:
        return False
    for group in groups_of(collection):
        group.hide_viewport = not (_holds(group, instance) if instance else group[CLASS] == class_name)
    if instance:
        _show_alone(collection, instance)
    collection[ISOLATED] = json.dumps({"class": class_name, "instance": instance, "hidden": hidden}, ensure_ascii=False)
    return True


def isolated(collection: bpy.types.Collection) -> tuple[str, int] | None:
    """What is shown alone: (class name, 0) or ("", instance number); None where nothing is."""
    kept = _kept(collection)
    return None if kept is None else (str(kept.get("class", "")), int(kept.get("instance", 0)))


def show_all(result: Result, *, hide: bool = False) -> None:
    """Show all classes, or hide all; nothing is alone afterwards."""
    _restore(result.collection, [])
    for group in groups_of(result.collection):
        group.hide_viewport = hide


def _hidden_before(collection: bpy.types.Collection) -> list[str]:
    """The names of the classes that were hidden before anything was alone."""
    kept = _kept(collection)
    if kept is not None and isinstance(kept.get("hidden"), list):
        return [str(name) for name in kept["hidden"]]
    return [str(group[CLASS]) for group in groups_of(collection) if group.hide_viewport]


def _kept(collection: bpy.types.Collection) -> Mapping[str, Any] | None:
    try:
        kept = json.loads(collection.get(ISOLATED, "null"))
        return kept if isinstance(kept, dict) and isinstance(kept.get("instance", 0), int) else None
    except (TypeError, ValueError):
        return None


def _restore(collection: bpy.types.Collection, hidden: list[str]) -> None:
    """Nothing is alone any more."""
    for group in groups_of(collection):
        group.hide_viewport = group[CLASS] in hidden
    if ISOLATED in collection:
        del collection[ISOLATED]
    for item in point_objects(collection):
        for modifier in [m for m in item.modifiers if m.type == "NODES" and m.node_group and _ALONE in m.node_group]:
            item.modifiers.remove(modifier)
    for group in [g for g in bpy.data.node_groups if _ALONE in g and g.users == 0]:
        bpy.data.node_groups.remove(group)


def _holds(group: bpy.types.Collection, instance: int) -> bool:
    found = (attributes.point_numbers(item.data, attributes.INSTANCE) for item in point_objects(group))
    return any(numbers is not None and bool(np.any(numbers == instance)) for numbers in found)


def _show_alone(collection: bpy.types.Collection, instance: int) -> None:
    tree = _tree()
    for item in point_objects(collection):
        modifier = item.modifiers.new(_ALONE, "NODES")
        modifier.node_group = tree
        nodes.set_input(modifier, _INSTANCE, instance)
        item.modifiers.move(len(item.modifiers) - 1, 0)


def _tree() -> bpy.types.NodeTree:
    """Nodes that drop the points of all other instances."""
    found = next((g for g in bpy.data.node_groups if _ALONE in g), None)
    if found is not None:
        return found
    tree = bpy.data.node_groups.new(_ALONE, "GeometryNodeTree")
    tree[_ALONE] = 1
    tree.is_modifier = True
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket(_INSTANCE, in_out="INPUT", socket_type="NodeSocketInt", description="The one that is shown")
    given = tree.nodes.new("NodeGroupInput").outputs
    number = output(node(tree, "GeometryNodeInputNamedAttribute", {"Name": attributes.INSTANCE}, data_type="INT"))
    other = node(tree, "FunctionNodeCompare", {"A": number, "B": given[_INSTANCE]}, data_type="INT", operation="NOT_EQUAL")
    kept = node(tree, "GeometryNodeDeleteGeometry", {"Geometry": given["Geometry"], "Selection": output(other)}, domain="POINT")
    node(tree, "NodeGroupOutput", {0: output(kept)})
    arrange(tree)
    return tree
