# SPDX-License-Identifier: GPL-3.0-or-later
"""The one material of all results, and its switch.

It shines with the captured colour, the class colour, the confidence or the instance's colour. Which one is read from the custom
property `splatonym_show` of each point object: changing it rebuilds nothing, is undone by undo, and works for points and for
ellipsoids in Cycles and EEVEE. Captured colour is sRGB, so under the view transform "Standard" a picture shows just these
values. The class colour is the object's own colour (Object properties, Viewport Display), free to be changed there.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from ...core.heat import STOPS
from . import attributes
from .nodes import COLOUR, OPACITY, SHOW, SHOW_AS_ATTRIBUTE, WHITENED
from .trees import STAMP, arrange, math, node, output

MATERIAL_NAME = "Splatonym"
VERSION = 2

SHOW_MODES = (
    ("COLOUR", "Colour", "The colour that the cameras saw"),
    ("CLASS", "Class", "The colour of the class"),
    ("CONFIDENCE", "Confidence", "How sure the class is, from dark blue to yellow"),
    ("INSTANCE", "Instance", "A colour for each thing; grey where there is none"),
    ("ANSWER", "Answer", "How well each point fits the last question, from dark to bright"),
)
"""What the switch can show, as an EnumProperty's items; the property holds the place in this list."""

# Matplotlib's viridis at 0, 1/4, 1/2, 3/4 and 1, in linear light.
_RAMP = (
    (0.0578, 0.0003, 0.0889),
    (0.0419, 0.0844, 0.2582),
    (0.0149, 0.2831, 0.2623),
    (0.1119, 0.5841, 0.1248),
    (0.9823, 0.8005, 0.0185),
)


def ensure_material() -> bpy.types.Material:
    """The material: the file's own if it is of this version, else built anew in its place."""
    material = bpy.data.materials.get((MATERIAL_NAME, None))
    if material is not None and material.get(STAMP) == VERSION:
        return material
    if material is None or material.get(STAMP) is None:
        material = bpy.data.materials.new(MATERIAL_NAME)
    if material.node_tree is None:
        material.use_nodes = True  # always on from Blender 5.0
    material.node_tree.nodes.clear()
    _build(material.node_tree)
    if hasattr(material, "cycles"):  # a person may have disabled Cycles
        material.cycles.emission_sampling = "NONE"  # a million lamps would take it minutes to sort
    material[STAMP] = VERSION
    return material


def _build(tree: bpy.types.NodeTree) -> None:
    colour = _attribute(tree, COLOUR, "Color")
    opacity = _attribute(tree, OPACITY, "Fac")
    class_colour = tree.nodes.new("ShaderNodeObjectInfo").outputs["Color"]
    confidence = _ramp(tree, attributes.CONFIDENCE, _RAMP)
    score = _ramp(tree, attributes.SCORE, [tuple(linear(channel / 255) for channel in stop) for stop in STOPS])

    number = _attribute(tree, attributes.INSTANCE, "Fac")
    hue = math(tree, "FRACT", math(tree, "MULTIPLY", number, 0.61803399))  # the golden ratio: neighbours differ
    vivid = math(tree, "MULTIPLY", math(tree, "GREATER_THAN", number, 0.5), 0.75)
    instance_colour = node(tree, "ShaderNodeCombineColor", {0: hue, 1: vivid, 2: 0.6}, mode="HSV").outputs[0]

    show = node(tree, "ShaderNodeAttribute", attribute_type="OBJECT", attribute_name=SHOW, label="Show").outputs["Fac"]
    if SHOW_AS_ATTRIBUTE:
        passed = node(tree, "ShaderNodeAttribute", attribute_type="GEOMETRY", attribute_name=SHOW).outputs["Fac"]
        show = math(tree, "MAXIMUM", show, passed)
    chosen = colour
    for place, value in enumerate((class_colour, confidence, instance_colour, score), start=1):
        wanted = math(tree, "COMPARE", show, float(place), 0.5)
        mixed = node(tree, "ShaderNodeMix", {"Factor": wanted, "A": chosen, "B": value}, data_type="RGBA")
        chosen = output(mixed)

    light = node(tree, "ShaderNodeEmission", {"Color": chosen, "Strength": 1.0})
    clear = node(tree, "ShaderNodeBsdfTransparent")
    front = math(tree, "SUBTRACT", 1.0, tree.nodes.new("ShaderNodeNewGeometry").outputs["Backfacing"])
    alpha = math(tree, "MULTIPLY", math(tree, "MULTIPLY", opacity, _falloff(tree)), front)
    mix = node(tree, "ShaderNodeMixShader", {0: alpha, 1: clear.outputs[0], 2: light.outputs[0]})
    node(tree, "ShaderNodeOutputMaterial", {"Surface": mix.outputs[0]})
    arrange(tree)


def _ramp(tree: bpy.types.NodeTree, name: str, stops: Sequence[tuple[float, ...]]) -> bpy.types.NodeSocket:
    """An attribute from 0 to 1 as a colour; stops are evenly spaced, in linear light."""
    ramp = node(tree, "ShaderNodeValToRGB", {0: _attribute(tree, name, "Fac")})
    elements = ramp.color_ramp.elements
    while len(elements) < len(stops):
        elements.new(0.5)
    for place, (element, value) in enumerate(zip(elements, stops, strict=True)):
        element.position, element.color = place / (len(stops) - 1), (*value, 1.0)
    return ramp.outputs["Color"]


def _falloff(tree: bpy.types.NodeTree) -> bpy.types.NodeSocket:
    """exp(-d^2 / 2), d being the smallest distance in standard deviations between the line of sight and the Gaussian's centre.

    In the ellipsoid's own space, where it is a ball, the surface point p (in standard deviations) and the direction v give
    d^2 = p.p - (p.v)^2, whatever the facets. Where the nodes leave p out (hard edges, points) it is zero, and this is one.
    """
    place = node(tree, "ShaderNodeAttribute", attribute_type="GEOMETRY", attribute_name=WHITENED).outputs["Vector"]
    incoming = tree.nodes.new("ShaderNodeNewGeometry").outputs["Incoming"]
    turned = node(
        tree, "ShaderNodeVectorTransform", {0: incoming}, vector_type="VECTOR", convert_from="WORLD", convert_to="OBJECT"
    )
    sight = node(tree, "ShaderNodeVectorMath", {0: turned.outputs[0]}, operation="NORMALIZE").outputs[0]
    along = node(tree, "ShaderNodeVectorMath", {0: place, 1: sight}, operation="DOT_PRODUCT").outputs["Value"]
    length = node(tree, "ShaderNodeVectorMath", {0: place, 1: place}, operation="DOT_PRODUCT").outputs["Value"]
    squared = math(tree, "SUBTRACT", length, math(tree, "MULTIPLY", along, along))
    return math(tree, "EXPONENT", math(tree, "MULTIPLY", squared, -0.5))


def _attribute(tree: bpy.types.NodeTree, name: str, which: str) -> bpy.types.NodeSocket:
    """A point attribute, whether points or instances carry it: the one that is not there reads as zero."""
    kinds = [
        node(tree, "ShaderNodeAttribute", attribute_type=kind, attribute_name=name, label=f"{name} ({kind.lower()})")
        for kind in ("GEOMETRY", "INSTANCER")
    ]
    if which == "Color":
        return node(
            tree, "ShaderNodeVectorMath", {0: kinds[0].outputs[which], 1: kinds[1].outputs[which]}, operation="ADD"
        ).outputs[0]
    return math(tree, "ADD", kinds[0].outputs[which], kinds[1].outputs[which])


def linear(value: float) -> float:
    """One channel of sRGB 0..1 -> linear light."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
