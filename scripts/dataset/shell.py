# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell of a room: floor, ceiling, walls, windows with their curtains, doors."""

import math
from dataclasses import dataclass

from mathutils import Vector

from . import fittings
from .materials import new_material, patterned, random_colour

WALL = 0.12  # wall thickness


@dataclass
class Wall:
    """One wall: where it starts, its directions, and what already takes up parts of it, as (u0, u1, z0, z1)."""

    start: Vector
    along: Vector
    inward: Vector
    length: float
    spans: list

    @property
    def angle(self):
        """About z, of the direction along the wall."""
        return math.atan2(self.along.y, self.along.x)

    def at(self, u, out=0.0):
        """The floor point `u` along the wall and `out` into the room."""
        return self.start + self.along * u + self.inward * out

    def clear(self, u0, u1, z0, z1):
        """Is nothing on this part of the wall?"""
        return not any(u1 > a and u0 < b and z1 > c and z0 < d for a, b, c, d in self.spans)


def build(room):
    """Make the shell; returns the walls."""
    rng, (W, D, H) = room.rng, room.size
    outline = [(0, 0), (W, 0), (W, D), (0, D)]
    floor = fittings.prism("floor", outline, -0.05, 0)
    floor.data.materials.append(room.surface("floor", 0.8))
    room.register(floor, "floor", "floor")
    ceiling = fittings.prism("ceiling", outline, H, H + 0.05)
    plain = rng.random() < 0.75
    ceiling.data.materials.append(
        new_material((rng.uniform(0.6, 0.88),) * 3, 0.9) if plain else room.surface("wall", 0.4, (0.8, 0.98))
    )
    room.register(ceiling, "ceiling", "ceiling")
    walls = []
    for k in range(4):
        a, b = Vector(outline[k]), Vector(outline[(k + 1) % 4])
        along = (b - a).normalized()
        walls.append(Wall(a, along, Vector((-along.y, along.x)), (b - a).length, []))
    paint, skirting = room.surface("wall", 0.5), new_material(random_colour(rng, (0.3, 0.95), 0.3), 0.6)
    corner = _corner(room, walls, paint) if rng.random() < 0.3 and min(W, D) > 3.3 else []
    window_walls = rng.sample(range(4), rng.choices([1, 2, 3], [5, 4, 1])[0])
    door_walls = [k for k in range(4) if k not in window_walls]
    rng.shuffle(door_walls)
    door_walls = door_walls[: rng.choices([1, 2], [6, 4])[0]]
    has_skirting, has_dado = rng.random() < 0.5, rng.random() < 0.15
    for k, wall in enumerate(walls):
        pieces = _windows(room, wall) if k in window_walls else [(0, wall.length, 0, H)]
        door = _door(room, wall) if k in door_walls else None
        material = paint if rng.random() < 0.7 else room.surface("wall", 0.6)
        parts = [_slab(wall, *piece, -WALL, 0, material) for piece in pieces]
        stretches = [(0, wall.length)] if not door else [(0, door[0]), (door[1], wall.length)]
        if has_skirting:
            parts += [_slab(wall, a, b, 0, 0.09, 0, 0.012, skirting) for a, b in stretches if b > a]
        if has_dado and k not in window_walls:
            parts += [_slab(wall, a, b, 0.9, 0.96, 0, 0.02, skirting) for a, b in stretches if b > a]
        room.register(parts, "wall", "wall")
    return walls + corner


def _slab(wall, u0, u1, z0, z1, out0, out1, material):
    corners = [tuple(wall.at(u, out)) for u, out in ((u0, out0), (u1, out0), (u1, out1), (u0, out1))]
    part = fittings.prism("wall", corners, z0, z1)
    part.data.materials.append(material)
    return part


def _corner(room, walls, paint):
    """Fill a corner of the box up to the ceiling, which leaves a room like an L. Returns its two faces as walls."""
    rng, (W, D, H) = room.rng, room.size
    w, d = rng.uniform(0.5, 0.38 * W), rng.uniform(0.5, 0.38 * D)
    k = rng.randrange(4)  # the corner where wall k starts
    x0, y0 = (0 if k in (0, 3) else W - w), (0 if k in (0, 1) else D - d)
    block = fittings.prism("wall", [(x0, y0), (x0 + w, y0), (x0 + w, y0 + d), (x0, y0 + d)], 0, H)
    block.data.materials.append(paint)
    room.register(block, "wall", "wall")
    room.boxes.append((x0 + w / 2, y0 + d / 2, w / 2, d / 2, H))
    first, last = (w, d) if k % 2 == 0 else (d, w)
    walls[k].spans.append((0, first, 0, H))
    walls[k - 1].spans.append((walls[k - 1].length - last, walls[k - 1].length, 0, H))
    faces = []
    for wall, length, out in ((walls[k], first, last), (walls[k - 1], last, first)):
        start = wall.at(0 if wall is walls[k] else wall.length - length, out)
        faces.append(Wall(start, wall.along, wall.inward, length, []))
    return faces


def _windows(room, wall):
    """Put one or two windows, maybe with curtains, into the wall; returns the wall's remaining pieces."""
    rng, H = room.rng, room.size[2]
    pieces, left = [], 0.0
    slots = [(0.3, wall.length - 0.3)]
    if wall.length > 3.6 and rng.random() < 0.35:
        slots = [(0.3, wall.length / 2 - 0.2), (wall.length / 2 + 0.2, wall.length - 0.3)]
    tall = rng.random() < 0.15
    z, h = (0.08, rng.uniform(1.9, 2.15)) if tall else (rng.uniform(0.55, 1.1), rng.uniform(0.7, 1.5))
    h = min(h, H - z - 0.1)
    style = rng.random()
    cloth = _cloth(room)
    for lo, hi in slots:
        w = min(rng.uniform(0.6, 2.2), hi - lo)
        u = rng.uniform(lo, hi - w)
        if w < 0.5 or not wall.clear(u - 0.05, u + w + 0.05, 0, H):
            continue
        _window(room, wall, u, w, z, h)
        wall.spans.append((u, u + w, z, z + h))
        pieces += [(left, u, 0, H), (u, u + w, 0, z), (u, u + w, z + h, H)]
        left = u + w
        if style < 0.6:
            _curtains(room, wall, u, w, z, h, cloth)
        elif style < 0.72:
            _blind(room, wall, u, w, z, h, cloth)
    return [*pieces, (left, wall.length, 0, H)]


def _window(room, wall, u, w, z, h):
    rng = room.rng
    model = rng.choice([m for m in room.models["window"] if m.size[2] < 1.9] or room.models["window"])
    at = wall.at(u + w / 2, -WALL / 2)
    obj = room.object(model, (at.x, at.y, z), wall.angle, (w, WALL * 0.9, h))
    obj.visible_shadow = False  # sun and sky still light the room
    room.register(obj, "window", model=model)
    sky = new_material(random_colour(rng, (0.85, 1), 0.35), 0.1, emission=rng.uniform(0.1, 2.2))
    frame = new_material(random_colour(rng, (0.2, 0.95), 0.4), 0.5) if rng.random() < 0.5 else None
    for slot in obj.material_slots:
        material = sky if slot.material and slot.material.get("glass") else frame
        if material:
            slot.link, slot.material = "OBJECT", material
    room.sun = wall.inward


def _cloth(room):
    rng = room.rng
    return patterned(rng, scale=rng.uniform(3, 20)) if rng.random() < 0.35 else new_material(random_colour(rng), 0.9)


def _curtains(room, wall, u, w, z, h, cloth):
    """A pair, or one, of curtains beside the window, to the floor or to the sill, on a rod."""
    rng, H = room.rng, room.size[2]
    top = min(z + h + rng.uniform(0.08, 0.3), H - 0.03)
    bottom = 0.02 if rng.random() < 0.6 else max(z - rng.uniform(0.05, 0.3), 0.02)
    width = rng.uniform(0.25, min(0.9, 0.45 * w + 0.3))
    sides = [-1, 1] if rng.random() < 0.8 else [rng.choice([-1, 1])]
    for side in sides:
        middle = u + w / 2 + side * (w / 2 + 0.12 - width * rng.uniform(0.1, 0.5))
        middle = min(max(middle, width / 2 + 0.02), wall.length - width / 2 - 0.02)
        if not wall.clear(middle - width / 2, middle + width / 2, bottom, z - 0.01) and bottom < z:
            continue
        at = wall.at(middle)
        obj = fittings.curtain(room, width, top - bottom, cloth)
        obj.location, obj.rotation_euler = (at.x, at.y, bottom), (0, 0, wall.angle)
        room.register(obj, "curtain", "folded curtain")
        wall.spans.append((middle - width / 2, middle + width / 2, bottom, top))
    if rng.random() < 0.5:
        at = wall.at(u + w / 2)
        metal = new_material(random_colour(rng, (0.1, 0.8), 0.3), 0.4)
        half = min(w / 2 + 0.2, u + w / 2 - 0.02, wall.length - u - w / 2 - 0.02)
        rod = fittings.boxes("rod", [(-half, 0.055, top, half, 0.085, top + 0.025, 0)], [metal])
        rod.location, rod.rotation_euler = (at.x, at.y, 0), (0, 0, wall.angle)
        room.register(rod, "other", "curtain rod")


def _blind(room, wall, u, w, z, h, cloth):
    """A roller or slatted blind over the upper part of the window."""
    rng = room.rng
    reach, top = h * rng.uniform(0.2, 0.9), z + h + 0.05
    parts = [(-w / 2 - 0.03, 0.01, top - 0.07, w / 2 + 0.03, 0.07, top, 0)]
    if rng.random() < 0.5:
        parts.append((-w / 2, 0.03, top - reach, w / 2, 0.036, top, 0))
    else:
        count = int(reach / 0.045)
        parts += [(-w / 2, 0.02, top - 0.045 * k - 0.04, w / 2, 0.045, top - 0.045 * k - 0.004, 0) for k in range(1, count)]
    obj = fittings.boxes("blind", parts, [cloth])
    at = wall.at(u + w / 2)
    obj.location, obj.rotation_euler = (at.x, at.y, 0), (0, 0, wall.angle)
    room.register(obj, "curtain", "blind")


def _door(room, wall):
    """A door in a free stretch of the wall; returns its extent along it, or None."""
    rng = room.rng
    width = rng.choice([rng.uniform(0.72, 1.0), rng.uniform(0.72, 1.0), rng.uniform(1.25, 1.6)])
    height = min(rng.uniform(1.95, 2.25), room.size[2] - 0.08)
    model = room.choose("door", lambda m: m.size[0] < 1.1) if rng.random() < 0.25 else None
    if width + 0.3 > wall.length:
        return None
    for _ in range(8):
        u = rng.uniform(width / 2 + 0.12, wall.length - width / 2 - 0.12)
        if not wall.clear(u - width / 2, u + width / 2, 0, height):
            continue
        at = wall.at(u, 0.001)
        if model:
            width = min(width, 1.0)
            spot = wall.at(u, 0.026)
            obj = room.object(model, (spot.x, spot.y, 0), wall.angle, (width, 0.06, height))
            room.recolour(obj, 0.5)
        else:
            obj = fittings.door(room, width, height)
            obj.location, obj.rotation_euler = (at.x, at.y, 0), (0, 0, wall.angle)
        room.register(obj, "door", "panel door", model)
        wall.spans.append((u - width / 2, u + width / 2, 0, height))
        front = wall.at(u, 0.3)
        half = (abs(wall.along.x) * width / 2 + 0.15, abs(wall.along.y) * width / 2 + 0.15)
        room.boxes.append((front.x, front.y, *half, 0))  # keep the way in free
        return u - width / 2, u + width / 2
    return None
