# SPDX-License-Identifier: GPL-3.0-or-later
"""Node trees as code: a few words for what Blender's API takes three lines to say. The same for geometry and shader nodes."""

from __future__ import annotations

from typing import Any

import bpy

STAMP = "splatonym_version"
"""The custom property that says which version of our nodes a tree or material holds."""


def node(tree: bpy.types.NodeTree, kind: str, inputs: dict[str | int, Any] | None = None, **settings: Any) -> bpy.types.Node:
    """A new node: settings first (they decide which sockets there are), then a value or a link for each input."""
    made = tree.nodes.new(kind)
    for name, value in settings.items():
        setattr(made, name, value)
    for key, value in (inputs or {}).items():
        socket = made.inputs[key] if isinstance(key, int) else next(s for s in made.inputs if s.name == key and s.enabled)
        if isinstance(value, bpy.types.NodeSocket):
            tree.links.new(value, socket)
        else:
            socket.default_value = value
    return made


def output(made: bpy.types.Node, name: str | None = None) -> bpy.types.NodeSocket:
    """The first enabled output, or the one of that name."""
    return next(s for s in made.outputs if s.enabled and (name is None or s.name == name))


def math(tree: bpy.types.NodeTree, operation: str, *values: Any, **settings: Any) -> bpy.types.NodeSocket:
    """A Math node's result."""
    return node(tree, "ShaderNodeMath", dict(enumerate(values)), operation=operation, **settings).outputs[0]


def linear_from_srgb(tree: bpy.types.NodeTree, value: Any) -> bpy.types.NodeSocket:
    """One channel of sRGB -> linear light, by the standard's two pieces."""
    low = math(tree, "DIVIDE", value, 12.92)
    high = math(tree, "POWER", math(tree, "DIVIDE", math(tree, "ADD", value, 0.055), 1.055), 2.4)
    is_low = math(tree, "LESS_THAN", value, 0.04045)
    return math(tree, "MULTIPLY_ADD", is_low, math(tree, "SUBTRACT", low, high), high)


def arrange(tree: bpy.types.NodeTree) -> None:
    """Columns by distance from the inputs, so that a person can read the tree."""
    depth: dict[str, int] = {n.name: 0 for n in tree.nodes}
    for _ in tree.nodes:
        for link in tree.links:
            depth[link.to_node.name] = max(depth[link.to_node.name], depth[link.from_node.name] + 1)
    rows: dict[int, int] = {}
    for n in tree.nodes:
        column = depth[n.name]
        n.location = (column * 190, -rows.get(column, 0) * 190)
        rows[column] = rows.get(column, 0) + 1
