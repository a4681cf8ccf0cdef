# SPDX-License-Identifier: GPL-3.0-or-later
"""Furnishes a room by its kind, hangs things on its walls and lights it."""

import math
from dataclasses import dataclass

import bpy
from mathutils import Matrix, Vector

from . import fittings
from .views import RARE

WANTED = {  # what a kind of room is furnished with; what comes first finds space first
    "living": ["sofa", "tv cabinet", "shelf", "sofa", "cabinet", "plant", "chair", "table"],
    "bedroom": ["bed", "cabinet", "cabinet", "shelf", "chair", "plant", "table"],
    "kitchen": ["sink", "appliance", "appliance", "cabinet", "appliance", "dining", "plant"],
    "bath": ["toilet", "bathtub", "sink", "cabinet", "toilet", "appliance", "plant"],
    "office": ["desk", "chair", "shelf", "cabinet", "desk", "plant", "table"],
    "studio": ["bed", "sofa", "tv cabinet", "sink", "desk", "shelf", "table", "chair"],
}
EXTRA = ["chair", "cabinet", "shelf", "plant", "other", "other", "sofa", "table", "floor lamp", "bed", "tv cabinet", "sink"]
HOSTS = {"table", "cabinet", "shelf", "appliance"}


@dataclass
class Placed:
    """A piece of furniture that stands in the room."""

    obj: object
    cls: str
    position: Vector  # of the middle of its base
    angle: float  # about z
    size: tuple


def furnish(room):
    """Rugs, furniture, what lies on it, and what hangs on the walls."""
    rng = room.rng
    for _ in range(rng.choices([0, 1, 2, 3], [2, 5, 3, 1])[0]):
        _rug(room)
    hosts = []
    for item in WANTED[room.kind] + rng.choices(EXTRA, k=rng.randint(1, 5)):
        placed = _item(room, item)
        if placed and placed.cls in HOSTS:
            hosts.append(placed)
    for _ in range(rng.choices([0, 1, 2], [4, 4, 2])[0]):
        _wall_shelf(room)
    if rng.random() < (0.45 if room.kind in ("living", "studio", "bedroom", "office") else 0.12):
        _wall_screen(room)
    for host in hosts:
        for _ in range(rng.randint(2, 6)):
            cls = rng.choices(["small_object", "plant", "lamp"], [9, 1, 1])[0]
            _on_top(room, host, room.choose(cls, _small_lamp if cls == "lamp" else lambda m: m.elevation < 0.3))
    for _ in range(rng.randint(1, 6)):
        _picture(room)


def _small_lamp(m):
    return m.size[2] < 0.7 and m.elevation < 0.3 and max(m.size[:2]) < 0.5


def _item(room, item):
    if item == "tv cabinet":
        placed = _against_wall(room, room.choose("cabinet", lambda m: m.size[2] < 1 and m.elevation < 0.3))
        _set_screen(room, placed)
        return placed
    if item == "floor lamp":
        tall = room.choose("lamp", lambda m: 1.1 < m.size[2] < 1.9 and m.elevation < 0.3 and max(m.size[:2]) < 0.6)
        return _free(room, tall)
    if item in ("desk", "dining"):
        return _table_and_chairs(room, item)
    if item in ("plant", "chair", "table"):
        return _free(room, room.choose(item, lambda m: m.size[2] > 0.35))
    if item == "shelf" and room.rng.random() < 0.7:
        return _bookcase(room)
    if item == "toilet" and room.rng.random() < 0.6:  # else urinals and bidets come as often
        return _against_wall(room, room.choose("toilet", lambda m: "toilet" in m.name.lower()))
    return _against_wall(room, room.choose(item))


def _table_and_chairs(room, item):
    rng = room.rng
    model = room.choose("table", lambda m: 0.55 < m.size[2] < 1.1 and 0.6 < m.size[0] < 2)
    placed = (_against_wall if item == "desk" else _free)(room, model)
    if placed:
        reach = max(placed.size[:2]) / 2 + 0.35 if item == "dining" else 0.8
        chair = room.choose("chair", lambda m: m.size[0] < 0.65)
        for _ in range(rng.randint(2, 4) if item == "dining" else 1):
            _free(room, chair, (placed.position.x, placed.position.y, reach), placed.position)
        if item == "desk":
            _set_screen(room, placed)
            _on_top(room, placed, room.choose("lamp", _small_lamp))
    return placed


def _against_wall(room, model):
    """Stand (or hang) a model with its back to a wall."""
    if model is None:
        return None
    (w, d, h), base = model.size, model.elevation if model.elevation > 0.4 else 0
    if w > 2.9 or (d > 1.5 and w > 2.3):
        return None
    found = room.wall_place(w, d, h, base)
    if not found:
        return None
    wall, u, half = found
    return _add(room, model, wall.at(u, d / 2 + 0.015), base, wall.angle + math.pi, half)


def _free(room, model, near=None, facing=None, tries=20):
    """Stand a model anywhere on the floor, or at `near` = (x, y, distance)."""
    if model is None or max(model.size[:2]) > 2.2 or model.elevation > 0.3 or model.size[2] > 2.1:
        return None
    rng = room.rng
    for _ in range(tries):
        if near:
            turn = rng.uniform(0, 2 * math.pi)
            at = Vector((near[0] + near[2] * math.cos(turn), near[1] + near[2] * math.sin(turn)))
        else:
            at = Vector((rng.uniform(0.4, room.size[0] - 0.4), rng.uniform(0.4, room.size[1] - 0.4)))
        angle = rng.uniform(0, 2 * math.pi)
        if facing is not None:
            angle = math.atan2(facing.y - at.y, facing.x - at.x) + math.pi / 2 + rng.gauss(0, 0.15)
        half = room.fits(at.x, at.y, model.size[0], model.size[1], angle)
        if half:
            return _add(room, model, at, 0, angle, half)
    return None


def _add(room, model, at, base, angle, half):
    obj = room.object(model, (at.x, at.y, base), angle)
    if model.cls not in ("plant", "small_object"):
        white = model.cls in ("sink", "toilet", "bathtub", "appliance")
        chance = 0.7 if model.cls == "lamp" else 0.4  # few lamps stand on the floor
        room.recolour(obj, 0.15 if white and room.rng.random() < 0.6 else chance)
    room.register(obj, model.cls, model=model)
    room.boxes.append((at.x, at.y, *half, base + model.size[2]))
    if model.cls in RARE:
        room.focus.append((at.x, at.y))
    return Placed(obj, model.cls, Vector((at.x, at.y, base)), angle, model.size)


def _on_top(room, host, model):
    """Lay a small model on a piece of furniture, at the height a ray from above meets it."""
    if host is None or model is None:
        return
    w, d, h = model.size
    if w > host.size[0] * 0.9 or d > host.size[1] * 0.95 or h > 0.75:
        return
    place = _surface_point(room, host, w, d)
    if place:
        at, height = place
        turn = host.angle + room.rng.gauss(0, 0.2) if model.cls in ("tv", "appliance") else room.rng.uniform(0, 2 * math.pi)
        room.register(room.object(model, (at.x, at.y, height + 0.001), turn), model.cls, model=model)


def _surface_point(room, host, w, d):
    """(floor point, height) of a spot on a piece of furniture for a thing of w x d, or None."""
    rng, (W, D, H) = room.rng, host.size
    local = Vector((rng.uniform(-0.5, 0.5) * max(W - w, 0), rng.uniform(-0.5, 0.5) * max(D - d, 0)))
    hit, point, normal, _ = host.obj.ray_cast((local.x / W, local.y / D, 2), (0, 0, -1))
    height = host.position.z + point.z * H
    if not hit or abs(normal.z) < 0.9 or not 0.25 < height < 1.4:
        return None
    return host.position.xy + Matrix.Rotation(host.angle, 2) @ local, height


def _set_screen(room, host):
    """A television or a computer screen on a cabinet or desk: a model or a procedural one."""
    if host is None:
        return
    if room.rng.random() < 0.4:
        _on_top(room, host, room.choose("tv", lambda m: m.elevation < 0.3))
        return
    w = min(room.rng.uniform(0.45, 1.3), host.size[0] * 0.95)
    place = _surface_point(room, host, w, host.size[1] * 0.9)
    if place:
        obj, _ = fittings.screen(room, w, stand=True)
        obj.location, obj.rotation_euler = (*place[0], place[1] + 0.001), (0, 0, host.angle + math.pi)
        room.register(obj, "tv", "flat screen")
        room.focus.append(tuple(place[0]))


def _bookcase(room):
    rng = room.rng
    w, d, h = rng.uniform(0.5, 1.8), rng.uniform(0.22, 0.42), rng.choice([rng.uniform(0.7, 1.3), rng.uniform(1.4, 2.15)])
    found = room.wall_place(w, d, h)
    if not found:
        return None
    wall, u, half = found
    at = wall.at(u, 0.015)
    obj, places = fittings.bookcase(room, w, d, h)
    obj.location, obj.rotation_euler = (at.x, at.y, 0), (0, 0, wall.angle)
    room.register(obj, "shelf", "bookcase")
    middle = wall.at(u, d / 2 + 0.015)
    room.boxes.append((middle.x, middle.y, *half, h))
    _fill(room, obj, places, d, 0.6)
    return None  # what stands in it is there already


def _wall_shelf(room):
    rng = room.rng
    w, d, z = rng.uniform(0.5, 1.6), rng.uniform(0.15, 0.3), rng.uniform(1.2, 1.8)
    if z > room.size[2] - 0.5:
        return
    found = room.hang_place(w, z - 0.2, z + 0.4)
    if found:
        wall, u = found
        at = wall.at(u, 0.001)
        obj, places = fittings.wall_shelf(room, w, d)
        obj.location, obj.rotation_euler = (at.x, at.y, z), (0, 0, wall.angle)
        room.register(obj, "shelf", "wall shelf")
        _fill(room, obj, places * 2, d, 0.8)


def _fill(room, host, places, depth, chance):
    """Books, boxes and small models on the boards of a shelf."""
    rng = room.rng
    turn, origin = Matrix.Rotation(host.rotation_euler.z, 2), Vector(host.location[:2])
    for n, (x0, x1, z, gap) in enumerate(places):
        if rng.random() > chance:
            continue
        if n and places[n - 1] == (x0, x1, z, gap):
            x0 = (x0 + x1) / 2 + 0.1 * (x1 - x0)
        elif n + 1 < len(places) and places[n + 1] == (x0, x1, z, gap):
            x1 = (x0 + x1) / 2
        if rng.random() < 0.6:
            obj = fittings.books(room, x0, x1, z, gap, depth)
            if obj:
                obj.location, obj.rotation_euler = host.location, host.rotation_euler
                room.register(obj, "small_object", "books")
            continue
        model = room.choose(
            "small_object", lambda m, x0=x0, x1=x1, gap=gap: m.size[2] < gap and max(m.size[:2]) < min(0.5, x1 - x0)
        )
        if model:
            shrink = min(1, depth / max(model.size[1], 1e-3) * 0.95)
            size = tuple(s * shrink for s in model.size)
            at = origin + turn @ Vector((rng.uniform(x0 + size[0] / 2, x1 - size[0] / 2), depth / 2))
            angle = host.rotation_euler.z + math.pi
            room.register(
                room.object(model, (at.x, at.y, host.location.z + z + 0.001), angle, size), "small_object", model=model
            )


def _wall_screen(room):
    rng = room.rng
    w, z = rng.uniform(0.7, 1.5), rng.uniform(0.9, 1.3)
    found = room.hang_place(w, z, z + w * 0.68)
    if found:
        wall, u = found
        at = wall.at(u, 0.001)
        obj, _ = fittings.screen(room, w, stand=False)
        obj.location, obj.rotation_euler = (at.x, at.y, z), (0, 0, wall.angle)
        room.register(obj, "tv", "flat screen")
        room.focus.append(tuple(at))


def _rug(room):
    rng, (W, D, _) = room.rng, room.size
    at = (rng.uniform(0.25, 0.75) * W, rng.uniform(0.25, 0.75) * D)
    turn = rng.choice([0, math.pi / 2]) + rng.gauss(0, 0.15)
    model = room.choose("rug", lambda m: max(m.size) > 1)
    if model and rng.random() < 0.12:
        obj = room.object(model, (*at, 0.002), turn)
        room.recolour(obj)
        room.register(obj, "rug", model=model)
        return
    parts, hx, hy = fittings.rug(room)
    half = max(hx, hy) + 0.05
    at = (min(max(at[0], half), max(W - half, half)), min(max(at[1], half), max(D - half, half)))
    lift = 0.0005 * len(room.instances)  # two rugs may lie on each other
    for part in parts:
        part.location, part.rotation_euler = (*at, lift), (0, 0, turn)
    room.register(parts, "rug", "patterned rug")


def _picture(room):
    """Hang a picture at eye level, clear of windows, doors and tall furniture."""
    rng = room.rng
    w, h = rng.choice([(rng.uniform(0.25, 0.7), rng.uniform(0.25, 0.8)), (rng.uniform(0.7, 1.5), rng.uniform(0.4, 1.0))])
    z = rng.uniform(1.35, 1.75)
    if z + h / 2 > room.size[2] - 0.1:
        return
    model = room.choose("picture") if rng.random() < 0.15 else None
    if model:
        w, h = model.size[0], model.size[2]
    found = room.hang_place(w, z - h / 2, z + h / 2)
    if not found:
        return
    wall, u = found
    if model:
        at = wall.at(u, model.size[1] / 2 + 0.005)
        room.register(room.object(model, (at.x, at.y, z - h / 2), wall.angle + math.pi), "picture", model=model)
    else:
        at = wall.at(u)
        obj = fittings.picture(room, w, h)
        obj.location, obj.rotation_euler = (at.x, at.y, z), (0, 0, wall.angle)
        room.register(obj, "picture", "framed picture")
    room.focus.append(tuple(at))


def lights(room):
    """A lamp at the ceiling, area lights, sun through the windows and the sky."""
    rng, (W, D, H) = room.rng, room.size
    model = room.choose("lamp", lambda m: m.elevation > 0.9 and m.size[2] < 0.9 and "all" not in m.name)
    if model and rng.random() < 0.75:
        shrink = min(1, 0.5 / max(model.size[:2]), 0.6 / model.size[2])
        size = tuple(s * shrink for s in model.size)
        room.lamp = (W / 2 + rng.uniform(-0.4, 0.4), D / 2 + rng.uniform(-0.4, 0.4))
        room.register(room.object(model, (*room.lamp, H - size[2]), 0, size), "lamp", model=model)
    for _ in range(rng.randint(1, 3)):
        warm = rng.random()
        at = (rng.uniform(0.5, W - 0.5), rng.uniform(0.5, D - 0.5), H - 0.03)
        light = _light("AREA", at, rng.uniform(12, 110), (1, 1 - 0.25 * warm, 1 - 0.45 * warm))
        light.data.size = rng.uniform(0.15, 1.4)
    if room.sun is not None and rng.random() < 0.6:
        turn = math.atan2(room.sun.y, room.sun.x) + rng.uniform(-0.8, 0.8)
        way = Vector((math.cos(turn), math.sin(turn), -math.tan(rng.uniform(0.3, 1.0))))
        light = _light("SUN", (0, 0, 0), rng.uniform(1, 9), (1, rng.uniform(0.8, 1), rng.uniform(0.6, 1)))
        light.data.angle = rng.uniform(0.01, 0.1)
        light.rotation_euler = way.to_track_quat("-Z", "Y").to_euler()
    world = bpy.data.worlds.new("sky")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (0.7, 0.85, 1, 1)
    world.node_tree.nodes["Background"].inputs[1].default_value = rng.uniform(0.2, 2.5)
    bpy.context.scene.world = world


def _light(kind, position, energy, colour):
    data = bpy.data.lights.new(kind, kind)
    data.energy, data.color = energy, colour
    light = bpy.data.objects.new(kind, data)
    light.location = position
    light.visible_camera = light.visible_glossy = False
    bpy.context.collection.objects.link(light)
    return light
