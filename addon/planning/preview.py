# SPDX-License-Identifier: GPL-3.0-or-later
"""Coverage in the viewport: a dot on every sample, coloured by how many places see it.

The dots are faces of one mesh, with a material for each number. Object mode draws no loose points, and Solid mode draws a point
cloud in one colour; faces with materials look the same in all modes and versions. The mesh is not rendered, cannot be clicked,
and has the number also as the face attribute `coverage`.
"""

from __future__ import annotations

import bpy
import numpy as np

from ...core.coverage import Coverage
from ..build.trees import node
from .cameras import PLAN, ensure_collection, find_coverage, remove_coverage

NAME, ATTRIBUTE = "Splatonym Coverage", "coverage"
SHARES = "splatonym_seen"
"""Custom property: the shares of the surfaces that are seen, and seen from two places, 0..1."""
SHADES = (
    ("not seen", (0.80, 0.02, 0.02)),
    ("seen once", (1.00, 0.45, 0.00)),
    ("seen twice", (0.10, 0.55, 0.40)),
    ("seen more often", (0.00, 0.20, 0.45)),
)
"""Names and colours (linear) of the materials, for none, one, two, and more places; not told apart by red and green alone."""
CORNERS = 8
_SIZE, _LIFT = 0.3, 0.15
"""Radius of a dot, and its height over the surface, in units of the samples' distance."""


def show_coverage(scene: bpy.types.Scene, coverage: Coverage) -> bpy.types.Object:
    """Show coverage in place of what was shown before. Normals of its samples point to the side that is looked at."""
    remove_coverage(scene)
    mesh = _dots(coverage)
    for name, colour in SHADES:
        mesh.materials.append(_material(name, colour))
    thing = bpy.data.objects.new(NAME, mesh)
    thing[PLAN] = True
    thing[SHARES] = [coverage.share(1), coverage.share(2)]
    thing.hide_render = thing.hide_select = True
    ensure_collection(scene).objects.link(thing)
    return thing


def shown_shares(scene: bpy.types.Scene) -> tuple[float, float] | None:
    """How much of the surfaces the coverage that is shown has once, and from two places; None where none is shown."""
    thing = find_coverage(scene)
    return None if thing is None or SHARES not in thing else (float(thing[SHARES][0]), float(thing[SHARES][1]))


def _dots(coverage: Coverage) -> bpy.types.Mesh:
    samples = coverage.samples
    distance = np.sqrt(samples.areas)[:, None]
    axis = np.eye(3)[np.abs(samples.normals).argmin(1)]  # whichever lies flattest on the surface
    right = np.cross(samples.normals, axis)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    up = np.cross(samples.normals, right)
    middle = samples.points + _LIFT * distance * samples.normals
    angles = 2 * np.pi * np.arange(CORNERS)[:, None, None] / CORNERS
    corners = middle + _SIZE * distance * (np.cos(angles) * right + np.sin(angles) * up)  # [CORNERS, N, 3]
    count = len(samples)

    mesh = bpy.data.meshes.new(NAME)
    mesh.vertices.add(CORNERS * count)
    mesh.vertices.foreach_set("co", np.ascontiguousarray(corners.transpose(1, 0, 2), dtype=np.float32).reshape(-1))
    mesh.loops.add(CORNERS * count)
    mesh.loops.foreach_set("vertex_index", np.arange(CORNERS * count, dtype=np.int32))
    mesh.polygons.add(count)
    mesh.polygons.foreach_set("loop_start", np.arange(0, CORNERS * count, CORNERS, dtype=np.int32))
    mesh.polygons.foreach_set("material_index", np.minimum(coverage.times, len(SHADES) - 1).astype(np.int32))
    mesh.attributes.new(ATTRIBUTE, "INT", "FACE").data.foreach_set("value", coverage.times.astype(np.int32))
    mesh.update(calc_edges=True)
    return mesh


def _material(name: str, colour: tuple[float, float, float]) -> bpy.types.Material:
    """A material that Solid mode draws in a colour and that shines with it elsewhere."""
    material = bpy.data.materials.new(f"Splatonym {name}")
    material[PLAN] = True
    material.diffuse_color = (*colour, 1.0)
    material.use_backface_culling = True  # one can look into a room through the dots on its walls
    if material.node_tree is None:
        material.use_nodes = True  # always on from Blender 5.0
    tree = material.node_tree
    tree.nodes.clear()
    shine = node(tree, "ShaderNodeEmission", {"Color": (*colour, 1.0)})
    node(tree, "ShaderNodeOutputMaterial", {"Surface": shine.outputs[0]})
    return material
