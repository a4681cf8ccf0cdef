# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene's own objects as triangles in the world, as modifiers, shape keys and poses leave them. Nothing is changed.

Objects go by name here: between two steps of a job people may edit, undo or delete, and what Blender gave out before is then
no longer valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np
import numpy.typing as npt

from ...core.errors import InvalidInput
from ...core.voting import Numbers, Surface
from ..build.attributes import is_points

SURFACES = frozenset({"MESH", "CURVE", "SURFACE", "FONT", "META"})
_TRACE = "splatonym_face"


@dataclass(frozen=True)
class Chosen:
    """The names of objects to work on, and of those left out, by the reason: {"without faces": ["Empty"]}."""

    names: tuple[str, ...]
    left_out: dict[str, list[str]]

    def note(self) -> str:
        """A sentence on what was left out, or ""."""
        return left_out_note(self.left_out)


def left_out_note(left_out: dict[str, list[str]]) -> str:
    """ "Left out: 2 hidden, 'Lamp' without faces." or ""."""
    if not left_out:
        return ""
    counted = [f"{f'{names[0]!r}' if len(names) == 1 else len(names)} {why}" for why, names in left_out.items()]
    return f"Left out: {', '.join(counted)}."


def choose_objects(context: bpy.types.Context, selected: bool, *, to_write: bool = False) -> Chosen:
    """The selected or all visible objects with surfaces, without any result's points; none at all raises InvalidInput.

    to_write: only meshes whose data can be written to.
    """
    names: list[str] = []
    left_out: dict[str, list[str]] = {}
    context.view_layer.update()  # objects that a script has just removed stand in the list as None until then
    pool = context.selected_objects if selected else context.view_layer.objects
    for item in sorted(pool, key=lambda o: o.name):
        if item.type not in SURFACES or is_points(item.data):
            continue
        reason = _obstacle(item, to_write)
        left_out.setdefault(reason, []).append(item.name) if reason else names.append(item.name)
    if not names:
        where = "is selected" if selected else "is visible"
        raise InvalidInput(
            f"No {'mesh' if to_write else 'object with a surface'} that can be used {where}. {left_out_note(left_out)}".strip(),
            "Select some, or take all visible ones." if selected else "Show some; a result's own points do not count.",
        )
    return Chosen(tuple(names), left_out)


def _obstacle(item: bpy.types.Object, to_write: bool) -> str:
    """Why an object cannot be used, "" if it can."""
    if not item.visible_get():
        return "hidden"
    if item.mode == "EDIT":
        return "in edit mode"
    if to_write and item.type != "MESH":
        return "not a mesh"
    if to_write and (item.data.library is not None or item.data.override_library is not None):
        return "linked from a library"
    if item.type == "MESH" and to_write and not item.data.polygons:
        return "without faces"
    return ""


def find(context: bpy.types.Context, name: str) -> bpy.types.Object:
    """The object of that name; one that is gone raises InvalidInput."""
    item = context.view_layer.objects.get(name)
    if item is None:
        raise InvalidInput(f"'{name}' was removed or renamed while the job ran.", "Run it again.")
    return item


def visible_surface(context: bpy.types.Context, item: bpy.types.Object) -> Triangles:
    """An object's surface as it is seen; its faces are those that modifiers leave. Without any it has no triangles."""
    with _evaluated(item, context.evaluated_depsgraph_get()) as mesh:
        return _triangles(mesh, item.matrix_world)


def original_surface(context: bpy.types.Context, item: bpy.types.Object) -> Triangles:
    """A mesh object's surface as it is seen, with the face numbers of its own mesh, before any modifier.

    Faces that modifiers make of one (subdivided, mirrored, repeated) all belong to it. Where no modifier says which they were
    made of (remesh), the mesh counts as it is without modifiers.
    """
    faces, corners = len(item.data.polygons), len(item.data.loops)
    with _evaluated(item, context.evaluated_depsgraph_get()) as mesh:
        if (len(mesh.polygons), len(mesh.loops)) == (faces, corners):
            return _triangles(mesh, item.matrix_world)
    return _traced(context, item, faces) or _triangles(item.data, item.matrix_world)


def _traced(context: bpy.types.Context, item: bpy.types.Object, faces: int) -> Triangles | None:
    """The evaluated surface of a copy whose faces carry their numbers; None where the numbers were lost on the way."""
    copy, data, scene = item.copy(), item.data.copy(), bpy.data.scenes.new("Splatonym tracing")
    try:
        numbers = data.attributes.new(_TRACE, "INT", "FACE")
        numbers.data.foreach_set("value", np.arange(1, faces + 1, dtype=np.int32))  # 0 is what a new face has
        copy.data = data
        scene.frame_current, scene.frame_subframe = context.scene.frame_current, context.scene.frame_subframe
        scene.collection.objects.link(copy)
        layer = scene.view_layers[0]
        layer.update()
        with _evaluated(copy, layer.depsgraph) as mesh:
            traced = mesh.attributes.get(_TRACE)
            if traced is None or traced.domain != "FACE":
                return None
            came_from = np.empty(len(mesh.polygons), np.int32)
            traced.data.foreach_get("value", came_from)
            if not came_from.any():
                return None
            return _triangles(mesh, item.matrix_world, came_from - 1, faces)
    finally:
        bpy.data.batch_remove([scene, copy, data])


@contextmanager
def _evaluated(item: bpy.types.Object, graph: bpy.types.Depsgraph) -> Iterator[bpy.types.Mesh]:
    """An object's mesh behind its modifiers; for an object without any surface an empty one."""
    evaluated = item.evaluated_get(graph)
    try:
        mesh = evaluated.to_mesh()
    except RuntimeError:  # Blender's word for "it has no geometry"
        mesh = None
    if mesh is None:
        empty = bpy.data.meshes.new("Splatonym nothing")
        try:
            yield empty
        finally:
            bpy.data.meshes.remove(empty)
        return
    try:
        yield mesh
    finally:
        evaluated.to_mesh_clear()


@dataclass(frozen=True)
class Triangles:
    """What Blender has of an object's surface; `surface` is the rest of the work, which needs no bpy.

    places: [V, 3] float32 in the object's space; matrix: [4, 4] to the world. vertex: [T, 3]; polygon: [T] of the mesh they are of.
    came_from: [polygons] which face each polygon belongs to, below zero for none; None where they are the faces. faces: how many.
    """

    places: npt.NDArray[np.float32]
    matrix: npt.NDArray[np.float64]
    vertex: Numbers
    polygon: Numbers
    came_from: Numbers | None
    faces: int

    def surface(self) -> Surface:
        """The triangles in the world, by face."""
        world = (self.places @ self.matrix[:3, :3].T + self.matrix[:3, 3]).astype(np.float32)
        face = self.polygon if self.came_from is None else self.came_from[self.polygon]
        corners = world[self.vertex]
        sound = np.isfinite(corners).all(axis=(1, 2))  # one broken vertex must not take the others' votes
        return Surface.sorted(corners[sound], face[sound], self.faces)


def _triangles(
    mesh: bpy.types.Mesh, matrix: npt.ArrayLike, came_from: Numbers | None = None, faces: int | None = None
) -> Triangles:
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    vertex, polygon = np.empty(count * 3, np.int32), np.empty(count, np.int32)
    mesh.loop_triangles.foreach_get("vertices", vertex)
    mesh.loop_triangles.foreach_get("polygon_index", polygon)
    places = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", places)
    number = len(mesh.polygons) if faces is None else faces
    return Triangles(places.reshape(-1, 3), np.array(matrix, np.float64), vertex.reshape(-1, 3), polygon, came_from, number)
