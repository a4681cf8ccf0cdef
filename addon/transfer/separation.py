# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects taken apart by their faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bmesh
import bpy
import numpy as np

from ...core.voting import Numbers


def separate(users: Sequence[bpy.types.Object], key: Numbers, names: Mapping[int, str]) -> int:
    """Take apart objects that share a mesh; returns how many objects were made.

    key: [F] what goes together, below zero for what stays where it is. names: what a new object is called, by key. Each object
    keeps its largest part; the new ones have its place, parent, modifiers and collections, and share meshes as the objects did.
    Objects with the same mesh that are not given keep it whole.
    """
    values, counts = np.unique(key[key >= 0], return_counts=True)
    if len(values) < 2:
        return 0
    kept = values[counts.argmax()]
    mesh, title = users[0].data, users[0].data.name
    rest = _part(mesh, (key == kept) | (key < 0), loose=True)
    parts = {value: _part(mesh, key == value, loose=False) for value in values.tolist() if value != kept}
    for user in users:
        for value, part in parts.items():
            new = user.copy()
            new.data, new.name = part, names[value]
            for collection in user.users_collection:
                collection.objects.link(new)
        user.data = rest
    for value, part in parts.items():
        part.name = names[value]
    if mesh.users == 0:
        bpy.data.meshes.remove(mesh)
        rest.name = title
    return len(parts) * len(users)


def _part(mesh: bpy.types.Mesh, keep: np.ndarray, loose: bool) -> bpy.types.Mesh:
    """A copy with only the faces to keep [F] bool; loose: and with vertices and edges that had no face before."""
    part, work = mesh.copy(), bmesh.new()
    try:
        work.from_mesh(part)
        alone = [vertex for vertex in work.verts if not vertex.link_faces]
        away = [face for face, stays in zip(work.faces, keep.tolist(), strict=True) if not stays]
        bmesh.ops.delete(work, geom=away, context="FACES")
        if not loose:
            bmesh.ops.delete(work, geom=alone, context="VERTS")
        work.to_mesh(part)
    finally:
        work.free()
    return part
