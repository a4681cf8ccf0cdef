# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes: names by version, exact round trip, and reading after people edited the objects."""

from dataclasses import fields, replace

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Quaternion
from splatonym.addon.build import attributes, build_scene, find_results, read_gaussians, set_answer
from splatonym.addon.build.objects import CODEBOOK
from splatonym.addon.build.reading import _matrices, transformed
from splatonym.core.codebook import Codebook
from splatonym.core.errors import InvalidInput
from splatonym.core.gaussians import SH_C0
from splatonym.core.labels import LabelMap

from .build_scenes import few, random_scene


@pytest.fixture(autouse=True)
def empty():
    bpy.ops.wm.read_factory_settings(use_empty=True)


def in_class_order(scene):
    return scene.gaussians.select(np.argsort(scene.gaussians.label, kind="stable"))


def test_names_and_values():
    result = build_scene(bpy.context.scene, few([[0.5 + SH_C0, 0.5, 0.5]], [[1, 2, 3]], opacities=[0.75], scales=[[1, 2, 4]]))
    data = result.classes[0].objects[0].data
    kinds = {a.name: a.data_type for a in data.attributes}
    labels = {"semantic_class": "INT", "instance_id": "INT", "confidence": "FLOAT"}
    always = {"position": "FLOAT_VECTOR", "radius": "FLOAT"} | labels
    if attributes.NATIVE:
        assert kinds == always | {"scale": "FLOAT_VECTOR", "rotation": "QUATERNION", "radiance:base": "FLOAT4"}
        assert tuple(data.attributes["radiance:base"].data[0].vector) == pytest.approx((1, 0, 0, 0.75), abs=1e-6)
        assert tuple(data.attributes["scale"].data[0].vector) == (1, 2, 4)
    else:
        columns = [f"{name}{k}" for name, n in (("f_dc_", 3), ("scale_", 3), ("rot_", 4)) for k in range(n)]
        assert kinds == always | dict.fromkeys(["opacity", *columns], "FLOAT")
        assert data.attributes["opacity"].data[0].value == pytest.approx(np.log(3), abs=1e-6)
        assert data.attributes["scale_2"].data[0].value == pytest.approx(np.log(4), abs=1e-6)
        assert data.attributes["f_dc_0"].data[0].value == pytest.approx(1, abs=1e-6)
    assert data.attributes["radius"].data[0].value == 3
    assert tuple(data.attributes["position"].data[0].vector) == (1, 2, 3)


@pytest.mark.parametrize(
    "native", [False, pytest.param(True, marks=pytest.mark.skipif(not attributes.NATIVE, reason="FLOAT4"))]
)
@pytest.mark.parametrize("bands", [1, 4, 16])
def test_round_trip(native, bands, monkeypatch):
    monkeypatch.setattr(attributes, "NATIVE", native)
    scene = random_scene(500, bands=bands)
    back = read_gaussians(build_scene(bpy.context.scene, scene).collection)
    wanted = in_class_order(scene)
    assert back.name == scene.name and back.labels.names == scene.labels.names and back.instances == scene.instances
    for field in [field for field in fields(wanted) if getattr(wanted, field.name) is not None]:
        np.testing.assert_allclose(getattr(back.gaussians, field.name), getattr(wanted, field.name), rtol=2e-6, atol=2e-7)
    for exact in ("means", "sh", "label", "instance", "confidence"):
        assert np.array_equal(getattr(back.gaussians, exact), getattr(wanted, exact))


def test_words_and_what_was_taught_come_back_with_the_codebook_also_from_a_saved_file(tmp_path):
    rng = np.random.default_rng(0)
    words, shares = (rng.integers(0, 256, (300, 4)).astype(np.uint8) for _ in range(2))
    scene = random_scene(300, words=words, shares=shares, taught=rng.integers(-1, 2, 300).astype(np.int32))
    book = Codebook("model", "key", *rng.normal(size=(2, 256, 8)).astype(np.float16))
    labels = LabelMap(scene.labels.names, {"table": ("desk",)})
    scene = replace(scene, codebook=book, labels=labels)
    build_scene(bpy.context.scene, scene)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "kept.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "kept.blend"))
    back = read_gaussians(find_results(bpy.context.scene)[0].collection)
    wanted = in_class_order(scene)
    for name in ("words", "shares", "taught"):
        assert np.array_equal(getattr(back.gaussians, name), getattr(wanted, name))
    assert np.array_equal(back.codebook.specific, book.specific) and np.array_equal(back.codebook.context, book.context)
    assert (back.codebook.model, back.codebook.key) == ("model", "key") and back.labels == labels


def test_a_result_without_a_codebook_keeps_none_of_the_one_before():
    rng = np.random.default_rng(0)
    columns = {name: rng.integers(0, 4, (30, 4)).astype(np.uint8) for name in ("words", "shares")}
    book = Codebook("model", "key", *rng.normal(size=(2, 4, 8)).astype(np.float16))
    build_scene(bpy.context.scene, replace(random_scene(30, **columns), codebook=book))
    result = build_scene(bpy.context.scene, random_scene(30))
    assert read_gaussians(result.collection).codebook is None and CODEBOOK not in result.collection


def test_relabelled_points_stay_where_a_person_moved_them():
    result = build_scene(bpy.context.scene, random_scene(50))
    result.classes[0].objects[0].location = (1, 2, 3)
    bpy.context.view_layer.update()
    moved = read_gaussians(result.collection)
    result = build_scene(bpy.context.scene, moved, result_id=result.id, in_world=True)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(read_gaussians(result.collection).gaussians.means, moved.gaussians.means, atol=1e-6)


def test_an_answer_is_kept_on_the_points_in_the_order_of_reading():
    result = build_scene(bpy.context.scene, random_scene(50))
    back = read_gaussians(result.collection).gaussians
    set_answer(result.collection, back.means[:, 0].clip(0, 1), back.means[:, 0] > 0)
    for group in result.classes:
        data = group.objects[0].data
        x = np.empty(len(data.points) * 3, np.float32)
        data.attributes["position"].data.foreach_get("vector", x)
        score = np.empty(len(data.points), np.float32)
        data.attributes["query_score"].data.foreach_get("value", score)
        assert np.array_equal(score, x[::3].clip(0, 1))
        assert np.array_equal(attributes.point_choice(data), x[::3] > 0)


def test_round_trip_without_labels_and_at_the_ends_of_opacity():
    scene = random_scene(4, label=None, instance=None, confidence=None, opacities=np.float32([0, 1, 1e-6, 0.5]))
    back = read_gaussians(build_scene(bpy.context.scene, scene).collection).gaussians
    assert back.label is None and back.instance is None and back.confidence is None
    np.testing.assert_allclose(back.opacities, [0, 1, 1e-6, 0.5], atol=5e-7)


def test_reading_after_edits():
    scene = random_scene(300)
    result = build_scene(bpy.context.scene, scene)
    chair, table = result.classes
    chair.objects[0].data.attributes["semantic_class"].data[0].value = 2
    bpy.data.objects.remove(table.objects[0])
    back = read_gaussians(result.collection)
    wanted = in_class_order(scene)
    assert len(back.gaussians) == chair.count and back.counts() == {"chair": chair.count - 1, "lamp": 1}
    assert np.array_equal(back.gaussians.means, wanted.means[: chair.count])
    chair.objects[0].data.attributes["semantic_class"].data[0].value = 99
    with pytest.raises(InvalidInput, match="class 99"):
        read_gaussians(result.collection)
    chair.objects[0].data.attributes.remove(chair.objects[0].data.attributes["semantic_class"])
    assert read_gaussians(result.collection).gaussians.label is None


def test_a_missing_attribute_is_named():
    result = build_scene(bpy.context.scene, random_scene(10))
    data = result.classes[0].objects[0].data
    name = "scale" if attributes.NATIVE else "scale_1"
    data.attributes.remove(data.attributes[name])
    with pytest.raises(InvalidInput, match=f"'{name}' of 'chair' is missing"):
        read_gaussians(result.collection)


def test_transforms_are_applied():
    scene = random_scene(50)
    result = build_scene(bpy.context.scene, scene)
    matrix = Matrix.LocRotScale((1, 2, 3), Quaternion((0.3, 0.5, -0.7, 0.4)).normalized(), (1, 2, 0.5))
    for item in result.classes:
        item.objects[0].matrix_world = matrix
    bpy.context.view_layer.update()
    got, g = read_gaussians(result.collection).gaussians, in_class_order(scene)
    M = np.array(matrix)
    np.testing.assert_allclose(got.means, g.means @ M[:3, :3].T + M[:3, 3], rtol=1e-5, atol=1e-5)

    def covariances(x, A):
        half = A @ _matrices(x.quats.astype(float)) * x.scales[:, None].astype(float)
        return half @ half.transpose(0, 2, 1)

    np.testing.assert_allclose(covariances(got, np.eye(3)), covariances(g, M[:3, :3]), rtol=1e-3, atol=1e-7)
    got.validate()


def test_a_turn_and_back_is_the_same_and_a_mirror_is_a_rotation():
    g = random_scene(50).gaussians
    turn = np.array(Matrix.Rotation(0.7, 4, (0.3, 0.4, 1)))
    there = transformed(transformed(g, turn), np.linalg.inv(turn))
    np.testing.assert_allclose(there.means, g.means, atol=1e-5)
    mirrored = transformed(g, np.diag([-1, 1, 1, 1]))
    mirrored.validate()
    assert np.linalg.det(_matrices(mirrored.quats.astype(float))) == pytest.approx(np.ones(50), abs=1e-5)
    with pytest.raises(InvalidInput, match="zero"):
        transformed(g, np.diag([0, 1, 1, 1]))
