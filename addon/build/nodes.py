# SPDX-License-Identifier: GPL-3.0-or-later
"""The geometry nodes that show points as oriented ellipsoids, as code.

One node group serves every result (a second one the results with the older set of attribute names that a file may bring along);
each point object has it as a modifier. It reads the attributes under the names of `attributes.py`, drops points below the
thresholds, works out what the material needs (`splat_colour`, linear RGB; `splat_opacity`, 0..1), and shows each Gaussian as an
ellipsoid (a ball of 80 faces, turned by the rotation and scaled by size times the standard deviations) or as a round point.
Points are much faster than ellipsoids, so viewport and render choose apart.
"""

from __future__ import annotations

from typing import Any

import bpy

from ...core.errors import NotAvailable
from ...core.gaussians import SH_C0
from . import attributes
from .trees import STAMP, arrange, linear_from_srgb, math, node, output

VERSION = 1
"""Raised when the nodes change: files with an older group get the new one, with their settings kept."""

_RNA_INPUTS = "properties" in bpy.types.NodesModifier.bl_rna.properties
"""From Blender 5.2 a modifier's settings are properties; before they are items of the modifier itself."""

COLOUR, OPACITY, WHITENED = "splat_colour", "splat_opacity", "splat_whitened"

SHOW = "splatonym_show"
"""The object's custom property that chooses what the material shows (materials.py)."""
SHOW_AS_ATTRIBUTE = bpy.app.version < (4, 5, 0)
"""Cycles before 4.5 reads no custom properties on point clouds: there the nodes pass the choice on to the points."""

VIEWPORT, RENDER, SIZE = "Ellipsoids in Viewport", "Ellipsoids in Render", "Size"
MIN_OPACITY, MIN_CONFIDENCE, SHARE = "Minimum Opacity", "Minimum Confidence", "Viewport Share"
MATERIAL, SOFT, SHOW_INPUT = "Material", "Soft Edges", "Show"

# Only ever append: modifiers remember their settings by place.
INPUTS: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    (MATERIAL, "NodeSocketMaterial", {}, "What the points are shown with"),
    (SIZE, "NodeSocketFloat", {"default_value": 1.5, "min_value": 0.0, "max_value": 10.0}, "Radius in standard deviations"),
    (
        MIN_OPACITY,
        "NodeSocketFloat",
        {"default_value": 0.0, "min_value": 0.0, "max_value": 1.0, "subtype": "FACTOR"},
        "Hide points that are more transparent than this",
    ),
    (
        MIN_CONFIDENCE,
        "NodeSocketFloat",
        {"default_value": 0.0, "min_value": 0.0, "max_value": 1.0, "subtype": "FACTOR"},
        "Hide points whose class is less sure than this",
    ),
    (
        SHARE,
        "NodeSocketFloat",
        {"default_value": 1.0, "min_value": 0.0, "max_value": 1.0, "subtype": "FACTOR"},
        "Part of the points that the viewport shows; renders show all",
    ),
    (VIEWPORT, "NodeSocketBool", {"default_value": True}, "Show ellipsoids in the viewport; off is faster"),
    (RENDER, "NodeSocketBool", {"default_value": True}, "Show ellipsoids in renders; off is faster"),
    (SOFT, "NodeSocketBool", {"default_value": False}, "Let ellipsoids fade outwards as Gaussians do; wants a larger size"),
    *([(SHOW_INPUT, "NodeSocketInt", {}, "What the material shows")] if SHOW_AS_ATTRIBUTE else []),
)


def group_name() -> str:
    """The node group's name; the sets of attribute names need different nodes."""
    return "Splatonym Points" if attributes.NATIVE else "Splatonym Points (3DGS)"


def ensure_group() -> bpy.types.NodeTree:
    """The node group: the file's own if it is of this version, else built anew in its place."""
    name = group_name()
    old = bpy.data.node_groups.get((name, None))
    if old is not None and old.get(STAMP) == VERSION:
        return old
    group = bpy.data.node_groups.new(name, "GeometryNodeTree")
    _build(group)
    group[STAMP] = VERSION
    group.is_modifier = True
    if old is not None and old.get(STAMP) is not None:
        old.user_remap(group)
        bpy.data.node_groups.remove(old)
        group.name = name
    return group


def add_modifier(item: bpy.types.Object) -> bpy.types.Modifier:
    """Give a point object the node group."""
    modifier = item.modifiers.new("Splatonym Points", "NODES")
    modifier.node_group = ensure_group()
    return modifier


def find_modifier(item: bpy.types.Object) -> bpy.types.Modifier | None:
    """The modifier of a point object that has our node group, or None."""
    return next((m for m in item.modifiers if m.type == "NODES" and m.node_group and STAMP in m.node_group), None)


def get_input(modifier: bpy.types.Modifier, name: str) -> Any:
    """A setting of the modifier, by the name its panel shows."""
    key = _socket(modifier, name)
    return getattr(modifier.properties.inputs, key).value if _RNA_INPUTS else modifier[key]


def set_input(modifier: bpy.types.Modifier, name: str, value: Any) -> None:
    """Change a setting of the modifier."""
    key = _socket(modifier, name)
    if _RNA_INPUTS:
        getattr(modifier.properties.inputs, key).value = value
    else:
        modifier[key] = value
    modifier.id_data.update_tag()


def choose(item: bpy.types.Object, place: int) -> None:
    """Set what a point object shows: the place in `materials.SHOW_MODES`."""
    item[SHOW] = place
    item.update_tag()
    modifier = find_modifier(item)
    if modifier is not None and any(i.name == SHOW_INPUT for i in modifier.node_group.interface.items_tree):
        set_input(modifier, SHOW_INPUT, place)  # the group may come from an older Blender


def _socket(modifier: bpy.types.Modifier, name: str) -> str:
    for item in modifier.node_group.interface.items_tree:
        if item.item_type == "SOCKET" and item.in_out == "INPUT" and item.name == name:
            return str(item.identifier)
    raise NotAvailable(f"The points have no setting '{name}'.", f"Settings: {', '.join(i[0] for i in INPUTS)}.")


def _build(tree: bpy.types.NodeTree) -> None:
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    for name, kind, settings, description in INPUTS:
        socket = tree.interface.new_socket(name, description=description, in_out="INPUT", socket_type=kind)
        for key, value in settings.items():
            setattr(socket, key, value)
    given = tree.nodes.new("NodeGroupInput").outputs
    in_view = output(tree.nodes.new("GeometryNodeIsViewport"))
    red, green, blue, opacity, scale, rotation = _decode(tree)

    confidence = node(tree, "GeometryNodeInputNamedAttribute", {"Name": attributes.CONFIDENCE}, data_type="FLOAT")
    unsure = math(
        tree, "MULTIPLY", output(confidence, "Exists"), math(tree, "LESS_THAN", output(confidence), given[MIN_CONFIDENCE])
    )
    faint = math(tree, "LESS_THAN", opacity, given[MIN_OPACITY])
    chance = output(node(tree, "FunctionNodeRandomValue", {"Min": 0.0, "Max": 1.0}, data_type="FLOAT"))
    thinned = math(tree, "MULTIPLY", in_view, math(tree, "GREATER_THAN", chance, given[SHARE]))
    hidden = math(tree, "ADD", math(tree, "ADD", unsure, faint), thinned)

    kept = node(tree, "GeometryNodeDeleteGeometry", {"Geometry": given["Geometry"], "Selection": hidden}, domain="POINT")
    colour = output(node(tree, "FunctionNodeCombineColor", {"Red": red, "Green": green, "Blue": blue}, mode="RGB"))
    stored = output(kept)
    results = [(COLOUR, "FLOAT_COLOR", colour), (OPACITY, "FLOAT", opacity)]
    if SHOW_AS_ATTRIBUTE:
        results.append((SHOW, "FLOAT", given[SHOW_INPUT]))
    for name, kind, value in results:
        inputs = {"Geometry": stored, "Name": name, "Value": value}
        stored = output(node(tree, "GeometryNodeStoreNamedAttribute", inputs, data_type=kind, domain="POINT"))

    radius = node(tree, "GeometryNodeInputNamedAttribute", {"Name": "radius"}, data_type="FLOAT")
    radius = math(tree, "MULTIPLY", output(radius), given[SIZE])
    points = node(tree, "GeometryNodeSetPointRadius", {"Points": stored, "Radius": radius})
    ball = node(tree, "GeometryNodeMeshIcoSphere", {"Radius": 1.0, "Subdivisions": 2})
    reach = math(tree, "MULTIPLY", given[SIZE], given[SOFT])
    place = node(
        tree,
        "ShaderNodeVectorMath",
        {0: output(tree.nodes.new("GeometryNodeInputPosition")), "Scale": reach},
        operation="SCALE",
    )
    inputs = {"Geometry": output(ball, "Mesh"), "Name": WHITENED, "Value": output(place)}
    ball = node(tree, "GeometryNodeStoreNamedAttribute", inputs, data_type="FLOAT_VECTOR", domain="POINT")
    size = node(tree, "ShaderNodeVectorMath", {0: scale, "Scale": given[SIZE]}, operation="SCALE")
    ellipsoids = node(
        tree,
        "GeometryNodeInstanceOnPoints",
        {"Points": stored, "Instance": output(ball), "Rotation": rotation, "Scale": output(size)},
    )
    wanted = node(
        tree, "GeometryNodeSwitch", {"Switch": in_view, "False": given[RENDER], "True": given[VIEWPORT]}, input_type="BOOLEAN"
    )
    shown = node(
        tree,
        "GeometryNodeSwitch",
        {"Switch": output(wanted), "False": output(points), "True": output(ellipsoids)},
        input_type="GEOMETRY",
    )
    coloured = node(tree, "GeometryNodeSetMaterial", {"Geometry": output(shown), "Material": given[MATERIAL]})
    node(tree, "NodeGroupOutput", {0: output(coloured)})
    arrange(tree)


def _decode(tree: bpy.types.NodeTree) -> tuple[bpy.types.NodeSocket, ...]:
    """Linear red, green, blue; opacity 0..1; scale vector; rotation: from the attributes of this Blender's set of names."""

    def named(name: str, kind: str = "FLOAT") -> bpy.types.NodeSocket:
        return output(node(tree, "GeometryNodeInputNamedAttribute", {"Name": name}, data_type=kind))

    if attributes.NATIVE:
        base = node(tree, "FunctionNodeSeparateColor", {0: named("radiance:base", "FLOAT_COLOR")}, mode="RGB")
        harmonics, opacity = [base.outputs[k] for k in range(3)], base.outputs["Alpha"]
        scale, rotation = named("scale", "FLOAT_VECTOR"), named("rotation", "QUATERNION")
    else:
        harmonics = [named(f"f_dc_{k}") for k in range(3)]
        decay = math(tree, "EXPONENT", math(tree, "MULTIPLY", named("opacity"), -1.0))
        opacity = math(tree, "DIVIDE", 1.0, math(tree, "ADD", 1.0, decay))
        axes = {axis: math(tree, "EXPONENT", named(f"scale_{k}")) for k, axis in enumerate("XYZ")}
        scale = output(node(tree, "ShaderNodeCombineXYZ", axes))
        turn = {axis: named(f"rot_{k}") for k, axis in enumerate("WXYZ")}
        rotation = output(node(tree, "FunctionNodeQuaternionToRotation", turn))
    srgb = [math(tree, "MULTIPLY_ADD", value, SH_C0, 0.5, use_clamp=True) for value in harmonics]
    return (*(linear_from_srgb(tree, value) for value in srgb), opacity, scale, rotation)
