# SPDX-License-Identifier: GPL-3.0-or-later
"""Point clouds from arrays, without operators: no selection, mode, window or visible collection is needed or changed.

From Blender 5.1 a point cloud can be given its size. Before, only Blender's own conversion makes one with points: attributes
are set on a mesh, and a point cloud that shows this mesh through "Mesh to Points" is evaluated in a scene made for the moment,
then copied. Arrays are shared on the way, so this costs 20 ms for a million points.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from . import attributes

CAN_RESIZE = hasattr(bpy.types.PointCloud, "resize")


def new_clouds(tables: Sequence[tuple[str, attributes.Table]]) -> list[bpy.types.PointCloud]:
    """One point cloud for each (name, table), in their order."""
    if CAN_RESIZE:
        return [_resized(*item) for item in tables]
    return _converted(tables) if tables else []


def _length(table: attributes.Table) -> int:
    return len(table["position"][1])


def _resized(name: str, table: attributes.Table) -> bpy.types.PointCloud:
    cloud = bpy.data.pointclouds.new(name)
    cloud.resize(_length(table))
    attributes.write(cloud, table)
    return cloud


def _converted(tables: Sequence[tuple[str, attributes.Table]]) -> list[bpy.types.PointCloud]:
    made: list[bpy.types.ID] = []
    try:
        scene = bpy.data.scenes.new("Splatonym conversion")
        made.append(scene)
        shown = []
        for _name, table in tables:
            mesh = bpy.data.meshes.new("Splatonym conversion")
            made.append(mesh)
            mesh.vertices.add(_length(table))
            attributes.write(mesh, {name: column for name, column in table.items() if name != "radius"})
            source, group = bpy.data.objects.new("source", mesh), _mesh_to_points()
            cloud = bpy.data.pointclouds.new("Splatonym conversion")
            target = bpy.data.objects.new("target", cloud)
            made += [source, group, cloud, target]
            group.nodes["Source"].inputs["Object"].default_value = source
            target.modifiers.new("Mesh to Points", "NODES").node_group = group
            scene.collection.objects.link(source)
            scene.collection.objects.link(target)
            shown.append(target)
        layer = scene.view_layers[0]
        layer.update()
        return [_copied(target.evaluated_get(layer.depsgraph).data, *item) for target, item in zip(shown, tables, strict=True)]
    finally:
        bpy.data.batch_remove(made)


def _copied(evaluated: bpy.types.PointCloud, name: str, table: attributes.Table) -> bpy.types.PointCloud:
    cloud = evaluated.copy()
    cloud.name = name
    for attribute in [a for a in cloud.attributes if a.name not in table]:
        cloud.attributes.remove(attribute)  # the mesh's own, such as ".select_vert"
    attributes.write(cloud, {"radius": table["radius"]})  # the conversion made them all alike
    return cloud


def _mesh_to_points() -> bpy.types.NodeTree:
    group = bpy.data.node_groups.new("Splatonym conversion", "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    source = group.nodes.new("GeometryNodeObjectInfo")
    source.name = "Source"
    points, output = group.nodes.new("GeometryNodeMeshToPoints"), group.nodes.new("NodeGroupOutput")
    group.links.new(source.outputs["Geometry"], points.inputs["Mesh"])
    group.links.new(points.outputs["Points"], output.inputs[0])
    return group
