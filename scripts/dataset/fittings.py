# SPDX-License-Identifier: GPL-3.0-or-later
"""Procedural things of which the catalogue has few: doors, curtains, rugs, pictures, shelves, flat screens.

All are made of boxes or sheets in a local frame: x along the wall, y into the room (0 at the wall), z up.
"""

import math

import bpy

from .materials import near_colour, new_material, patterned, random_colour

CORNERS = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]
FACES = [(0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]


def build(name, vertices, faces, materials, slots=None):
    """An object of the current scene from plain lists."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices, [], faces)
    for material in materials:
        mesh.materials.append(material)
    if slots:
        mesh.polygons.foreach_set("material_index", slots)
    mesh.update()
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(obj)
    return obj


def boxes(name, parts, materials):
    """One object from boxes (x0, y0, z0, x1, y1, z1, material)."""
    vertices, faces, slots = [], [], []
    for x0, y0, z0, x1, y1, z1, slot in parts:
        start = len(vertices)
        vertices += [(x0 + (x1 - x0) * a, y0 + (y1 - y0) * b, z0 + (z1 - z0) * c) for a, b, c in CORNERS]
        faces += [tuple(start + k for k in face) for face in FACES]
        slots += [slot] * 6
    return build(name, vertices, faces, materials, slots)


def prism(name, corners, bottom, top):
    """An upright prism over a polygon given anticlockwise."""
    n = len(corners)
    vertices = [(x, y, z) for z in (bottom, top) for x, y in corners]
    faces = [tuple(reversed(range(n))), tuple(range(n, 2 * n))]
    faces += [(k, (k + 1) % n, n + (k + 1) % n, n + k) for k in range(n)]
    return build(name, vertices, faces, [])


def door(room, width, height):
    """A door with frame, panels and handle."""
    rng = room.rng
    paint = random_colour(rng, (0.25, 0.95), 0.6)
    leaf, frame = room.wood(paint), new_material(near_colour(rng, paint, 0.4), rng.uniform(0.3, 0.8))
    metal = new_material(random_colour(rng, (0.15, 0.7), 0.15), 0.3)
    jamb, w, lift = rng.uniform(0.05, 0.1), width / 2, rng.uniform(0.012, 0.025)
    parts = [(-w, 0, 0, -w + jamb, 0.05, height, 1), (w - jamb, 0, 0, w, 0.05, height, 1)]
    parts += [(-w, 0, height - jamb, w, 0.05, height, 1), (-w + jamb, 0, 0, w - jamb, 0.02, height - jamb, 0)]
    columns, rows = rng.choice([(1, 1), (1, 2), (2, 2), (2, 3), (1, 3), (1, 4), (0, 0)])
    inner = width - 2 * jamb
    for i in range(columns):
        for j in range(rows):
            x0 = -w + jamb + inner * (i + 0.12 * (columns < 2) + 0.16) / columns
            x1 = -w + jamb + inner * (i + 1 - 0.12 * (columns < 2) - 0.16) / columns
            z0, z1 = ((height - jamb) * (k + g) / rows for k, g in ((j, 0.12), (j + 1, -0.12)))
            parts.append((x0, 0.02, z0, x1, 0.02 + lift, z1, rng.choice([0, 0, 1]) if j == rows - 1 else 0))
    side = rng.choice([-1, 1]) * (w - jamb - 0.09)
    parts += [(side - 0.05, 0.02, 1.0, side + 0.05, 0.075, 1.025, 2), (side - 0.02, 0.02, 0.94, side + 0.02, 0.03, 1.09, 2)]
    return boxes("panel door", parts, [leaf, frame, metal])


def curtain(room, width, height, material, depth=None):
    """A sheet in folds that hangs from its own origin's height down to 0."""
    rng = room.rng
    folds, depth = rng.uniform(6, 14), depth or rng.uniform(0.02, 0.05)
    n, rows = max(int(width * folds * 8), 12), 4
    gather, phase = rng.uniform(0, 0.25), rng.uniform(0, 6)
    vertices = []
    for j in range(rows + 1):
        t = j / rows
        squeeze = 1 - gather * math.sin(math.pi * min(t * 1.1, 1))
        for i in range(n + 1):
            x = width * (i / n - 0.5)
            y = 0.07 + depth * math.sin(phase + 2 * math.pi * folds * x) * (1.2 - 0.6 * t)
            vertices.append((x * squeeze, y, height * t))
    faces = [
        (j * (n + 1) + i, j * (n + 1) + i + 1, (j + 1) * (n + 1) + i + 1, (j + 1) * (n + 1) + i)
        for j in range(rows)
        for i in range(n)
    ]
    obj = build("curtain", vertices, faces, [material])
    obj.data.polygons.foreach_set("use_smooth", [True] * len(faces))
    return obj


def rug(room):
    """A rectangular, oval or round rug, often with a border. Returns (object, half size x, half size y)."""
    rng = room.rng
    w, d = rng.choice([(rng.uniform(1.1, 2.6), rng.uniform(0.8, 1.9)), (rng.uniform(0.5, 0.9), rng.uniform(0.4, 2.2))])
    w, d = min(w, room.size[0] - 0.6), min(d, room.size[1] - 0.6)
    shape = rng.choice(["box", "box", "box", "oval", "round"])
    d = w if shape == "round" else d
    turns = [2 * math.pi * k / 40 for k in range(40)]

    def outline(scale):
        if shape == "box":
            return [(scale * a * w / 2, scale * b * d / 2) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        return [(scale * w / 2 * math.cos(a), scale * d / 2 * math.sin(a)) for a in turns]

    colours = [random_colour(rng) for _ in range(rng.choice([2, 3, 4]))] if rng.random() < 0.5 else None
    main = patterned(rng, colours) if rng.random() < 0.75 else new_material(random_colour(rng), 0.95)
    obj = prism("rug", outline(1), 0.001, rng.uniform(0.006, 0.02))
    obj.data.materials.append(main)
    parts = [obj]
    if rng.random() < 0.5:
        obj.data.materials[0] = new_material(random_colour(rng), 0.95)
        inner = prism("rug", outline(rng.uniform(0.7, 0.92)), 0.001, 0.023)
        inner.data.materials.append(main)
        parts.append(inner)
    return parts, w / 2, d / 2


def picture(room, w, h):
    """A framed picture, a canvas or a poster, hung by its middle."""
    rng = room.rng
    rim, thick = rng.choice([0, rng.uniform(0.015, 0.06)]), rng.uniform(0.008, 0.04)
    frame = new_material(random_colour(rng, (0.05, 0.9)), rng.uniform(0.2, 0.8))
    mount = new_material(random_colour(rng, (0.7, 0.95), 0.2), 0.9)
    art = patterned(rng, scale=rng.uniform(1.5, 14))
    parts = [(-w / 2, 0.001, -h / 2, w / 2, thick, h / 2, 0)]
    pad = rim + rng.choice([0, 0, 0.04, 0.08]) * min(w, h)
    if rim:
        parts.append((-w / 2 + rim, 0.001, -h / 2 + rim, w / 2 - rim, thick + 0.002, h / 2 - rim, 1))
    x0, x1, z0, z1 = -w / 2 + pad, w / 2 - pad, -h / 2 + pad, h / 2 - pad
    parts.append((x0, 0.001, z0, x1, thick + 0.004, z1, 2))
    extra = [new_material(random_colour(rng), 0.7) for _ in range(3)]
    for k in range(rng.choice([0, 0, 1, 2, 3])):  # shapes laid on the picture
        a, b = sorted((rng.uniform(x0, x1), rng.uniform(x0, x1)))
        c, d = sorted((rng.uniform(z0, z1), rng.uniform(z0, z1)))
        parts.append((a, 0.001, c, b, thick + 0.005 + 0.001 * k, d, 3 + k))
    return boxes("picture", parts, [frame, mount, art, *extra])


def bookcase(room, w, d, h, legs=True):
    """Boards between sides. Returns (object, [(x0, x1, z, room above), ...]) with the places to put things."""
    rng = room.rng
    board, t = room.wood(rng.choice(room.palette)), rng.uniform(0.015, 0.035)
    rows, columns = max(2, round(h / rng.uniform(0.28, 0.45))), max(1, round(w / rng.uniform(0.4, 0.95)))
    foot = rng.choice([0, 0.06]) if legs else 0
    parts = [(-w / 2, 0, foot, w / 2, 0.01, h, 1)] if rng.random() < 0.7 else []
    for k in range(columns + 1):
        x = -w / 2 + (w - t) * k / columns
        parts.append((x, 0, 0, x + t, d, h, 0))
    places = []
    for j in range(rows + 1):
        z = foot + (h - foot - t) * j / rows
        parts.append((-w / 2, 0, z, w / 2, d - 0.002, z + t, 0))
        if j < rows:
            gap = (h - foot - t) / rows - t
            places += [
                (-w / 2 + (w - t) * k / columns + t, -w / 2 + (w - t) * (k + 1) / columns, z + t, gap) for k in range(columns)
            ]
    back = new_material(near_colour(rng, rng.choice(room.palette)), 0.8)
    return boxes("bookcase", parts, [board, back]), places


def wall_shelf(room, w, d):
    """A board on the wall, sometimes with brackets. Returns (object, places)."""
    rng = room.rng
    t = rng.uniform(0.02, 0.05)
    parts = [(-w / 2, 0, -t, w / 2, d, 0, 0)]
    if rng.random() < 0.5:
        parts += [(x - 0.01, 0, -t - 0.12, x + 0.01, d * 0.7, -t, 1) for x in (-w / 3, w / 3)]
    materials = [room.wood(rng.choice(room.palette)), new_material(random_colour(rng, (0.05, 0.7), 0.2), 0.4)]
    return boxes("wall shelf", parts, materials), [(-w / 2, w / 2, 0, 0.35)]


def books(room, x0, x1, z, gap, depth):
    """A row of books, or some boxes, between x0 and x1 of a board; None where there is no space."""
    rng = room.rng
    if x1 - x0 < 0.08 or gap < 0.12:
        return None
    covers = [new_material(random_colour(rng, (0.1, 0.9), 1), rng.uniform(0.4, 0.9)) for _ in range(5)]
    start = rng.uniform(x0, x0 + 0.4 * (x1 - x0))
    end = rng.uniform(start + 0.06, x1)
    thick = (0.1, 0.28) if rng.random() < 0.2 else (0.015, 0.05)
    parts, x = [], start
    while x < end and len(parts) < 30:
        t = rng.uniform(*thick)
        if x + t > x1:
            break
        top = min(rng.uniform(0.14, 0.3), gap * rng.uniform(0.7, 0.97))
        parts.append((x, 0.02, z + 0.001, x + t * 0.96, min(depth - 0.01, rng.uniform(0.12, 0.24)), z + top, rng.randrange(5)))
        x += t
    return boxes("books" if thick[1] < 0.1 else "boxes", parts, covers) if parts else None


def screen(room, w, stand):
    """A flat screen, on the wall or on a foot; dark, or showing something. Returns (object, height)."""
    rng = room.rng
    h, base = w * rng.uniform(0.54, 0.66), rng.uniform(0.04, 0.1) if stand else 0
    rim = rng.uniform(0.008, 0.03)
    case = new_material(random_colour(rng, (0.02, 0.3) if rng.random() < 0.8 else (0.4, 0.9), 0.2), 0.3)
    if rng.random() < 0.5:
        face = new_material(random_colour(rng, (0.01, 0.12), 0.3), 0.12)
    else:
        face = patterned(rng, scale=rng.uniform(2, 10), emission=rng.uniform(0.2, 1.5))
    y = 0.1 if stand else 0
    parts = [(-w / 2, y + 0.01, base, w / 2, y + 0.045, base + h, 0)]
    parts.append((-w / 2 + rim, y + 0.02, base + rim * 1.5, w / 2 - rim, y + 0.048, base + h - rim, 1))
    if stand:
        foot = w * rng.uniform(0.15, 0.35)
        parts += [(-foot, 0.02, 0, foot, 0.22, 0.015, 0), (-0.04, 0.09, 0.01, 0.04, 0.12, base + 0.05, 0)]
    return boxes("flat screen", parts, [case, face]), base + h
