# SPDX-License-Identifier: GPL-3.0-or-later
"""Materials: paint, repeated textures, procedural patterns, and models' own materials made opaque.

Nothing lets a ray through: a ray that passes a surface by chance would make depth and instances come out stippled.
"""

import colorsys
from pathlib import Path

import bpy

PATTERNS = ("VORONOI", "NOISE", "WAVE", "MAGIC", "CHECKER", "BRICK")
NODES = {name: f"ShaderNodeTex{name.title()}" for name in PATTERNS}


def random_colour(rng, value=(0.2, 0.9), saturation=0.8):
    """Linear RGB: pale colours more often than vivid ones, warm hues more often than cold ones."""
    hue = rng.random() if rng.random() < 0.45 else rng.uniform(0.0, 0.17)
    rgb = colorsys.hsv_to_rgb(hue, rng.random() ** 2 * saturation, rng.uniform(*value))
    return tuple(c**2.2 for c in rgb)


def near_colour(rng, colour, spread=0.25):
    """A colour a little lighter or darker than another one."""
    gain = 1 + rng.uniform(-spread, spread)
    return tuple(min(max(c * gain + rng.uniform(-0.02, 0.02), 0.01), 0.9) for c in colour)


def _principled(name, roughness):
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = roughness
    return material, material.node_tree.nodes, material.node_tree.links, shader


def new_material(colour, roughness, texture=None, size=None, emission=0):
    """A Principled material; a texture repeats every `size` metres and is multiplied by the colour."""
    material, nodes, links, shader = _principled("surface", roughness)
    shader.inputs["Base Color"].default_value = (*colour, 1)
    if emission:
        shader.inputs["Emission Color"].default_value = (*colour, 1)
        shader.inputs["Emission Strength"].default_value = emission
    if texture:
        image = nodes.new("ShaderNodeTexImage")
        image.image = bpy.data.images.load(str(texture), check_existing=True)
        image.projection = "BOX"
        place = nodes.new("ShaderNodeNewGeometry")
        scale = nodes.new("ShaderNodeMapping")
        scale.inputs["Scale"].default_value = (1 / size[0], 1 / size[0], 1 / size[1])
        tint = nodes.new("ShaderNodeMix")
        tint.data_type, tint.blend_type = "RGBA", "MULTIPLY"
        tint.inputs["Factor"].default_value = 1
        sockets = {s.identifier: s for s in [*tint.inputs, *tint.outputs]}
        sockets["B_Color"].default_value = (*colour, 1)
        links.new(place.outputs["Position"], scale.inputs[0])
        links.new(scale.outputs[0], image.inputs[0])
        links.new(image.outputs[0], sockets["A_Color"])
        links.new(sockets["Result_Color"], shader.inputs["Base Color"])
    return material


def patterned(rng, colours=None, scale=None, kinds=PATTERNS, world=False, emission=0):
    """A procedural pattern; in the object's own frame, or in the room's (turned by 45 degrees, so that stripes fall on all walls)."""
    material, nodes, links, shader = _principled("pattern", rng.uniform(0.3, 0.9))
    colours = colours or [random_colour(rng) for _ in range(rng.choice([2, 3, 3, 4]))]
    kind = rng.choice(kinds)
    pattern, ramp = nodes.new(NODES[kind]), nodes.new("ShaderNodeValToRGB")
    scale = scale or rng.uniform(2, 9)
    pattern.inputs["Scale"].default_value = scale
    if kind == "WAVE":
        pattern.wave_type = "BANDS" if world else rng.choice(["BANDS", "BANDS", "RINGS"])
        pattern.inputs["Distortion"].default_value = rng.choice([0, 0, rng.uniform(1, 6)])
        pattern.inputs["Scale"].default_value = scale / 3
    ramp.color_ramp.interpolation = rng.choice(["CONSTANT", "LINEAR"])
    while len(ramp.color_ramp.elements) < len(colours):
        ramp.color_ramp.elements.new(0.5)
    for k, (element, colour) in enumerate(zip(ramp.color_ramp.elements, colours, strict=False)):
        element.position, element.color = k / len(colours) + rng.uniform(0, 0.15), (*colour, 1)
    if world:
        where, turn = nodes.new("ShaderNodeNewGeometry"), nodes.new("ShaderNodeMapping")
        turn.inputs["Rotation"].default_value = (0, 0, 0.785)
        links.new(where.outputs["Position"], turn.inputs[0])
        links.new(turn.outputs[0], pattern.inputs["Vector"])
    else:
        where = nodes.new("ShaderNodeTexCoord")
        links.new(where.outputs["Object"], pattern.inputs["Vector"])
    links.new(pattern.outputs[0], ramp.inputs[0])
    links.new(ramp.outputs[0], shader.inputs["Base Color"])
    if emission:
        links.new(ramp.outputs[0], shader.inputs["Emission Color"])
        shader.inputs["Emission Strength"].default_value = emission
    return material


def make_opaque(material, spare=None):
    """Glass becomes a light, glossy, opaque surface; image cut-outs (leaves) become all-or-nothing.

    A texture that is missing (some files name the author's own disk) is replaced by `spare`.
    """
    if material is None or not material.use_nodes:
        return
    tree = material.node_tree
    for node in [n for n in tree.nodes if n.type == "TEX_IMAGE"]:
        if node.image is None or not Path(bpy.path.abspath(node.image.filepath)).exists():
            if spare:
                node.image = bpy.data.images.load(str(spare), check_existing=True)
            else:
                tree.nodes.remove(node)
    shader = next((n for n in tree.nodes if n.type == "BSDF_PRINCIPLED"), None)
    if shader is None:
        return
    alpha, base = shader.inputs["Alpha"], shader.inputs["Base Color"]
    glass = alpha.default_value < 0.98 or shader.inputs["Transmission Weight"].default_value > 0
    if alpha.is_linked:
        step = tree.nodes.new("ShaderNodeMath")
        step.operation = "GREATER_THAN"
        step.inputs[1].default_value = 0.5
        tree.links.new(alpha.links[0].from_socket, step.inputs[0])
        tree.links.new(step.outputs[0], alpha)
    if glass and not alpha.is_linked:
        pairs = zip(base.default_value, (0.72, 0.8, 0.82, 1), strict=True)
        base.default_value = [0.35 * c + 0.65 * light for c, light in pairs]
        shader.inputs["Roughness"].default_value = 0.12
        material["glass"] = True
    if not base.is_linked:  # nothing is whiter than paint
        base.default_value = [*(min(c, 0.8) for c in base.default_value[:3]), 1]
    alpha.default_value = 1
    shader.inputs["Transmission Weight"].default_value = 0
