# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes and textures of the catalogue, unpacked into a work folder and kept in memory between rooms."""

import zipfile
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from . import taxonomy
from .materials import make_opaque

HEAVY = 30_000  # faces; a mesh with more is thinned out once, when it is loaded


class Assets:
    """`models` by class, `textures` as (kind, file, size in metres), and `mesh(model)`."""

    def __init__(self, furniture_dir, jar, work):
        self.work = Path(work)
        self.zips = {}
        self.models = taxonomy.load(furniture_dir)
        self.meshes = {}
        self.textures = [(kind, self._unpack(Path(jar), member), size) for kind, member, size in taxonomy.textures(jar)]

    def _unpack(self, archive, member, folder=False):
        root = self.work / archive.stem
        if archive not in self.zips:
            opened = zipfile.ZipFile(archive)
            self.zips[archive] = opened, opened.namelist()
        opened, names = self.zips[archive]
        stem = member.rsplit("/", 1)[0] + "/" if folder else member.rsplit(".", 1)[0] + "."
        for name in names:
            if name.startswith(stem) and not name.endswith("/") and not (root / name).exists():
                opened.extract(name, root)
        return root / member

    def mesh(self, model):
        """The model's mesh, scaled to a unit box standing on the origin; opaque materials."""
        if model.id in self.meshes:
            return self.meshes[model.id]
        path = self._unpack(model.archive, model.member, folder=True)
        before = set(bpy.data.objects)
        bpy.ops.wm.obj_import(filepath=str(path), forward_axis="NEGATIVE_Z", up_axis="Y", use_split_objects=False)
        obj = next(o for o in bpy.data.objects if o not in before)
        if len(obj.data.polygons) > HEAVY:
            modifier = obj.modifiers.new("thin", "DECIMATE")
            modifier.ratio = HEAVY / len(obj.data.polygons)
            mesh = bpy.data.meshes.new_from_object(obj.evaluated_get(bpy.context.evaluated_depsgraph_get()))
        else:
            mesh = obj.data
        mesh.transform(obj.matrix_world)
        if model.rotation:  # given in the y-up frame of the file
            r = model.rotation
            to_blender = Matrix(((1, 0, 0), (0, 0, -1), (0, 1, 0)))
            turn = to_blender @ Matrix((r[0:3], r[3:6], r[6:9])) @ to_blender.inverted()
            mesh.transform(turn.to_4x4())
        co = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", co)
        lo, hi = co.reshape(-1, 3).min(0), co.reshape(-1, 3).max(0)
        centre = ((lo[0] + hi[0]) / 2, (lo[1] + hi[1]) / 2, lo[2])
        shrink = Matrix.Diagonal((*(1 / np.maximum(hi - lo, 1e-6)), 1))
        mesh.transform(shrink @ Matrix.Translation([-c for c in centre]))
        if not mesh.materials:
            mesh.materials.append(bpy.data.materials.new("plain"))
        pictures = [f for f in path.parent.iterdir() if f.suffix.lower() in (".jpg", ".jpeg", ".png")]
        for material in mesh.materials:
            make_opaque(material, pictures[0] if len(pictures) == 1 else None)
        bpy.data.objects.remove(obj)
        mesh.use_fake_user = True
        self.meshes[model.id] = mesh
        return mesh


def clear_scene():
    """Remove everything but the cached meshes and their materials."""
    bpy.data.batch_remove(list(bpy.data.objects))  # at once: each removal by itself walks through all there is
    for store in (bpy.data.meshes, bpy.data.lights, bpy.data.cameras, bpy.data.worlds, bpy.data.materials):
        bpy.data.batch_remove([item for item in store if item.users == 0])
