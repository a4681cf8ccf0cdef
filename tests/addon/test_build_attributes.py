# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes: names by version, exact round trip, and reading after people edited the objects."""

from dataclasses import fields

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Quaternion
from splatonym.addon.build import attributes, build_scene, read_gaussians
from splatonym.addon.build.reading import _matrices, transformed
from splatonym.core.errors import InvalidInput
from splatonym.core.gaussians import SH_C0

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
    for field in fields(wanted):
        np.testing.assert_allclose(getattr(back.gaussians, field.name), getattr(wanted, field.name), rtol=2e-6, atol=2e-7)
    for exact in ("means", "sh", "label", "instance", "confidence"):
        assert np.array_equal(getattr(back.gaussians, exact), getattr(wanted, exact))


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
