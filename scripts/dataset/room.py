# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds one furnished room in Blender from a seed.

Units are metres, z is up; the room is the box (0, 0, 0) - (width, depth, height), sometimes less a corner. Every object gets
its instance number as `pass_index`; `Room.instances` says what each number is.
"""

import math
import random
from dataclasses import replace

import bpy

from . import furnish, shell, taxonomy
from .assets import clear_scene
from .materials import new_material, patterned, random_colour

KINDS = {"living": 1.3, "bedroom": 1.3, "kitchen": 1, "bath": 1.5, "office": 0.9, "studio": 0.8}  # how often each kind
SCARCE = {"bathtub", "toilet", "sink", "tv", "shelf", "door", "curtain", "rug", "picture"}  # varied more, having few models


class Room:
    """A furnished room. After construction: `kind`, `size`, `instances`, `boxes`, `lamp`, `focus`."""

    def __init__(self, assets, seed, split):
        self.assets, self.rng = assets, random.Random(f"room {seed}")  # noqa: S311
        self.models = taxonomy.for_split(assets.models, split)
        clear_scene()
        rng = self.rng
        self.kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        big = {"bath": 0.72, "kitchen": 0.9, "studio": 1.1}.get(self.kind, 1)
        self.size = (rng.uniform(3.2, 6.4) * big, rng.uniform(2.9, 5.4) * big, rng.uniform(2.3, 3.1))
        self.instances = {}
        self.boxes = []  # occupied floor: (x, y, half size x, half size y, top)
        self.focus = []  # where things of rare classes are
        self.lamp = self.sun = None
        self.palette = [random_colour(rng) for _ in range(5)]
        self.walls = shell.build(self)
        furnish.furnish(self)
        furnish.lights(self)

    def register(self, parts, cls, name="", model=None):
        """Give an object, or several that are one thing, the next instance number."""
        number = len(self.instances) + 1
        for part in parts if isinstance(parts, list) else [parts]:
            part.pass_index = number
        self.instances[number] = {
            "class": cls,
            "name": model.name if model else name,
            "model": model.id if model else None,
            "held_out": bool(model and model.held_out),
        }

    def surface(self, kind, chance, value=(0.45, 0.95)):
        """A random textured, patterned or painted material; `kind` is "floor" or "wall"."""
        rng = self.rng
        roughness = rng.uniform(0.25, 0.9)
        draw = rng.random()
        if draw < chance:
            _, path, (w, h) = rng.choice([t for t in self.assets.textures if t[0] == kind])
            zoom = rng.uniform(0.8, 1.8)
            return new_material(random_colour(rng, (0.75, 1), 0.25), roughness, path, (w * zoom, h * zoom))
        base = random_colour(rng, value, 0.6 if rng.random() < 0.25 else 0.3)
        if draw < chance + 0.6 * (1 - chance):
            tones = [tuple(min(max(c * rng.uniform(0.6, 1.25), 0.02), 0.9) for c in base) for _ in range(rng.choice([2, 3]))]
            return patterned(rng, tones, rng.uniform(1.5, 12), ("VORONOI", "NOISE", "WAVE", "MAGIC", "CHECKER"), world=True)
        return new_material(base, roughness)

    def wood(self, colour):
        """Paint, or a grained or textured surface, for procedural furniture."""
        rng = self.rng
        if rng.random() < 0.4:
            woods = [t for t in self.assets.textures if "wood" in str(t[1]).lower() or "parquet" in str(t[1]).lower()]
            _, path, (w, h) = rng.choice(woods or self.assets.textures)
            return new_material(random_colour(rng, (0.5, 1), 0.4), rng.uniform(0.25, 0.8), path, (w, h))
        return new_material(colour, rng.uniform(0.25, 0.9))

    def choose(self, cls, test=lambda m: True):
        """A model of a class, varied in its proportions."""
        fitting = [m for m in self.models.get(cls, []) if test(m)]
        if not fitting:
            return None
        model, reach = self.rng.choice(fitting), 0.15 if cls in SCARCE else 0.08
        return replace(model, size=tuple(s * self.rng.uniform(1 - reach, 1 + reach) for s in model.size))

    def object(self, model, position, angle, size=None):
        """Put a model into the scene."""
        obj = bpy.data.objects.new(model.name, self.assets.mesh(model))
        obj.location, obj.rotation_euler = position, (0, 0, angle)
        obj.scale = size or model.size
        bpy.context.collection.objects.link(obj)
        return obj

    def recolour(self, obj, chance=0.35):
        """Give some of an object's materials the room's colours (on the object, not on the mesh)."""
        for slot in obj.material_slots:
            if slot.material is None or slot.material.name.startswith("plain") or self.rng.random() < chance:
                colour = self.rng.choice(self.palette)
                slot.link = "OBJECT"
                slot.material = (
                    patterned(self.rng, scale=self.rng.uniform(3, 14)) if self.rng.random() < 0.2 else self.wood(colour)
                )

    def fits(self, x, y, width, depth, angle):
        """Half sizes of the turned piece's bounding box if it stands free at (x, y), else None."""
        c, s = abs(math.cos(angle)), abs(math.sin(angle))
        hx, hy = (width * c + depth * s) / 2, (width * s + depth * c) / 2
        if not (hx < x < self.size[0] - hx and hy < y < self.size[1] - hy):
            return None
        if any(abs(x - X) < hx + HX and abs(y - Y) < hy + HY for X, Y, HX, HY, _ in self.boxes):
            return None
        return hx, hy

    def wall_place(self, w, d, h, base=0.0, tries=14):
        """(wall, u, half sizes) of a free place for a thing with its back to a wall, or None."""
        if base + h > self.size[2] - 0.05:
            return None
        for _ in range(tries):
            wall = self.rng.choice(self.walls)
            if wall.length < w + 0.1:
                continue
            u = self.rng.uniform(w / 2 + 0.03, wall.length - w / 2 - 0.03)
            if not wall.clear(u - w / 2, u + w / 2, base, base + h):
                continue
            at = wall.at(u, d / 2 + 0.015)
            half = self.fits(at.x, at.y, w, d, wall.angle)
            if half:
                return wall, u, half
        return None

    def hang_place(self, w, z0, z1, tries=6):
        """(wall, u) of a free stretch of wall, clear of furniture too, for a thing that hangs there; it is taken at once."""
        for _ in range(tries):
            wall = self.rng.choice(self.walls)
            if wall.length < w + 0.2:
                continue
            u = self.rng.uniform(w / 2 + 0.05, wall.length - w / 2 - 0.05)
            at = wall.at(u)
            hx, hy = (abs(v) * w / 2 + 0.12 for v in wall.along)
            hidden = any(abs(at.x - X) < HX + hx and abs(at.y - Y) < HY + hy and top > z0 for X, Y, HX, HY, top in self.boxes)
            if not hidden and wall.clear(u - w / 2 - 0.05, u + w / 2 + 0.05, z0, z1):
                wall.spans.append((u - w / 2, u + w / 2, z0, z1))
                return wall, u
        return None
