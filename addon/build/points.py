# SPDX-License-Identifier: GPL-3.0-or-later
"""Point clouds from arrays, without operators: no selection, mode, window or visible collection is needed or changed.

From Blender 5.1 a point cloud can be given its size. Before, only Blender's own conversion makes one with points: attributes
are set on a mesh, and a point cloud that shows this mesh through "Mesh to Points" is evaluated in a scene made for the moment,
then copied. Arrays are shared on the way, so this costs 20 ms for a million points.

Everything happens in short steps, between which the window may draw and people may undo: so what is half made is known by its name.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import bpy

from ...core.errors import InvalidInput
from . import attributes

CAN_RESIZE = hasattr(bpy.types.PointCloud, "resize")
_HALF_MADE = "Splatonym half made"


@contextmanager
def half_made() -> Iterator[list[str]]:
    """A list for the names of point clouds that nobody uses yet; when this is left, those that still nobody uses are removed."""
    names: list[str] = []
    try:
        yield names
    finally:
        clouds = [bpy.data.pointclouds.get(name) for name in names]
        bpy.data.batch_remove([cloud for cloud in clouds if cloud is not None and not cloud.users])


def find_cloud(name: str) -> bpy.types.PointCloud:
    """The half made point cloud of that name; one that an undo or another file took away raises InvalidInput."""
    return _find("pointclouds", name)


def cloud_steps(tables: Sequence[attributes.Table], names: list[str]) -> Generator[float, None, None]:
    """Make one point cloud for each table, in their order; `names` grows by theirs. Yields how much is done, 0..1."""
    total = sum(_length(table) * len(table) for table in tables) or 1
    done = 0
    for table in tables:
        for cells in _resized(table, names) if CAN_RESIZE else _converted(table, names):
            done += cells
            yield done / total


def _length(table: attributes.Table) -> int:
    return len(table["position"][1])


def _resized(table: attributes.Table, names: list[str]) -> Iterator[int]:
    cloud = bpy.data.pointclouds.new(_HALF_MADE)
    names.append(cloud.name)
    cloud.resize(_length(table))
    for name in table:
        attributes.write_one(find_cloud(names[-1]), table, name)
        yield _length(table)


def _converted(table: attributes.Table, names: list[str]) -> Iterator[int]:
    mesh = bpy.data.meshes.new(_HALF_MADE)
    source = mesh.name
    try:
        mesh.vertices.add(_length(table))
        for name in table:
            if name != "radius":
                attributes.write_one(_find("meshes", source), table, name)
                yield _length(table)
        cloud = _cloud_of(_find("meshes", source))
        names.append(cloud.name)
        for attribute in [a for a in cloud.attributes if a.name not in table]:
            cloud.attributes.remove(attribute)  # the mesh's own, such as ".select_vert"
        attributes.write_one(cloud, table, "radius")  # the conversion made them all alike
        yield _length(table)
    finally:
        if source in bpy.data.meshes:
            bpy.data.meshes.remove(bpy.data.meshes[source])


def _cloud_of(mesh: bpy.types.Mesh) -> bpy.types.PointCloud:
    """A point cloud of a mesh's vertices."""
    made: list[bpy.types.ID] = []
    try:
        scene = bpy.data.scenes.new(_HALF_MADE)
        made.append(scene)
        source, group = bpy.data.objects.new("source", mesh), _mesh_to_points()
        cloud = bpy.data.pointclouds.new(_HALF_MADE)
        target = bpy.data.objects.new("target", cloud)
        made += [source, group, cloud, target]
        group.nodes["Source"].inputs["Object"].default_value = source
        target.modifiers.new("Mesh to Points", "NODES").node_group = group
        scene.collection.objects.link(source)
        scene.collection.objects.link(target)
        layer = scene.view_layers[0]
        layer.update()
        return target.evaluated_get(layer.depsgraph).data.copy()
    finally:
        bpy.data.batch_remove(made)


def _find(store: str, name: str) -> Any:
    found = getattr(bpy.data, store).get(name)
    if found is None:
        raise InvalidInput("What was being imported went away.", "Do not undo or open a file meanwhile; then try again.")
    return found


def _mesh_to_points() -> bpy.types.NodeTree:
    group = bpy.data.node_groups.new("Splatonym conversion", "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    source = group.nodes.new("GeometryNodeObjectInfo")
    source.name = "Source"
    points, output = group.nodes.new("GeometryNodeMeshToPoints"), group.nodes.new("NodeGroupOutput")
    group.links.new(source.outputs["Geometry"], points.inputs["Mesh"])
    group.links.new(points.outputs["Points"], output.inputs[0])
    return group
