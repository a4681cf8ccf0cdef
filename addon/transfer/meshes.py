# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of Gaussians onto the faces of the scene's meshes, and off again.

| on the mesh                          | what                                                                     |
|--------------------------------------|--------------------------------------------------------------------------|
| `semantic_class` INT on FACE         | label id, a place in the custom property `splatonym_labels` (JSON names) |
| `instance_id` INT on FACE            | instance number, 0 for none; only where the result has instances         |
| vertex groups "Class: chair"         | optional; the weight is the share of the faces around that are of it     |
| materials "Class: chair"             | optional; they come after the mesh's own, whose place on each face       |
|                                      | `splatonym_material` INT on FACE keeps until they are taken off          |

Everything is found out first and written at the end in one go: a job that is cancelled or fails leaves every mesh as it was.
Each time replaces what was written before.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial

import bpy
import numpy as np

from ...core.errors import InvalidInput
from ...core.labels import label_colour
from ...core.scene import SemanticScene
from ...core.voting import Ballots, Numbers, Samples, Votes, pieces, sample_counts, spread
from ..build import Result
from ..build.attributes import CLASS, INSTANCE
from ..build.materials import linear
from ..build.objects import CLASS as MATERIAL_CLASS
from ..build.objects import LABELS
from ..build.trees import arrange, node
from ..jobs import Step, in_thread
from .nearby import Nearby, read_labelled
from .separation import separate
from .surfaces import Triangles, choose_objects, find, original_surface

MATERIAL_BEFORE = "splatonym_material"
PREFIX = "Class: "
"""What the names of vertex groups and materials begin with."""
SEPARATE = ("NO", "CLASS", "INSTANCE")


@dataclass(frozen=True)
class TransferOptions:
    """What to label and what to write.

    selected: only selected objects, not all visible ones. fill: faces that no Gaussian is near to take what most of their
    connected piece of mesh has. separate: one of SEPARATE.
    """

    selected: bool = True
    fill: bool = False
    vertex_groups: bool = False
    materials: bool = False
    separate: str = "NO"


@dataclass(frozen=True)
class Transferred:
    """What was written: how many meshes and faces, faces of each class (without the unlabelled), new objects, and what was odd."""

    meshes: int
    faces: int
    classes: dict[str, int]
    new_objects: int
    notes: str


@dataclass(frozen=True)
class _FaceLabels:
    """What will be written to one mesh. users: the objects that were asked. label, instance: [F] int32; instance may be None.

    groups: the vertex groups, if they are wanted: for each label id pairs of a weight and the vertices that have it.
    """

    mesh: str
    users: tuple[str, ...]
    label: Numbers
    instance: Numbers | None
    groups: dict[int, list[tuple[float, list[int]]]]


@dataclass(frozen=True)
class _Faces:
    """A mesh as far as labels need it. vertex: [L] of all corners; starts: [F] each face's first corner; shared: by several objects."""

    mesh: str
    vertices: int
    vertex: Numbers
    starts: Numbers
    shared: bool

    @classmethod
    def of(cls, mesh: bpy.types.Mesh) -> _Faces:
        vertex, starts = np.empty(len(mesh.loops), np.int32), np.empty(len(mesh.polygons), np.int32)
        mesh.loops.foreach_get("vertex_index", vertex)
        mesh.polygons.foreach_get("loop_start", starts)
        return cls(mesh.name, len(mesh.vertices), vertex, starts, is_shared(mesh))


def labels_to_meshes(
    context: bpy.types.Context, result: Result, options: TransferOptions
) -> Generator[Step, None, Transferred]:
    """Label the faces of meshes by the Gaussians of a result. What cannot be used raises InvalidInput."""
    if options.separate not in SEPARATE:
        raise InvalidInput(f"Meshes cannot be separated by '{options.separate}'.", f"Choose one of {', '.join(SEPARATE)}.")
    chosen = choose_objects(context, options.selected, to_write=True)
    users: dict[str, list[str]] = {}
    for name in chosen.names:
        mesh = find(context, name).data
        _check_free(mesh)
        users.setdefault(mesh.name, []).append(name)
    scene = yield from read_labelled(result)
    nearby = yield from Nearby.of(scene.gaussians)

    found: list[_FaceLabels] = []
    far: list[str] = []
    part = 1 / len(chosen.names)
    for mesh, names in users.items():
        ballots = []
        for name in names:
            triangles = original_surface(context, find(context, name))
            step = Step("Faces", chosen.names.index(name) * part, name)
            spreading = partial(_samples, triangles, nearby.spacing)
            samples = yield from in_thread(spreading, step)
            ballots.append((yield from nearby.ask(samples, step, part)))
            _unchanged(context, name, mesh, triangles.faces)
        faces = _Faces.of(find(context, names[0]).data)
        judging = partial(_judge, scene, ballots, faces, tuple(names), options)
        labels = yield from in_thread(judging, Step("Faces", chosen.names.index(names[-1]) * part, names[-1]))
        if labels is not None:
            found.append(labels)
        else:
            far += names
    yield Step("Write", 1.0, f"{len(found)} meshes")
    made = _write_all(context, scene, found, far, options)
    return _report(context, scene, found, far, made, chosen.note())


def remove_labels(context: bpy.types.Context, selected: bool) -> int:
    """Take everything that `labels_to_meshes` wrote off meshes (not what it separated); returns how many had something."""
    meshes = {}
    for name in choose_objects(context, selected, to_write=True).names:
        item = find(context, name)
        if LABELS in item.data:
            meshes[item.data.name] = item
    for item in meshes.values():
        _clear(item)
    _remove_unused_materials()
    return len(meshes)


def _samples(triangles: Triangles, spacing: float) -> Samples:
    surface = triangles.surface()
    return spread(surface, sample_counts(surface, spacing))


def _judge(
    scene: SemanticScene, parts: list[Ballots], faces: _Faces, users: tuple[str, ...], options: TransferOptions
) -> _FaceLabels | None:
    """The votes of all users of a mesh become its labels; None where there are none. It needs no bpy."""
    ballots = Ballots.joined(parts)
    if not ballots.weight.any():
        return None
    count = len(faces.starts)
    label, instance = _winners(scene, ballots, count)
    if options.fill:
        piece = pieces(faces.vertex, faces.starts, faces.vertices)
        whole = replace(ballots, face=piece[ballots.face])
        of_piece, instance_of_piece = _winners(scene, whole, faces.vertices)
        instance = np.where(label < 0, instance_of_piece[piece], instance)
        label = np.where(label < 0, of_piece[piece], label)
    label = np.where(label < 0, scene.labels.unlabelled, label).astype(np.int32)
    groups = _groups(label, faces, scene.labels.unlabelled) if options.vertex_groups else {}
    if scene.gaussians.instance is None:
        return _FaceLabels(faces.mesh, users, label, None, groups)
    # Objects that share a mesh are different things: no number would be true of all.
    numbers = np.zeros(count, np.int32) if faces.shared else np.maximum(instance, 0).astype(np.int32)
    return _FaceLabels(faces.mesh, users, label, numbers, groups)


def _groups(label: Numbers, faces: _Faces, unlabelled: int) -> dict[int, list[tuple[float, list[int]]]]:
    """The vertices of each label by weight: the share of the faces around a vertex that are of it."""
    of_corner = np.repeat(label, np.diff(faces.starts, append=len(faces.vertex)))
    votes = Votes.counted(faces.vertex, of_corner, np.ones(len(faces.vertex)))
    share = votes.weight / np.bincount(faces.vertex)[votes.who]
    out = {}
    for value in np.unique(label).tolist():
        mine = votes.what == value
        if value != unlabelled:  # a handful of weights: 1, 1/2, 1/4, ...
            weights = np.unique(share[mine]).tolist()
            out[value] = [(weight, votes.who[mine & (share == weight)].tolist()) for weight in weights]
    return out


def _winners(scene: SemanticScene, ballots: Ballots, faces: int) -> tuple[Numbers, Numbers]:
    """Label and instance [faces] with most votes, -1 without any: first the class, then the instance among those who said so."""
    labels, instances = scene.gaussians.label, scene.gaussians.instance
    label, _ = ballots.votes(labels).winners(faces)
    if instances is None:
        return label, np.zeros(faces, np.int64)
    agreeing = labels[ballots.near] == label[ballots.face][:, None]
    return label, ballots.votes(instances, agreeing).winners(faces)[0]


def is_shared(mesh: bpy.types.Mesh) -> bool:
    """Whether several objects have this mesh."""
    return mesh.users - mesh.use_fake_user > 1


def _unchanged(context: bpy.types.Context, name: str, mesh: str, faces: int) -> bpy.types.Mesh:
    """An object's mesh; one that people changed since the job began, or are editing, raises InvalidInput."""
    item = find(context, name)
    if item.mode == "EDIT" or item.data.name != mesh or len(item.data.polygons) != faces:
        raise InvalidInput(f"The mesh of '{name}' was changed while the job ran.", "Leave edit mode, and run it again.")
    return item.data


def _check_free(mesh: bpy.types.Mesh) -> None:
    """Raise InvalidInput where a name that will be written to is taken by something that is not ours."""
    for name in (CLASS, INSTANCE, MATERIAL_BEFORE):
        attribute = mesh.attributes.get(name)
        if attribute is not None and (LABELS not in mesh or (attribute.data_type, attribute.domain) != ("INT", "FACE")):
            raise InvalidInput(
                f"The mesh '{mesh.name}' has an attribute '{name}' of its own ({attribute.data_type} on {attribute.domain}).",
                "Rename or remove it.",
            )


def _write_all(
    context: bpy.types.Context, scene: SemanticScene, found: list[_FaceLabels], far: list[str], options: TransferOptions
) -> int:
    """Write, without a pause in which people could change something; returns how many objects were made."""
    for labels in found:
        for name in labels.users:
            _check_free(_unchanged(context, name, labels.mesh, len(labels.label)))
    for item in [find(context, name) for name in far]:
        _clear(item)  # what an earlier result said of it
    made = 0
    for labels in found:
        users = [find(context, name) for name in labels.users]
        mesh = users[0].data
        _clear(users[0])
        mesh[LABELS] = json.dumps(scene.labels.names, ensure_ascii=False)
        _write_faces(mesh, CLASS, labels.label)
        if labels.instance is not None:
            _write_faces(mesh, INSTANCE, labels.instance)
        _group_vertices(users[0], labels, scene)
        if options.materials:
            _colour(mesh, labels.label, scene)
        mesh.update_tag()
        if options.separate != "NO":
            made += _separate(users, labels, scene, options.separate == "INSTANCE")
    _remove_unused_materials()
    return made


def _separate(users: list[bpy.types.Object], labels: _FaceLabels, scene: SemanticScene, by_instance: bool) -> int:
    key = labels.label.astype(np.int64)
    if by_instance and labels.instance is not None:
        key = key + len(scene.labels) * labels.instance.astype(np.int64)
    key[labels.label == scene.labels.unlabelled] = -1
    return separate(users, key, {k: scene.labels.names[k % len(scene.labels)] for k in np.unique(key).tolist() if k >= 0})


def _write_faces(mesh: bpy.types.Mesh, name: str, values: Numbers) -> None:
    attribute = mesh.attributes.get(name) or mesh.attributes.new(name, "INT", "FACE")
    attribute.data.foreach_set("value", np.ascontiguousarray(values, np.int32))


def _group_vertices(item: bpy.types.Object, labels: _FaceLabels, scene: SemanticScene) -> None:
    """A vertex group for each class on an object's mesh; other users of the mesh have the same ones."""
    for value, weights in labels.groups.items():
        group = item.vertex_groups.new(name=PREFIX + scene.labels.names[value])
        for weight, vertices in weights:
            group.add(vertices, weight, "REPLACE")


def _colour(mesh: bpy.types.Mesh, label: Numbers, scene: SemanticScene) -> None:
    """Give each face its class's material, in slots behind the mesh's own."""
    _write_faces(mesh, MATERIAL_BEFORE, _material_indices(mesh))
    own, classes = len(mesh.materials), np.unique(label)
    for value in classes.tolist():
        mesh.materials.append(_class_material(scene.labels.names[value]))
    mesh.polygons.foreach_set("material_index", (own + np.searchsorted(classes, label)).astype(np.int32))


def _clear(item: bpy.types.Object) -> None:
    """Take what is ours off an object's mesh; on one that has nothing of ours nothing is touched."""
    mesh = item.data
    if LABELS not in mesh:
        return
    before = mesh.attributes.get(MATERIAL_BEFORE)
    if before is not None:
        saved, now = np.empty(len(mesh.polygons), np.int32), _material_indices(mesh)
        before.data.foreach_get("value", saved)
        ours = [place for place, material in enumerate(mesh.materials) if material is not None and MATERIAL_CLASS in material]
        mesh.polygons.foreach_set("material_index", np.where(np.isin(now, ours), saved, now).astype(np.int32))
        for place in reversed(ours):  # slots that people added behind ours move up, and their faces with them
            mesh.materials.pop(index=place)
    for name in (CLASS, INSTANCE, MATERIAL_BEFORE):
        attribute = mesh.attributes.get(name)
        if attribute is not None:
            mesh.attributes.remove(attribute)
    for group in [group for group in item.vertex_groups if group.name.startswith(PREFIX)]:
        item.vertex_groups.remove(group)
    del mesh[LABELS]
    mesh.update_tag()


def _material_indices(mesh: bpy.types.Mesh) -> Numbers:
    out = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("material_index", out)
    return out


def _class_material(name: str) -> bpy.types.Material:
    """The file's material of a class, free to be changed there; made where there is none."""
    own = (m for m in bpy.data.materials if m.library is None and m.get(MATERIAL_CLASS) == name)
    material = next(own, None)
    if material is not None:
        return material
    material = bpy.data.materials.new(PREFIX + name)
    material[MATERIAL_CLASS] = name
    if material.node_tree is None:
        material.use_nodes = True  # always on from Blender 5.0
    colour = (*(linear(channel / 255) for channel in label_colour(name)), 1.0)
    material.diffuse_color = colour
    material.node_tree.nodes.clear()
    surface = node(material.node_tree, "ShaderNodeBsdfPrincipled", {"Base Color": colour})
    node(material.node_tree, "ShaderNodeOutputMaterial", {"Surface": surface.outputs[0]})
    arrange(material.node_tree)
    return material


def _remove_unused_materials() -> None:
    bpy.data.batch_remove([m for m in bpy.data.materials if MATERIAL_CLASS in m and m.users == 0])


def _report(
    context: bpy.types.Context, scene: SemanticScene, found: list[_FaceLabels], far: list[str], made: int, note: str
) -> Transferred:
    labels = np.concatenate([labels.label for labels in found] or [np.zeros(0, np.int32)])
    counts = np.bincount(labels, minlength=len(scene.labels))
    counts[scene.labels.unlabelled] = 0
    notes = [note] if note else []
    if far:
        notes.append(
            f"{len(far)} object{'s lie' if len(far) > 1 else ' lies'} too far from the Gaussians: {', '.join(far[:3])}."
        )
    shared = sum(is_shared(find(context, labels.users[0]).data) for labels in found)
    if shared:
        notes.append(
            f"{shared} mesh{'es are' if shared > 1 else ' is'} shared by several objects, which have their labels in common."
        )
    classes = {scene.labels.names[k]: int(counts[k]) for k in np.argsort(-counts, kind="stable").tolist() if counts[k]}
    return Transferred(len(found), len(labels), classes, made, " ".join(notes))
