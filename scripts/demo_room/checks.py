# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to hold before the demo room is saved; each check returns a list of complaints."""

import math

import bmesh
import bpy
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from core.labels import preset

NEAR = 0.4  # nothing may be nearer to a camera
LABELS = preset("indoor")


def parents():
    """Collection -> the collection that holds it."""
    return {child: c for c in bpy.data.collections for child in c.children}


def label_of(obj):
    """(class, way it was found): the object's property, else its collections', else its name."""
    if "semantic_class" in obj:
        return obj["semantic_class"], "object property"
    above = parents()
    for collection in obj.users_collection:
        while collection:
            if "semantic_class" in collection:
                return collection["semantic_class"], f'collection "{collection.name}"'
            collection = above.get(collection)
    return LABELS.match(obj.name), "name"


def labels(objects, intended):
    """Each object is found to be what the layout means it to be; pass_index is left to who captures."""
    return [
        f"{o.name}: {label_of(o)[0]}, not {intended[o.name]}"
        for o in objects
        if label_of(o)[0] != intended[o.name] or intended[o.name] not in LABELS.names
    ] + [f"{o.name}: pass_index is {o.pass_index}" for o in objects if o.pass_index]


def tree_of(obj):
    bm = bmesh.new()
    bm.from_mesh(obj.data)
    bm.transform(obj.matrix_world)
    tree = BVHTree.FromBMesh(bm)
    bm.free()
    return tree


def intersections(objects):
    """Pairs that cut into each other; the shell's own parts (walls, window, door) may."""
    found = []
    shell = set(bpy.data.collections["Room shell"].all_objects)
    trees = {o: tree_of(o) for o in objects}
    for i, a in enumerate(objects):
        for b in objects[i + 1 :]:
            if not (a in shell and b in shell) and trees[a].overlap(trees[b]):
                found.append(f"{a.name} cuts into {b.name}")
    return found


def inside(objects, room):
    """Furniture stays in the room."""
    shell = set(bpy.data.collections["Room shell"].all_objects)
    found = []
    for obj in objects:
        corners = [obj.matrix_world @ Vector(c) for c in obj.bound_box]
        if obj not in shell and any(not -0.001 <= c[i] <= room[i] + 0.001 for c in corners for i in range(3)):
            found.append(f"{obj.name} reaches out of the room")
    return found


def rays(camera, grid):
    """Unit directions through a grid of points over the whole picture of a square camera."""
    spread = math.tan(camera.data.angle / 2)
    for k in range(grid * grid):
        u, v = (2 * (k % grid + 0.5) / grid - 1) * spread, (2 * (k // grid + 0.5) / grid - 1) * spread
        yield camera.matrix_world.to_3x3() @ Vector((u, v, -1)).normalized()


def cameras(scene, grid=16):
    """No surface is near a camera in any direction that it sees."""
    graph, found = bpy.context.evaluated_depsgraph_get(), []
    for camera in (o for o in scene.objects if o.type == "CAMERA"):
        eye = camera.matrix_world.translation
        for ray in rays(camera, grid):
            hit, point, _, _, obj, _ = scene.ray_cast(graph, eye, ray)
            if not hit or (point - eye).length < NEAR:
                found.append(f"{camera.name} looks at {obj.name + ' from too near' if hit else 'nothing'}")
                break
    return found


def coverage(scene, held_out, grid=24):
    """Part of a held-out view's surface points that some input view sees too."""
    graph, out = bpy.context.evaluated_depsgraph_get(), scene["splatonym_held_out"].split(",")
    inputs = [o for o in scene.objects if o.type == "CAMERA" and o.name not in out]
    camera, seen = scene.objects[held_out], 0
    for ray in rays(camera, grid):
        _, point, *_ = scene.ray_cast(graph, camera.matrix_world.translation, ray)
        seen += any(sees(scene, graph, other, point) for other in inputs)
    return seen / grid**2


def sees(scene, graph, camera, point):
    """Whether a camera sees a point of a surface."""
    local, spread = camera.matrix_world.inverted() @ point, math.tan(camera.data.angle / 2)
    if local.z >= 0 or max(abs(local.x), abs(local.y)) > -local.z * spread:
        return False
    eye = camera.matrix_world.translation
    hit, first, *_ = scene.ray_cast(graph, eye, (point - eye).normalized())
    return hit and (first - point).length < 0.02
