# SPDX-License-Identifier: GPL-3.0-or-later
"""Planned cameras as Blender objects: made, replaced and removed.

They are ordinary cameras with one lens for all, in a collection of their own. What belongs to a plan is known by a custom
property, never by names; making a new plan removes the cameras and the coverage of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Matrix

from ...core.cameras import Camera, blender_intrinsics, pose_to_opengl
from ..capture.cameras import scene_size

PLAN = "splatonym_plan"
COLLECTION, LENS = "Splatonym Cameras", "Splatonym View"

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Lens:
    """What planned cameras see through: millimetres, and clip distances in scene units."""

    lens: float = 24.0
    sensor_fit: str = "AUTO"
    sensor_width: float = 36.0
    sensor_height: float = 24.0
    clip_start: float = 0.05
    clip_end: float = 1000.0

    def camera(self, scene: bpy.types.Scene, resolution: int = 256) -> Camera:
        """The camera at the world's origin, with `resolution` pixels on the longer side of the scene's picture."""
        width, height = picture_size(scene, resolution)
        K = blender_intrinsics(
            width=width,
            height=height,
            sensor_fit=self.sensor_fit,  # type: ignore[arg-type]
            sensor_width=self.sensor_width,
            sensor_height=self.sensor_height,
            shift_x=0.0,
            shift_y=0.0,
            pixel_aspect_x=scene.render.pixel_aspect_x,
            pixel_aspect_y=scene.render.pixel_aspect_y,
            lens=self.lens,
        )
        return Camera(width, height, K, np.eye(4))


def scene_lens(scene: bpy.types.Scene) -> Lens:
    """The lens of the active camera, without its shift, if it is a perspective one; else a wide angle, as for interiors."""
    active = scene.camera
    if active is None or active.type != "CAMERA" or active.data.type != "PERSP":
        return Lens()
    return Lens(**{name: getattr(active.data, name) for name in Lens.__dataclass_fields__})


def picture_size(scene: bpy.types.Scene, resolution: int) -> tuple[int, int]:
    """Width and height in pixels, in the scene's shape, with `resolution` on the longer side."""
    width, height = scene_size(scene)
    longer = max(width, height)
    return max(1, round(width * resolution / longer)), max(1, round(height * resolution / longer))


def find_collection(scene: bpy.types.Scene) -> bpy.types.Collection | None:
    """The collection of the scene's plan, or None."""
    return next((c for c in scene.collection.children_recursive if PLAN in c), None)


def planned_cameras(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The cameras of the scene's plan, by name. One that a person moved to another collection is theirs."""
    collection = find_collection(scene)
    cameras = [] if collection is None else [o for o in collection.objects if o.type == "CAMERA" and PLAN in o]
    return sorted(cameras, key=lambda camera: camera.name)


def find_coverage(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The object that shows coverage, or None."""
    return next((thing for thing in scene.objects if thing.type == "MESH" and PLAN in thing), None)


def place_cameras(scene: bpy.types.Scene, layer: bpy.types.ViewLayer, lens: Lens, poses: Sequence[Floats]) -> list[str]:
    """Put cameras at poses [4, 4] (OpenCV axes) in place of the plan before, select them and nothing else; returns their names.

    A scene without an active camera gets the first of them, and so does one whose active camera was planned.
    """
    was_active = scene.camera is None or PLAN in scene.camera
    remove_cameras(scene)
    remove_coverage(scene)
    collection = ensure_collection(scene)
    data = bpy.data.cameras.new(LENS)
    for name in Lens.__dataclass_fields__:
        setattr(data, name, getattr(lens, name))
    made = []
    for pose in poses:
        thing = bpy.data.objects.new(_free_name(len(made)), data)
        thing[PLAN] = True
        thing.matrix_world = Matrix(pose_to_opengl(pose).tolist())
        collection.objects.link(thing)
        made.append(thing)
    if was_active:
        scene.camera = made[0]
    _show(layer, collection)
    _select(layer, made)
    return [thing.name for thing in made]


def ensure_collection(scene: bpy.types.Scene) -> bpy.types.Collection:
    """The plan's collection, made if it is not there."""
    collection = find_collection(scene)
    if collection is None:
        collection = bpy.data.collections.new(COLLECTION)
        collection[PLAN] = True
        scene.collection.children.link(collection)
    return collection


def clear_plan(scene: bpy.types.Scene, *, cameras: bool = True, coverage: bool = True) -> tuple[int, bool]:
    """Remove what was planned, and the collection if nothing else is in it: what a person put there stays.

    Returns how many cameras there were, and whether coverage was shown.
    """
    gone = remove_cameras(scene) if cameras else 0, remove_coverage(scene) if coverage else False
    collection = find_collection(scene)
    if collection is not None and not collection.objects and not collection.children:
        bpy.data.collections.remove(collection)
    return gone


def remove_cameras(scene: bpy.types.Scene) -> int:
    """Remove the planned cameras and their lens; returns how many there were."""
    old = planned_cameras(scene)
    _remove(old)
    return len(old)


def remove_coverage(scene: bpy.types.Scene) -> bool:
    """Remove the coverage that is shown, with its materials; returns whether there was any."""
    shown = find_coverage(scene)
    if shown is not None:
        _remove([shown])
    bpy.data.batch_remove([material for material in bpy.data.materials if PLAN in material and material.users == 0])
    return shown is not None


def _remove(things: Sequence[bpy.types.Object]) -> None:
    data = {thing.data for thing in things}
    bpy.data.batch_remove(things)
    bpy.data.batch_remove([block for block in data if block.users == 0])


def _free_name(number: int) -> str:
    """The first free name of "View.000", "View.001", ... from a number on: the file may have cameras that are called so."""
    while f"View.{number:03d}" in bpy.data.objects:
        number += 1
    return f"View.{number:03d}"


def _show(layer: bpy.types.ViewLayer, collection: bpy.types.Collection) -> None:
    """Take the collection into the view layer again, if a person excluded or hid it."""
    waiting = [layer.layer_collection]
    while waiting:
        branch = waiting.pop()
        if branch.collection == collection:
            branch.exclude = branch.hide_viewport = False
        waiting.extend(branch.children)


def _select(layer: bpy.types.ViewLayer, chosen: Sequence[bpy.types.Object]) -> None:
    """Select these alone. In a mode other than object mode the active object stays: the mode is its own."""
    layer.update()  # the layer does not know the new objects yet
    for thing in layer.objects:
        thing.select_set(False, view_layer=layer)
    there = [thing for thing in chosen if thing.name in layer.objects]
    for thing in there:
        thing.select_set(True, view_layer=layer)
    if there and (layer.objects.active is None or layer.objects.active.mode == "OBJECT"):
        layer.objects.active = there[0]
