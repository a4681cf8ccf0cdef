# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels onto meshes, names for objects, objects found by what they are."""

import json

import bmesh
import bpy
import numpy as np
import pytest
import splatonym
from mathutils import Matrix
from splatonym.addon import jobs, transfer
from splatonym.addon.build import build_scene, remove_result, set_answer
from splatonym.addon.transfer import TransferOptions, forest, labels_to_meshes, nearby, remove_labels
from splatonym.core.errors import InvalidInput, NotAvailable
from splatonym.core.gaussians import GaussianArrays
from splatonym.core.labels import LabelMap
from splatonym.core.scene import SemanticScene
from splatonym.core.views import Instance
from splatonym.core.voting import Samples

from .build_scenes import blocks

LABELS = LabelMap(("chair", "table", "wall"), {"wall": ("partition",)})
CHAIR, TABLE, WALL, UNLABELLED = range(4)
SPACING = 0.05


@pytest.fixture(autouse=True)
def empty():
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.fixture
def addon():
    splatonym.register()
    yield bpy.ops.splatonym
    splatonym.unregister()


def add(mesh_or_kind, name, location=(0, 0, 0), cuts=0, size=1.0, collection=None):
    """A cube or plane, each face cut into (cuts + 1)^2, or an object with a mesh that is there."""
    mesh = mesh_or_kind
    if isinstance(mesh, str):
        mesh, work = bpy.data.meshes.new(name), bmesh.new()
        if mesh_or_kind == "cube":
            bmesh.ops.create_cube(work, size=size)
        else:
            bmesh.ops.create_grid(work, x_segments=1, y_segments=1, size=size / 2)
        if cuts:
            bmesh.ops.subdivide_edges(work, edges=work.edges, cuts=cuts, use_grid_fill=True)
        work.to_mesh(mesh)
        work.free()
    item = bpy.data.objects.new(name, mesh)
    item.location = location
    (collection or bpy.context.scene.collection).objects.link(item)
    bpy.context.view_layer.update()
    return item


def centres(item):
    """[F, 3] where the faces of an object's own mesh are in the world."""
    M = np.array(item.matrix_world)
    return np.array([p.center for p in item.data.polygons]).reshape(-1, 3) @ M[:3, :3].T + M[:3, 3]


def points_on(item, label, number=0, spacing=SPACING):
    """(means, label, instance) of Gaussians all over an object's visible surface: `label` a number, or what gives one for points."""
    evaluated = item.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    mesh.calc_loop_triangles()
    M = np.array(item.matrix_world)
    corners = np.array([[mesh.vertices[v].co for v in t.vertices] for t in mesh.loop_triangles]) @ M[:3, :3].T + M[:3, 3]
    evaluated.to_mesh_clear()
    draw = np.random.default_rng(0)
    parts = []
    for a, b, c in corners:
        area = np.linalg.norm(np.cross(b - a, c - a)) / 2
        u, v = draw.uniform(size=(2, max(1, int(area / spacing**2))))
        root = np.sqrt(u)[:, None]
        parts.append((1 - root) * a + root * (1 - v[:, None]) * b + root * v[:, None] * c)
    means = np.concatenate(parts)
    labels = label(means) if callable(label) else np.full(len(means), label)
    return means, labels, np.full(len(means), number)


def result_of(*parts, name="Room", instances=(), with_instances=True, spacing=SPACING, **changes):
    means, label, instance = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    count = len(means)
    gaussians = GaussianArrays(
        means.astype(np.float32),
        np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        np.full((count, 3), spacing / 2, np.float32),
        np.ones(count, np.float32),
        np.zeros((count, 1, 3), np.float32),
        label.astype(np.int32),
        instance.astype(np.int32) if with_instances else None,
    )
    for key, value in changes.items():
        gaussians = GaussianArrays(**{**gaussians.__dict__, key: value})
    things = {number: Instance(number, title, of) for number, title, of in instances}
    return build_scene(bpy.context.scene, SemanticScene(name, gaussians, LABELS, things))


def choose(*items):
    bpy.context.view_layer.update()
    for item in bpy.context.view_layer.objects:
        item.select_set(item in items)
    bpy.context.view_layer.objects.active = items[0] if items else None


def selected():
    return sorted(item.name for item in bpy.context.selected_objects)


def label_all(result, **options):
    return jobs.run_to_end(labels_to_meshes(bpy.context, result, TransferOptions(**{"selected": False} | options)))


def values(item, name="semantic_class"):
    attribute = item.data.attributes[name]
    assert (attribute.data_type, attribute.domain) == ("INT", "FACE")
    return np.array([value.value for value in attribute.data])


def named(item):
    """Class names of the faces."""
    names = json.loads(item.data["splatonym_labels"])
    return np.array([names[value] for value in values(item)])


def state(item):
    """All of an object's mesh that a job could change."""
    mesh = item.data
    attributes = {}
    for attribute in mesh.attributes:
        if attribute.data_type in ("INT", "FLOAT") and attribute.name != "material_index":
            attributes[attribute.name] = [value.value for value in attribute.data]
    return (
        mesh.name, len(mesh.vertices), len(mesh.polygons), attributes, [p.material_index for p in mesh.polygons],
        [m and m.name for m in mesh.materials], [g.name for g in item.vertex_groups], dict(mesh.items()),
    )  # fmt: skip


# Labels on faces


def test_faces_have_the_class_and_instance_of_what_lies_there():
    chair, table = add("cube", "Cube", (0, 0, 0), cuts=3), add("cube", "Cube.001", (3, 0, 0), cuts=3)
    result = result_of(points_on(chair, CHAIR, 4), points_on(table, TABLE, 9))
    done = label_all(result)
    assert (values(chair) == CHAIR).all() and (values(table) == TABLE).all()
    assert (values(chair, "instance_id") == 4).all() and (values(table, "instance_id") == 9).all()
    assert (done.meshes, done.faces, done.classes, done.new_objects, done.notes) == (2, 192, {"chair": 96, "table": 96}, 0, "")
    assert json.loads(chair.data["splatonym_labels"]) == [*LABELS.names]


def test_one_mesh_of_several_classes():
    item = add("plane", "Plane", cuts=19, size=2.0)
    result = result_of(points_on(item, lambda p: np.where(p[:, 0] < 0, CHAIR, TABLE), 1))
    label_all(result)
    x = centres(item)[:, 0]
    clear = np.abs(x) > 0.06
    assert np.array_equal(values(item)[clear], np.where(x < 0, CHAIR, TABLE)[clear])


def test_an_instance_is_never_that_of_another_class():
    item = add("plane", "Plane", cuts=19, size=2.0)
    means, label, _ = points_on(item, lambda p: np.where(p[:, 0] < 0, CHAIR, TABLE))
    number = np.where(label == CHAIR, 1, np.where(means[:, 1] < 0, 2, 3))
    label_all(result_of((means, label, number)))
    assert {*zip(values(item).tolist(), values(item, "instance_id").tolist(), strict=True)} == {
        (CHAIR, 1),
        (TABLE, 2),
        (TABLE, 3),
    }


def test_a_large_face_is_what_most_of_it_is():
    """One quad of four metres: its middle is bare."""
    item = add("plane", "Plane", size=4.0)
    means, label, number = points_on(item, lambda p: np.where(p[:, 0] < 0.5, WALL, CHAIR))
    seen = np.linalg.norm(means[:, :2], axis=1) > 1
    label_all(result_of((means[seen], label[seen], number[seen])))
    assert named(item).tolist() == ["wall"]


def test_faces_that_nothing_is_near_to_stay_unlabelled_or_are_filled():
    near, far = add("cube", "Cube", cuts=4), add("cube", "Cube.001", (50, 0, 0), cuts=4)
    means, label, number = points_on(near, CHAIR, 3)
    top = means[:, 2] > -0.2
    result = result_of((means[top], label[top], number[top]))
    done = label_all(result)
    bottom = centres(near)[:, 2] < -0.45
    assert (values(near)[bottom] == UNLABELLED).all() and (values(near, "instance_id")[bottom] == 0).all()
    assert (values(near)[centres(near)[:, 2] > 0] == CHAIR).all()
    assert "semantic_class" not in far.data.attributes
    assert "1 object lies too far from the Gaussians: Cube.001." in done.notes
    label_all(result, fill=True)
    assert (values(near) == CHAIR).all() and (values(near, "instance_id") == 3).all()


def test_filling_stays_inside_a_piece():
    """Two boxes in one mesh, of different classes, both seen from above only; a third is not seen at all."""
    boxes = [add("cube", f"b{k}", (3 * k, 0, 0), cuts=2) for k in range(3)]
    parts = [points_on(box, label, label + 1) for box, label in zip(boxes, (CHAIR, TABLE), strict=False)]
    with bpy.context.temp_override(active_object=boxes[0], selected_editable_objects=boxes):
        bpy.ops.object.join()
    parts = [tuple(column[part[0][:, 2] > 0] for column in part) for part in parts]
    label_all(result_of(*parts), fill=True)
    x = centres(boxes[0])[:, 0]
    assert np.array_equal(values(boxes[0]), np.select([x < 1, x < 4], [CHAIR, TABLE], UNLABELLED))
    assert np.array_equal(values(boxes[0], "instance_id"), np.select([x < 1, x < 4], [1, 2], 0))


def test_unlabelled_gaussians_are_heard_too():
    item = add("cube", "Cube", cuts=2)
    done = label_all(result_of(points_on(item, UNLABELLED)), fill=True)
    assert (values(item) == UNLABELLED).all() and done.classes == {}


@pytest.mark.parametrize(
    "matrix",
    [
        Matrix.Diagonal((3, 0.5, 1, 1)),
        Matrix.Rotation(1.0, 4, (1, 2, 3)) @ Matrix.Diagonal((2, 1, 0.3, 1)),
        Matrix.Diagonal((-1, 1, 1, 1)) @ Matrix.Rotation(0.4, 4, "Z"),
        Matrix.Translation((1000, -500, 20)) @ Matrix.Diagonal((1, 1, 0, 1)),
    ],
)
def test_any_transform(matrix):
    item = add("cube", "Cube", cuts=7)
    item.matrix_world = matrix
    bpy.context.view_layer.update()
    middle = np.array(matrix)[:3, 3]
    side = np.array(matrix)[:3, 0]  # along the object's own x
    label_all(result_of(points_on(item, lambda p: np.where((p - middle) @ side < 0, CHAIR, TABLE))))
    own = np.array([p.center.x for p in item.data.polygons])
    assert np.array_equal(values(item), np.where(own < 0, CHAIR, TABLE))


def test_a_parent_places_its_child():
    parent, item = add("cube", "Parent", (5, 5, 5), cuts=1), add("plane", "Plane", cuts=3)
    item.parent, parent.scale = parent, (2, 2, 2)
    bpy.context.view_layer.update()
    label_all(result_of(points_on(item, TABLE)))
    assert (values(item) == TABLE).all()


# Modifiers


def test_subdivision_and_deformation_are_seen_through():
    item = add("cube", "Cube", cuts=1, size=2.0)  # its limit lies a quarter inside: too far for the cage itself
    item.modifiers.new("Subdivision", "SUBSURF").levels = 3
    before = blocks()
    result = result_of(points_on(item, lambda p: np.where(p[:, 2] < 0, CHAIR, TABLE)))
    label_all(result)
    assert np.array_equal(values(item), np.where(centres(item)[:, 2] < 0, CHAIR, TABLE))
    remove_result(bpy.context.scene, "Room")
    assert blocks() == before


def test_mirrored_faces_vote_for_the_one_they_come_from():
    item = add("plane", "Plane", (2, 0, 0), cuts=4)
    item.modifiers.new("Mirror", "MIRROR").mirror_object = add("plane", "Centre", (0, 0, -9))
    means, label, number = points_on(item, CHAIR, 1)
    seen = means[:, 0] < 0  # only the mirrored half was seen
    label_all(result_of((means[seen], label[seen], number[seen])))
    assert (values(item) == CHAIR).all()


def test_shape_keys_and_armatures_move_faces():
    item = add("plane", "Plane", cuts=2)
    item.shape_key_add(name="Basis")
    key = item.shape_key_add(name="High")
    for point in key.data:
        point.co.z += 5
    key.value = 1.0
    bpy.context.view_layer.update()
    label_all(result_of(points_on(item, TABLE)))
    assert (values(item) == TABLE).all()


def test_a_remeshed_object_is_labelled_where_it_lies_without_modifiers():
    item = add("cube", "Cube", cuts=3)
    remesh = item.modifiers.new("Remesh", "REMESH")
    remesh.mode, remesh.voxel_size = "VOXEL", 0.2
    bpy.context.view_layer.update()
    before = blocks()
    result = result_of(points_on(item, CHAIR))
    label_all(result)
    assert (values(item) == CHAIR).all()
    remove_result(bpy.context.scene, "Room")
    assert blocks() == before


# What is left out


def test_only_what_can_be_written_to_and_the_rest_is_said(tmp_path):
    box = add("cube", "library", cuts=1)
    bpy.data.libraries.write(str(tmp_path / "lib.blend"), {box})
    bpy.data.batch_remove([box.data, box])
    with bpy.data.libraries.load(str(tmp_path / "lib.blend"), link=True) as (there, here):
        here.objects = there.objects
    (linked,) = here.objects
    bpy.context.scene.collection.objects.link(linked)
    item, hidden = add("cube", "Cube", cuts=1), add("cube", "hidden")
    add(bpy.data.meshes.new("bare"), "bare")
    text = add(bpy.data.curves.new("text", "FONT"), "text")
    hidden.hide_set(True)
    add(None, "empty")
    done = label_all(result_of(points_on(item, CHAIR)))
    assert (values(item) == CHAIR).all() and done.meshes == 1
    assert done.notes == "Left out: 'bare' without faces, 'hidden' hidden, 'library' linked from a library, 'text' not a mesh."
    assert "semantic_class" not in linked.data.attributes
    choose(linked, text)
    with pytest.raises(InvalidInput, match=r"No mesh that can be used is selected\. Left out: 'library' linked"):
        label_all(result_of(points_on(item, CHAIR)), selected=True)


def test_only_selected():
    one, other = add("cube", "one"), add("cube", "other", (3, 0, 0))
    result = result_of(points_on(one, CHAIR), points_on(other, TABLE))
    choose(other)
    label_all(result, selected=True)
    assert "semantic_class" in other.data.attributes and "semantic_class" not in one.data.attributes
    choose()
    with pytest.raises(InvalidInput, match="No mesh that can be used is selected"):
        label_all(result, selected=True)


def test_points_of_results_are_no_meshes():
    item = add("cube", "Cube")
    result = result_of(points_on(item, CHAIR))
    bpy.data.batch_remove([item.data, item])
    with pytest.raises(InvalidInput, match="is visible"):
        label_all(result)
    choose(*[o for c in result.classes for o in c.objects])
    with pytest.raises(InvalidInput, match="is selected"):
        label_all(result, selected=True)


def test_linked_duplicates_have_their_labels_in_common():
    """Two chairs with one mesh, each seen from one side."""
    left = add("cube", "Cube", cuts=2)
    right = add(left.data, "Cube.001", (3, 0, 0))
    parts = [points_on(left, CHAIR, 1), points_on(right, CHAIR, 2)]
    sides = [parts[0][0][:, 0] < 0.2, parts[1][0][:, 0] > 2.8]
    parts = [tuple(column[side] for column in part) for part, side in zip(parts, sides, strict=True)]
    done = label_all(result_of(*parts), vertex_groups=True, materials=True)
    assert left.data == right.data and (values(left) == CHAIR).all() and (values(left, "instance_id") == 0).all()
    assert [g.name for g in right.vertex_groups] == ["Class: chair"] and [m.name for m in right.data.materials] == [
        "Class: chair"
    ]
    assert done.meshes == 1 and "1 mesh is shared by several objects" in done.notes


def test_empty_and_unlabelled_results_are_refused():
    item = add("cube", "Cube")
    nothing = (np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    with pytest.raises(InvalidInput, match="'Empty' has no Gaussians"):
        label_all(result_of(nothing, name="Empty"))
    with pytest.raises(InvalidInput, match="'Bare' have no classes"):
        label_all(result_of(points_on(item, CHAIR), name="Bare", label=None))
    with pytest.raises(InvalidInput, match="separated by 'SIZE'"):
        label_all(result_of(points_on(item, CHAIR)), separate="SIZE")
    assert "semantic_class" not in item.data.attributes


def test_one_gaussian_and_one_face():
    item = add("plane", "Plane", size=0.1)
    label_all(result_of((np.zeros((1, 3)), np.array([TABLE]), np.array([0])), spacing=0.1))
    assert values(item).tolist() == [TABLE]


def test_a_broken_vertex_spoils_only_its_own_faces():
    item = add("plane", "Plane", cuts=9)
    result = result_of(points_on(item, CHAIR))
    item.data.vertices[0].co.x = float("nan")
    label_all(result)
    assert (values(item) == CHAIR).sum() == len(item.data.polygons) - sum(0 in p.vertices for p in item.data.polygons)


def test_a_result_without_instances_writes_none():
    item = add("cube", "Cube")
    label_all(result_of(points_on(item, CHAIR, 5)))
    assert "instance_id" in item.data.attributes
    label_all(result_of(points_on(item, CHAIR), with_instances=False))
    assert "instance_id" not in item.data.attributes  # nor those of before


@pytest.mark.parametrize("kind", [("FLOAT", "POINT"), ("INT", "FACE")])
def test_somebody_elses_attribute_is_kept(kind):
    first, item = add("cube", "a first"), add("cube", "Cube", (2, 0, 0))
    item.data.attributes.new("semantic_class", *kind)
    result = result_of(points_on(first, CHAIR), points_on(item, CHAIR))
    before = state(first), state(item)
    with pytest.raises(InvalidInput, match="'Cube' has an attribute 'semantic_class' of its own") as caught:
        label_all(result)
    assert caught.value.hint == "Rename or remove it." and (state(first), state(item)) == before


def test_the_nearest_are_found_and_far_points_are_not_asked():
    item = add("cube", "Cube")
    scene = jobs.run_to_end(transfer.read_labelled(result_of(points_on(item, CHAIR))))
    means = scene.gaussians.means
    asked = jobs.run_to_end(nearby.Nearby.of(scene.gaussians))
    points = np.random.default_rng(0).uniform(-1, 1, (500, 3)).astype(np.float32)
    samples = Samples(points, np.zeros_like(points), np.arange(500), np.ones(500))
    ballots = jobs.run_to_end(asked.ask(samples, jobs.Step("", 0.0), 1.0))
    distance = np.linalg.norm(means[None] - points[:, None], axis=2)
    near = np.sort(np.argsort(distance, axis=1)[:, :8])
    assert np.array_equal(np.sort(ballots.near), near[ballots.face])
    within = (np.take_along_axis(distance, near, 1) <= asked.voters.reach[near]).any(axis=1)
    assert 50 < within.sum() < 450
    assert np.array_equal(np.sort(ballots.face[ballots.weight.any(axis=1)]), np.flatnonzero(within))
    far = samples.points + np.float32([100, 0, 0])
    ballots = jobs.run_to_end(asked.ask(Samples(far, far, samples.face, samples.area), jobs.Step("", 0.0), 1.0))
    assert len(ballots.face) == 0


@pytest.mark.parametrize("tree", [37, 250, 1000])
def test_a_forest_finds_what_one_tree_finds(monkeypatch, tree):
    monkeypatch.setattr(forest, "TREE", tree)
    draw = np.random.default_rng(tree)
    points = draw.normal(size=(1000, 3)).astype(np.float32) * np.float32([3, 1, 1])
    rows = np.sort(draw.choice(1000, 900, replace=False))
    trees = forest.Forest(points, rows)
    assert 0 <= max(trees.grow()) < 1
    places = draw.uniform(-6, 6, (300, 3)).astype(np.float32)
    near = trees.nearest(places, 0.7)
    distance = np.linalg.norm(points[rows][None] - places[:, None], axis=2)
    order = np.argsort(distance, axis=1)[:, :8]
    within = np.take_along_axis(distance, order, 1) <= 0.7
    assert 0 < within.sum() < within.size
    assert np.array_equal(near[within], rows[order][within])
    found = np.linalg.norm(points[near] - places[:, None], axis=2)
    assert (np.diff(found, axis=1) >= -1e-5).all() and (found[~within] > 0.7 - 1e-5).all() and np.isin(near, rows).all()


def test_transparent_gaussians_have_no_vote():
    item = add("cube", "Cube", cuts=1)
    parts = points_on(item, CHAIR), points_on(item, TABLE)
    opacities = np.repeat(np.float32([0.001, 0.5]), len(parts[0][0]))
    label_all(result_of(*parts, opacities=opacities))
    assert (values(item) == TABLE).all()
    with pytest.raises(InvalidInput, match="All Gaussians are transparent"):
        label_all(result_of(*parts, opacities=opacities * 0))


# Vertex groups and materials, and off again


def test_vertex_groups():
    item = add("plane", "Plane", cuts=9, size=2.0)
    own = item.vertex_groups.new(name="Class")
    own.add([0], 0.25, "REPLACE")
    result = result_of(points_on(item, lambda p: np.where(p[:, 0] < 0, CHAIR, TABLE)))
    for _ in range(2):
        label_all(result, vertex_groups=True)
    assert [g.name for g in item.vertex_groups] == ["Class", "Class: chair", "Class: table"]
    for vertex in item.data.vertices:
        weights = {item.vertex_groups[g.group].name: g.weight for g in vertex.groups}
        expected = {"Class: chair": 1.0} if vertex.co.x < -0.05 else {"Class: table": 1.0}
        if abs(vertex.co.x) < 0.05:
            expected = {"Class: chair": 0.5, "Class: table": 0.5}
        assert {k: w for k, w in weights.items() if k != "Class"} == expected
    remove_labels(bpy.context, False)
    assert [g.name for g in item.vertex_groups] == ["Class"] and item.data.vertices[0].groups[0].weight == 0.25


@pytest.mark.parametrize("slots", [0, 1, 3])
def test_materials_come_and_go(slots):
    item = add("plane", "Plane", cuts=9, size=2.0)
    for k in range(slots):
        item.data.materials.append(bpy.data.materials.new(f"own {k}"))
    for polygon in item.data.polygons:
        polygon.material_index = polygon.index % max(slots, 1)
    before, file = state(item), blocks()
    result = result_of(points_on(item, lambda p: np.where(p[:, 0] < 0, CHAIR, TABLE)))
    for _ in range(2):
        label_all(result, materials=True)
    assert [m.name for m in item.data.materials][slots:] == ["Class: chair", "Class: table"]
    shown = [item.data.materials[p.material_index].name for p in item.data.polygons]
    assert shown == [f"Class: {name}" for name in named(item)]
    added = bpy.data.materials.new("added later")
    item.data.materials.append(added)
    item.data.polygons[5].material_index = slots + 2
    assert remove_labels(bpy.context, False) == 1
    assert item.data.materials[-1] == added and item.data.polygons[5].material_index == slots
    item.data.materials.pop(index=slots)
    bpy.data.materials.remove(added)
    item.data.polygons[5].material_index = 5 % max(slots, 1)
    remove_result(bpy.context.scene, "Room")
    assert state(item) == before and blocks() == file
    assert remove_labels(bpy.context, False) == 0


def test_class_materials_have_the_class_colour_and_are_shared():
    one, other = add("cube", "one"), add("cube", "other", (3, 0, 0))
    label_all(result_of(points_on(one, CHAIR), points_on(other, CHAIR)), materials=True)
    assert one.data.materials[0] == other.data.materials[0]
    red, green, blue, _ = one.data.materials[0].diffuse_color
    srgb = [c * 12.92 if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055 for c in (red, green, blue)]
    assert np.round(np.array(srgb) * 255).astype(int).tolist() == LABELS.colours[CHAIR].tolist()


def test_a_mesh_that_is_far_now_loses_what_was_said_of_it():
    item = add("cube", "Cube")
    label_all(result_of(points_on(item, CHAIR)), vertex_groups=True, materials=True)
    item.location = (100, 0, 0)
    bpy.context.view_layer.update()
    done = label_all(result_of(points_on(add("cube", "there"), TABLE)))
    assert "semantic_class" not in item.data.attributes and not item.data.materials and not item.vertex_groups
    assert done.meshes == 1


# Separation


def test_separated_by_class():
    item = add("plane", "Room", cuts=9, size=2.0)
    item.data.uv_layers.new(name="UVMap")
    item.modifiers.new("Solid", "SOLIDIFY")
    folder = bpy.data.collections.new("folder")
    bpy.context.scene.collection.children.link(folder)
    folder.objects.link(item)
    before = sorted(map(tuple, centres(item).round(4)))
    result = result_of(points_on(item, lambda p: np.where(p[:, 0] < -0.3, CHAIR, np.where(p[:, 0] < 0.3, TABLE, WALL))))
    meshes = len(bpy.data.meshes)
    done = label_all(result, separate="CLASS")
    assert done.new_objects == 2 and len(bpy.data.meshes) == meshes + 2
    parts = [o for o in bpy.context.scene.objects if o.type == "MESH"]
    assert item.data.name == "Room" and sorted(tuple(c) for o in parts for c in centres(o).round(4)) == before
    for part in parts:
        assert len({*named(part)}) == 1 and part.data.uv_layers and part.modifiers[0].type == "SOLIDIFY"
        assert {*part.users_collection} == {folder, bpy.context.scene.collection}
    assert {named(o)[0] for o in parts} == {"chair", "table", "wall"}


def test_separated_by_instance_with_what_has_none_staying():
    """A floor without instance, two chairs on it and an unseen box, all one mesh with a loose vertex."""
    floor = add("plane", "Room", cuts=29, size=6.0)
    chairs = [add("cube", f"c{k}", (2 * k - 1, 0, 1), cuts=1) for k in range(2)]
    parts = [points_on(floor, WALL), points_on(chairs[0], CHAIR, 1), points_on(chairs[1], CHAIR, 2)]
    unseen = add("cube", "unseen", (0, 0, 60))
    with bpy.context.temp_override(active_object=floor, selected_editable_objects=[floor, *chairs, unseen]):
        bpy.ops.object.join()
    floor.data.vertices.add(1)
    label_all(result_of(*parts), separate="INSTANCE")
    news = [o for o in bpy.data.objects if o.type == "MESH" and o != floor]
    assert sorted(values(o, "instance_id")[0] for o in news) == [1, 2]
    assert all(len(o.data.polygons) == 24 and (named(o) == "chair").all() and len(o.data.vertices) == 26 for o in news)
    assert {*named(floor)} == {"wall", "unlabelled"} and len(floor.data.vertices) == 31 * 31 + 8 + 1


def test_separation_shares_meshes_as_the_objects_did():
    one = add("plane", "Plane", cuts=9, size=2.0)
    two, three = add(one.data, "Plane.001", (5, 0, 0)), add(one.data, "Plane.002", (10, 0, 0))
    half = [points_on(o, lambda p, x=o.location.x: np.where(p[:, 0] < x, CHAIR, TABLE)) for o in (one, two)]
    whole, faces = one.data, len(one.data.polygons)
    result = result_of(*half)
    choose(one, two)
    done = label_all(result, selected=True, separate="CLASS")
    assert done.new_objects == 2 and three.data == whole and len(whole.polygons) == faces
    news = [o for o in bpy.data.objects if o.type == "MESH" and o not in (one, two, three)]
    assert one.data == two.data and news[0].data == news[1].data and len(one.data.polygons) == faces // 2


def test_separation_keeps_shape_keys_and_groups():
    item = add("plane", "Plane", cuts=9, size=2.0)
    item.shape_key_add(name="Basis")
    for point in item.shape_key_add(name="High").data:
        point.co.z += 1
    item.vertex_groups.new(name="own").add(range(len(item.data.vertices)), 0.5, "REPLACE")
    label_all(result_of(points_on(item, lambda p: np.where(p[:, 0] < 0, CHAIR, TABLE))), separate="CLASS", materials=True)
    parts = [o for o in bpy.data.objects if o.type == "MESH"]
    assert len(parts) == 2
    for part in parts:
        assert [k.name for k in part.data.shape_keys.key_blocks] == ["Basis", "High"]
        assert {round(p.co.z, 5) for p in part.data.shape_keys.key_blocks["High"].data} == {1.0}
        assert part.vertex_groups["own"].weight(0) == 0.5
    assert len(bpy.data.shape_keys) == 2


def test_what_is_of_one_class_stays_whole():
    item = add("cube", "Cube")
    mesh = item.data
    assert label_all(result_of(points_on(item, CHAIR)), separate="CLASS").new_objects == 0 and item.data == mesh


# Cancel, undo, leaks


def test_cancel_at_every_step_leaves_everything_as_it_was(monkeypatch):
    monkeypatch.setattr(nearby, "_ASKED", 500)
    one, other = add("cube", "Cube", cuts=3), add("cube", "Cube.001", (3, 0, 0), cuts=3)
    other.modifiers.new("Subdivision", "SUBSURF")
    result = result_of(points_on(one, CHAIR), points_on(other, TABLE))
    options = TransferOptions(False, True, True, True, "CLASS")
    before, file = (state(one), state(other)), blocks()
    steps = [step for step in labels_to_meshes(bpy.context, result, options) if not step.waiting]
    assert len(steps) > 5 and all(0 <= step.fraction <= 1 for step in steps)
    assert state(one) != before[0]
    remove_labels(bpy.context, False)
    for stop in range(len(steps)):
        work = labels_to_meshes(bpy.context, result, options)
        for _ in range(stop + 1):
            next(step for step in work if not step.waiting)
        work.close()
        assert (state(one), state(other)) == before and blocks() == file


@pytest.mark.parametrize("when", [("Faces", "Cube.001"), ("Write", "2 meshes")])
@pytest.mark.parametrize("change", ["remove", "rename", "clear", "other mesh", "edit mode"])
def test_what_people_change_meanwhile_is_said_and_nothing_is_written(change, when):
    one, other = add("cube", "Cube", cuts=1), add("cube", "Cube.001", (3, 0, 0), cuts=1)
    work = labels_to_meshes(bpy.context, result_of(points_on(one, CHAIR), points_on(other, TABLE)), TransferOptions(False))
    while ((step := next(work)).stage, step.text) != when:
        pass
    before = state(one)
    if change == "remove":
        bpy.data.objects.remove(other)
    elif change == "rename":
        other.name = "mine"
    elif change == "clear":
        other.data.clear_geometry()
    elif change == "other mesh":
        other.data = one.data.copy()
    else:
        choose(other)
        bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(InvalidInput, match=r"Cube.001' was (removed|changed)"):
        jobs.run_to_end(work)
    if change == "edit mode":
        bpy.ops.object.mode_set(mode="OBJECT")
    assert state(one) == before


def test_no_block_is_left_behind():
    item, other = add("cube", "Cube", cuts=3), add("cube", "Cube.001", (2, 0, 0))
    item.modifiers.new("Subdivision", "SUBSURF")
    result = result_of(points_on(item, CHAIR))
    add(bpy.data.curves.new("text", "FONT"), "text")
    file = blocks()
    label_all(result)
    jobs.run_to_end(transfer.preview_names(bpy.context, result))
    choose(item, other)
    jobs.run_to_end(transfer.what_is(bpy.context, result))
    assert blocks() == file


def test_undo(addon):
    item = add("plane", "Cube.047", cuts=9, size=2.0)
    result_of(points_on(item, lambda p: np.where(p[:, 0] < 0.2, CHAIR, TABLE)))
    choose(item)
    bpy.ops.ed.undo_push(message="before")
    before, file = state(item), blocks()
    for call in (
        lambda: addon.labels_to_meshes("EXEC_DEFAULT", True, materials=True, vertex_groups=True, separate="CLASS"),
        lambda: addon.rename_objects("EXEC_DEFAULT", True),
        lambda: addon.select_class("EXEC_DEFAULT", True, class_name="table"),
    ):
        assert call() == {"FINISHED"}
        bpy.ops.ed.undo()
        item = bpy.data.objects["Cube.047"]
        assert state(item) == before and blocks() == file and selected() == ["Cube.047"]


# Objects as a whole


def room():
    """Two chairs and a table without names, a chair with one, and something that nobody saw."""
    items = [
        add("cube", "Cube.047", (0, 0, 0), cuts=1), add("cube", "geometry_0", (3, 0, 0), cuts=1),
        add("cube", "Mesh", (6, 0, 0), cuts=1), add("cube", "Grandma", (9, 0, 0), cuts=1), add("cube", "Plane.001", (30, 0, 0)),
    ]  # fmt: skip
    parts = [points_on(items[k], label, k + 1) for k, label in enumerate((CHAIR, TABLE, CHAIR, CHAIR))]
    return items, result_of(*parts)


def preview(result, **options):
    return jobs.run_to_end(transfer.preview_names(bpy.context, result, **options))


def test_preview_changes_nothing_and_names_are_free():
    items, result = room()
    taken = bpy.data.objects.new("chair.001", None)
    before = blocks()
    renames = preview(result)
    assert [(old, new) for old, new, _ in renames] == [
        ("Cube.047", "chair.002"),
        ("Mesh", "chair.003"),
        ("geometry_0", "table.001"),
    ]
    assert all(0.99 < confidence <= 1.000001 for _, _, confidence in renames) and blocks() == before
    assert transfer.apply_names(bpy.context, renames) == 3
    assert [item.name for item in items] == ["chair.002", "table.001", "chair.003", "Grandma", "Plane.001"]
    assert taken.name == "chair.001" and preview(result) == []
    again = preview(result, only_unnamed=False)
    assert [(old, new) for old, new, _ in again] == [("Grandma", "chair.004")]


def test_names_need_a_majority():
    item = add("plane", "Plane", cuts=9, size=2.0)
    result = result_of(points_on(item, lambda p: np.select([p[:, 0] < -0.2, p[:, 0] < 0.3], [CHAIR, TABLE], WALL)))
    assert preview(result) == []
    ((_, new, confidence),) = preview(result, least=0.3)
    assert new == "chair.001" and confidence == pytest.approx(0.4, abs=0.03)


def test_renaming_what_is_gone_renames_nothing():
    items, result = room()
    renames = preview(result)
    bpy.data.objects.remove(items[1])
    with pytest.raises(InvalidInput, match="'geometry_0' was removed"):
        transfer.apply_names(bpy.context, renames)
    assert items[0].name == "Cube.047"


def test_long_names_are_cut_at_a_letter():
    item = add("cube", "Cube")
    long = "ö" * 40
    means, label, number = points_on(item, CHAIR)
    result = result_of((means, label, number))
    result.collection["splatonym_labels"] = json.dumps([long, "table", "wall", "unlabelled"])
    transfer.apply_names(bpy.context, preview(result))
    assert item.name == "ö" * 29 + ".001"
    assert preview(result, only_unnamed=False) == []


@pytest.mark.parametrize(
    "name",
    ["Cube", "Cube.047", "Mesh", "Object", "Plane.001", "geometry_0", "Icosphere", "BezierCurve.003", "pCube1", "polySurface12", "node_3",
     "Object_4", "Box001", "defaultMaterial", "003", "Group 12", "mesh_0.001", "Mesh.Cube", ""],
)  # fmt: skip
def test_names_that_say_nothing(name):
    assert transfer.is_unnamed(name, LABELS)


@pytest.mark.parametrize("name", ["chair", "Grandma", "Cube_lamp", "OfficeChair.002", "table mesh", "стол", "box"])
def test_names_that_say_something(name):
    assert not transfer.is_unnamed(name, LabelMap(("chair", "table", "box")))


def test_what_things_are_called():
    items, _ = room()
    mixed = add("plane", "mixed", (15, 0, 0), cuts=1, size=2.0)
    choose(items[1], items[4], mixed)
    parts = [points_on(items[1], TABLE), points_on(mixed, lambda p: np.where(p[:, 0] < 15.5, CHAIR, WALL))]
    found = {c.name: c for c in jobs.run_to_end(transfer.what_is(bpy.context, result_of(*parts)))}
    assert found["geometry_0"].shares == {"table": 1.0} and found["geometry_0"].seen > 0.99
    assert found["Plane.001"].shares == {} and found["Plane.001"].seen == 0
    assert list(found["mixed"].shares) == ["chair", "wall"] and found["mixed"].shares["chair"] == pytest.approx(0.75, abs=0.03)


def test_points_are_called_what_they_are():
    items, result = room()
    points = {c.name: c.objects[0] for c in result.classes}
    choose(points["table"], items[0])
    found = jobs.run_to_end(transfer.what_is(bpy.context, result))
    assert [(c.name, c.shares) for c in found] == [("table", {"table": 1.0}), ("Cube.047", {"chair": 1.0})]
    choose(points["table"])
    assert [c.name for c in jobs.run_to_end(transfer.what_is(bpy.context, result))] == ["table"]
    choose()
    with pytest.raises(InvalidInput, match="No object with a surface that can be used is selected"):
        jobs.run_to_end(transfer.what_is(bpy.context, result))


def test_points_that_go_meanwhile_do_not_shift_those_that_are_asked():
    _items, result = room()
    points = {c.name: c.objects[0] for c in result.classes}
    assert next(item.name for item in result.collection.all_objects) == "chair"
    choose(points["table"])
    work = transfer.what_is(bpy.context, result)
    while not next(work).fraction:
        pass
    bpy.data.objects.remove(points["chair"])  # it is read already; its rows come before the table's
    assert [(c.name, c.shares) for c in jobs.run_to_end(work)] == [("table", {"table": 1.0})]


def test_curves_and_texts_can_be_asked_for():
    text = add(bpy.data.curves.new("text", "FONT"), "text")
    text.data.body, text.data.size = "MM", 3.0
    bpy.context.view_layer.update()
    result = result_of(points_on(text, TABLE))
    assert preview(result, only_unnamed=False)[0][:2] == ("text", "table.001")


def test_a_touched_object_is_not_a_seen_one():
    floor, box = add("plane", "floor", cuts=9, size=1.0), add("cube", "box", (0, 0, 30.01), size=60.0)
    choose(box)
    (called,) = jobs.run_to_end(transfer.what_is(bpy.context, result_of(points_on(floor, WALL))))
    assert called.shares == {} and called.seen < 0.02


# Operators


def test_the_operators_are_described(addon):
    for name in (
        "labels_to_meshes", "remove_labels", "rename_objects", "what_is_this", "select_class", "select_similar", "select_answer",
    ):  # fmt: skip
        rna = getattr(addon, name).get_rna_type()
        assert len(rna.description) > 20 and not rna.description.endswith(".")
        for prop in rna.properties:
            assert prop.identifier == "rna_type" or (prop.name and prop.description and not prop.description.endswith("."))


def test_objects_are_selected_by_class_instance_likeness_and_answer(addon):
    items, result = room()
    assert addon.select_class(class_name="CHAIR") == {"FINISHED"}
    assert selected() == ["Cube.047", "Grandma", "Mesh"] and bpy.context.object in items
    addon.select_class(instance=2)
    assert selected() == ["geometry_0"] and jobs.state.message == "Instance 2: 1 object. geometry_0"
    addon.select_class(instance=4, extend=True)
    assert selected() == ["Grandma", "geometry_0"]
    addon.select_class(class_name="partition")
    assert selected() == [] and jobs.state.message == "Class 'wall': no object."

    choose(items[1])
    addon.select_similar()
    assert selected() == ["geometry_0"]
    choose(items[3])
    addon.select_similar()
    assert selected() == ["Cube.047", "Grandma", "Mesh"] and bpy.context.object == items[3]
    choose(next(c.objects[0] for c in result.classes if c.name == "table"))
    addon.select_similar()
    assert selected() == ["geometry_0"]

    x = jobs.run_to_end(transfer.read_labelled(result)).gaussians.means[:, 0]
    chosen = (x > 2.7) & (x < 6.2)  # most of two of them
    set_answer(result.collection, chosen.astype(np.float32), chosen)
    addon.select_answer()
    assert selected() == ["Mesh", "geometry_0"]


def test_bad_input_is_said(addon):
    with pytest.raises(RuntimeError, match=r"There is no result yet|poll"):
        addon.select_class(class_name="chair")
    items, _ = room()
    for call, words in (
        (lambda: addon.select_class(class_name="cat"), "There is no label 'cat'. Labels: chair, table, wall, unlabelled"),
        (lambda: addon.select_class(), "Neither a class nor an instance is given"),
        (lambda: addon.select_class(instance=77), "There is no instance 77 in the result. Instances: 1, 2, 3, 4."),
        (lambda: addon.select_answer(), "No question has chosen anything"),
        (lambda: addon.labels_to_meshes(result="Other"), "There is no result 'Other'"),
        (lambda: addon.what_is_this(), "is selected"),
    ):
        choose()
        with pytest.raises(RuntimeError, match=words):
            call()
    choose(items[4])
    with pytest.raises(RuntimeError, match=r"does not say what 'Plane\.001' is"):
        addon.select_similar()
    bpy.context.view_layer.objects.active = None
    with pytest.raises(RuntimeError, match="no active object"):
        addon.select_similar()
    choose(items[0])
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(RuntimeError, match="poll"):
        addon.labels_to_meshes()
    bpy.ops.object.mode_set(mode="OBJECT")


def test_instances_of_a_result_without_any():
    item = add("cube", "Cube")
    scene = jobs.run_to_end(transfer.read_labelled(result_of(points_on(item, CHAIR), with_instances=False)))
    with pytest.raises(NotAvailable, match="no instance 1 in the result"):
        transfer.of_instance(scene, 1)


def test_operators_report_what_they_did(addon):
    items, _ = room()
    choose(items[0], items[4])
    addon.labels_to_meshes(selected=True, materials=True)
    assert jobs.state.message == (
        "Labelled 24 of 24 faces of 1 mesh: chair 24. 1 object lies too far from the Gaussians: Plane.001."
    )
    assert addon.remove_labels() == {"FINISHED"} and "semantic_class" not in items[0].data.attributes
    addon.what_is_this()
    assert jobs.state.message == "'Cube.047' is chair (100%); 'Plane.001' is not in the result."
    addon.rename_objects(preview=True)
    assert (
        jobs.state.message.startswith("Would rename 3 objects: Cube.047 → chair.001 (100%), ") and items[0].name == "Cube.047"
    )
    addon.rename_objects()
    assert items[0].name == "chair.001" and jobs.state.message.startswith("Renamed 3 objects")
    addon.rename_objects()
    assert jobs.state.message.startswith("There is no object to rename")
