# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads furniture out of Sweet Home 3D's library of CC0 models and makes light, opaque meshes of it."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import bmesh
import bpy
from mathutils import Matrix, Vector

LIBRARY = "BlendSwap-CC-0"
PACKAGE = "sweethome3d-furniture"
TEXTURE_SIZE = 256  # pixels along the longer side
GLASS = (0.62, 0.70, 0.72)


@dataclass(frozen=True)
class Model:
    """What the catalogue says of one model; `size` is width, depth, height in metres."""

    id: str
    name: str
    creator: str
    member: str
    size: tuple


class Library:
    """The zip file of models. `load` unpacks into `work`, a folder that the caller throws away."""

    def __init__(self, furniture_dir, work):
        self.path = Path(furniture_dir) / f"{LIBRARY}.sh3f"
        if not self.path.is_file():
            raise SystemExit(
                f"{self.path} not found: install the package {PACKAGE} (apt-get install {PACKAGE}) "
                f"or name the folder that holds {LIBRARY}.sh3f with --furniture"
            )
        self.work = Path(work)
        self.zip = zipfile.ZipFile(self.path)
        self.models = self._read_catalogue()
        self.used = {}

    def _read_catalogue(self):
        text = self.zip.read("PluginFurnitureCatalog.properties").decode("latin-1")
        rows = {}
        for key, number, value in re.findall(r"^(\w+)#(\d+)=(.*?)\r?$", text, re.MULTILINE):
            rows.setdefault(number, {})[key] = value.strip()
        models = {}
        for row in rows.values():
            short = row["id"].split("#")[1]
            size = tuple(float(row[k]) / 100 for k in ("width", "depth", "height"))
            models[short] = Model(row["id"], row["name"], row["creator"], row["model"].lstrip("/"), size)
        return models

    def check_licence(self, model):
        """Stop unless the model's own licence file says CC0: two folders of this library say CC-BY."""
        folder = str(PurePosixPath(model.member).parent) + "/"
        texts = [
            self.zip.read(n).decode("utf-8", "replace")
            for n in self.zip.namelist()
            if n.startswith(folder) and "license" in n.lower()
        ]
        if not any(re.search(r"Creative Commons Zero|CC-?0", t) for t in texts):
            raise SystemExit(f"{model.id}: no licence file that says CC0 in {folder}")

    def load(self, short, faces, drop=(), glow=()):
        """The model as (mesh, size): upright, standing on the origin, its front to -y, true size.

        It keeps about `faces` triangles. Materials whose name holds a word of `drop` lose their
        faces, those with a word of `glow` become lamps.
        """
        model = self.models[short]
        self.check_licence(model)
        self.used[short] = model
        path = self._unpack(model)
        before = set(bpy.data.objects)
        bpy.ops.wm.obj_import(filepath=str(path), forward_axis="NEGATIVE_Z", up_axis="Y", use_split_objects=False)
        (obj,) = set(bpy.data.objects) - before
        obj.data.transform(obj.matrix_world)
        obj.matrix_world = Matrix()
        fit(obj.data, model.size)
        clean(obj.data, drop)
        mesh = decimated(obj, faces)
        mesh.name = model.name
        for i, material in enumerate(mesh.materials):
            mesh.materials[i] = opaque(material, f"{material.name} / {short}", any(w in material.name for w in glow))
            bpy.data.materials.remove(material)  # its name is free for the next model's
        textured = any(n.type == "TEX_IMAGE" for m in mesh.materials for n in m.node_tree.nodes)
        while mesh.uv_layers and not textured:
            mesh.uv_layers.remove(mesh.uv_layers[0])
        bpy.data.objects.remove(obj)
        return mesh, model.size

    def _unpack(self, model):
        folder = str(PurePosixPath(model.member).parent) + "/"
        for name in self.zip.namelist():
            if name.startswith(folder) and not name.endswith("/"):
                self.zip.extract(name, self.work)
        return self.work / model.member


def clean(mesh, drop):
    """Weld split vertices, remove unwanted faces, forget stored normals."""
    unwanted = {i for i, m in enumerate(mesh.materials) if any(w in m.name for w in drop)}
    bm = bmesh.new()
    bm.from_mesh(mesh)
    bmesh.ops.delete(bm, geom=[f for f in bm.faces if f.material_index in unwanted], context="FACES")
    bmesh.ops.remove_doubles(bm, verts=bm.verts, dist=1e-5)
    bm.to_mesh(mesh)
    bm.free()
    if "custom_normal" in mesh.attributes:
        mesh.attributes.remove(mesh.attributes["custom_normal"])


def fit(mesh, size):
    """Scale to `size`; the middle of the base goes to the origin."""
    corners = [v.co for v in mesh.vertices]
    low = Vector(min(c[i] for c in corners) for i in range(3))
    high = Vector(max(c[i] for c in corners) for i in range(3))
    scale = Matrix.Diagonal([s / max(e, 1e-6) for s, e in zip(size, high - low, strict=True)] + [1])
    base = Vector(((low.x + high.x) / 2, (low.y + high.y) / 2, low.z))
    mesh.transform(scale @ Matrix.Translation(-base))


def decimated(obj, faces):
    """A copy of the object's mesh with about `faces` triangles and smooth shading below 35 degrees."""
    triangles = sum(len(p.vertices) - 2 for p in obj.data.polygons)
    if triangles > faces:
        modifier = obj.modifiers.new("Decimate", "DECIMATE")
        modifier.ratio = faces / triangles
    graph = bpy.context.evaluated_depsgraph_get()
    mesh = bpy.data.meshes.new_from_object(obj.evaluated_get(graph))
    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=0.61)
    return mesh


def opaque(source, name, glow):
    """A plain, rough material with the colour or the picture of an imported one, and no transparency."""
    shader = next(n for n in source.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    colour = Vector(shader.inputs["Base Color"].default_value[:3])
    if shader.inputs["Alpha"].default_value < 0.95:
        colour = colour * 0.3 + Vector(GLASS) * 0.7
    picture = next(
        (
            n.image
            for n in source.node_tree.nodes
            if n.type == "TEX_IMAGE" and n.image and Path(bpy.path.abspath(n.image.filepath)).is_file()
        ),
        None,
    )
    roughness = max(0.5, shader.inputs["Roughness"].default_value)
    # nothing is whiter than paint or blacker than soot
    colour = tuple(min(max(c, 0.015), 0.78) for c in colour)
    return surface(name, colour, roughness, small(picture) if picture else None, 1 if glow else 0)


def surface(name, colour, roughness=0.7, picture=None, glow=0):
    """A Principled material of one colour or one picture; `glow` makes it shine by itself."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Specular IOR Level"].default_value = 0.3
    material.diffuse_color = (*colour, 1)
    if picture:
        node = nodes.new("ShaderNodeTexImage")
        node.image = picture
        node.location = (-300, 300)
        links.new(node.outputs["Color"], shader.inputs["Base Color"])
    if glow:
        shader.inputs["Emission Color"].default_value = (*colour, 1)
        shader.inputs["Emission Strength"].default_value = glow
        material.cycles.emission_sampling = "NONE"  # lamps do the lighting: sampling the shade's triangles too is only noise
    return material


def small(picture):
    """The picture scaled down and packed into the file as JPEG; the same object for the same file."""
    name = f"{Path(picture.filepath).parent.name} {Path(picture.filepath).stem}"
    if name in bpy.data.images:
        return bpy.data.images[name]
    copy = picture.copy()
    longest = max(copy.size)
    if longest > TEXTURE_SIZE:
        copy.scale(*(max(1, round(s * TEXTURE_SIZE / longest)) for s in copy.size))
    target = Path(bpy.path.abspath(picture.filepath)).parent / "small.jpg"
    copy.file_format = "JPEG"
    copy.save(filepath=str(target), quality=88)
    sides = tuple(copy.size)
    bpy.data.images.remove(copy)
    packed = bpy.data.images.new(name, *sides)
    packed.source, packed.filepath = "FILE", f"//{name}.jpg"
    data = target.read_bytes()
    packed.pack(data=data, data_len=len(data))
    return packed
