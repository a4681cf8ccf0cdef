# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the demo room that are made here: walls, openings, rug, curtains, pictures, a lamp, books."""

import math
from itertools import pairwise

import bmesh
import bpy
import numpy as np
from mathutils import Matrix, Vector

from .catalogue import surface
from .layout import DOOR, LAMP, PICTURES, ROOM, RUG, WINDOWS

THICK = 0.16  # of the walls
INTENDED = {}  # object name -> its class
WHITE = (0.74, 0.72, 0.68)
W, D, H = ROOM
# wall -> (start, direction along it, direction into the room, length)
WALLS = {
    "south": ((0, 0), (1, 0), (0, 1), W),
    "north": ((0, D), (1, 0), (0, -1), W),
    "west": ((0, 0), (0, 1), (1, 0), D),
    "east": ((W, 0), (0, 1), (-1, 0), D),
}


def frame_of(wall):
    """Matrix from wall coordinates (along, into the room, up) to the room."""
    (x, y), along, inward, _ = WALLS[wall]
    return Matrix(((along[0], inward[0], 0, x), (along[1], inward[1], 0, y), (0, 0, 1, 0), (0, 0, 0, 1)))


def add(name, label, collection, mesh, own=False):
    """A new object in a collection. `label` is what it is meant to be; the object says so itself only if `own`."""
    obj = bpy.data.objects.new(name, mesh)
    bpy.data.collections[collection].objects.link(obj)
    INTENDED[obj.name] = label
    if own:
        obj["semantic_class"] = label
    return obj


def boxes(name, corners, materials, matrix=None):
    """One mesh of boxes (low corner, high corner, index of the material)."""
    bm = bmesh.new()
    for low, high, index in corners:
        size, middle = Vector(high) - Vector(low), (Vector(high) + Vector(low)) / 2
        made = bmesh.ops.create_cube(bm, matrix=Matrix.Translation(middle) @ Matrix.Diagonal((*size, 1)))
        for face in {f for v in made["verts"] for f in v.link_faces}:
            face.material_index = index
    return finish(name, bm, materials, matrix)


def finish(name, bm, materials, matrix=None):
    """Turn a bmesh into a mesh with outward normals."""
    if matrix:
        bmesh.ops.transform(bm, matrix=matrix, verts=bm.verts)
    bmesh.ops.recalc_face_normals(bm, faces=bm.faces)
    mesh = bpy.data.meshes.new(name)
    bm.to_mesh(mesh)
    bm.free()
    for material in materials:
        mesh.materials.append(material)
    return mesh


# -- surfaces ----------------------------------------------------------------------------------


def varied(name, colour, amount, scale, roughness=0.8, stretch=(1, 1, 1)):
    """A surface whose colour wavers a little, so that walls are not quite even."""
    material = surface(name, colour, roughness)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    place, mapping, noise, ramp = (nodes.new(f"ShaderNode{n}") for n in ("TexCoord", "Mapping", "TexNoise", "ValToRGB"))
    mapping.inputs["Scale"].default_value = stretch
    noise.inputs["Scale"].default_value = scale
    noise.inputs["Detail"].default_value = 4
    for stop, position, factor in zip(ramp.color_ramp.elements, (0.3, 0.7), (1 - amount, 1 + amount), strict=True):
        stop.position, stop.color = position, (*(min(1, c * factor) for c in colour), 1)
    links.new(place.outputs["Object"], mapping.inputs["Vector"])
    links.new(mapping.outputs["Vector"], noise.inputs["Vector"])
    links.new(noise.outputs["Fac"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    return material


def planks():
    """Floor boards along x: bricks of three browns, times a grain drawn out along the boards."""
    material = varied("Floor boards", (0.9, 0.9, 0.9), 0.22, 7, 0.5, (0.7, 9, 1))
    nodes, links = material.node_tree.nodes, material.node_tree.links
    place = nodes["Texture Coordinate"]
    bricks, mix = nodes.new("ShaderNodeTexBrick"), nodes.new("ShaderNodeMix")
    mix.data_type, mix.blend_type = "RGBA", "MULTIPLY"
    mix.inputs["Factor"].default_value = 1
    for socket, value in {
        "Color1": (0.42, 0.25, 0.13, 1),
        "Color2": (0.29, 0.165, 0.085, 1),
        "Mortar": (0.1, 0.055, 0.03, 1),
        "Scale": 1,
        "Mortar Size": 0.0025,
        "Brick Width": 1.3,
        "Row Height": 0.14,
    }.items():
        bricks.inputs[socket].default_value = value
    links.new(place.outputs["Object"], bricks.inputs["Vector"])
    colour_in = [s for s in mix.inputs if s.type == "RGBA"]
    links.new(bricks.outputs["Color"], colour_in[0])
    links.new(nodes["Color Ramp"].outputs["Color"], colour_in[1])
    links.new(next(s for s in mix.outputs if s.type == "RGBA"), nodes["Principled BSDF"].inputs["Base Color"])
    return material


def sky():
    """A pane that shows a sky: opaque to the camera (so depth and index are exact), open to the sun's shadow rays."""
    material = bpy.data.materials.new("Pane")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.remove(nodes["Principled BSDF"])
    place, split, scale, ramp, path, light, clear, mix = (
        nodes.new(f"ShaderNode{n}")
        for n in ("NewGeometry", "SeparateXYZ", "Math", "ValToRGB", "LightPath", "Emission", "BsdfTransparent", "MixShader")
    )
    stops = [
        (0.36, (0.32, 0.40, 0.24, 1)),
        (0.44, (0.5, 0.56, 0.44, 1)),
        (0.5, (0.76, 0.83, 0.86, 1)),
        (0.9, (0.66, 0.8, 0.93, 1)),
    ]
    while len(ramp.color_ramp.elements) < len(stops):
        ramp.color_ramp.elements.new(1)
    for stop, (position, colour) in zip(ramp.color_ramp.elements, stops, strict=True):
        stop.position, stop.color = position, colour
    scale.operation = "DIVIDE"
    scale.inputs[1].default_value = H
    for output, target in (
        (place.outputs["Position"], split.inputs[0]),
        (split.outputs["Z"], scale.inputs[0]),
        (scale.outputs[0], ramp.inputs["Fac"]),
        (ramp.outputs["Color"], light.inputs["Color"]),
        (path.outputs["Is Camera Ray"], light.inputs["Strength"]),
        (path.outputs["Is Shadow Ray"], mix.inputs["Fac"]),
        (light.outputs[0], mix.inputs[1]),
        (clear.outputs[0], mix.inputs[2]),
        (mix.outputs[0], nodes["Material Output"].inputs["Surface"]),
    ):
        links.new(output, target)
    material.cycles.emission_sampling = "NONE"  # the area lamps beside the panes do the lighting
    return material


# -- the shell ---------------------------------------------------------------------------------


def build():
    """Everything of this module but the books."""
    plaster = varied("Plaster", (0.66, 0.60, 0.50), 0.02, 3)
    accent = varied("Green plaster", (0.27, 0.34, 0.27), 0.03, 3)
    slab = boxes("Floor", [((-0.1, -0.1, -0.2), (W + 0.1, D + 0.1, 0), 0)], [planks()])
    add("Floor", "floor", "Room shell", slab)
    add(
        "Ceiling",
        "ceiling",
        "Room shell",
        boxes(
            "Ceiling",
            [((-0.1, -0.1, H), (W + 0.1, D + 0.1, H + 0.2), 0)],
            [varied("Ceiling paint", (0.76, 0.75, 0.72), 0.02, 3)],
        ),
    )
    for wall in WALLS:
        add(f"{wall.title()} Side", "wall", "Walls", wall_mesh(wall, accent if wall == "north" else plaster))
    paint, pane = surface("White paint", WHITE, 0.55), sky()
    cloths = [
        varied("Linen", (0.62, 0.52, 0.38), 0.1, 40, 0.9, (1, 1, 0.05)),
        varied("Grey linen", (0.50, 0.50, 0.46), 0.1, 40, 0.9, (1, 1, 0.05)),
    ]
    for k, (wall, middle, width, low, high) in enumerate(WINDOWS):
        suffix = f".{k:03d}" if k else ""
        add(f"Window{suffix}", "window", "Room shell", window_mesh(wall, middle, width, low, high, paint, pane))
        add(f"Curtain{suffix}", "curtain", "Furniture", curtain_mesh(wall, middle, width, high, cloths[k]))
    add("Door", "door", "Room shell", door_mesh(paint))
    add("Rug", "rug", "Furniture", rug_mesh())
    for k, (wall, middle, height, width, tall, motif) in enumerate(PICTURES):
        suffix = f".{k:03d}" if k else ""
        add(f"Picture{suffix}", "picture", "Furniture", picture_mesh(wall, middle, height, width, tall, motif))
    add("Standing Lamp", "lamp", "Furniture", lamp_mesh()).location = (*LAMP, 0.002)


def wall_mesh(wall, plaster):
    """A wall with a hole for each of its windows and a skirting board."""
    *_, length = WALLS[wall]
    end = THICK if wall in ("south", "north") else 0
    holes = [(m - w / 2, m + w / 2, low, high) for name, m, w, low, high in WINDOWS if name == wall]
    solid, u = [], -end
    for left, right, low, high in holes:
        solid += [(u, left, -0.1, H + 0.1), (left, right, -0.1, low), (left, right, high, H + 0.1)]
        u = right
    solid.append((u, length + end, -0.1, H + 0.1))
    parts = [((a, -THICK, z0), (b, 0, z1), 0) for a, b, z0, z1 in solid]
    name, middle, width, _ = DOOR
    gaps = [0, length] if name != wall else [0, middle - width / 2 - 0.06, middle + width / 2 + 0.06, length]
    parts += [((a, -0.01, -0.01), (b, 0.014, 0.09), 1) for a, b in zip(gaps[::2], gaps[1::2], strict=True)]
    return boxes(f"{wall} wall", parts, [plaster, surface("Skirting", WHITE, 0.6)], frame_of(wall))


def window_mesh(wall, middle, width, low, high, paint, pane):
    """Casing, mullions, sill and a glowing pane."""
    a, b, rail = middle - width / 2, middle + width / 2, 0.055
    y0, y1, centre = -0.13, -0.07, middle
    parts = [
        ((a - 0.01, y0, low - 0.01), (a + rail, y1, high + 0.01), 0),
        ((b - rail, y0, low - 0.01), (b + 0.01, y1, high + 0.01), 0),
        ((a, y0 + 0.002, low - 0.01), (b, y1 - 0.002, low + rail), 0),
        ((a, y0 + 0.002, high - rail), (b, y1 - 0.002, high + 0.01), 0),
        ((centre - 0.035, y0 + 0.004, low), (centre + 0.035, y1 + 0.004, high), 0),
        ((a, y0 + 0.006, high - 0.42), (b, y1 - 0.006, high - 0.385), 0),
        ((a - 0.05, -0.068, low - 0.03), (b + 0.05, 0.06, low + 0.008), 0),
        ((a + 0.01, -0.105, low + 0.01), (b - 0.01, -0.1, high - 0.01), 1),
    ]
    return boxes("Window", parts, [paint, pane], frame_of(wall))


def door_mesh(paint):
    """A closed panelled door with its casing and handle, in front of the wall."""
    wall, middle, width, high = DOOR
    a, b = middle - width / 2, middle + width / 2
    parts = [
        ((a - 0.07, -0.02, -0.01), (a, 0.035, high + 0.07), 0),
        ((b, -0.02, -0.01), (b + 0.07, 0.035, high + 0.07), 0),
        ((a - 0.07, -0.02, high), (b + 0.07, 0.036, high + 0.071), 0),
        ((a - 0.01, -0.02, 0.006), (b + 0.01, 0.012, high + 0.01), 1),
    ]
    for z0, z1 in ((0.16, 0.86), (1.02, 1.9)):
        for x0, x1 in ((a + 0.11, middle - 0.05), (middle + 0.05, b - 0.11)):
            parts.append(((x0, 0, z0), (x1, 0.022, z1), 1))
    parts += [((a + 0.05, 0.005, 0.98), (a + 0.08, 0.055, 1.01), 2), ((a + 0.05, 0.045, 0.98), (a + 0.17, 0.062, 1.01), 2)]
    return boxes(
        "Door",
        parts,
        [paint, surface("Door leaf", (0.55, 0.5, 0.42), 0.6), surface("Handle", (0.2, 0.19, 0.18), 0.5)],
        frame_of(wall),
    )


def curtain_mesh(wall, middle, width, high, cloth):
    """Two hanging cloths with folds and the rod that they hang from."""
    bm = bmesh.new()
    top, depth = high + 0.14, 0.135
    for side in (-1, 1):
        inner, outer = middle + side * (width / 2 - 0.06), middle + side * (width / 2 + 0.36)
        steps = 44
        rows = []
        for z, spread in ((0.04, 1.04), (1.2, 0.97), (top, 1)):
            row = []
            for i in range(steps + 1):
                t = i / steps
                u = outer + (inner - outer) * t * spread
                v = depth + 0.032 * math.sin(t * 6 * 2 * math.pi + side) + 0.008 * math.sin(13 * t + z)
                row.append(bm.verts.new((u, v, z)))
            rows.append(row)
        for lower, upper in pairwise(rows):
            for i in range(steps):
                bm.faces.new((lower[i], lower[i + 1], upper[i + 1], upper[i])).smooth = True
    bmesh.ops.recalc_face_normals(bm, faces=bm.faces)
    bmesh.ops.solidify(bm, geom=bm.faces[:], thickness=0.006)
    rod = Matrix.Translation((middle, depth, top + 0.012)) @ Matrix.Rotation(math.pi / 2, 4, "Y")
    made = bmesh.ops.create_cone(bm, cap_ends=True, segments=12, radius1=0.014, radius2=0.014, depth=width + 0.86, matrix=rod)
    for face in {f for v in made["verts"] for f in v.link_faces}:
        face.material_index = 1
    for side in (-1, 1):
        at = Matrix.Translation((middle + side * (width / 2 + 0.4), depth / 2, top + 0.012))
        made = bmesh.ops.create_cube(bm, matrix=at @ Matrix.Diagonal((0.02, depth - 0.004, 0.03, 1)))
        for face in {f for v in made["verts"] for f in v.link_faces}:
            face.material_index = 1
    return finish("Curtain", bm, [cloth, surface("Rod", (0.12, 0.1, 0.09), 0.5)], frame_of(wall))


def rug_mesh():
    """A woven rug: lozenges and a border, cell by cell."""
    (x, y), (w, d) = RUG
    nx, ny = 50, 35
    bm = bmesh.new()
    made = bmesh.ops.create_grid(
        bm, x_segments=nx, y_segments=ny, size=0.5, matrix=Matrix.Translation((x, y, 0.014)) @ Matrix.Diagonal((w, d, 1, 1))
    )
    for face in {f for v in made["verts"] for f in v.link_faces}:
        centre = face.calc_center_median()
        i, j = int((centre.x - x + w / 2) / w * nx), int((centre.y - y + d / 2) / d * ny)
        edge = min(i, j, nx - 1 - i, ny - 1 - j)
        ring = (abs(i - (nx - 1) / 2) % 14 + abs(j - (ny - 1) / 2) * 1.0) % 14
        face.material_index = (
            1 if edge in (2, 3) else 0 if edge < 5 else 2 if ring < 2 else 3 if ring < 4.5 else 1 if ring < 6 else 4
        )
    outline = [e for e in bm.edges if e.is_boundary]
    skirt = bmesh.ops.extrude_edge_only(bm, edges=outline)["geom"]
    for vert in (g for g in skirt if isinstance(g, bmesh.types.BMVert)):
        vert.co.z = 0.003
    colours = [(0.55, 0.47, 0.36), (0.30, 0.07, 0.045), (0.62, 0.55, 0.44), (0.45, 0.20, 0.07), (0.10, 0.14, 0.19)]
    return finish("Rug", bm, [varied(f"Wool {k}", c, 0.16, 60, 0.95) for k, c in enumerate(colours)])


def lamp_mesh():
    """A standing lamp; its shade glows and is open above and below."""
    bm = bmesh.new()
    for radius, top, low, high, caps, index in (
        (0.15, 0.15, 0, 0.025, True, 0),
        (0.012, 0.012, 0.02, 1.46, True, 0),
        (0.22, 0.15, 1.3, 1.6, False, 1),
    ):
        made = bmesh.ops.create_cone(
            bm,
            cap_ends=caps,
            segments=32,
            radius1=radius,
            radius2=top,
            depth=high - low,
            matrix=Matrix.Translation((0, 0, (low + high) / 2)),
        )
        for face in {f for v in made["verts"] for f in v.link_faces}:
            face.material_index, face.smooth = index, len(face.verts) == 4
    return finish(
        "Standing Lamp",
        bm,
        [surface("Bronze", (0.06, 0.045, 0.035), 0.5), surface("Shade", (0.95, 0.74, 0.46), 0.9, glow=0.75)],
    )


# -- pictures and books ------------------------------------------------------------------------


def painting(motif, wide, high):
    """An RGB array (rows from the bottom) with one of four simple motifs."""
    y, x = np.mgrid[:high, :wide] / max(wide, high)
    tall = high / max(wide, high)
    if motif == "moons":
        art = np.ones((high, wide, 3)) * (0.90, 0.84, 0.72)
        for cx, cy, radius, colour in (
            (0.32, 0.68, 0.2, (0.80, 0.38, 0.20)),
            (0.5, 0.42, 0.24, (0.16, 0.30, 0.36)),
            (0.3, 0.26, 0.14, (0.87, 0.65, 0.30)),
        ):
            art[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = colour
        return art
    if motif == "stripes":
        bands = np.array([(0.20, 0.28, 0.26), (0.86, 0.80, 0.68), (0.72, 0.42, 0.22), (0.86, 0.80, 0.68), (0.35, 0.45, 0.38)])
        return bands[((x + 0.35 * y) * 5.5).astype(int) % len(bands)]
    colours = {
        "hills": [(0.96, 0.80, 0.62), (0.72, 0.55, 0.55), (0.45, 0.45, 0.55), (0.25, 0.34, 0.42), (0.13, 0.2, 0.24)],
        "dunes": [(0.93, 0.87, 0.76), (0.90, 0.70, 0.45), (0.80, 0.50, 0.28), (0.60, 0.32, 0.18), (0.33, 0.20, 0.16)],
    }[motif]
    art = np.ones((high, wide, 3)) * colours[0] * (1 - 0.15 * (y / tall - 0.7)[..., None])
    art[(x - 0.55) ** 2 + (y - 0.78 * tall) ** 2 < 0.005] = (0.98, 0.93, 0.80)
    for k, colour in enumerate(colours[1:]):
        ridge = tall * (0.62 - 0.15 * k) + 0.05 * np.sin(5 * x + 2 * k) + 0.025 * np.sin(13 * x + 5 * k)
        art[y < ridge] = colour
    return art.clip(0, 1)


def picture_mesh(wall, middle, height, width, tall, motif):
    """A framed painting, the picture packed into the file."""
    high = 192
    wide = round(high * width / tall)
    image = bpy.data.images.new(f"Painting {motif}", wide, high)
    rgba = np.ones((high, wide, 4), np.float32)
    rgba[..., :3] = painting(motif, wide, high)
    image.pixels.foreach_set(rgba.ravel())
    image.pack()
    a, b, low, top = middle - width / 2, middle + width / 2, height - tall / 2, height + tall / 2
    rim, mat = 0.025, 0.09
    parts = [
        ((a, 0.004, low), (a + rim, 0.03, top), 0),
        ((b - rim, 0.004, low), (b, 0.03, top), 0),
        ((a, 0.005, low), (b, 0.031, low + rim), 0),
        ((a, 0.005, top - rim), (b, 0.031, top), 0),
        ((a + 0.01, 0.006, low + 0.01), (b - 0.01, 0.018, top - 0.01), 1),
    ]
    mesh = boxes(
        "Picture",
        parts,
        [
            surface("Frame", (0.05, 0.035, 0.025), 0.6),
            surface("Mount", (0.74, 0.72, 0.66), 0.9),
            surface(f"Painting {motif}", (0.5, 0.5, 0.5), 0.8, image),
        ],
        frame_of(wall),
    )
    bm = bmesh.new()
    bm.from_mesh(mesh)
    uv = bm.loops.layers.uv.new("UVMap")
    flip = wall in ("north", "west")  # the wall's direction runs to the left of who looks at it
    corners = [(a + mat, low + mat, 0, 0), (b - mat, low + mat, 1, 0), (b - mat, top - mat, 1, 1), (a + mat, top - mat, 0, 1)]
    face = bm.faces.new([bm.verts.new(frame_of(wall) @ Vector((u, 0.021, z))) for u, z, *_ in corners])
    face.material_index = 2
    for loop, (_, _, s, t) in zip(face.loops, corners, strict=True):
        loop[uv].uv = (1 - s if not flip else s, t)
    face.normal_update()
    if face.normal.dot(frame_of(wall).to_3x3() @ Vector((0, 1, 0))) < 0:
        face.normal_flip()
    bm.to_mesh(mesh)
    bm.free()
    return mesh


def books_mesh(number, length):
    """A row of upright books along x, their backs to -y, standing on the origin."""
    rng = np.random.default_rng(number)
    colours = [
        (0.35, 0.06, 0.05),
        (0.06, 0.14, 0.25),
        (0.55, 0.45, 0.28),
        (0.10, 0.22, 0.14),
        (0.62, 0.58, 0.5),
        (0.5, 0.24, 0.06),
        (0.09, 0.08, 0.09),
    ]
    parts, x = [], -length / 2
    while True:
        thick, tall, deep = rng.uniform(0.018, 0.045), rng.uniform(0.17, 0.25), rng.uniform(0.13, 0.17)
        if x + thick > length / 2:
            break
        parts.append(((x, -0.09, 0), (x + thick - 0.0015, -0.09 + deep, tall), int(rng.integers(len(colours)))))
        x += thick
    return boxes(f"Books {number}", parts, [cover(c) for c in colours])


def cover(colour):
    """The shared material for book covers of one colour."""
    name = "Cover {:.2f} {:.2f} {:.2f}".format(*colour)
    return bpy.data.materials.get(name) or surface(name, colour, 0.7)
