# SPDX-License-Identifier: GPL-3.0-or-later
"""All surfaces that a render would show, as one list of triangles in the world, and rays through them.

Taken are the evaluated meshes, curves, texts and metaballs of the view layer with all instances. Left out is what no picture
shows: what is hidden in renders or from the camera, results of Splatonym, point clouds, and meshes whose material is only a
volume. What is hidden in the viewport alone is there, for renders show it: a ceiling out of the way is still a ceiling.
(Blender evaluates no modifiers and no instances of an object whose display is disabled, so these are missing.) Glass is a
surface like any other, as in the views.

Scenes of many millions of triangles, mostly plants, are thinned: a random part of the triangles of each mesh, each as much
larger, covers the same area on average (Cook et al., "Stochastic Simplification of Aggregate Detail", 2007).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import bpy
import numpy as np
import numpy.typing as npt
from mathutils.bvhtree import BVHTree

from ...core.errors import InvalidInput
from ..build.objects import RESULT
from ..jobs import Step, in_thread, run_to_end

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

MOST = 1_500_000
"""Triangles; scenes with more are thinned. Twice as many need 1 GB and several seconds for the tree."""
THINNED_ABOVE = 20_000
"""A mesh is thinned if its instances together have more triangles than this: trees, not walls."""
SLACK = 2e-4
"""Share of its length by which a ray ends before the surface that it goes to."""
_MESHABLE = ("MESH", "CURVE", "SURFACE", "FONT", "META")


@dataclass(frozen=True)
class Surfaces:
    """triangles [T, 3, 3] float64 in the world; owners [T] int, places in `names`; chosen [T] bool: what is selected; the ray
    tree.

    slack: scene units by which thinned triangles stand in each other's way; 0 where nothing was thinned.
    """

    triangles: Floats
    owners: npt.NDArray[np.int32]
    names: list[str]
    chosen: Mask
    tree: BVHTree
    slack: float = 0.0

    @property
    def box(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner [3]."""
        points = self.triangles.reshape(-1, 3)
        return points.min(0), points.max(0)

    def select(self, which: Mask) -> Surfaces:
        """A part of the triangles, with a tree of its own."""
        return Surfaces(
            self.triangles[which], self.owners[which], self.names, self.chosen[which], _tree(self.triangles[which]), self.slack
        )

    def open_between(self, starts: Floats, ends: Floats) -> Mask:
        """[N] bool: nothing is in the way from starts [N, 3] or [3] to points on surfaces [N, 3]."""
        starts = np.broadcast_to(starts, ends.shape)
        ways = ends - starts
        lengths = np.linalg.norm(ways, axis=1)
        ways = ways / np.maximum(lengths, 1e-30)[:, None]
        until = lengths * (1 - SLACK) - self.slack
        cast, rows = self.tree.ray_cast, zip(starts.tolist(), ways.tolist(), until.tolist(), strict=True)
        return np.fromiter((length <= 0 or cast(start, way, length)[3] is None for start, way, length in rows), bool, len(ends))

    def is_clear(self, points: Floats, distance: float) -> Mask:
        """[N] bool: no surface is nearer than `distance` to the points [N, 3]."""
        near = self.tree.find_nearest
        return np.fromiter((near(point, distance)[3] is None for point in points.tolist()), bool, len(points))


@dataclass(frozen=True)
class _Part:
    """A mesh at a place: key of its triangles, matrix [4, 4] to the world, whose it is, whether it is selected."""

    key: tuple[str, int]
    matrix: Floats
    owner: str
    chosen: bool


def collect(context: bpy.types.Context) -> Surfaces:
    """The surfaces of the context's view layer, as they are at this frame. None at all raises InvalidInput."""
    return run_to_end(collect_steps(context))


def collect_steps(context: bpy.types.Context) -> Generator[Step, None, Surfaces]:
    """As `collect`: one step reads what Blender has, the rest is done in a thread."""
    step = Step("Plan", 0.0, "collecting surfaces")
    yield step
    meshes: dict[tuple[str, int], Floats] = {}
    parts, scene = list(_parts(context, meshes)), context.scene.name
    return (yield from in_thread(lambda: _assembled(parts, meshes, scene), step))


def _assembled(parts: list[_Part], meshes: dict[tuple[str, int], Floats], scene: str) -> Surfaces:
    uses = Counter(part.key for part in parts)
    total = sum(len(meshes[key]) * count for key, count in uses.items())
    if not total:
        raise InvalidInput(
            f"The scene '{scene}' has no surfaces.",
            "Add objects with faces, or show those that are hidden in renders.",
        )
    thinned = {key for key, count in uses.items() if total > MOST and len(meshes[key]) * count > THINNED_ABOVE}
    rng = np.random.default_rng(0)
    for key in thinned:
        meshes[key] = thin(meshes[key], MOST / total, rng)
    numbers = {name: number for number, name in enumerate(sorted({part.owner for part in parts}))}
    lengths = [len(meshes[part.key]) for part in parts]
    triangles = np.concatenate([meshes[p.key] @ p.matrix[:3, :3].T + p.matrix[:3, 3] for p in parts])
    slack = 0.0
    if thinned:
        loose = triangles[np.repeat([part.key in thinned for part in parts], lengths)]
        slack = float(np.median(np.linalg.norm(loose[:, 1] - loose[:, 0], axis=1)))
    return Surfaces(
        triangles,
        np.repeat(np.array([numbers[part.owner] for part in parts], dtype=np.int32), lengths),
        list(numbers),
        np.repeat(np.array([part.chosen for part in parts], dtype=bool), lengths),
        _tree(triangles),
        slack,
    )


def thin(triangles: Floats, share: float, rng: np.random.Generator) -> Floats:
    """A random part of triangles [T, 3, 3], each as much larger; those far larger than most, such as walls, stay."""
    area = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
    large = area > 20 * area.mean()
    small = np.flatnonzero(~large)
    kept = rng.choice(small, max(1, round(share * len(small))), replace=False)
    middle = triangles[kept].mean(1, keepdims=True)
    return np.concatenate([triangles[large], middle + (triangles[kept] - middle) * np.sqrt(len(small) / len(kept))])


def rendered_objects(layer: bpy.types.ViewLayer) -> list[bpy.types.Object]:
    """The objects of a view layer that renders show, results of Splatonym left out."""
    found: dict[bpy.types.Object, None] = {}
    waiting = [layer.layer_collection]
    while waiting:
        branch = waiting.pop()
        if branch.exclude or branch.collection.hide_render or RESULT in branch.collection:
            continue
        found |= dict.fromkeys(branch.collection.objects)
        waiting.extend(branch.children)
    return [thing for thing in found if not thing.hide_render and RESULT not in thing]


def selected_objects(layer: bpy.types.ViewLayer) -> set[bpy.types.Object]:
    """The selected objects; of an empty, which is but a handle, all below it too."""
    chosen = {thing for thing in layer.objects if thing.select_get(view_layer=layer)}
    for thing in [thing for thing in chosen if thing.type == "EMPTY"]:
        chosen.update(thing.children_recursive)
    return chosen


def _parts(context: bpy.types.Context, meshes: dict[tuple[str, int], Floats]) -> Iterator[_Part]:
    """Everything that renders show, with its triangles in its own space put into `meshes`."""
    layer = context.view_layer
    layer.update()
    graph = context.evaluated_depsgraph_get()
    shown = {thing.as_pointer(): thing for thing in rendered_objects(layer)}
    selected = {thing.as_pointer() for thing in selected_objects(layer)}
    met = set()
    for instance in graph.object_instances:
        thing = instance.object
        shower = (instance.parent if instance.is_instance else thing).original
        if not instance.is_instance:
            met.add(shower.as_pointer())
        if instance.is_instance:
            hidden = shower.instance_type == "COLLECTION" and thing.original.hide_render
        else:
            hidden = shower.is_instancer and not shower.show_instancer_for_render
        if shower.as_pointer() in shown and instance.show_self and not hidden:
            yield from _part(thing, np.array(instance.matrix_world), shower.as_pointer() in selected, meshes)
    for pointer, thing in shown.items():
        if pointer not in met and not thing.is_instancer:  # hidden in the viewport
            evaluated = thing.evaluated_get(graph)
            source = evaluated if evaluated.is_evaluated else thing
            yield from _part(source, np.array(source.matrix_world), pointer in selected, meshes)


def _part(thing: bpy.types.Object, matrix: Floats, chosen: bool, meshes: dict[tuple[str, int], Floats]) -> Iterator[_Part]:
    if thing.type not in _MESHABLE or thing.data is None or not thing.visible_camera or RESULT in thing:
        return
    key = (thing.name, thing.data.as_pointer())
    if key not in meshes:
        meshes[key] = _triangles(thing)
    if len(meshes[key]) and np.isfinite(matrix).all():
        yield _Part(key, matrix, thing.name, chosen)


def _triangles(thing: bpy.types.Object) -> Floats:
    """[T, 3, 3] float64 in the object's own space."""
    mesh = thing.to_mesh()
    if mesh is None:
        return np.zeros((0, 3, 3))
    try:
        mesh.calc_loop_triangles()
        points = np.empty(3 * len(mesh.vertices), dtype=np.float32)
        corners, slots = (np.empty(size * len(mesh.loop_triangles), dtype=np.int32) for size in (3, 1))
        mesh.vertices.foreach_get("co", points)
        mesh.loop_triangles.foreach_get("vertices", corners)
        mesh.loop_triangles.foreach_get("material_index", slots)
        materials = [slot.material for slot in thing.material_slots]
    finally:
        thing.to_mesh_clear()
    triangles = points.reshape(-1, 3).astype(np.float64)[corners.reshape(-1, 3)]
    fog = [place for place, material in enumerate(materials) if _is_only_volume(material)]
    return triangles[~np.isin(slots, fog) & np.isfinite(triangles).all((1, 2))]


def _is_only_volume(material: bpy.types.Material | None) -> bool:
    output = None if material is None or material.node_tree is None else material.node_tree.get_output_node("CYCLES")
    return output is not None and output.inputs["Volume"].is_linked and not output.inputs["Surface"].is_linked


def _tree(triangles: Floats) -> BVHTree:
    corners = triangles.reshape(-1, 3)
    faces = np.arange(len(corners)).reshape(-1, 3)
    # Tuples, not lists: a million lists keep Python's garbage collector busy for longer than the tree takes.
    return BVHTree.FromPolygons(
        list(zip(*corners.T.tolist(), strict=True)), list(zip(*faces.T.tolist(), strict=True)), all_triangles=True
    )
